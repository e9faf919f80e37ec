package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// gate is a journal that can be held, or made to fail.
type gate struct {
	journal
	mu   sync.Mutex
	held chan struct{} // Append waits until it is closed; nil: it does not
	err  error
}

func (g *gate) Append(ctx context.Context, recs []door.Record) ([]door.Record, error) {
	g.mu.Lock()
	held, err := g.held, g.err
	g.mu.Unlock()
	if held != nil {
		<-held
	}
	if err != nil {
		return nil, err
	}
	return g.journal.Append(ctx, recs)
}

func (g *gate) set(held chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.err = held, err
}

func throughGate(g *gate) func(*hub) {
	return func(h *hub) { h.through = func(to journal) journal { g.journal = to; return g } }
}

// noter sends notes, numbered, to be found again in the journal.
type noter struct{ n int }

func (n *noter) note(h *testHub, more int) {
	for range more {
		n.n++
		h.hub.send(door.Note{Record: door.Record{Kind: door.KindChanged, Reason: "note", Details: map[string]string{"n": strconv.Itoa(n.n)}}})
	}
}

func (n *noter) wantAll(tb testing.TB, records []door.Record) {
	tb.Helper()
	var want, got []string
	for i := range n.n {
		want = append(want, strconv.Itoa(i+1))
	}
	for _, r := range records {
		if r.Reason == "note" {
			got = append(got, r.Details["n"])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("notes in the journal (-want +got):\n%.2000s", diff)
	}
}

// A journal that hangs keeps no resident out; what happened meanwhile is written afterwards.
func TestDoorDoesNotWaitForASlowJournal(t *testing.T) {
	g := &gate{}
	house := newTestHouse(t)
	h := house.start(t, throughGate(g))
	held := make(chan struct{})
	g.set(held, nil)
	h.enters(annPIN)
	leaf := h.doors["front"].sim
	until(t, "the lock, though nothing is durable", leaf.Energised)
	if n := len(kinds(h.records.seen())); n > 1 {
		t.Errorf("%d records are durable with a journal that hangs", n)
	}
	must(t, leaf.Open()) // at once: the lock falls in a while
	until(t, "the entry, held in memory", func() bool {
		h.recorder.mu.Lock()
		defer h.recorder.mu.Unlock()
		return slices.Contains(kinds(recordsOf(h.recorder.queue)), door.KindEntry)
	})
	h.enters(noPIN)
	must(t, leaf.Shut())
	until(t, "the lock to fall", func() bool { return !leaf.Energised() })
	g.set(nil, nil)
	close(held)
	h.await(door.KindLocked)
	h.stop()
	records := wantWhole(t, house.cfg)
	want := []door.Kind{door.KindStarted, door.KindGranted, door.KindEntry, door.KindDenied, door.KindLocked, door.KindStopped}
	if diff := cmp.Diff(want, kinds(records)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if !slices.ContainsFunc(records, isJournalProblem(journalSlow)) {
		t.Error("nothing says that the journal was slow")
	}
}

func isJournalProblem(reason string) func(door.Record) bool {
	return func(r door.Record) bool {
		return r.Kind == door.KindProblem && r.Details[door.DetailPart] == "journal" && r.Reason == reason
	}
}

// While no record can be written, the bus hears of it without one.
func TestFailingJournalIsToldOnTheBus(t *testing.T) {
	g := &gate{}
	house := newTestHouse(t)
	h := house.start(t, throughGate(g))
	all := sub(t, h.as("viewer"), "doorhub/house/event", "doorhub/door/front/lock")
	says(t, all, "doorhub/door/front/lock", "LOCKED")
	g.set(nil, store.ErrReadOnly)
	h.enters(annPIN)
	m := says(t, all, "doorhub/house/event", `"part":"journal"`, journalUnwritten) // it may have been slow before
	if e := event(t, m); e.Seq != 0 || e.Kind != "problem" || e.Reason != journalUnwritten || !strings.Contains(e.Details[door.DetailText], "read-only") {
		t.Errorf("told: %s", m.payload)
	}
	until(t, "the lock", func() bool { return lastOf(all, "doorhub/door/front/lock") == "UNLOCKED" })
	g.set(nil, nil)
	says(t, all, "doorhub/house/event", `"kind":"problem_gone"`, `"part":"journal"`)
	h.await(door.KindGranted)
	h.stop()
	if records := wantWhole(t, house.cfg); !slices.ContainsFunc(records, isJournalProblem(journalUnwritten)) {
		t.Error("nothing in the journal says that it could not be written")
	}
}

// A real disk that is full and then is not.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a full disk; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	house := newTestHouse(t, func(c *Config) { c.Data = filepath.Join(disk, "data") })
	h := house.start(t)
	all := sub(t, h.as("viewer"), "doorhub/house/event", "doorhub/sensor/kitchen/contact")
	var n noter
	n.note(h, 10)
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	must(t, err)
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	must(t, f.Close())
	isTold := func(reason string) func() bool {
		return func() bool {
			for _, m := range all.seen() {
				if m.topic == "doorhub/house/event" && event(t, m).Reason == reason {
					return true
				}
			}
			return false
		}
	}
	until(t, "the problem on the bus", func() bool { n.note(h, 5); return isTold(journalUnwritten)() })

	before := len(h.records.seen())
	h.enters(annPIN)
	until(t, "the lock", h.doors["front"].sim.Energised)
	h.enters(noPIN)
	_, err = pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "open")
	must(t, err)
	until(t, "the window's state", func() bool { return lastOf(all, "doorhub/sensor/kitchen/contact") == "open" })
	n.note(h, 10)
	for _, r := range h.records.seen()[before:] {
		if r.Kind == door.KindGranted {
			t.Error("a grant is durable on a full disk")
		}
	}

	must(t, os.Remove(ballast))
	for _, k := range []door.Kind{door.KindGranted, door.KindDenied, door.KindIntrusion} {
		h.await(k)
	}
	h.records.next(t, "the problem's end", func(r door.Record) bool {
		return r.Kind == door.KindProblemGone && r.Details[door.DetailPart] == "journal"
	})
	n.note(h, 10)
	h.stop()
	n.wantAll(t, wantWhole(t, house.cfg))
}

// A lockout that cannot be stored at once is stored later.
func TestLockoutIsKeptLater(t *testing.T) {
	house := newTestHouse(t)
	st, err := store.Open(house.cfg.Data, store.With(house.cfg.Store))
	must(t, err)
	k := newKeeper(st, logOf(t))
	k.keep("reader:front/keypad", door.Lockout{Wrong: 5})
	must(t, st.Close())
	if k.flush() {
		t.Fatal("stored in a store that is closed")
	}
	k.keep("person:p1", door.Lockout{Wrong: 2})
	k.store, err = store.Open(house.cfg.Data, store.With(house.cfg.Store))
	must(t, err)
	defer k.store.Close()
	if !k.flush() {
		t.Fatal("not stored")
	}
	got, err := k.store.Lockouts(t.Context())
	must(t, err)
	want := map[string]door.Lockout{"reader:front/keypad": {Wrong: 5}, "person:p1": {Wrong: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lockouts (-want +got):\n%s", diff)
	}
}
