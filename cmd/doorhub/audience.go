package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door/store"
)

// settle is how long after its birth Home Assistant may need to listen to what it hears of only
// then: it gathers new subscriptions for some tenths of a second.
const settle = 2 * time.Second

// audience is what an outlet knows of whether Home Assistant hears events: since it went, or since
// the broker or the hub were away, it may be deaf; from its birth on it hears. Birth comes some
// five seconds after it began to listen: what it heard in these it is told again, and knows by
// its number.
type audience struct {
	mu    sync.Mutex
	words []bool                       // births (true) and departures, not yet taken in
	gone  map[string]discovery.Message // by topic: discovery that also names the entities that are no more
	after []discovery.Message          // to be told at its next birth

	deaf   atomic.Bool // written by the outlet's goroutine, which alone uses what follows
	since  uint64      // deaf to what is behind it
	missed []gap       // what it was deaf to and is to be told again
	due    <-chan time.Time
}

// gap is the records behind after, up to upTo.
type gap struct{ after, upTo uint64 }

func (a *audience) hear(born bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.words = append(a.words, born)
}

func (a *audience) take() []bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	words := a.words
	a.words = nil
	return words
}

// withGone returns discovery with the entities that are no more, until its next birth, by when
// Home Assistant has surely read of their end.
func (a *audience) withGone(ms []discovery.Message) []discovery.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	ms = slices.Clone(ms)
	for i, m := range ms {
		if with, ok := a.gone[m.Topic]; ok {
			ms[i] = with
		}
	}
	return ms
}

// shrunk is told of discovery that also names the entities that are no more.
func (o *outlet) shrunk(m discovery.Message) {
	o.hears.mu.Lock()
	if o.hears.gone == nil {
		o.hears.gone = map[string]discovery.Message{}
	}
	o.hears.gone[m.Topic] = m
	o.hears.mu.Unlock()
	o.show(m)
}

// removeAtBirth takes a device out of Home Assistant when that is there: one that is told while
// it is away is never heard of, and the device stays.
func (o *outlet) removeAtBirth(m discovery.Message) {
	o.hears.mu.Lock()
	defer o.hears.mu.Unlock()
	o.hears.after = append(o.hears.after, m)
}

// born is told that Home Assistant has just begun to hear all.
func (o *outlet) born() {
	o.hears.mu.Lock()
	gone := o.hears.after
	o.hears.gone, o.hears.after = nil, nil
	o.hears.mu.Unlock()
	o.show(gone...)
	o.hears.hear(true)
	o.afresh()
}

// gone is told that Home Assistant hears nothing any more, or may not.
func (o *outlet) gone() {
	o.hears.hear(false)
	nudge(o.wake)
}

// listen takes in births and departures.
func (o *outlet) listen() {
	for _, born := range o.hears.take() {
		switch {
		case born && o.hears.deaf.CompareAndSwap(true, false):
			if o.hears.since < o.cursor {
				o.hears.missed = append(o.hears.missed, gap{o.hears.since, o.cursor})
			}
			o.hears.due = time.After(settle)
		case !born && o.hears.deaf.CompareAndSwap(false, true):
			o.hears.since = o.cursor
			o.hears.due = nil // what it was not told again by now waits for its next birth
		}
	}
}

// tellMissed tells again what Home Assistant cannot have heard and is still fresh. What the broker
// could not be told waits for the next birth.
func (o *outlet) tellMissed(ctx context.Context) error {
	var errs []error
	for len(o.hears.missed) > 0 {
		err := o.tellGap(ctx, o.hears.missed[0])
		if errs = append(errs, err); errors.Is(err, broker.ErrDown) {
			break
		}
		o.hears.missed = o.hears.missed[1:]
	}
	return errors.Join(errs...)
}

func (o *outlet) tellGap(ctx context.Context, g gap) error {
	var errs []error
	missed := store.Filter{After: g.after, Before: g.upTo + 1, From: o.clock.now().Wall.Add(-fresh)}
	for r, err := range o.store.Records(ctx, missed) {
		if err == nil {
			err = o.publish(ctx, discovery.Event(r, o.names.of(r.Person)))
		}
		if errs = append(errs, err); errors.Is(err, broker.ErrDown) {
			break
		}
	}
	return errors.Join(errs...)
}
