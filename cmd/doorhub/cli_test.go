package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// outcome is what a command came to.
type outcome struct {
	code     int
	out, err string
}

// cli runs a command as a shell would, with text on its standard input.
func command(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	return commandUntil(t, context.Background(), stdin, args...)
}

func commandUntil(t testing.TB, ctx context.Context, stdin string, args ...string) outcome {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	go func() {
		_, _ = io.WriteString(w, stdin) // a command that reads nothing closes its end
		w.Close()
	}()
	var out, errOut bytes.Buffer
	code := run(ctx, args, r, &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

// shortDir is a folder of a short name: a socket's path has at most 107 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dh")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// cliHouse is a house made by init --simulated, on free ports of loopback.
type cliHouse struct {
	t      *testing.T
	data   string
	config string
}

// newCLIHouse changes the config that init wrote: old and new text in turn. Its commands wait
// long for the store: a program that another test starts holds every open file, the store's
// lock among them, from its fork to its exec.
func newCLIHouse(t *testing.T, change ...string) *cliHouse {
	t.Helper()
	h := &cliHouse{t: t, data: initHouse(t, "--simulated")}
	h.config = filepath.Join(h.data, "config.yaml")
	h.edit("tls_listen: :8883", "tls_listen: 127.0.0.1:0\n    listen: 127.0.0.1:0",
		"data: ", "clock: trust\nstore: {busy_timeout: 20s}\ndata: ")
	h.edit(change...)
	return h
}

func (h *cliHouse) edit(change ...string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	must(h.t, err)
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(string(text), change[i]) {
			h.t.Fatalf("the config does not say %q:\n%s", change[i], text)
		}
	}
	text = []byte(strings.NewReplacer(change...).Replace(string(text)))
	must(h.t, os.WriteFile(h.config, text, 0o600))
}

func (h *cliHouse) do(stdin string, args ...string) outcome {
	h.t.Helper()
	return command(h.t, stdin, append([]string{"--config", h.config}, args...)...)
}

// ok runs a command that must not fail, and returns what it printed.
func (h *cliHouse) ok(args ...string) string {
	h.t.Helper()
	got := h.do("", args...)
	if got.code != 0 || got.err != "" {
		h.t.Fatalf("doorhub %q: %+v", args, got)
	}
	return got.out
}

// start runs the hub until stop, which returns what it came to.
func (h *cliHouse) start() (stop func() outcome) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, log := make(chan int, 1), &hearing{}
	go func() { ended <- run(ctx, []string{"--config", h.config, "run"}, os.Stdin, io.Discard, log) }()
	once := func() outcome {
		cancel()
		select {
		case code := <-ended:
			ended <- code
			return outcome{code: code, err: log.String()}
		case <-soon(h.t).Done():
			h.t.Fatal("the hub does not stop")
			return outcome{}
		}
	}
	h.t.Cleanup(func() { once() })
	until(h.t, "the hub to be ready", func() bool {
		if len(ended) > 0 {
			h.t.Fatalf("the hub ended: %s", log)
		}
		return strings.Contains(log.String(), "msg=ready")
	})
	return once
}

// store opens the house's store, which no hub may have open.
func (h *cliHouse) store() *store.Store {
	h.t.Helper()
	var st *store.Store
	var err error
	until(h.t, "the store, which a fork may hold", func() bool {
		st, err = store.Open(h.data)
		return !errors.Is(err, store.ErrInUse)
	})
	must(h.t, err)
	return st
}

// journal writes records behind the back of doorhub's commands.
func (h *cliHouse) journal(recs ...door.Record) {
	h.t.Helper()
	st := h.store()
	_, err := st.Append(h.t.Context(), recs)
	must(h.t, errors.Join(err, st.Close()))
}

// bothWays runs a test on a house without a hub, and on one with its hub running: commands
// must answer alike. prepare comes before the hub starts.
func bothWays(t *testing.T, prepare func(*cliHouse), test func(t *testing.T, h *cliHouse), change ...string) {
	for _, running := range []bool{false, true} {
		name := "directly"
		if running {
			name = "through the hub"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newCLIHouse(t, change...)
			if prepare != nil {
				prepare(h)
			}
			if running {
				h.start()
			}
			test(t, h)
		})
	}
}

// The script testdata/cli.txt holds commands and what they answer: "$" a command, with its
// standard input after "<"; then its output; "!" a line of its error output; "=" its exit
// code where that is not 0. What differs from run to run is masked.
func TestCommandsAnswerAsScripted(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) { h.plays("testdata/cli.txt", masked) })
}

// plays gives the commands of a script and compares what they answer.
func (h *cliHouse) plays(file string, mask func(string) string) {
	h.t.Helper()
	text, err := os.ReadFile(file)
	must(h.t, err)
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "$ "):
			got.WriteString(line)
			got.WriteString(mask(h.script(line)))
		case strings.HasPrefix(line, "#"), line == "\n":
			got.WriteString(line)
		}
	}
	if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		h.t.Errorf("(-%s +got):\n%s", file, diff)
	}
}

var word = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\S+`)

func (h *cliHouse) script(line string) string {
	var args []string
	command, stdin, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ doorhub "), " < ")
	command = strings.ReplaceAll(command, "PORTRAITS", portraits())
	for _, w := range word.FindAllString(command, -1) {
		if unquoted, err := strconv.Unquote(w); err == nil {
			w = unquoted
		}
		args = append(args, w)
	}
	if stdin != "" {
		text, err := strconv.Unquote(stdin)
		must(h.t, err)
		stdin = text
	}
	a := h.do(stdin, args...)
	text := a.out
	for errLine := range strings.Lines(a.err) {
		text += "! " + errLine
	}
	if a.code != 0 {
		text += fmt.Sprintf("= %d\n", a.code)
	}
	return text
}

// masked replaces what no two runs have in common: times, hashes, tokens, sequence numbers,
// and the columns whose width depends on them.
func masked(text string) string {
	for _, m := range []struct{ from, to string }{
		{`(?m)^\d+( +.*\d\d:\d\d:\d\d)`, "SEQ$1"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?`, "TIME"},
		{`"\d{4}-\d\d-\d\dT[^"]*Z"`, `"TIME"`},
		{`password [\w-]{43}`, "password TOKEN"},
		{`"token":"[\w-]{43}"`, `"token":"TOKEN"`},
		{`\d+-[0-9a-f]{64}`, "HEAD"},
		{`(SHA-256 +|"sha256":")[0-9a-f]{64}`, "${1}HASH"},
		{`(doorhub CA )[0-9a-f]{8}`, "${1}ID"},
		{`\d{4}-\d\d-\d\d`, "DATE"},
		{`\d+ days left`, "N days left"},
		{`("days_left":)\d+`, "${1}N"},
		{`/\S*/certs/`, "CERTS/"},
		{`whole: \d+ records`, "whole: N records"},
		{` +`, " "},
		{`(?m) +$`, ""},
	} {
		text = regexp.MustCompile(m.from).ReplaceAllString(text, m.to)
	}
	return text
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.ok("people", "add", "Ann")
	bad := filepath.Join(h.data, "bad.yaml")
	must(t, os.WriteFile(bad, []byte("hous: {}\n"), 0o600))
	for _, c := range []struct {
		want int
		args []string
	}{
		{0, []string{"version"}},
		{0, []string{"--help"}},
		{0, []string{}},
		{0, []string{"--config", h.config, "log"}},
		{exitFailed, []string{"--config", h.config, "people", "show", "nobody"}},
		{exitFailed, []string{"--config", h.config, "people", "add", "Ann"}},
		{exitUsage, []string{"fly"}},
		{exitUsage, []string{"people"}},
		{exitUsage, []string{"people", "add"}},
		{exitUsage, []string{"--colour", "version"}},
		{exitUsage, []string{"run", "--once"}},
		{exitUsage, []string{"--config", h.config, "people", "enrol", "Ann"}},
		{exitUsage, []string{"--config", h.config, "people", "enrol", "Ann", "--pin", "864203"}},
		{exitUsage, []string{"--config", h.config, "people", "enrol", "Ann", "--pictures", "/no/such/file.jpg"}},
		{exitUsage, []string{"--config", h.config, "people", "enrol", "Ann", "--pictures", h.config}}, // nobody agreed
		{exitUsage, []string{"--config", h.config, "people", "forget", "Ann"}},
		{exitFailed, []string{"--config", h.config, "people", "forget", "Ann", "--faces"}},
		{exitUsage, []string{"--config", h.config, "people", "add", "Bob", "--policy", "smile"}},
		{exitUsage, []string{"--config", h.config, "try", "Ann", "--with", "smile"}},
		{exitUsage, []string{"--config", h.config, "log", "--from", "yesterday"}},
		{exitUsage, []string{"--config", h.config, "log", "verify", "--head", "12"}},
		{exitUsage, []string{"--config", h.config, "broker", "user", "add", "x", "--role", "king"}},
		{exitUsage, []string{"--config", bad, "log"}},
		{exitUsage, []string{"--config", filepath.Join(h.data, "none.yaml"), "log"}},
		{exitRefused, []string{"--config", h.config, "try", "Ann"}},
	} {
		got := command(t, "", c.args...)
		if got.code != c.want {
			t.Errorf("doorhub %q: exit code %d, want %d: %s", c.args, got.code, c.want, got.err)
		}
		if (got.code == 0 || got.code == exitRefused) != (got.err == "") {
			t.Errorf("doorhub %q: exit code %d with %q on standard error", c.args, got.code, got.err)
		}
	}
}

func TestVersionSaysWhetherThereIsVision(t *testing.T) {
	t.Parallel()
	var got struct {
		Version string
		Vision  bool
	}
	must(t, json.Unmarshal([]byte(command(t, "", "--json", "version").out), &got))
	if got.Vision != hasVision || got.Version != version {
		t.Errorf("got %+v", got)
	}
	word := map[bool]string{true: "with vision", false: "without vision"}[hasVision]
	if out := command(t, "", "version").out; !strings.Contains(out, version) || !strings.Contains(out, word) {
		t.Errorf("got %q", out)
	}
}

func TestEnrolPicturesWithoutVision(t *testing.T) {
	if hasVision {
		t.Skip("SKIPPED, NOT TESTED: this build has vision; the one without it tests what it says")
	}
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		got := h.do("864203\n", "people", "enrol", "Ann", "--pin", "--pictures", h.config, "--consent")
		want := outcome{exitFailed, "", "doorhub: this doorhub was built without vision: it has no camera and knows no faces; build it with `make build`\n"}
		if got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"pin":false`) {
			t.Errorf("a PIN was taken beside: %s", out)
		}
	})
}

// Names are data: what is markup or a formula elsewhere comes out as it went in, and what
// would break a line is refused.
func TestNames(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		fine := []string{`<script>alert("1")</script>`, `O'Neill, "Bob"`, "Zoë 李", "a,b;c", `back\slash`, "--json", strings.Repeat("é", 100)}
		for i, name := range fine {
			h.ok("people", "add", "--", name)
			h.ok("--json", "people", "show", fmt.Sprintf("p%d", i+1))
		}
		for _, c := range []struct{ name, says string }{
			{"two\nlines", "control character"}, {"bell\a", "control character"}, {"\u202eturned", "control character"},
			{"", "empty"}, {"   ", "empty"}, {strings.Repeat("x", 10_000), "it has 10000 characters: use 1 to 100"},
			{"a,B;C", "name is taken"},
		} {
			got := h.do("", "people", "add", c.name)
			if got.code != exitFailed || !strings.Contains(got.err, c.says) || strings.Count(got.err, "\n") != 1 || len(got.err) > 300 {
				t.Errorf("%.20q: %+v, want %q", c.name, got, c.says)
			}
		}
		if got := h.do("", "people", "add", "\xffann"); got.code != exitUsage || got.err != "doorhub: argument 5, \"\\xffann\", is not UTF-8: type it again\n" {
			t.Errorf("no UTF-8: %+v", got)
		}
		var names []string
		for line := range strings.Lines(h.ok("--json", "people", "list")) {
			var p personView
			must(t, json.Unmarshal([]byte(line), &p))
			names = append(names, p.Name)
		}
		if diff := cmp.Diff(fine, names); diff != "" {
			t.Errorf("people list (-want +got):\n%s", diff)
		}
		rows, err := csv.NewReader(strings.NewReader(h.ok("log", "--csv", "--all", "--type", "enrolled"))).ReadAll()
		must(t, err)
		for i, name := range fine {
			if got := rows[i+1][6]; got != name {
				t.Errorf("CSV: got %q, want %q", got, name)
			}
		}
	})
}

// hearing is what a command that runs on prints, to be read meanwhile.
type hearing struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *hearing) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *hearing) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
