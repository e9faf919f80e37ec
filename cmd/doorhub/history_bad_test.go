package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// sending is a history between a store and a real database, on a clock of the test's.
type sending struct {
	t     *testing.T
	db    *influx
	st    *store.Store
	cfg   history.Config
	name  string
	now   door.Instant
	aside int
}

func newSending(t *testing.T) *sending {
	t.Helper()
	s := &sending{t: t, db: startInflux(t), name: "Ann", now: door.Instant{Synced: true, Mono: time.Hour}}
	s.db.create("doorhub")
	s.cfg = s.db.config()
	var err error
	s.st, err = store.Open(newTestHouse(t).cfg.Data)
	must(t, err)
	t.Cleanup(func() { must(t, s.st.Close()) })
	return s
}

func (s *sending) journal(recs ...door.Record) {
	s.t.Helper()
	_, err := s.st.Append(s.t.Context(), recs)
	must(s.t, err)
}

// send sends until there is nothing to send now, and returns how far it came.
func (s *sending) send() history.Status {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	h, err := history.Open(s.cfg, history.World{Journal: bookOf{s.st, func() { s.aside++ }}, Boot: "this", Zone: time.UTC,
		Called: func(string) string { return s.name }, Now: func() door.Instant { return s.now }, Log: logOf(s.t),
		Problem: func(_, detail string) { s.t.Error(detail) }, Pause: func(context.Context, time.Duration) { cancel() }})
	must(s.t, err)
	h.Run(ctx)
	return h.Status()
}

func comes(at time.Time) door.Record {
	return door.Record{Time: at, Kind: door.KindEntry, Door: "front", Person: "p1", Clock: door.Clock{Synced: true, Boot: "this"}}
}

// Whatever a person is called reads back as it is written, but for what cannot be shown.
func TestHistoryOddNames(t *testing.T) {
	t.Parallel()
	s := newSending(t)
	s.name = `Ann "the" \ boss\\, a=b c\" $x '1' #2 {}[]` + "`\\n é 日本 \u202e🚪"
	s.journal(comes(time.Now()))
	s.name += "\x00\t\n\r.\xff"
	s.send()
	want := strings.NewReplacer("\x00", " ", "\t", " ", "\n", " ", "\r", " ", "\xff", "\uFFFD").Replace(s.name)
	if got := s.db.fields("name")[1]; got != want {
		t.Errorf("read back %q, want %q", got, want)
	}
}

// A clock that jumps back a year, and there and back again, costs no record.
func TestHistoryClockJumps(t *testing.T) {
	t.Parallel()
	s := newSending(t)
	now := time.Now()
	for _, at := range []time.Time{now, now.AddDate(-1, 0, 0), now.AddDate(-1, 0, 0), now, now, now.AddDate(1, 0, 0), now} {
		s.journal(comes(at), comes(at))
	}
	if st := s.send(); st.Backlog != 0 || s.aside != 0 {
		t.Errorf("%d behind, %d set aside", st.Backlog, s.aside)
	}
	s.db.wantWhole(14)
}

// What happens before the clock is right waits for it, until ten minutes after the boot; then it is sent and marked,
// and a later correction is a field.
func TestHistoryUnsyncedClock(t *testing.T) {
	t.Parallel()
	s := newSending(t)
	unsure := comes(time.Unix(0, 0).AddDate(1, 0, 0))
	unsure.Clock = door.Clock{Boot: "this", Mono: time.Minute}
	s.journal(unsure)
	for minutes, want := range map[int]uint64{2: 1, 9: 1, 10: 0} {
		s.now = door.Instant{Mono: time.Duration(minutes) * time.Minute}
		must(t, s.st.SetCursor(t.Context(), historyName, 0))
		if st := s.send(); st.Backlog != want {
			t.Errorf("after %d minutes %d behind, want %d", minutes, st.Backlog, want)
		}
	}
	if got := s.db.fields("synced")[1]; got != "false" {
		t.Errorf("synced: %s", got)
	}
	s.now.Synced = true
	s.journal(door.Record{Time: time.Now(), Kind: door.KindClockSet, Clock: door.Clock{Boot: "this", Synced: true},
		Details: map[string]string{door.DetailOffset: "1h0m0s"}})
	s.send()
	if got := s.db.fields("clock_offset"); len(got) != 1 || got[1] != "3600000000000" {
		t.Errorf("corrections: %v", got)
	}
	s.db.wantWhole(2)
}

// What is older than a retention policy keeps is gone there, and holds up nothing.
func TestHistoryRetention(t *testing.T) {
	t.Parallel()
	s := newSending(t)
	s.db.query("", "CREATE DATABASE short WITH DURATION 1d")
	s.cfg.Bucket = "short/autogen"
	seedJournal(t, s.st, "p1", 6000) // eight days
	st := s.send()
	if st.Backlog != 0 || s.aside != 0 || st.Expired < 4000 {
		t.Errorf("%+v, %d set aside", st, s.aside)
	}
	got := s.db.query("short", "SELECT COUNT(seq), MAX(seq) FROM doorhub")
	if n, _ := got[0].Values[0][1].(json.Number).Int64(); uint64(n) != 6000-st.Expired || fmt.Sprint(got[0].Values[0][2]) != "6000" {
		t.Errorf("%v of 6000 are there, and %d expired", got[0].Values, st.Expired)
	}
}

// An erased person's name leaves the database, even when it was down meanwhile.
func TestHistoryErases(t *testing.T) {
	t.Parallel()
	db := startInflux(t)
	db.create("doorhub")
	house := newTestHouse(t)
	house.seed(t, 300)
	house.cfg.History = db.config()
	h := house.start(t)
	h.enters(annPIN)
	h.await(door.KindGranted)
	h.caughtUp()
	named := db.query("doorhub", `SELECT "name" FROM doorhub WHERE "name" = 'Ann'`)
	if len(named) == 0 || len(named[0].Values) < 150 {
		t.Fatalf("named before: %v", named)
	}
	db.kill()
	_, err := h.service.removePerson(t.Context(), whoRequest{Who: "Ann"})
	must(t, err)
	h.await(door.KindErased)
	h.records.next(t, "the database to be missed", func(r door.Record) bool { return r.Reason == "database_down" })
	db.start()
	h.awaitHistory()
	if left := db.query("doorhub", `SELECT "name" FROM doorhub WHERE "name" != ''`); len(left) > 0 {
		t.Errorf("names are left: %v", left)
	}
	db.wantWhole(h.store.Head().Seq)
}

// Records that the database refuses are set aside with its reason; when that is mended, a backfill
// brings them.
func TestHistorySetsAside(t *testing.T) {
	t.Parallel()
	db := startInflux(t)
	db.create("doorhub")
	db.write("doorhub", fmt.Sprintf(`doorhub,kind=strange distance="far" %d`, time.Now().UnixNano()))
	house := newTestHouse(t)
	house.seed(t, 60) // two hours: of one week, if it does not begin meanwhile
	house.cfg.History = db.config()
	h := house.start(t)
	problem := func(r door.Record) bool { return r.Details[door.DetailPart] == historyAsidePart }
	h.records.next(t, "the problem", problem)
	h.caughtUp()
	v, err := h.service.historyStatus(t.Context(), struct{}{})
	must(t, err)
	if len(v.Aside) < 5 || len(v.Aside) > 30 || v.Problem != "" {
		t.Fatalf("%+v", v)
	}
	for seq, why := range v.Aside {
		if !strings.Contains(why, "distance") || !strings.Contains(why, "conflict") {
			t.Errorf("%d: %s", seq, why)
		}
	}
	db.query("doorhub", "DROP MEASUREMENT doorhub")
	if v, err = h.service.backfill(t.Context(), backfillRequest{}); err != nil || len(v.Aside) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	gone := h.records.next(t, "the end of the problem", problem)
	until(t, "the last record to be sent", func() bool { return h.history.Status().Cursor >= gone.Seq })
	h.caughtUp()
	db.wantWhole(h.store.Head().Seq)
}

// write posts line protocol, as another program may.
func (db *influx) write(database, lines string) {
	db.tb.Helper()
	resp, err := http.Post("http://"+db.addr+"/write?db="+database, "text/plain", strings.NewReader(lines))
	must(db.tb, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		db.tb.Fatal(resp.Status)
	}
}

// A database whose certificate nobody vouches for gets nothing, not even the token; with its CA it
// does, without a restart.
func TestHistoryTLS(t *testing.T) {
	t.Parallel()
	db := startInflux(t)
	db.create("doorhub")
	var came atomic.Int32
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came.Add(1)
		req, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+db.addr+r.URL.RequestURI(), bytes.NewReader(body))
		if err == nil {
			var resp *http.Response
			req.Header = r.Header
			if resp, err = http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				w.WriteHeader(resp.StatusCode)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	must(t, os.WriteFile(token, []byte("the-token"), 0o600))
	another, _, err := broker.NewCA(time.Now())
	must(t, err)
	house := newTestHouse(t, func(c *Config) {
		c.History = db.config()
		c.History.URL, c.History.TokenFile = secure.URL, token
		c.History.CA = ca
	})
	h := house.start(t)
	h.records.next(t, "a file that is missing", func(r door.Record) bool { return r.Reason == "history_file" })
	must(t, os.WriteFile(ca, another, 0o600))
	h.records.next(t, "a certificate nobody vouches for", func(r door.Record) bool { return r.Reason == "database_tls" })
	if came.Load() > 0 {
		t.Error("it was told something")
	}
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	h.awaitHistory()
	db.wantWhole(h.store.Head().Seq)
}

// A database whose disk is full is tried again in peace, and gets all when there is room.
func TestHistoryDiskFull(t *testing.T) {
	t.Parallel()
	bin := influxServer(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a database's full disk; this user may not mount: %v", err)
	}
	db := &influx{tb: t, bin: bin, dir: disk, addr: freeAddr(t)}
	t.Cleanup(func() {
		db.kill()
		must(t, syscall.Unmount(disk, syscall.MNT_DETACH))
	})
	db.start()
	db.create("doorhub")
	house := newTestHouse(t)
	house.seed(t, 3000)
	house.cfg.History = db.config()
	house.cfg.History.Batch = 500
	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, ballast)
	h := house.start(t)
	full := h.records.next(t, "the problem", func(r door.Record) bool { return r.Reason == "database_down" })
	if text := full.Details[door.DetailText]; !strings.Contains(text, "no space left") {
		t.Errorf("the problem is %s", text)
	}
	must(t, os.Remove(ballast))
	h.awaitHistory()
	db.wantWhole(h.store.Head().Seq)
}

// fillDisk writes a file until there is no room for more.
func fillDisk(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
