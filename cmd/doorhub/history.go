package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// historyName is that of the history's cursor, and its part in problems.
const historyName = "history"

// Other parts of the history that a problem can have.
const (
	historyPlaintextPart = "history_plaintext"
	historyAsidePart     = "history_records"
)

// setAside is a problem's reason: the database refuses single records.
const setAside = "set_aside"

// openHistory sends the journal to the database, if there is one.
func (h *hub) openHistory(ctx context.Context) (err error) {
	if h.cfg.History.URL == "" {
		h.retract(discovery.NoHistory(h.cfg.Name))
		return nil
	}
	wake := make(chan struct{}, 1)
	h.history, err = history.Open(h.cfg.History, history.World{
		Journal: bookOf{h.store, func() { h.send(asideFault()) }}, Called: h.names.of, Now: h.clock.now, Boot: h.clock.boot, Zone: time.Local,
		Problem: func(reason, detail string) {
			h.send(door.Fault{Part: historyName, Reason: reason, Detail: detail})
			nudge(wake)
		},
		Log: h.log, Took: h.meters.historyTook,
	})
	if err != nil {
		return err
	}
	if where := h.cfg.History.Exposed(); where != "" {
		h.send(door.Fault{Part: historyPlaintextPart, Reason: overPlaintext, Detail: "names and the token can be read on the way: history.url: " + where})
	}
	h.service.history, h.service.asideChanged = h.history, h.tellAside
	if err := h.tellAside(ctx); err != nil {
		return err
	}
	h.watch(func(door.Record) { h.history.Wrote() })
	nudge(wake)
	h.spawn(ctx, historyName, h.history.Run)
	h.spawn(ctx, "history state", func(ctx context.Context) { h.showHistory(ctx, wake) })
	return nil
}

// showHistory tells on the bus how the history fares, as often as there is news.
func (h *hub) showHistory(ctx context.Context, wake chan struct{}) {
	t := teller{wake: wake, show: h.show, look: func() (discovery.Message, string, error) {
		aside, err := h.store.Aside(ctx, historyName)
		st := h.history.Status()
		s := discovery.HistoryState{Backlog: st.Backlog, Refused: len(aside), Last: st.Last, Problem: st.Reason}
		return discovery.History(h.cfg.Name, s), gistOfHistory(s), err
	}}
	t.run(ctx, func(err error) {
		h.log.Error("cannot look at the history", "component", "hub", "error", err)
	})
}

// gistOfHistory is the same for two states that differ in nothing worth telling.
func gistOfHistory(s discovery.HistoryState) string {
	s.Backlog, s.Last = uint64(magnitude(float64(s.Backlog))), s.Last.Truncate(time.Hour)
	return fmt.Sprintf("%+v", s)
}

// tellAside has the house know whether records are set aside.
func (h *hub) tellAside(ctx context.Context) error {
	aside, err := h.store.Aside(ctx, historyName)
	if err != nil {
		return err
	}
	f := door.Fault{Part: historyAsidePart}
	if len(aside) > 0 {
		f = asideFault()
	}
	h.send(f)
	return nil
}

func asideFault() door.Fault {
	return door.Fault{Part: historyAsidePart, Reason: setAside,
		Detail: "the database refuses a record: doorhub history status says why; mend the cause, and doorhub history backfill sends it again"}
}

// bookOf is the journal as the history reads it.
type bookOf struct {
	store *store.Store
	aside func() // told when a record was set aside
}

func (b bookOf) After(ctx context.Context, seq uint64) iter.Seq2[door.Record, error] {
	return b.store.Records(ctx, store.Filter{After: seq, Bare: true})
}

func (b bookOf) Before(ctx context.Context, seq uint64) iter.Seq2[door.Record, error] {
	return b.store.Records(ctx, store.Filter{Before: seq, Newest: true, Bare: true})
}

func (b bookOf) Of(ctx context.Context, person string) iter.Seq2[door.Record, error] {
	return b.store.Records(ctx, store.Filter{Person: person, Bare: true})
}

func (b bookOf) Passed(ctx context.Context, person string, before uint64) (door.Record, error) {
	f := store.Filter{Person: person, Kinds: []door.Kind{door.KindEntry, door.KindExit}, Before: before, Newest: true, Limit: 1, Bare: true}
	for r, err := range b.store.Records(ctx, f) {
		if err != nil && r.Seq != 0 {
			break // damaged: nobody knows
		}
		return r, err
	}
	return door.Record{}, nil
}

func (b bookOf) Head() uint64 { return b.store.Head().Seq }

func (b bookOf) Cursor(ctx context.Context) (uint64, error) {
	return b.store.Cursor(ctx, historyName)
}

func (b bookOf) SetCursor(ctx context.Context, seq uint64) error {
	return b.store.SetCursor(ctx, historyName, seq)
}

func (b bookOf) SetAside(ctx context.Context, seq uint64, reason string) error {
	if err := b.store.SetAside(ctx, historyName, seq, reason); err != nil {
		return err
	}
	b.aside()
	return nil
}
