package broker

import (
	"fmt"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// route is who gets what is published to a topic, as things stood at its epoch.
type route struct {
	epoch uint64
	shows []func(user string, m Message)
	to    []receiver
}

// receiver is one client, with what its subscriptions say.
type receiver struct {
	*session
	qos     byte
	noLocal bool
	retain  bool  // as published
	ids     []int // of its subscriptions
}

// maxRoutes is how many topics' routes are kept.
const maxRoutes = 4096

// routes keeps the route of each topic until anything changes that one depends on:
// subscriptions, sessions, users and their rules, who watches. That is rare, and looking all of
// it up takes longer than delivering a message.
type routes struct {
	mu    sync.RWMutex
	epoch uint64 // of all of them
	last  map[string]*route
}

// epoch changes with whatever a route depends on, after the change.
func (s *Server) epoch() uint64 { return s.changes.Load() + s.users.changes.Load() }

// route returns who gets what is published to a topic.
func (s *Server) route(topic string) *route {
	epoch := s.epoch()
	s.routes.mu.RLock()
	r := s.routes.last[topic]
	s.routes.mu.RUnlock()
	if r != nil && r.epoch == epoch {
		return r
	}
	r = s.findRoute(topic, epoch)
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	if s.routes.last == nil || s.routes.epoch != epoch || len(s.routes.last) >= maxRoutes {
		s.routes.epoch, s.routes.last = epoch, map[string]*route{}
	}
	s.routes.last[topic] = r
	return r
}

func (s *Server) findRoute(topic string, epoch uint64) *route {
	r := &route{epoch: epoch}
	s.mu.Lock()
	shows := s.shows // only ever appended to
	s.mu.Unlock()
	for _, w := range shows {
		if Match(w.filter, topic) {
			r.shows = append(r.shows, w.f)
		}
	}
	for id, sub := range s.subscribers(topic) {
		if to := s.session(id); to != nil && s.mayRead(to, topic) {
			r.to = append(r.to, receiver{to, sub.Qos, sub.NoLocal, sub.RetainAsPublished, identifiers(sub)})
		}
	}
	return r
}

// tell shows a message, keeps it when it is to be retained, and delivers it. from is the session
// of its sender. It returns what to wait for before acknowledging the message.
func (s *Server) tell(from *session, m *body, qos byte, retain bool, r *route, b *batch) (record uint64) {
	for _, f := range r.shows {
		f(from.user, Message{Topic: m.topic, Payload: m.payload, QoS: qos, Retain: retain})
	}
	if retain {
		record = s.retain(m, qos)
		if r.epoch != s.epoch() { // who has subscribed meanwhile may have been given what was retained before
			r = s.route(m.topic)
		}
	}
	var late []delivery
	for i := range r.to {
		to := &r.to[i]
		if to.noLocal && to.session == from {
			continue
		}
		o := outgoing{body: m, qos: min(qos, to.qos), subs: to.ids, retain: retain && to.retain}
		n, ok := s.hand(from, to.session, &o, b)
		if record = max(record, n); !ok {
			late = append(late, delivery{to.session, &o})
		}
	}
	if len(late) > 0 {
		record = max(record, s.handLate(from, late, b))
	}
	return record
}

// mayRead goes by the rules of this moment, so that a revoked user gets nothing more.
func (s *Server) mayRead(to *session, topic string) bool {
	return !s.refuses(topic) && MaySubscribe(s.users.rules(to.user), topic)
}

// delivery is a message for which a client has no room yet.
type delivery struct {
	to *session
	o  *outgoing
}

// hand gives a message to one client, if it has room for it.
func (s *Server) hand(from, to *session, o *outgoing, b *batch) (record uint64, ok bool) {
	if o.qos == 0 {
		to.send(o, b)
		return 0, true
	}
	return to.offer(o, s.queueOf(to, from), b)
}

// queueOf is how many bytes may be queued for a client.
func (s *Server) queueOf(to, from *session) int {
	if from == to { // which cannot make room while it waits for itself
		return selfPublish * s.cfg.MaxQueue
	}
	return s.cfg.MaxQueue
}

// handLate gives a message to clients whose queues were full. All have the same time to make
// room, so that the publisher waits no longer for many than for one. A session whose queue stays
// full ends: its client sees at the next login that there is none, and asks again for what it
// missed. Leaving out messages would tell it nothing.
func (s *Server) handLate(from *session, late []delivery, b *batch) (record uint64) {
	b.flush()
	for _, d := range late {
		d.to.fallBehind()
	}
	over := make(chan struct{})
	timer := time.AfterFunc(s.cfg.WriteTimeout, func() { close(over) })
	defer timer.Stop()
	for _, d := range late {
		n, ok := uint64(0), false
		if d.to != from {
			n, ok = d.to.offerUntil(d.o, s.cfg.MaxQueue, s.cfg.WriteTimeout, over, b)
		}
		if record = max(record, n); !ok {
			s.overflow(d.to)
		}
	}
	return record
}

// overflow ends a session that has more queued than it may.
func (s *Server) overflow(x *session) {
	x.cut()
	if !s.end(x, packets.ErrQuotaExceeded) {
		return
	}
	s.totals.overflows.Add(1)
	s.log.Warn("a session ended, because its client takes less than is sent to it", keyUser, x.user, keyClient, x.id,
		"most_bytes", s.cfg.MaxQueue, "most_messages", maxQueued)
}

// sendRetained gives a new subscriber what is retained on the topics of its filter, however
// much that is. It runs in the goroutine that reads from this client, whose answers must be
// read for its queue to get shorter: so what has a place in the queue must not wait, and a client that is
// behind already gets nothing on top.
func (s *Server) sendRetained(c *conn, sub packets.Subscription) error {
	if sub.Qos > 0 && c.session.over(s.cfg.MaxQueue) {
		return fmt.Errorf("%w, and asks for more", errStuck)
	}
	var ids []int
	if sub.Identifier > 0 {
		ids = []int{sub.Identifier}
	}
	for _, pk := range s.retainedOn(sub.Filter) {
		if !s.mayRead(c.session, pk.TopicName) {
			continue
		}
		for need := s.sendState(c, pk.TopicName, sub.Qos, ids); need > 0; need = s.sendState(c, pk.TopicName, sub.Qos, ids) {
			c.batch.flush()
			if err := c.out.wait(need); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendState sends what is retained on a topic at this moment, which may be something newer than
// when the client subscribed: what was would follow, and so undo, what it has been told since.
// While it is put in the queue, nothing newer can be. It returns how many bytes must have room
// first; 0: it is done.
func (s *Server) sendState(c *conn, topic string, qos byte, ids []int) (need int) {
	s.retained.mu.Lock()
	defer s.retained.mu.Unlock()
	pk, ok := s.mq.Topics.Retained.Get(topic)
	if !ok {
		return 0
	}
	o := &outgoing{body: bodyOf(pk), qos: min(pk.FixedHeader.Qos, qos), retain: true, subs: ids}
	switch {
	case o.qos > 0:
		c.session.enqueue(o, &c.batch)
	case !c.out.fits(o.size()):
		return o.size()
	default:
		c.session.send(o, &c.batch)
	}
	return 0
}

// tellWill tells the will of a connection that is gone, by the rules of this moment: that of a
// token revoked or rotated is as worthless as the token.
func (s *Server) tellWill(x *session, c *conn) {
	w := c.will
	if w == nil || !s.users.holds(x.user, c.token) || !MayPublish(s.users.rules(x.user), w.topic, w.retain) {
		return
	}
	var b batch
	defer b.flush()
	s.tell(x, w.message(), w.qos, w.retain, s.route(w.topic), &b)
}
