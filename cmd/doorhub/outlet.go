package main

import (
	"cmp"
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

const (
	lastWords = 3 * time.Second // to tell what is left when the hub stops
	tellAgain = time.Second     // after a failure with the broker still there
)

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
	hears    audience                   // whether Home Assistant hears what is told

	mu     sync.Mutex
	states map[string]discovery.Message // by topic: the present
	dirty  map[string]bool              // topics not told yet
	cries  []discovery.Message          // to be told once
	last   map[string]string            // door → the last person's id
	wake   chan struct{}

	// Only its goroutine uses what follows.
	begun  bool
	cursor uint64 // told up to it; the store's may be behind when it cannot write
	kept   uint64 // the store's
	failed string // the last failure logged
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
	nudge(o.wake)
}

// cry tells a message that is no state, if the broker is there. It never blocks.
func (o *outlet) cry(m discovery.Message) {
	o.mu.Lock()
	o.cries = append(o.cries[max(0, len(o.cries)-9):], m)
	o.mu.Unlock()
	nudge(o.wake)
}

// wrote is told of what has become durable: whoever was recognised is a state of the door,
// however long it takes until the broker can be told.
func (o *outlet) wrote(recs []door.Record) {
	for _, r := range recs {
		switch {
		case r.Kind == door.KindErased:
			o.forget(r.Person)
		case r.Person != "" && slices.Contains(personKinds(), r.Kind):
			o.mu.Lock()
			o.last[r.Door] = r.Person
			o.mu.Unlock()
			o.show(discovery.Person(r.Door, r, o.names.of(r.Person)))
		}
	}
	nudge(o.wake)
}

// afresh tells everything again: after a connect, and when Home Assistant was born.
func (o *outlet) afresh() {
	if o.announce != nil {
		o.show(o.hears.withGone(o.announce())...)
	}
	o.mu.Lock()
	for topic := range o.states {
		o.dirty[topic] = true
	}
	o.mu.Unlock()
	nudge(o.wake)
}

// run tells until ctx ends, and then what is left.
func (o *outlet) run(ctx context.Context) {
	talk, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, hangUp) })()
	o.client.OnUp(func() { o.gone(); o.afresh() }) // a broker that was away was away for others, too
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			o.report(o.tell(talk))
			return
		case <-o.wake:
		case <-o.hears.due:
			o.hears.due = nil
			o.report(o.tellMissed(talk))
		case <-again:
		}
		again = nil
		if err := o.tell(talk); o.report(err) {
			again = time.After(tellAgain)
		}
	}
}

// report logs a failure once, and says whether to try again soon: not while the client is
// down, since its coming up wakes the outlet.
func (o *outlet) report(err error) bool {
	if err == nil || !o.client.Up() {
		o.failed = ""
		return false
	}
	if err.Error() != o.failed {
		o.failed = err.Error()
		o.log.Error("cannot tell the broker all", "error", err)
	}
	return true
}

// begin reads where it left off, and who was last at each door: an erased name leaves the
// broker even if nobody was there to hear of it.
func (o *outlet) begin(ctx context.Context) (err error) {
	if o.begun {
		return nil
	}
	if o.cursor, err = o.store.Cursor(ctx, o.name); err != nil {
		return err
	}
	o.kept = o.cursor
	o.cursor = min(o.cursor, o.store.Head().Seq) // a journal from a backup may be shorter
	for _, id := range o.doors {
		if err := o.recall(ctx, id); err != nil {
			return err
		}
	}
	o.begun = true
	o.hears.deaf.Store(true)
	o.hears.since = o.cursor
	return nil
}

func (o *outlet) recall(ctx context.Context, id string) error {
	newest := door.Record{Door: id}
	for r, err := range o.store.Records(ctx, store.Filter{Door: id, Kinds: personKinds(), Newest: true, Limit: 100}) {
		if err != nil {
			return err
		}
		if r.Person != "" {
			newest = r
			break
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, newer := o.last[id]; newer {
		return nil
	}
	m := discovery.Nobody(id)
	if name := o.names.of(newest.Person); name != "" {
		o.last[id] = newest.Person
		m = discovery.Person(id, newest, name)
	}
	o.states[m.Topic] = m
	o.dirty[m.Topic] = true
	return nil
}

// personKinds are the records whose person is the last recognised at a door.
func personKinds() []door.Kind {
	return []door.Kind{door.KindGranted, door.KindEntry, door.KindExit, door.KindSeen}
}

// tell tells all that there is. A journal that cannot be read keeps no state from being told.
func (o *outlet) tell(ctx context.Context) error {
	if !o.client.Up() {
		return broker.ErrDown
	}
	var errs []error
	// States first: that the hub is there, without which nobody listens, and what who is told of
	// an event will look at.
	for _, tell := range []func(context.Context) error{o.begin, o.tellStates, o.tellCries, o.tellRecords} {
		err := tell(ctx)
		errs = append(errs, err)
		if errors.Is(err, broker.ErrDown) {
			break
		}
	}
	return errors.Join(errs...)
}

func (o *outlet) tellCries(ctx context.Context) error {
	o.mu.Lock()
	cries := o.cries
	o.cries = nil
	o.mu.Unlock()
	var errs []error
	for _, m := range cries {
		errs = append(errs, o.publish(ctx, m))
	}
	return errors.Join(errs...)
}

func (o *outlet) tellStates(ctx context.Context) error {
	for {
		m, ok := o.nextDirty()
		if !ok {
			return nil
		}
		if err := o.publish(ctx, m); err != nil {
			o.mu.Lock()
			if _, newer := o.states[m.Topic]; !newer {
				o.states[m.Topic] = m
			}
			o.dirty[m.Topic] = true
			o.mu.Unlock()
			return err
		}
	}
}

func (o *outlet) nextDirty() (discovery.Message, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.dirty) == 0 {
		return discovery.Message{}, false
	}
	topic := slices.MinFunc(slices.Collect(maps.Keys(o.dirty)), announcedFirst)
	delete(o.dirty, topic)
	m := o.states[topic]
	if discovery.Removes(m) {
		delete(o.states, topic) // a second time it would be a warning in Home Assistant's log
	}
	return m, true
}

// announcedFirst orders topics: discovery, which may say that nobody shall look at a state any
// more, then states.
func announcedFirst(a, b string) int {
	if a, b := discovery.IsConfig(a), discovery.IsConfig(b); a != b {
		return map[bool]int{true: -1, false: 1}[a]
	}
	return cmp.Compare(a, b)
}

// tellRecords tells what is fresh in the journal behind the cursor, and passes over the rest.
func (o *outlet) tellRecords(ctx context.Context) error {
	if !o.begun {
		return nil // its own error says so
	}
	o.listen()
	head := o.store.Head().Seq
	since := o.clock.now().Wall.Add(-fresh)
	err := o.tellAfter(ctx, store.Filter{After: o.cursor, Before: head + 1, From: since})
	if err == nil {
		o.cursor = max(o.cursor, head)
	}
	return errors.Join(err, o.keepCursor(ctx))
}

func (o *outlet) tellAfter(ctx context.Context, f store.Filter) error {
	if f.After+1 >= f.Before {
		return nil
	}
	for r, err := range o.store.Records(ctx, f) {
		switch {
		case err != nil && r.Seq == 0:
			return err
		case err != nil: // one that is damaged costs no other
			o.log.Error("a record cannot be read", "error", err)
		default:
			if err := o.publish(ctx, discovery.Event(r, o.names.of(r.Person))); err != nil {
				return err
			}
		}
		o.cursor = r.Seq
	}
	return nil
}

// keepCursor stores how far it has come. While that fails, only a restart tells again.
func (o *outlet) keepCursor(ctx context.Context) error {
	if o.kept == o.cursor {
		return nil
	}
	err := o.store.SetCursor(ctx, o.name, o.cursor)
	if err == nil {
		o.kept = o.cursor
	}
	return err
}

// forget takes an erased person's name off the doors.
func (o *outlet) forget(person string) {
	for _, id := range o.doors {
		o.mu.Lock()
		last := o.last[id]
		o.mu.Unlock()
		if last == person {
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

// all returns what everybody is called, by id.
func (n *names) all() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.m)
}

func (n *names) of(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m[id]
}
