package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

func (h *cliHouse) socket() string { return filepath.Join(h.data, "doorhub.sock") }

// Ctrl-C, or systemd's SIGTERM, is no failure; nothing stays behind that a next start trips on.
func TestRunEndsWhenTold(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	for range 2 {
		stop := h.start()
		info, err := os.Stat(h.socket())
		must(t, err)
		if got := info.Mode(); got != os.ModeSocket|0o600 {
			t.Errorf("the control socket has mode %v: others could command the hub", got)
		}
		if got := stop(); got.code != 0 || strings.Contains(got.err, "level=ERROR") {
			t.Errorf("stopped: %+v", got)
		}
		if left, err := filepath.Glob(filepath.Join(h.data, "*.sock")); len(left) > 0 || err != nil {
			t.Errorf("left behind: %v %v", left, err)
		}
		if left, err := filepath.Glob(filepath.Join(h.data, ".c*")); len(left) > 0 || err != nil {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
	var kinds []door.Kind
	for line := range strings.Lines(h.ok("--json", "log", "--type", "started,stopped")) {
		var r logRow
		must(t, json.Unmarshal([]byte(line), &r))
		kinds = append(kinds, r.Kind)
	}
	want := []door.Kind{door.KindStarted, door.KindStopped, door.KindStarted, door.KindStopped}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestRunToldToStopBeforeItIsReady(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := commandUntil(t, ctx, "", "--config", h.config, "run"); got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestCommandGivenUp(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := commandUntil(t, ctx, "", "--config", h.config, "people", "add", "Ann")
	if want := (outcome{exitFailed, "", "doorhub: stopped\n"}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if out := h.ok("--json", "people", "list"); out != "" {
		t.Errorf("somebody was added all the same: %s", out)
	}
}

func TestRunTwice(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.start()
	got := h.do("", "run")
	if got.code != exitFailed || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, h.data+": the data folder is in use: another doorhub runs on it") {
		t.Errorf("got %+v", got)
	}
	h.ok("people", "list") // the first one still answers
}

// A hub without its GPIO chip does not start, says what to do, and holds nothing.
func TestRunWithoutGPIOChip(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t, "hardware: simulated", "hardware: gpio\n      lock: {line: {chip: gpiochip77, pin: GPIO17}}", "- {}", "- {chip: gpiochip77, rows: [1, 2, 3, 4], columns: [5, 6, 7, 8]}")
	got := h.do("", "run")
	if got.code != exitFailed || strings.Count(got.err, "\n") != 1 ||
		!strings.HasPrefix(got.err, "doorhub: door front: gpio: /dev/gpiochip77: no such GPIO chip") {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(got.err, "this machine shows none; on a Raspberry Pi update the kernel") && !strings.Contains(got.err, "set chip to one of those here") {
		t.Errorf("%q does not say what to do", got.err)
	}
	must(t, h.store().Close())
	if _, err := os.Stat(h.socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a control socket: %v", err)
	}
}

// A killed hub leaves its socket behind. Commands do without it, and the next hub takes its
// place.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	staleSocket(t, h.socket())
	h.ok("people", "add", "Ann")
	h.start()
	if out := h.ok("people", "list"); !strings.Contains(out, "Ann") {
		t.Errorf("people list: %s", out)
	}
}

func staleSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

// While somebody holds the store who does not answer, commands say so.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *cliHouse){
		"no socket":    func(*testing.T, *cliHouse) {},
		"stale socket": func(t *testing.T, h *cliHouse) { staleSocket(t, h.socket()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newCLIHouse(t, "busy_timeout: 20s", "busy_timeout: 100ms")
			prepare(t, h)
			st := h.store()
			defer st.Close()
			got := h.do("", "people", "list")
			want := outcome{exitFailed, "", "doorhub: the data folder is in use, but nobody answers on " + h.socket() +
				": a hub that is starting or stopping, or another command: try again\n"}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A hub that is starting is waited for: the command begins while somebody silent holds the
// store, and ends when the hub, or the free store, answers.
func TestCommandWaitsForTheHub(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	st := h.store()
	answered := make(chan outcome, 1)
	go func() { answered <- command(t, "", "--config", h.config, "people", "list") }()
	must(t, st.Close())
	h.start()
	select {
	case got := <-answered:
		if got.code != 0 || got.err != "" {
			t.Errorf("got %+v", got)
		}
	case <-soon(t).Done():
		t.Fatal("the command does not end")
	}
}

// The control setting cannot make doorhub remove somebody's file.
func TestControlIsAFile(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file := filepath.Join(dir, "mine")
	must(t, os.WriteFile(file, []byte("precious"), 0o600))
	h := newCLIHouse(t, "clock: trust", "clock: trust\ncontrol: "+file)
	got := h.do("", "run")
	if got.code != exitFailed || !strings.Contains(got.err, "control socket: "+file+" is there and is no socket: remove it, or set control to another path") {
		t.Errorf("got %+v", got)
	}
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestControlPathTooLong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), strings.Repeat("d", 100))
	must(t, os.Mkdir(dir, 0o700))
	h := newCLIHouse(t, "clock: trust", "clock: trust\ncontrol: "+dir+"/s")
	got := h.do("", "run")
	if got.code != exitFailed || !strings.Contains(got.err, "is too long for a socket: set control to a path of at most 100 bytes") {
		t.Errorf("got %+v", got)
	}
}

// Whoever else answers on the socket is not taken for a hub.
func TestSomebodyElseAnswers(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"of another version": {http.NotFound, "the running hub says 404 Not Found: is it of another version?"},
		"broken off":         {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"item":{"id":"p1"}}` + "\n")) }, "the answer broke off: EOF"},
		"no JSON":            {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }, "the answer broke off: invalid character 'h'"},
		"refuses":            {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"error":"not now","done":true}`)) }, "not now"},
	} {
		t.Run(name, func(t *testing.T) {
			st := h.store()
			defer st.Close()
			l, err := net.Listen("unix", h.socket())
			must(t, err)
			server := &http.Server{Handler: c.answer}
			go func() { _ = server.Serve(l) }() // ends with Close
			defer server.Close()
			got := h.do("", "people", "show", "p1")
			if got.code != exitFailed || !strings.HasPrefix(got.err, "doorhub: "+c.says) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("got %+v, want %q", got, c.says)
			}
		})
	}
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.start()
	c := dialControl(h.socket())
	defer c.close()
	nothingCame := func(json.RawMessage) error { t.Error("an item came"); return nil }
	for _, call := range []struct {
		method string
		req    any
		says   string
	}{
		{"people.fly", nil, "404"},
		{"people.add", "a text", "request: json: cannot unmarshal string"},
		{"people.show", map[string]any{"who": 7}, "request: json: cannot unmarshal number"},
	} {
		err := c.call(soon(t), call.method, call.req, nothingCame, nothing)
		if err == nil || !strings.Contains(err.Error(), call.says) {
			t.Errorf("%s: %v, want %q", call.method, err, call.says)
		}
	}
}

// Whether through the hub or not, nothing is lost when many commands come at once.
func TestManyCommandsAtOnce(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		const n = 8
		done := make(chan outcome, n)
		for i := range n {
			go func() { done <- command(t, "", "--config", h.config, "people", "add", strings.Repeat("x", i+1)) }()
		}
		for range n {
			if got := <-done; got.code != 0 {
				t.Errorf("got %+v", got)
			}
		}
		if lines := strings.Count(h.ok("--json", "log", "--all", "--type", "enrolled"), "\n"); lines != n {
			t.Errorf("%d records of %d people", lines, n)
		}
		if out := h.ok("log", "verify"); !strings.HasPrefix(out, "the journal is whole") {
			t.Error(out)
		}
	})
}
