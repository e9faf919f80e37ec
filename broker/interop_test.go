package broker

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// interopMisses is how many of the suite's 38 tests may fail: the one of shared subscriptions,
// which no role may have.
const interopMisses = 1

// interopKeepalive is what test_server_keep_alive expects to be told.
const interopKeepalive = time.Minute

// TestInteroperability runs Eclipse's interoperability suite, 11 tests of v3.1.1 and 27 of v5,
// against the broker as users have it. MQTT_SUITE names a copy of
// https://github.com/eclipse/paho.mqtt.testing or its folder interoperability: it is not in this
// tree, because its licence is another one. Three things are made for it: a user whose rules allow
// the suite's topics, which no role does; a filter that is refused and the keepalive that is
// imposed, both by settings. What the runner changes stands in testdata/interop.py.
func TestInteroperability(t *testing.T) {
	suite := os.Getenv("MQTT_SUITE")
	if suite == "" {
		t.Skip("NOT RUN: the interoperability suite; name a copy of it: make test MQTT_SUITE=/path/to/paho.mqtt.testing")
	}
	suite = findSuite(t, suite)
	total, failed := 0, 0
	for _, script := range []string{"client_test.py", "client_test5.py"} {
		for _, r := range runInterop(t, filepath.Join(suite, script)) {
			total++
			if r.Why == "" {
				t.Logf("ok      %s %s", script, r.Test)
				continue
			}
			failed++
			t.Logf("FAILED  %s %s: %s", script, r.Test, r.Why)
		}
	}
	t.Logf("%d of %d passed", total-failed, total)
	if failed > interopMisses {
		t.Errorf("%d tests failed, %d may", failed, interopMisses)
	}
}

// findSuite takes the suite's folder or its parent; a relative path starts at the tree's root.
func findSuite(t *testing.T, path string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join("..", path)
	}
	for _, dir := range []string{path, filepath.Join(path, "interoperability")} {
		if _, err := os.Stat(filepath.Join(dir, "client_test5.py")); err == nil {
			dir, err = filepath.Abs(dir)
			must(t, err)
			return dir
		}
	}
	t.Fatalf("MQTT_SUITE: no client_test5.py in %s, nor in its folder interoperability", path)
	return ""
}

// interopResult is a line that the runner writes. Why is empty when the test passed.
type interopResult struct{ Test, Why string }

func runInterop(t *testing.T, script string) []interopResult {
	t.Helper()
	h := start(t, func(cfg *Config) {
		cfg.RefuseFilters = []string{"test/nosubscribe", "nosubscribe"}
		cfg.Keepalive = interopKeepalive
	})
	token, err := h.users.Add("suite", RoleViewer)
	must(t, err)
	h.users.allow("suite", keep("#"), read("#"), keep("$TopicA/#"), keep("$client_test5/#"))
	_, port, err := net.SplitHostPort(h.Addr())
	must(t, err)
	out := filepath.Join(t.TempDir(), "results")
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/interop.py", script, port, out)
	cmd.Env = append(os.Environ(), "DOORHUB_USER=suite", "DOORHUB_TOKEN="+token, "PYTHONDONTWRITEBYTECODE=1")
	said, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	results := readInterop(t, out)
	if len(results) == 0 {
		t.Fatalf("%s ran no test:\n%s", script, said)
	}
	t.Logf("%s:\n%s", script, said)
	return results
}

func readInterop(t *testing.T, path string) (results []interopResult) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r interopResult
		must(t, json.Unmarshal(lines.Bytes(), &r))
		results = append(results, r)
	}
	return results
}

// allow gives a user the rules of no role.
func (u *Users) allow(name string, rules ...Rule) {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.known[name]
	a.rules = rules
	u.set(a)
}
