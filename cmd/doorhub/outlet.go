package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// fresh is how old a record may be to be told as an event on the bus.
const fresh = time.Minute

// outlet is the journal's reader that tells a broker: states as they are now, and each record
// once. It may be cut off for days; then it tells the states anew and what is still fresh.
type outlet struct {
	name   string // of its cursor
	client *broker.Client
	store  *store.Store
	names  *names
	clock  clock
	log    *slog.Logger
	doors  []string

	announce func() []discovery.Message // discovery; nil: this broker gets none

	mu     sync.Mutex
	states map[string]discovery.Message // by topic: the present
	dirty  map[string]bool              // topics not told yet
	last   map[string]string            // door → the last person's id
	wake   chan struct{}
}

func newOutlet(name string, c *broker.Client, st *store.Store, ns *names, clk clock, doors []string, log *slog.Logger) *outlet {
	return &outlet{name: name, client: c, store: st, names: ns, clock: clk, doors: doors,
		log: log.With("component", "outlet", "broker", name), states: map[string]discovery.Message{},
		dirty: map[string]bool{}, last: map[string]string{}, wake: make(chan struct{}, 1)}
}

// show keeps present states and tells them as soon as it can. It never blocks.
func (o *outlet) show(ms ...discovery.Message) {
	o.mu.Lock()
	for _, m := range ms {
		o.states[m.Topic] = m
		o.dirty[m.Topic] = true
	}
	o.mu.Unlock()
	o.nudge()
}

// nudge says that there may be something to tell.
func (o *outlet) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// afresh tells everything again: after a connect, and when Home Assistant was born.
func (o *outlet) afresh() {
	if o.announce != nil {
		o.show(o.announce()...)
	}
	o.mu.Lock()
	for topic := range o.states {
		o.dirty[topic] = true
	}
	o.mu.Unlock()
	o.nudge()
}

// run tells until ctx ends.
func (o *outlet) run(ctx context.Context) {
	if err := o.recall(ctx); err != nil {
		o.log.Error("cannot read the journal", "error", err)
	}
	o.client.OnUp(o.afresh)
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		if err := o.tell(ctx); err != nil && !errors.Is(err, broker.ErrDown) && ctx.Err() == nil {
			o.log.Error("cannot tell the broker", "error", err)
		}
	}
}

// recall finds who was last at each door, so that an erased name leaves the broker, too.
func (o *outlet) recall(ctx context.Context) error {
	for _, id := range o.doors {
		for r, err := range o.store.Records(ctx, store.Filter{Door: id, Kinds: personKinds(), Newest: true, Limit: 100}) {
			if err != nil {
				return err
			}
			if r.Person != "" {
				o.last[id] = r.Person
				break
			}
		}
	}
	return nil
}

// personKinds are the records whose person is the last recognised at a door.
func personKinds() []door.Kind {
	return []door.Kind{door.KindGranted, door.KindEntry, door.KindExit, door.KindSeen}
}

func (o *outlet) tell(ctx context.Context) error {
	if err := o.tellRecords(ctx); err != nil {
		return err
	}
	return o.tellStates(ctx)
}

func (o *outlet) tellStates(ctx context.Context) error {
	for {
		m, ok := o.nextDirty()
		if !ok {
			return nil
		}
		if err := o.publish(ctx, m); err != nil {
			o.mu.Lock()
			o.dirty[m.Topic] = true
			o.mu.Unlock()
			return err
		}
	}
}

func (o *outlet) nextDirty() (discovery.Message, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	topics := slices.Sorted(maps.Keys(o.dirty))
	if len(topics) == 0 {
		return discovery.Message{}, false
	}
	delete(o.dirty, topics[0])
	return o.states[topics[0]], true
}

// tellRecords tells what is fresh in the journal behind the cursor, and passes over the rest.
func (o *outlet) tellRecords(ctx context.Context) error {
	if !o.client.Up() {
		return broker.ErrDown
	}
	cursor, err := o.store.Cursor(ctx, o.name)
	if err != nil {
		return err
	}
	head := o.store.Head().Seq
	if cursor == head {
		return nil
	}
	since := o.clock.now().Wall.Add(-fresh)
	for r, err := range o.store.Records(ctx, store.Filter{After: cursor, Before: head + 1, From: since}) {
		if err != nil {
			o.log.Error("a record cannot be read", "error", err)
			continue
		}
		if err := o.tellRecord(ctx, r); err != nil {
			return errors.Join(err, o.store.SetCursor(ctx, o.name, max(cursor, r.Seq-1)))
		}
	}
	return o.store.SetCursor(ctx, o.name, head)
}

func (o *outlet) tellRecord(ctx context.Context, r door.Record) error {
	if err := o.publish(ctx, discovery.Event(r, o.names.of(r.Person))); err != nil {
		return err
	}
	switch {
	case r.Kind == door.KindErased:
		o.forget(r.Person)
	case r.Person != "" && slices.Contains(personKinds(), r.Kind):
		o.mu.Lock()
		o.last[r.Door] = r.Person
		o.mu.Unlock()
		o.show(discovery.Person(r.Door, r, o.names.of(r.Person)))
	}
	return nil
}

// forget takes an erased person's name off the doors.
func (o *outlet) forget(person string) {
	for _, id := range o.doors {
		if o.last[id] == person {
			o.show(discovery.Nobody(id))
		}
	}
}

func (o *outlet) publish(ctx context.Context, m discovery.Message) error {
	return o.client.Publish(ctx, broker.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
}

// names knows what people are called; "" is nobody's name.
type names struct {
	mu sync.Mutex
	m  map[string]string
}

func (n *names) set(people []store.Person) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m = map[string]string{}
	for _, p := range people {
		n.m[p.ID] = p.Name
	}
}

func (n *names) of(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m[id]
}
