package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

// initHouse runs init on a new data folder and returns the folder.
func initHouse(t *testing.T, args ...string) string {
	t.Helper()
	data := filepath.Join(shortDir(t), "data")
	got := command(t, "", append([]string{"--data", data, "init"}, args...)...)
	if got.code != 0 {
		t.Fatalf("init: %+v", got)
	}
	return data
}

// modes lists files and folders with their modes.
func modes(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, path)
		got[rel] = fmt.Sprint(info.Mode())
		return err
	}))
	return got
}

// contents lists files with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		got[path] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	}))
	return got
}

func TestInitMakesAllThatIsNeeded(t *testing.T) {
	t.Parallel()
	data := initHouse(t)
	want := map[string]string{".": "drwx------", "key": "-rw-------", "doorhub.db": "-rw-------", "head": "-rw-------",
		"lock": "-rw-------", "users.json": "-rw-------", "config.yaml": "-rw-r--r--", "certs": "drwx------",
		"certs/ca.crt": "-rw-r--r--", "certs/ca.key": "-rw-------", "certs/server.crt": "-rw-r--r--", "certs/server.key": "-rw-------"}
	if diff := cmp.Diff(want, modes(t, data)); diff != "" {
		t.Errorf("files and modes (-want +got):\n%s", diff)
	}
	got, err := loadConfig(filepath.Join(data, "config.yaml"))
	must(t, err)
	cfg := Defaults()
	cfg.Data = data
	cfg.Broker.TLSListen = ":8883"
	cfg.Broker.Cert, cfg.Broker.Key = filepath.Join(data, "certs/server.crt"), filepath.Join(data, "certs/server.key")
	cfg.Broker.CA = filepath.Join(data, "certs/ca.crt")
	if diff := cmp.Diff(cfg, got, cmp.AllowUnexported(Config{}, Switch{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestInitSimulated(t *testing.T) {
	t.Parallel()
	got, err := loadConfig(filepath.Join(initHouse(t, "--simulated"), "config.yaml"))
	must(t, err)
	front := doorDefaults()
	front.ID, front.Name, front.Hardware = "front", "Front door", simulated
	front.Keypads = []Keypad{keypadDefaults()}
	if diff := cmp.Diff([]Door{front}, got.Doors, cmp.AllowUnexported(Switch{})); diff != "" {
		t.Errorf("doors (-want +got):\n%s", diff)
	}
}

func TestInitCertificateNamesTheHosts(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	must(t, err)
	for _, c := range []struct {
		args     []string
		yes, not []string
	}{
		{nil, []string{"localhost", "127.0.0.1", "::1", host}, []string{"example.org"}},
		{[]string{"--hosts", "door.lan,192.168.1.5"}, []string{"door.lan", "192.168.1.5"}, []string{"localhost", "127.0.0.1"}},
	} {
		certs := filepath.Join(initHouse(t, c.args...), "certs")
		roots := x509.NewCertPool()
		roots.AddCert(readCert(t, filepath.Join(certs, broker.CACertFile)))
		server := readCert(t, filepath.Join(certs, broker.ServerCertFile))
		for _, h := range c.yes {
			if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: bracketed(h)}); err != nil {
				t.Errorf("init %v: %s: %v", c.args, h, err)
			}
		}
		for _, h := range c.not {
			if server.VerifyHostname(bracketed(h)) == nil {
				t.Errorf("init %v: the certificate is good for %s, too", c.args, h)
			}
		}
	}
}

// bracketed is how crypto/x509 wants an IP address named.
func bracketed(host string) string {
	if strings.Trim(host, "0123456789.:") == "" {
		return "[" + host + "]"
	}
	return host
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return cert
}

// Every user's password that init shows opens the bus, and stands in no file.
func TestInitUsers(t *testing.T) {
	t.Parallel()
	data := filepath.Join(shortDir(t), "data")
	got := command(t, "", "--json", "--data", data, "init", "--simulated")
	var made struct {
		Config, Data, CA string
		Users            []userView
	}
	must(t, json.Unmarshal([]byte(got.out), &made))
	if made.Config != filepath.Join(data, "config.yaml") || made.Data != data || made.CA != filepath.Join(data, "certs/ca.crt") {
		t.Errorf("init --json says %+v", made)
	}
	users, err := broker.OpenUsers(usersFile(data))
	must(t, err)
	roles := map[string]broker.Role{}
	for _, u := range made.Users {
		role, ok := users.Check(u.Name, u.Token)
		if !ok {
			t.Errorf("the password of %s does not open", u.Name)
		}
		roles[u.Name] = role
		for _, file := range []string{"users.json", "config.yaml"} {
			text, err := os.ReadFile(filepath.Join(data, file))
			must(t, err)
			if strings.Contains(string(text), u.Token) {
				t.Errorf("the password of %s stands in %s", u.Name, file)
			}
		}
	}
	want := map[string]broker.Role{"homeassistant": broker.RoleHomeAssistant, "viewer": broker.RoleViewer, "kitchen": broker.RoleSensor}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestInitTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	data := initHouse(t)
	before := contents(t, data)
	config := filepath.Join(data, "config.yaml")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--data", data, "init"}, config + " is there already: init overwrites nothing; remove it, or name another with --config"},
		{[]string{"--data", data, "--config", filepath.Join(data, "two.yaml"), "init"}, filepath.Join(data, "key") +
			": there is a key already: keep it, or choose another data folder (nothing was made)"},
	} {
		got := command(t, "", c.args...)
		if want := (outcome{1, "", "doorhub: " + c.says + "\n"}); got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if diff := cmp.Diff(before, contents(t, data)); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// What fails midway leaves the folder as it was, so that init can be run again.
func TestInitUndoesWhatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string) // dir will hold data
		config  string
		says    string
	}{
		"certificates are there": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir+"/data/certs", 0o700))
			must(t, os.WriteFile(dir+"/data/certs/server.key", []byte("mine"), 0o600))
		}, "data/config.yaml", "certs/server.key: file exists: it is kept; move it away"},
		"certs is a file": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir+"/data", 0o700))
			must(t, os.WriteFile(dir+"/data/certs", nil, 0o600))
		}, "data/config.yaml", "certificates: mkdir "},
		"users are damaged": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir+"/data", 0o700))
			must(t, os.WriteFile(dir+"/data/users.json", []byte("{"), 0o600))
		}, "data/config.yaml", "users.json: unexpected EOF; restore it from a backup"},
		"config has nowhere to go": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/file", nil, 0o600))
		}, "file/config.yaml", "config: mkdir "},
		"data is a file": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/data", nil, 0o600))
		}, "config.yaml", "data: not a directory: the data folder must be a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			c.prepare(t, dir)
			before := modes(t, dir)
			got := command(t, "", "--data", dir+"/data", "--config", filepath.Join(dir, c.config), "init")
			if got.code != 1 || got.out != "" || strings.Count(got.err, "\n") != 1 ||
				!strings.Contains(got.err, c.says) || !strings.HasSuffix(got.err, " (nothing was made)\n") {
				t.Errorf("got %+v, want one line with %q", got, c.says)
			}
			if diff := cmp.Diff(before, modes(t, dir)); diff != "" {
				t.Errorf("left behind (-before +after):\n%s", diff)
			}
		})
	}
}

func TestInitFallback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []door.Set
		says string
	}{
		{"none", []door.Set{}, ""},
		{"pin+card", []door.Set{door.SetOf(door.PIN, door.Card)}, ""},
		{"card+pin", []door.Set{door.SetOf(door.PIN, door.Card)}, ""},
		{"bad", nil, `--fallback: "bad" is no factor: use pin, card, `},
		{"pin", nil, "--fallback: fallback pin: a fallback needs two factors, as in pin+card"},
		{"pin+face", nil, "--fallback: fallback pin+face: a fallback is for when faces cannot be seen; name two other factors, as in pin+card"},
		{"pin+remote", nil, "--fallback: policy pin+remote: a remote code is for commands over the bus, never for a reader at the door"},
	} {
		dir := shortDir(t)
		got := command(t, "", "--data", dir+"/data", "init", "--fallback", c.text)
		if c.says != "" {
			if got.code != exitUsage || !strings.HasPrefix(got.err, "doorhub: "+c.says) {
				t.Errorf("%s: got %+v, want %q", c.text, got, c.says)
			}
			if left := modes(t, dir); len(left) != 1 {
				t.Errorf("%s: left behind %v", c.text, left)
			}
			continue
		}
		cfg, err := loadConfig(dir + "/data/config.yaml")
		must(t, err)
		if diff := cmp.Diff(c.want, cfg.House.Fallback); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}

// readOnly makes a folder read-only by a mount, which binds root, too.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a read-only folder; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	must(t, syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
}

func TestInitOnReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	readOnly(t, dir)
	got := command(t, "", "--data", dir+"/data", "init")
	want := "doorhub: make the data folder: the data folder is read-only: make it writable or choose another (mkdir " +
		dir + "/data: read-only file system) (nothing was made)\n"
	if diff := cmp.Diff(outcome{1, "", want}, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
