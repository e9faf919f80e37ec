package history

import (
	"context"
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
	token  string // Authorization wanted; "": any
}

func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = string(body)
	if d.token != "" && r.Header.Get("Authorization") != d.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
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
	said   string          // with the last of them that was none
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
		Problem: func(reason, detail string) {
			b.wrong = append(b.wrong, reason)
			if detail != "" {
				b.said = detail
			}
		},
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
