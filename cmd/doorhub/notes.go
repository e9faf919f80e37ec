package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// notePatience is how long a command waits for its record to be durable.
const notePatience = 10 * time.Second

// errNotNoted is what a command says whose record is still held in memory.
var errNotNoted = errors.New("it is done, but its record is not durable yet: see the problems in doorhub log --all")

// notes lets commands answer only when the record of what they did is durable.
type notes struct {
	mu      sync.Mutex
	waiting []*noted
}

type noted struct {
	record door.Record
	done   chan struct{}
}

// note journals what a command did, and returns when that is durable.
func (h *hub) note(ctx context.Context, r door.Record) error {
	n := h.notes.expect(r)
	h.sendBehind(door.Note{Record: r})
	return h.notes.await(ctx, n)
}

// expect begins to look out for a record, which is still to be sent.
func (ns *notes) expect(r door.Record) *noted {
	n := &noted{r, make(chan struct{})}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.waiting = append(ns.waiting, n)
	return n
}

// await waits until the record is durable, for as long as a command can be asked to.
func (ns *notes) await(ctx context.Context, n *noted) error {
	ctx, cancel := context.WithTimeoutCause(ctx, notePatience, errNotNoted)
	defer cancel()
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		ns.mu.Lock()
		defer ns.mu.Unlock()
		ns.waiting = slices.DeleteFunc(ns.waiting, func(w *noted) bool { return w == n })
		return context.Cause(ctx)
	}
}

// written is told of records that have become durable. Of commands that did the same, the
// first is answered first.
func (ns *notes) written(recs []door.Record) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, r := range recs {
		if i := slices.IndexFunc(ns.waiting, func(n *noted) bool { return n.of(r) }); i >= 0 {
			close(ns.waiting[i].done)
			ns.waiting = slices.Delete(ns.waiting, i, i+1)
		}
	}
}

// of reports whether r is the record that is waited for, or tells the same.
func (n *noted) of(r door.Record) bool {
	return r.Kind == n.record.Kind && r.Person == n.record.Person && r.Factors == n.record.Factors && r.Reason == n.record.Reason
}
