package history

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

func TestEachRecordIsOnePoint(t *testing.T) {
	b := newBench(t)
	b.cfg.Batch = 10
	b.book.write(entries(35)...)
	b.run()
	b.whole()
	if b.book.cursor != 35 {
		t.Errorf("the cursor is kept at %d", b.book.cursor)
	}
	b.book.write(entries(3)...)
	b.run()
	b.whole()
	if b.db.writes != 38 {
		t.Errorf("%d lines were sent for 38 records", b.db.writes)
	}
	if b.wrong != nil {
		t.Errorf("problems: %q", b.wrong)
	}
}

func TestOutages(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		after  string
		says   string
		reason string
		pause  time.Duration
	}{
		{"down for a while", 503, "", "service unavailable", reasonDown, firstPause},
		{"too many requests", 429, "17", "exceeded rate limit", reasonDown, 17 * time.Second},
		{"disk full", 500, "", "internal error: no space left on device", reasonDown, firstPause},
		{"wrong token", 401, "", "unauthorized access", reasonToken, firstPause},
		{"no bucket", 404, "", "bucket \"doorhub\" not found", reasonBucket, firstPause},
		{"no organisation", 404, "", "organization name \"doorhub\" not found", reasonBucket, firstPause},
		{"a token that may only read", 403, "", "insufficient permissions", reasonToken, firstPause},
		{"the reply is lost", applied, "", "", reasonDown, firstPause},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.book.write(entries(20)...)
			failing := 3
			b.db.answer = func(string) (int, string, string) {
				if failing--; failing < 0 {
					return 0, "", ""
				}
				return c.status, c.after, c.says
			}
			b.run()
			b.whole()
			if diff := cmp.Diff([]string{c.reason, ""}, b.wrong); diff != "" {
				t.Errorf("problems (-want +got)\n%s", diff)
			}
			if !strings.Contains(b.said, c.says) {
				t.Errorf("the problem is %q, without %q", b.said, c.says)
			}
			if len(b.pauses) < 3 || b.pauses[0] != c.pause {
				t.Errorf("paused for %v", b.pauses)
			}
		})
	}
}

func TestPausesGrow(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(1)...)
	b.db.answer = func(string) (int, string, string) { return 503, "", "no" }
	b.until = func() bool { return len(b.pauses) == 9 }
	b.run()
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, b.pauses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if b.book.cursor != 0 {
		t.Errorf("the cursor is kept at %d, and nothing was sent", b.book.cursor)
	}
}

func TestARefusedRecordIsSetAside(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(50)...)
	b.db.answer = func(body string) (int, string, string) {
		if strings.Contains(body, "seq=17i") || strings.Contains(body, "seq=18i") {
			return 400, "", "partial write: field type conflict"
		}
		return 0, "", ""
	}
	b.run()
	b.whole()
	if len(b.book.aside) != 2 || b.book.aside[17] == "" || b.book.aside[18] == "" {
		t.Errorf("set aside: %v", b.book.aside)
	}
	if b.book.cursor != 50 {
		t.Errorf("the cursor stands at %d", b.book.cursor)
	}
}

// What a server repeats of a line names people, and would outlive their being erased.
func TestARefusalKeepsNoName(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(3)...)
	b.db.answer = func(body string) (int, string, string) {
		if strings.Contains(body, "seq=2i") {
			return 400, "", "unable to parse '" + body + "': it's odd"
		}
		return 0, "", ""
	}
	b.run()
	if diff := cmp.Diff(map[uint64]string{2: "x: unable to parse '…'s odd"}, b.book.aside); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
}

// What is older than the bucket keeps is refused by 2.x in other words than a bad record is.
func TestOlderThanTheBucketKeeps(t *testing.T) {
	b := newBench(t)
	b.cfg.Batch = 10
	b.book.write(entries(30)...)
	b.db.answer = func(body string) (int, string, string) {
		if strings.Contains(body, "seq=5i") {
			return 422, "", "failure writing points to database: partial write: points beyond retention policy dropped=10"
		}
		return 0, "", ""
	}
	b.run()
	if len(b.book.aside) > 0 || b.book.cursor != 30 || len(b.db.points) != 20 || b.wrong != nil {
		t.Errorf("set aside: %v, cursor %d, %d points, problems %q", b.book.aside, b.book.cursor, len(b.db.points), b.wrong)
	}
}

// A token that was replaced counts without a restart.
func TestTokenIsReadAgain(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(3)...)
	b.cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	b.db.token = "Token right"
	b.until = func() bool {
		switch len(b.pauses) {
		case 1:
			must(t, os.WriteFile(b.cfg.TokenFile, []byte("wrong\n"), 0o600))
		case 2:
			must(t, os.WriteFile(b.cfg.TokenFile, []byte("right\n"), 0o600))
		}
		return len(b.pauses) == 3
	}
	b.run()
	b.whole()
	if diff := cmp.Diff([]string{reasonFile, reasonToken, ""}, b.wrong); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// How long somebody was inside is told of the exit, wherever the reading begins.
func TestTimeInside(t *testing.T) {
	passes := func(kind door.Kind, person, boot string, wall, mono time.Duration) door.Record {
		return door.Record{Kind: kind, Person: person, Time: time.Unix(1_800_000_000, 0).Add(wall), Clock: door.Clock{Synced: true, Boot: boot, Mono: mono}}
	}
	b := newBench(t)
	b.book.write(
		passes(door.KindEntry, "p1", "a", 0, 0),
		passes(door.KindEntry, "p2", "a", time.Second, time.Second),
		passes(door.KindExit, "p1", "a", 2*time.Hour, 30*time.Second), // the clock was set meanwhile
		passes(door.KindExit, "p1", "a", 3*time.Hour, time.Minute),    // and did not come in
		passes(door.KindExit, "", "a", 4*time.Hour, time.Hour),
		passes(door.KindExit, "p2", "b", time.Minute+time.Second, 0), // the machine started anew
		passes(door.KindEntry, "p1", "b", time.Hour, time.Hour),
		passes(door.KindExit, "p1", "c", 0, 0)) // the clock went back
	want := map[string]string{"3": "30", "6": "60"}
	for _, from := range []uint64{0, 1, 2, 5} {
		b.db.points, b.book.cursor = map[string]map[string]string{}, from
		b.run()
		if from > 2 {
			delete(want, "3")
		}
		if diff := cmp.Diff(want, b.db.field(FieldInside)); diff != "" {
			t.Errorf("from %d (-want +got)\n%s", from, diff)
		}
	}
}

// A server that refuses all it is sent is set up wrongly: nothing is set aside.
func TestAllRefused(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(5)...)
	b.db.answer = func(string) (int, string, string) { return 400, "", "organization name is required" }
	b.until = func() bool { return len(b.pauses) == 3 }
	b.run()
	if len(b.book.aside) > 0 || b.book.cursor != 0 {
		t.Errorf("set aside: %v, cursor %d", b.book.aside, b.book.cursor)
	}
	if diff := cmp.Diff([]string{reasonRefuses}, b.wrong); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.db.answer, b.until = nil, nil
	b.run()
	b.whole()
}

// The last record is bad: it waits until another shows that it is the record's fault.
func TestTheLastIsRefused(t *testing.T) {
	b := newBench(t)
	b.cfg.Batch = 1
	b.book.write(entries(3)...)
	b.db.answer = func(body string) (int, string, string) {
		if strings.Contains(body, "seq=3i") {
			return 422, "", "no"
		}
		return 0, "", ""
	}
	b.until = func() bool { return len(b.pauses) == 2 }
	b.run()
	if len(b.book.aside) > 0 || b.book.cursor != 2 {
		t.Errorf("set aside: %v, cursor %d", b.book.aside, b.book.cursor)
	}
	b.book.write(entries(1)...)
	b.until = nil
	b.run()
	b.whole()
	if b.book.aside[3] == "" || b.book.cursor != 4 {
		t.Errorf("set aside: %v, cursor %d", b.book.aside, b.book.cursor)
	}
}

func TestErasedNamesLeaveTheDatabase(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(3)...)
	other := entries(1)
	other[0].Person = "p2"
	b.book.write(other...)
	b.run()
	if diff := cmp.Diff(map[string]string{"1": `"Ann"`, "2": `"Ann"`, "3": `"Ann"`, "4": `"Bob"`}, b.db.field(FieldName)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	delete(b.names, "p1")
	b.book.write(door.Record{Kind: door.KindErased, Person: "p1", Clock: door.Clock{Synced: true, Boot: "boot1"}})
	b.run()
	if diff := cmp.Diff(map[string]string{"1": `""`, "2": `""`, "3": `""`, "4": `"Bob"`, "5": `""`}, b.db.field(FieldName)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.whole()
}

// Records of a clock not yet set wait for it, but not for ever; then they are marked, and when
// it is set, corrected by a field.
func TestUnsyncedClock(t *testing.T) {
	b := newBench(t)
	at := func(mono time.Duration, boot string) door.Record {
		return door.Record{Kind: door.KindStarted, Clock: door.Clock{Boot: boot, Mono: mono}}
	}
	b.now = door.Instant{Mono: 2 * time.Minute}
	b.book.write(at(time.Second, "boot0"), at(time.Minute, "boot1"))
	b.until = func() bool { return true }
	b.run()
	if diff := cmp.Diff(map[string]string{"1": "1i"}, b.db.field(FieldSeq)); diff != "" {
		t.Errorf("sent while the clock is not set (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]time.Duration{time.Minute}, b.pauses); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.now.Mono = 11 * time.Minute
	b.until = nil
	b.run()
	if diff := cmp.Diff(map[string]string{"1": "false", "2": "false"}, b.db.field(FieldSynced)); diff != "" {
		t.Errorf("after ten minutes (-want +got)\n%s", diff)
	}
	set := door.Record{Kind: door.KindClockSet, Clock: door.Clock{Boot: "boot1", Synced: true}, Details: map[string]string{door.DetailOffset: "1h0m0s"}}
	b.now.Synced = true
	b.book.write(set)
	b.run()
	if diff := cmp.Diff(map[string]string{"2": "3600000000000i"}, b.db.field(FieldOffset)); diff != "" {
		t.Errorf("corrected (-want +got)\n%s", diff)
	}
	b.whole()
}

func TestBackfillOverwrites(t *testing.T) {
	b := newBench(t)
	b.book.write(entries(10)...)
	b.run()
	h, err := Open(b.cfg, World{Journal: b.book, Zone: time.UTC, Log: slog.New(slog.DiscardHandler), Called: func(string) string { return "" },
		Now: func() door.Instant { return b.now }, Problem: func(string, string) {}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h.world.Pause = func(context.Context, time.Duration) { cancel() }
	must(t, h.Backfill(ctx, 6))
	if b.book.cursor != 5 {
		t.Errorf("a kill would lose the wish: the cursor is kept at %d", b.book.cursor)
	}
	h.Run(ctx)
	b.whole()
	if b.db.writes != 15 {
		t.Errorf("%d lines, want 10 and 5 again", b.db.writes)
	}
}

func TestOddNames(t *testing.T) {
	b := newBench(t)
	b.names["p1"] = "Ann \"the\" \\ O'Hara, 1=2\n# drop\t\t é"
	b.book.write(entries(1)...)
	b.run()
	got := ""
	for line := range strings.Lines(b.db.last) {
		got += line
	}
	want := `name="Ann \"the\" \\ O'Hara, 1=2` + " # drop   é\""
	if !strings.Contains(got, want) {
		t.Errorf("sent %q, want in it %q", got, want)
	}
}

func TestValidateRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"use http://host:port":      func(c *Config) { c.URL = "influx" },
		"put the token into a file": func(c *Config) { c.URL = "http://a:b@localhost:8086" },
		"in the clear":              func(c *Config) { c.URL = "http://192.0.2.1:8086" },
		"bucket: name one":          func(c *Config) { c.Bucket = "" },
		"token_file":                func(c *Config) { c.TokenFile = "/nowhere" },
		"ca:":                       func(c *Config) { c.CA = "/nowhere" },
		"batch: 0":                  func(c *Config) { c.Batch = 0 },
	} {
		cfg := Defaults()
		cfg.URL = "http://127.0.0.1:1"
		spoil(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if errors.Join(Defaults().Validate()) != nil {
		t.Error("the defaults are refused")
	}
}
