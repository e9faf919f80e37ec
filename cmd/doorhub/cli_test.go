package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// newCLIHouse changes the config that init wrote: old and new text in turn.
func newCLIHouse(t *testing.T, change ...string) *cliHouse {
	t.Helper()
	h := &cliHouse{t: t, data: initHouse(t, "--simulated")}
	h.config = filepath.Join(h.data, "config.yaml")
	h.edit("tls_listen: :8883", "tls_listen: 127.0.0.1:0\n    listen: 127.0.0.1:0",
		"data: ", "clock: trust\nstore: {busy_timeout: 100ms}\ndata: ")
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
	st, err := store.Open(h.data)
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
	text, err := os.ReadFile("testdata/cli.txt")
	must(t, err)
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		var got strings.Builder
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "$ "):
				got.WriteString(line)
				got.WriteString(masked(h.script(line)))
			case strings.HasPrefix(line, "#"), line == "\n":
				got.WriteString(line)
			}
		}
		if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got.String(), "\n")); diff != "" {
			t.Errorf("(-testdata/cli.txt +got):\n%s", diff)
		}
	})
}

var word = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\S+`)

func (h *cliHouse) script(line string) string {
	var args []string
	command, stdin, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ doorhub "), " < ")
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
		got := h.do("864203\n", "people", "enrol", "Ann", "--pin", "--pictures", h.config)
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

// guests are the records of a day: Ann comes and goes, Bob is refused, a window opens, and
// somebody who is erased since came in.
func guests(h *cliHouse) {
	h.ok("people", "add", "Ann")
	h.ok("people", "add", "Bob, \"the\" Builder")
	h.ok("people", "add", "Gone")
	day := time.Date(2026, 3, 1, 8, 0, 0, 0, time.Local)
	at := func(hours int, r door.Record) door.Record {
		r.Time = day.Add(time.Duration(hours) * time.Hour)
		return r
	}
	h.journal(
		at(0, door.Record{Kind: door.KindGranted, Door: "front", Person: "p1", Factors: door.SetOf(door.PIN, door.FaceID)}),
		at(0, door.Record{Kind: door.KindEntry, Door: "front", Side: door.Entry, Person: "p1", Factors: door.SetOf(door.PIN, door.FaceID)}),
		at(1, door.Record{Kind: door.KindDenied, Door: "front", Person: "p2", Reason: door.ReasonWrongPIN}),
		at(2, door.Record{Kind: door.KindEntry, Door: "front", Side: door.Entry, Person: "p3"}),
		at(3, door.Record{Kind: door.KindExit, Door: "front", Side: door.Exit, Person: "p1"}),
		at(4, door.Record{Kind: door.KindExit, Door: "front", Side: door.Exit}),
		at(5, door.Record{Kind: door.KindIntrusion, Details: map[string]string{door.DetailSensor: "kitchen"}}),
		at(6, door.Record{Kind: door.KindForced, Door: "front"}),
		at(7, door.Record{Kind: door.KindEntry, Door: "front", Side: door.Entry, Person: "p2"}),
		at(8, door.Record{Kind: door.KindProblem, Door: "front", Details: map[string]string{door.DetailText: "a\x1b[2J\tb\nc"}}),
	)
	h.ok("people", "remove", "Gone")
}

func TestLogShowsAndFilters(t *testing.T) {
	bothWays(t, guests, func(t *testing.T, h *cliHouse) {
		ann0, gone := "Ann 08:00 Entry", "(erased, p3) 10:00 Entry"
		ann3, unknown := "Ann 11:00 Exit", "unknown 12:00 Exit"
		window, forced := "Kitchen window 13:00 Intrusion", "front 14:00 Intrusion"
		bob := `Bob, "the" Builder 15:00 Entry`
		denied := `Bob, "the" Builder 09:00 denied`
		for _, c := range []struct {
			args []string
			want []string
		}{
			{nil, []string{ann0, gone, ann3, unknown, window, forced, bob}},
			{[]string{"-n", "2"}, []string{forced, bob}},
			{[]string{"-n", "0"}, []string{ann0, gone, ann3, unknown, window, forced, bob}},
			{[]string{"--person", "Ann"}, []string{ann0, ann3}},
			{[]string{"--person", "p1", "-n", "1"}, []string{ann3}},
			{[]string{"--person", "ann"}, []string{ann0, ann3}},
			{[]string{"--person", "p3"}, []string{gone}},
			{[]string{"--type", "Entry"}, []string{ann0, gone, bob}},
			{[]string{"--type", "entry,EXIT"}, []string{ann0, gone, ann3, unknown, bob}},
			{[]string{"--type", "Intrusion"}, []string{window, forced}},
			{[]string{"--type", "forced"}, []string{forced}},
			{[]string{"--type", "denied", "--person", "p2"}, []string{denied}},
			{[]string{"--door", "front", "--type", "Intrusion"}, []string{forced}},
			{[]string{"--door", "cellar"}, nil},
			{[]string{"--from", "2026-03-01T12:00"}, []string{unknown, window, forced, bob}},
			{[]string{"--from", "2026-03-01 10:00", "--to", "2026-03-01 12:00"}, []string{gone, ann3}},
			{[]string{"--to", "2026-03-01"}, nil},
			{[]string{"--from", "2026-03-02"}, nil},
			{[]string{"--from", "1s"}, nil},
			{[]string{"--type", "lockout"}, nil},
		} {
			if diff := cmp.Diff(c.want, classicRows(t, h.ok(append([]string{"log", "--csv"}, c.args...)...))); diff != "" {
				t.Errorf("log %q (-want +got):\n%s", c.args, diff)
			}
		}
	})
}

// classicRows reads the classic view from CSV: name, time of the day, type.
func classicRows(t *testing.T, text string) (got []string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	must(t, err)
	if diff := cmp.Diff([]string{"ID", "Name", "Time", "Type"}, rows[0]); diff != "" {
		t.Fatalf("head (-want +got):\n%s", diff)
	}
	for _, r := range rows[1:] {
		at, err := time.ParseInLocation(time.DateTime, r[2], time.Local)
		must(t, err)
		got = append(got, fmt.Sprintf("%s %s %s", r[1], at.Format("15:04"), r[3]))
	}
	return got
}

func TestLogTable(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	guests(h)
	want := `ID  Name                Time                 Type
5   Ann                 2026-03-01 08:00:00  Entry
7   (erased, p3)        2026-03-01 10:00:00  Entry
8   Ann                 2026-03-01 11:00:00  Exit
9   unknown             2026-03-01 12:00:00  Exit
10  Kitchen window      2026-03-01 13:00:00  Intrusion
11  front               2026-03-01 14:00:00  Intrusion
12  Bob, "the" Builder  2026-03-01 15:00:00  Entry
`
	if diff := cmp.Diff(want, h.ok("log")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out := h.ok("log", "--all", "--type", "problem")
	if strings.ContainsAny(out, "\x1b\t") || strings.Count(out, "\n") != 2 || !strings.Contains(out, "text=a\uFFFD[2J\uFFFDb\uFFFDc") {
		t.Errorf("a record commands the terminal: %q", out)
	}
}

func TestLogJSON(t *testing.T) {
	bothWays(t, guests, func(t *testing.T, h *cliHouse) {
		var got []string
		for line := range strings.Lines(h.ok("--json", "log", "--person", "p1", "--all")) {
			var r logRow
			must(t, json.Unmarshal([]byte(line), &r))
			got = append(got, fmt.Sprintf("%s %s %s", r.Kind, r.Name, r.Factors))
		}
		want := []string{"enrolled Ann ", "granted Ann pin+face", "entry Ann pin+face", "exit Ann "}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestLogOfUnknownType(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	got := h.do("", "log", "--type", "Entry", "--type", "entires")
	want := `doorhub: --type "entires": there is no such type: use Entry, Exit, Intrusion, or a kind of record: granted, denied, entry,`
	if got.code != exitUsage || !strings.HasPrefix(got.err, want) {
		t.Errorf("got %+v", got)
	}
	for _, n := range []string{"-5", "x"} {
		if got := h.do("", "log", "--last="+n); got.code != exitUsage {
			t.Errorf("--last=%s: %+v", n, got)
		}
	}
}

// The list of kinds is door's.
func TestAllKindsAreKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../door/record.go")
	must(t, err)
	var want []door.Kind
	for _, m := range regexp.MustCompile(`(?m)^\s+Kind\w+\s+Kind = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		want = append(want, door.Kind(m[1]))
	}
	got := allKinds()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 20 {
		t.Errorf("(-door +allKinds):\n%s", diff)
	}
}

func TestLogVerifyFindsTampering(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		for _, name := range []string{"Ann", "Bob", "Cem"} {
			h.ok("people", "add", name)
		}
		head := regexp.MustCompile(`\d+-[0-9a-f]{64}`).FindString(h.ok("log", "verify"))
		h.ok("people", "add", "Dan")
		h.ok("log", "verify", "--head", head)
		spoil(t, h, `UPDATE journal SET person = 'p9' WHERE kind = 'enrolled' AND person = 'p2'`)
		got := h.do("", "log", "verify", "--head", head)
		if got.code != exitBroken || got.out != "" || strings.Count(got.err, "\n") != 1 {
			t.Errorf("got %+v", got)
		}
		got = h.do("", "--json", "log", "verify")
		var v verifyAnswer
		must(t, json.Unmarshal([]byte(got.out), &v))
		if got.code != exitBroken || v.Whole || v.Seq == 0 || v.Wrong == "" {
			t.Errorf("got %+v, %+v", got, v)
		}
	})
}

// spoil runs a statement on the database behind doorhub's back.
func spoil(t *testing.T, h *cliHouse, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.data, "doorhub.db")+"?_pragma=busy_timeout(5000)")
	must(t, err)
	_, err = db.Exec(statement)
	must(t, errors.Join(err, db.Close()))
}

func TestTryTellsOfLockouts(t *testing.T) {
	locked := func(h *cliHouse) {
		h.ok("people", "add", "Ann", "--policy", "pin")
		if got := h.do("864203\n", "people", "enrol", "Ann", "--pin"); got.code != 0 {
			h.t.Fatal(got)
		}
		st := h.store()
		err := st.KeepLockout(h.t.Context(), "reader:front/keypad", door.Lockout{Wrong: 6, Remaining: time.Minute})
		must(h.t, errors.Join(err, st.Close()))
	}
	bothWays(t, locked, func(t *testing.T, h *cliHouse) {
		got := h.do("", "try", "Ann", "--with", "pin")
		want := outcome{exitRefused, `Ann would not get in with pin
  - the keypad takes no PIN for up to 1m0s: too many wrong tries
  - with nothing, pin is missing
  (opens for Ann: pin)
`, ""}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestDatabaseOfANewerVersion(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	spoil(t, h, `PRAGMA user_version = 99`)
	for _, args := range [][]string{{"people", "list"}, {"log"}, {"run"}} {
		got := h.do("", args...)
		if got.code != exitFailed || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "schema 99") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestMissingKey(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	must(t, os.Remove(filepath.Join(h.data, "key")))
	for _, args := range [][]string{{"people", "list"}, {"run"}} {
		got := h.do("", args...)
		want := outcome{exitFailed, "", "doorhub: " + h.data + ": no key file: restore it from your backup; without it the database cannot be read\n"}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
	none := shortDir(t)
	got := command(t, "", "--data", none, "people", "list")
	want := outcome{exitFailed, "", "doorhub: " + none + ": no key file: run doorhub init first\n"}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	readOnly(t, h.data)
	for _, args := range [][]string{{"people", "list"}, {"run"}} {
		got := h.do("", args...)
		if got.code != exitFailed || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "the data folder is read-only: make it writable") {
			t.Errorf("%q: %+v", args, got)
		}
	}
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
