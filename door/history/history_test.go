package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

// database is a scripted server. It keeps what it takes as InfluxDB does: a point of the same
// series and time adds to the one before.
type database struct {
	mu     sync.Mutex
	points map[string]map[string]string // series and time → field → value
	writes int                          // lines taken
	answer func(body string) (status int, header, text string)
	last   string // body
}

func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = string(body)
	if d.answer != nil {
		if status, after, text := d.answer(string(body)); status != 0 {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.Header().Set("Content-Type", "application/json")
			if status == applied {
				d.take(string(body))
				panic(http.ErrAbortHandler) // the reply is lost
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"code":"x","message":%q}`, text)
			return
		}
	}
	d.take(string(body))
	w.WriteHeader(http.StatusNoContent)
}

// applied in place of a status: written, and no reply.
const applied = -1

func (d *database) take(body string) {
	for line := range strings.Lines(body) {
		d.writes++
		line = strings.TrimSuffix(line, "\n")
		first, last := strings.Index(line, " "), strings.LastIndex(line, " ")
		key := line[:first] + line[last:]
		if d.points[key] == nil {
			d.points[key] = map[string]string{}
		}
		for field := range strings.SplitSeq(line[first+1:last], ",") {
			if k, v, ok := strings.Cut(field, "="); ok {
				d.points[key][k] = v
			}
		}
	}
}

// field lists a field's values, by seq.
func (d *database) field(name string) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]string{}
	for _, p := range d.points {
		if v, ok := p[name]; ok {
			all[strings.TrimSuffix(p[FieldSeq], "i")] = v
		}
	}
	return all
}

// book is a journal in memory.
type book struct {
	mu     sync.Mutex
	recs   []door.Record
	cursor uint64
	aside  map[uint64]string
}

func (b *book) write(recs ...door.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range recs {
		r.Seq = uint64(len(b.recs)) + 1
		if r.Time.IsZero() {
			r.Time = time.Unix(1_800_000_000, int64(r.Seq))
		}
		b.recs = append(b.recs, r)
	}
}

func (b *book) all() []door.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.recs)
}

func (b *book) each(recs iter.Seq[door.Record], want func(door.Record) bool) iter.Seq2[door.Record, error] {
	return func(yield func(door.Record, error) bool) {
		for r := range recs {
			if want(r) && !yield(r, nil) {
				return
			}
		}
	}
}

func (b *book) After(_ context.Context, seq uint64) iter.Seq2[door.Record, error] {
	return b.each(slices.Values(b.all()), func(r door.Record) bool { return r.Seq > seq })
}

func (b *book) Before(_ context.Context, seq uint64) iter.Seq2[door.Record, error] {
	recs := b.all()
	slices.Reverse(recs)
	return b.each(slices.Values(recs), func(r door.Record) bool { return r.Seq < seq })
}

func (b *book) Of(_ context.Context, person string) iter.Seq2[door.Record, error] {
	return b.each(slices.Values(b.all()), func(r door.Record) bool { return r.Person == person })
}

func (b *book) Passed(_ context.Context, person string, before uint64) (last door.Record, err error) {
	for _, r := range b.all() {
		if r.Seq < before && r.Person == person && (r.Kind == door.KindEntry || r.Kind == door.KindExit) {
			last = r
		}
	}
	return last, nil
}

func (b *book) Head() uint64 { return uint64(len(b.all())) }

func (b *book) Cursor(context.Context) (uint64, error) { return b.cursor, nil }

func (b *book) SetCursor(_ context.Context, seq uint64) error {
	b.cursor = seq
	return nil
}

func (b *book) SetAside(_ context.Context, seq uint64, reason string) error {
	b.aside[seq] = reason
	return nil
}

// bench is a History between a journal and a database of the test's.
type bench struct {
	t      *testing.T
	db     *database
	book   *book
	cfg    Config
	names  map[string]string
	now    door.Instant
	wrong  []string        // reasons told
	pauses []time.Duration // asked for
	until  func() bool     // ends Run at a pause
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, db: &database{points: map[string]map[string]string{}}, book: &book{aside: map[uint64]string{}},
		cfg: Defaults(), names: map[string]string{"p1": "Ann", "p2": "Bob"}, now: door.Instant{Synced: true, Mono: time.Hour}}
	server := httptest.NewServer(b.db)
	t.Cleanup(server.Close)
	b.cfg.URL = server.URL
	return b
}

// run runs a History until it has nothing to send, or as b.until says.
func (b *bench) run() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	var h *History
	h, err := Open(b.cfg, World{Journal: b.book, Boot: "boot1", Zone: time.UTC, Log: slog.New(slog.DiscardHandler),
		Called: func(id string) string { return b.names[id] }, Now: func() door.Instant { return b.now },
		Problem: func(reason, _ string) { b.wrong = append(b.wrong, reason) },
		Pause: func(ctx context.Context, d time.Duration) {
			b.pauses = append(b.pauses, d)
			done := b.until != nil && b.until() || b.until == nil && h.Status().Backlog == 0
			if done {
				cancel()
			} else if len(b.pauses) > 1000 {
				b.t.Error("it never ends")
				cancel()
			}
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	h.Wrote()
	h.Run(ctx)
}

func entries(n int) []door.Record {
	recs := make([]door.Record, n)
	for i := range recs {
		recs[i] = door.Record{Kind: door.KindEntry, Door: "front", Side: door.Entry, Person: "p1", Clock: door.Clock{Synced: true, Boot: "boot1"}}
	}
	return recs
}

func (b *bench) whole() {
	b.t.Helper()
	for _, r := range b.book.recs {
		if _, ok := b.db.field(FieldSeq)[fmt.Sprint(r.Seq)]; !ok && b.book.aside[r.Seq] == "" {
			b.t.Errorf("record %d is missing", r.Seq)
		}
	}
	if len(b.db.points) != len(b.book.recs)-len(b.book.aside) {
		b.t.Errorf("%d points of %d records", len(b.db.points), len(b.book.recs))
	}
}

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
		reason string
		pause  time.Duration
	}{
		{"down for a while", 503, "", reasonDown, firstPause},
		{"too many requests", 429, "17", reasonDown, 17 * time.Second},
		{"disk full", 500, "", reasonDown, firstPause},
		{"wrong token", 401, "", reasonToken, firstPause},
		{"no bucket", 404, "", reasonBucket, firstPause},
		{"the reply is lost", applied, "", reasonDown, firstPause},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.book.write(entries(20)...)
			failing := 3
			b.db.answer = func(string) (int, string, string) {
				if failing--; failing < 0 {
					return 0, "", ""
				}
				return c.status, c.after, "no"
			}
			b.run()
			b.whole()
			if diff := cmp.Diff([]string{c.reason, ""}, b.wrong); diff != "" {
				t.Errorf("problems (-want +got)\n%s", diff)
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
