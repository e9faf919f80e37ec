package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

const (
	replayRate    = 200                    // events a second to one user: a broker elsewhere does not say when it drops some
	replayBacklog = 64 << 10               // bytes that may wait for a client before its replay does: what is live stands behind them
	replayStall   = 30 * time.Second       // without the client taking anything; then the replay ends
	replayPause   = 100 * time.Millisecond // between two requests of one user
)

// Why a replay ends before its time.
var (
	errNoMore   = errors.New("the user may not read events any more")
	errNobody   = errors.New("no client of the user is connected")
	errUntaken  = errors.New("the client takes nothing")
	errPastHead = errors.New("after is behind the last record: your events are of another journal; begin anew with 0")
)

// replayer sends users events again. It has a connection of its own: a client that takes little
// must not hold up what is live.
type replayer struct {
	client  *broker.Client
	store   *store.Store
	names   *names
	may     func(user string) bool                        // asked again and again: users are revoked
	backlog func(user string) (bytes int, connected bool) // nil with a broker elsewhere, which does not tell
	fault   func(door.Fault)
	log     *slog.Logger

	all sync.WaitGroup // one for each user being served

	mu      sync.Mutex
	stopped bool
	wanted  map[string]replayRequest      // by user: to be served next
	present map[string]context.CancelFunc // by user: ends what is being served
	denied  map[string]bool               // users whose requests were logged
}

type replayRequest struct {
	after uint64
	err   error // why it cannot be served
}

// openReplays has the requests of the bus served until the hub is closed.
func (h *hub) openReplays(ctx context.Context, cc broker.ClientConfig, bus *broker.Client) error {
	cc.ClientID = h.clientID(cc, "replay")
	cc.Log = h.log
	client, err := broker.Dial(ctx, cc)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	r := &replayer{
		client: client, store: h.store, names: &h.names, may: h.mayReplay, log: h.log.With("component", "replay"),
		fault:  func(f door.Fault) { h.sendBehind(f) },
		wanted: map[string]replayRequest{}, present: map[string]context.CancelFunc{}, denied: map[string]bool{},
	}
	h.replays = r
	h.undo.add("replays", r.close)
	take := func(m broker.Message) { r.ask(ctx, m) }
	if h.server == nil {
		return bus.Subscribe(ctx, discovery.ReplayFilter, 1, take)
	}
	r.backlog = h.server.Backlog
	return h.server.OnPublish(discovery.ReplayFilter, func(_ string, m broker.Message) { take(m) })
}

// mayReplay reports whether a user may ask for events, and may read them as they happen. A
// broker elsewhere may be less strict than the rules of the users that the hub knows.
func (h *hub) mayReplay(user string) bool {
	return h.users.May(user, broker.Publish, discovery.ReplayTopic(user)) &&
		h.users.May(user, broker.Subscribe, discovery.EventFilter) &&
		h.users.May(user, broker.Subscribe, discovery.HouseEventTopic)
}

// ask takes a request, which replaces the one before of the same user. It never blocks.
func (r *replayer) ask(ctx context.Context, m broker.Message) {
	user, after, err := discovery.ParseReplay(m.Topic, m.Payload)
	if m.Retain || user == "" {
		return // the broker's memory asks for nothing
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if !r.may(user) {
		r.deny(user)
		return
	}
	r.wanted[user] = replayRequest{after, err}
	if stop, busy := r.present[user]; busy {
		stop()
		return
	}
	r.present[user] = func() {}
	r.all.Go(func() { r.serve(ctx, user) })
}

// serve serves a user's requests until there is none left.
func (r *replayer) serve(ctx context.Context, user string) {
	for {
		one, req, ok := r.next(ctx, user)
		if !ok {
			return
		}
		err := r.answer(one, user, req)
		if err != nil && one.Err() == nil {
			r.log.Info("a replay ended early", "user", user, "why", err.Error())
		}
		<-time.After(replayPause) // who asks without end keeps the hub no busier than this
	}
}

// next takes the user's latest request, with a context that ends when a later one comes.
func (r *replayer) next(ctx context.Context, user string) (context.Context, replayRequest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present[user]() // what is done needs no end any more
	req, ok := r.wanted[user]
	delete(r.wanted, user)
	if !ok || r.stopped {
		delete(r.present, user)
		return nil, req, false
	}
	ctx, r.present[user] = context.WithCancel(ctx)
	return ctx, req, true
}

func (r *replayer) close() error {
	r.mu.Lock()
	r.stopped = true
	for _, stop := range r.present {
		stop()
	}
	r.mu.Unlock()
	r.all.Wait()
	r.client.Close()
	return nil
}

// answer sends what was asked for and the end, or why there is nothing to send.
func (r *replayer) answer(ctx context.Context, user string, req replayRequest) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	head := r.store.Head().Seq
	if req.err == nil && req.after > head {
		req.err = errPastHead
	}
	if req.err != nil {
		r.fault(door.Fault{Part: "replay/" + user, Reason: "unreadable", Detail: req.err.Error()})
		return r.publish(ctx, discovery.ReplayRefused(user, req.err.Error(), head))
	}
	r.fault(door.Fault{Part: "replay/" + user})
	n, err := r.send(ctx, user, req.after, head)
	if err != nil {
		return err
	}
	return r.publish(ctx, discovery.ReplayEnd(user, req.after, n, head))
}

// ready waits for the connection, which may be as young as the hub.
func (r *replayer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, replayStall)
	defer cancel()
	return r.client.Ready(ctx)
}

// deny logs a request of somebody who may not ask: once, since nothing keeps a device from
// asking on. The caller holds the lock.
func (r *replayer) deny(user string) {
	if len(r.denied) < 1000 && !r.denied[user] {
		r.denied[user] = true
		r.log.Warn("events asked for by a user who may not read them", "user", user)
	}
}

// send sends the records behind after up to head, and returns how many.
func (r *replayer) send(ctx context.Context, user string, after, head uint64) (n uint64, err error) {
	if after == head {
		return 0, nil
	}
	pace := time.NewTicker(time.Second / replayRate)
	defer pace.Stop()
	for rec, err := range r.store.Records(ctx, store.Filter{After: after, Before: head + 1}) {
		switch {
		case err != nil && rec.Seq == 0:
			return n, err
		case err != nil: // one that is damaged costs no other
			r.log.Error("a record cannot be read", "error", err)
			continue
		}
		if err := r.room(ctx, user, pace.C); err != nil {
			return n, err
		}
		if err := r.publish(ctx, discovery.Replayed(user, rec, r.names.of(rec.Person))); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// room waits until the user's client takes one more event, in its time.
func (r *replayer) room(ctx context.Context, user string, pace <-chan time.Time) error {
	stall := time.NewTimer(replayStall)
	defer stall.Stop()
	for least := -1; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stall.C:
			return errUntaken
		case <-pace:
		}
		if !r.may(user) {
			return errNoMore
		}
		if r.backlog == nil {
			return nil
		}
		bytes, connected := r.backlog(user)
		switch {
		case !connected:
			return errNobody
		case bytes < replayBacklog:
			return nil
		case least < 0 || bytes < least:
			least = bytes
			stall.Reset(replayStall)
		}
	}
}

func (r *replayer) publish(ctx context.Context, m discovery.Message) error {
	return r.client.Publish(ctx, message(m))
}
