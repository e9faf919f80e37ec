package main

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

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

// Without a head file the journal may be whole, and its end may be missing all the same.
func TestLogVerifyWithoutHeadFile(t *testing.T) {
	gone := func(h *cliHouse) {
		h.ok("people", "add", "Ann")
		must(t, os.Remove(filepath.Join(h.data, "head")))
	}
	bothWays(t, gone, func(t *testing.T, h *cliHouse) {
		want := "no head file " + filepath.Join(h.data, "head") + ": a cut-off tail could not be looked for; give --head"
		out := h.ok("log", "verify")
		if !strings.HasPrefix(out, "the journal is whole: ") || !strings.HasSuffix(out, "\n"+want+"\n") {
			t.Errorf("got %q, want its last line %q", out, want)
		}
	})
	bothWays(t, gone, func(t *testing.T, h *cliHouse) {
		var v verifyAnswer
		must(t, json.Unmarshal([]byte(h.ok("--json", "log", "verify")), &v))
		if want := "no head file " + filepath.Join(h.data, "head") + ": "; !v.Whole || !strings.HasPrefix(v.Unchecked, want) {
			t.Errorf("got %+v", v)
		}
		if out := h.ok("log", "verify", "--head", v.Head.String()); strings.Contains(out, "no head file") {
			t.Errorf("with a head given: %q", out)
		}
	})
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		if out := h.ok("--json", "log", "verify"); strings.Contains(out, "unchecked") {
			t.Errorf("with a head file: %q", out)
		}
	})
}

// A head that cannot be kept stops no command, and is told of beside its answer.
func TestHeadOutOfReach(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t, "store: {", "store: {head: /no/such/stick/head, ")
	for _, args := range [][]string{{"people", "add", "Ann"}, {"log", "verify"}} {
		got := h.do("", args...)
		if got.code != 0 || got.out == "" || strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "doorhub: warning: write the head file: ") {
			t.Errorf("%q: %+v", args, got)
		}
		if args[0] == "log" && !strings.Contains(got.out, "\nno head file /no/such/stick/head: ") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// spoil runs a statement on the database behind doorhub's back.
func spoil(t *testing.T, h *cliHouse, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.data, "doorhub.db")+"?_pragma=busy_timeout(5000)")
	must(t, err)
	_, err = db.Exec(statement)
	must(t, errors.Join(err, db.Close()))
}
