package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// between stands between a hub and its database, and does harm to requests.
type between struct {
	db *influx
	*httptest.Server

	mu    sync.Mutex
	harm  func(body []byte) harm
	asked int
}

// harm is what becomes of a request. The zero value is none.
type harm struct {
	status int           // answered in place of the database, when not 0
	after  string        // Retry-After beside it
	cut    bool          // never reaches the database
	drop   bool          // the database's reply is lost
	kill   bool          // the database is killed while it works on it
	wait   time.Duration // before it is sent on
}

func newBetween(db *influx) *between {
	b := &between{db: db}
	b.Server = httptest.NewServer(b)
	db.tb.Cleanup(b.Close)
	return b
}

func (b *between) does(harm func([]byte) harm) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.harm = harm
}

func (b *between) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var h harm
	b.mu.Lock()
	b.asked++
	if b.harm != nil {
		h = b.harm(body)
	}
	b.mu.Unlock()
	if err != nil || h.cut {
		panic(http.ErrAbortHandler)
	}
	if h.status != 0 {
		w.Header().Set("Retry-After", h.after)
		http.Error(w, "not now", h.status)
		return
	}
	if h.wait > 0 {
		<-time.After(h.wait)
	}
	if h.kill {
		defer b.db.kill()
	}
	b.pass(w, r, body, h)
}

func (b *between) pass(w http.ResponseWriter, r *http.Request, body []byte, h harm) {
	ctx := r.Context()
	if h.kill { // it has begun, and will not end
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+b.db.addr+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || h.drop || h.kill {
		if err == nil {
			resp.Body.Close()
		}
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// weather is days at a database that is often away, on a clock that runs ahead at each pause. All
// happens within the pauses of the history, in a fixed order.
type weather struct {
	t       *testing.T
	book    bookOf
	db      *influx
	net     *between
	person  string
	events  int // still to happen
	now     time.Duration
	phase   string
	began   int           // requests when the phase began
	since   time.Duration // when it began
	restart func()
	end     func()
	history *history.History
}

const eventEvery = 15 * time.Second

// phaseAt is what a day brings.
func phaseAt(now time.Duration) string {
	hour := int(now.Hours()) % 24
	switch {
	case hour >= 2 && hour < 7:
		return "unreachable"
	case hour == 8:
		return "unavailable"
	case hour == 10:
		return "too many requests"
	case hour >= 12 && hour < 14:
		return "replies lost"
	case hour == 15:
		return "killed"
	case hour == 18:
		return "restarted"
	}
	return "well"
}

// attempts is how many requests an hour of the phase may cost at most: no busy loop. Each minute
// one comes with the events of the minute.
func attempts(phase string) float64 {
	switch phase {
	case "too many requests":
		return 8
	case "replies lost":
		return 200
	}
	return 80
}

func (d *weather) pause(_ context.Context, p time.Duration) {
	d.now += p
	var due []door.Record
	for at := d.now - p; at < d.now && d.events > 0; at += eventEvery {
		due = append(due, door.Record{Time: time.Unix(1_700_000_000, 0).Add(at), Door: "front", Kind: door.KindEntry,
			Side: door.Entry, Person: d.person, Clock: door.Clock{Synced: true, Boot: "simulated", Mono: at}})
		d.events--
	}
	_, err := d.book.store.Append(context.Background(), due)
	must(d.t, err)
	d.history.Wrote()
	if phase := phaseAt(d.now); phase != d.phase {
		d.turn(phase)
	}
	if d.events == 0 && d.history.Status().Backlog == 0 {
		d.end()
	}
}

// turn goes from one phase to the next.
func (d *weather) turn(phase string) {
	hours := (d.now - d.since).Hours()
	asked := d.net.requests()
	if n := asked - d.began; float64(n) > 10+attempts(d.phase)*hours {
		d.t.Errorf("%d requests in %.1f hours of %q", n, hours, d.phase)
	}
	if !d.db.runs() {
		d.db.start()
	}
	d.phase, d.began, d.since = phase, asked, d.now
	harms := map[string]harm{"unreachable": {cut: true}, "unavailable": {status: 503}, "killed": {kill: true},
		"too many requests": {status: 429, after: "600"}}
	d.net.does(func([]byte) harm {
		if phase == "replies lost" {
			return harm{drop: rand.IntN(2) == 0}
		}
		return harms[phase]
	})
	if phase == "restarted" {
		d.restart()
	}
}

// events is how many a soak test takes: a short share, or all.
func soakEvents(short int) int {
	if os.Getenv("DOORHUB_SOAK") != "" {
		return 100_000
	}
	return short
}

// TestSoakHistory has a day pass, or over two weeks with DOORHUB_SOAK, with the database away for
// hours, unwilling, killed, and its replies lost: each event is there, once.
func TestSoakHistory(t *testing.T) {
	db := startInflux(t)
	db.create("doorhub")
	house := newTestHouse(t)
	st, err := store.Open(house.cfg.Data)
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	d := &weather{t: t, db: db, net: newBetween(db), person: house.ann, events: soakEvents(5000),
		book: bookOf{st, func() { t.Error("a record is set aside") }}}
	cfg := db.config()
	cfg.URL, cfg.Every = d.net.URL, time.Minute
	for ended := false; !ended; {
		ctx, cancel := context.WithCancel(t.Context())
		d.restart, d.end = cancel, func() { ended = true; cancel() }
		d.history, err = history.Open(cfg, history.World{Journal: d.book, Boot: "simulated", Zone: time.UTC, Log: logOf(t), Pause: d.pause,
			Called: func(string) string { return "Ann" }, Problem: func(string, string) {},
			Now: func() door.Instant { return door.Instant{Mono: d.now, Synced: true} }})
		must(t, err)
		d.history.Run(ctx)
		cancel()
	}
	db.wantWhole(st.Head().Seq)
	t.Logf("%d events in %.0f hours, by %d requests", st.Head().Seq, d.now.Hours(), d.net.requests())
}

// TestKillHistory kills hub and database in turn while years are sent, and loses replies: each
// record is there, once.
func TestKillHistory(t *testing.T) {
	kills := 4
	if os.Getenv("DOORHUB_SOAK") != "" {
		kills = 40
	}
	db := startInflux(t)
	db.create("doorhub")
	net := newBetween(db)
	net.does(func([]byte) harm { return harm{wait: 5 * time.Millisecond, drop: rand.IntN(20) == 0} })
	h := newHouse(t, buildHub(t, false))
	text, err := os.ReadFile(h.config)
	must(t, err)
	text = fmt.Appendf(text, "history: {url: %q, bucket: doorhub, every: 100ms, batch: 200}\n", net.URL)
	must(t, os.WriteFile(h.config, text, 0o600))
	st, err := store.Open(h.dir)
	must(t, err)
	seedJournal(t, st, "p1", soakEvents(3000))
	must(t, st.Close())
	for n := range kills {
		p := h.start(t)
		p.await(t)
		<-time.After(time.Duration(rand.IntN(600)) * time.Millisecond)
		if n%2 == 0 {
			p.kill()
			continue
		}
		db.kill()
		p.kill()
		db.start()
	}
	h.start(t).await(t)
	v := historyView{}
	untilIn(t, 5*time.Minute, "all to be sent", func() bool {
		out, err := exec.Command(h.binary, "--config", h.config, "--json", "history", "status").Output()
		must(t, err)
		must(t, json.NewDecoder(strings.NewReader(string(out))).Decode(&v))
		return v.Backlog == 0
	})
	db.wantWhole(v.Head)
	t.Logf("%d records, %d kills, %d requests", v.Head, kills, net.requests())
}
