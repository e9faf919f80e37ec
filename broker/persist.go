package broker

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// What of a session goes into the log and comes out of it.

// note appends a record about the session, when it is kept. The caller holds the lock, so that
// records stand in the order of what they tell.
func (x *session) note(n note) uint64 {
	if !x.keep {
		return 0
	}
	n.ID = x.id
	return x.log.add(n)
}

// noteAll adds the whole state of the session, when it is kept. The caller holds the lock.
func (x *session) noteAll(log func(note) uint64) {
	if !x.keep {
		return
	}
	add := func(n note) {
		n.ID = x.id
		log(n)
	}
	add(note{Kind: noteOpen, User: x.user, Token: x.token[:], Version: x.version, Life: x.life})
	if len(x.subs) > 0 {
		add(noteOfSubs(slices.Collect(maps.Values(x.subs))))
	}
	for e := x.queue.Front(); e != nil; e = e.Next() {
		o := e.Value.(*outgoing)
		add(o.note())
		if o.released {
			add(note{Kind: noteRel, PID: o.id})
		}
	}
	for id := range x.got {
		add(note{Kind: noteGot, PID: id})
	}
}

// persist says by the login whether the session is kept, and for how long.
func (x *session) persist(version byte, keep bool, life uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !keep {
		x.note(note{Kind: noteEnd})
	}
	changed := keep != x.keep || version != x.version || life != x.life
	x.version, x.keep, x.life = version, keep, life
	if changed {
		x.noteAll(x.log.add)
	}
}

// subscribed notes what the client has subscribed to and returns what to wait for before it is
// told so.
func (x *session) subscribed(subs []packets.Subscription) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, sub := range subs {
		x.subs[sub.Filter] = sub
	}
	if len(subs) == 0 {
		return 0
	}
	return x.note(noteOfSubs(subs))
}

func (x *session) unsubscribed(filters []packets.Subscription) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, sub := range filters {
		delete(x.subs, sub.Filter)
	}
	n := noteOfSubs(filters)
	n.Kind = noteUnsub
	return x.note(n)
}

func noteOfSubs(subs []packets.Subscription) note {
	n := note{Kind: noteSub}
	for _, s := range subs {
		n.Subs = append(n.Subs, logSub{s.Filter, s.Qos, s.Identifier, s.NoLocal, s.RetainAsPublished})
	}
	return n
}

func (o *outgoing) note() note {
	m := &logEntry{
		Topic: o.pk.TopicName, QoS: o.qos, Retain: o.retain, Subs: o.subs, Again: o.again,
		Created: o.pk.Created, Expiry: o.pk.Expiry,
	}
	if o.pk.ProtocolVersion == 5 {
		m.Props = &o.pk.Properties
	}
	return note{Kind: noteMsg, PID: o.id, Message: m, payload: o.pk.Payload}
}

// replay applies a record to the sessions found so far.
func (s *Server) replay(found map[string]*session, n note) {
	x := found[n.ID]
	switch {
	case n.Kind == noteOpen:
		x = newSession(n.ID, n.User, nil)
		copy(x.token[:], n.Token)
		x.version, x.life = n.Version, n.Life
		found[n.ID] = x
	case x == nil: // of a session that ended
	case n.Kind == noteEnd:
		delete(found, n.ID)
	default:
		x.replay(n)
	}
}

func (x *session) replay(n note) {
	switch n.Kind {
	case noteSub:
		for _, s := range n.Subs {
			x.subs[s.Filter] = packets.Subscription{
				Filter: s.Filter, Qos: s.QoS, Identifier: s.Identifier, NoLocal: s.NoLocal,
				RetainAsPublished: s.RetainAsPublished, RetainHandling: 2,
			}
		}
	case noteUnsub:
		for _, s := range n.Subs {
			delete(x.subs, s.Filter)
		}
	case noteMsg:
		if n.Message != nil && x.byID[n.PID] == nil && n.PID > 0 {
			x.push(n.outgoing())
			x.lastID = n.PID
		}
	case noteRel:
		if e := x.byID[n.PID]; e != nil {
			e.Value.(*outgoing).released = true
		}
	case noteDone:
		if e := x.byID[n.PID]; e != nil {
			x.remove(e)
		}
	case noteGot:
		x.got[n.PID] = struct{}{}
	case noteFree:
		delete(x.got, n.PID)
	}
}

// outgoing is a message as it was. It may have been sent already; nobody noted that.
func (n note) outgoing() *outgoing {
	m := n.Message
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: m.QoS}, TopicName: m.Topic,
		Payload: n.payload, Created: m.Created, Expiry: m.Expiry,
	}
	if m.Props != nil {
		pk.ProtocolVersion, pk.Properties = 5, *m.Props
	}
	return &outgoing{pk: &pk, id: n.PID, qos: m.QoS, retain: m.Retain, subs: m.Subs, again: true}
}

// restoreSessions makes the broker know the sessions that were kept, as clients that are away.
// Those of users who are gone or have another token are not kept.
func (s *Server) restoreSessions() error {
	dir := filepath.Join(s.cfg.Dir, "sessions")
	found := map[string]*session{}
	if err := readLog(dir, func(n note) { s.replay(found, n) }); err != nil {
		s.log.Warn("some queued messages are lost", "error", err)
	}
	for id, x := range found {
		if s.users.holds(x.user, x.token) && strings.HasPrefix(id, x.user+"/") {
			x.keep = true
			s.sessions[id] = x
		}
	}
	var err error
	s.sessionLog, err = openLog(dir, s.noteSessions, func(err error) { s.judge(&s.wrong.sessions, err) })
	if err != nil {
		return err
	}
	for id, x := range s.sessions {
		x.log = s.sessionLog
		s.noteDeep(x, slices.Collect(maps.Values(x.subs)))
		s.mq.Clients.Add(s.absent(id, x))
	}
	return nil
}

// absent is the broker's view of a kept session.
func (s *Server) absent(id string, x *session) *mqtt.Client {
	cl := s.mq.NewClient(nil, "restored", id, false)
	cl.Properties.Username = []byte(x.user)
	cl.Properties.ProtocolVersion = x.version
	cl.Properties.Props.SessionExpiryInterval, cl.Properties.Props.SessionExpiryIntervalFlag = x.life, x.version == 5
	cl.Stop(packets.ErrServerShuttingDown) // its life begins anew
	for _, sub := range x.subs {
		s.mq.Topics.Subscribe(id, sub)
		cl.State.Subscriptions.Add(sub.Filter, sub)
	}
	return cl
}

// noteSessions adds the state of all kept sessions to the log.
func (s *Server) noteSessions(add func(note) uint64, pause func()) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	for _, x := range all {
		x.mu.Lock()
		x.noteAll(add)
		x.mu.Unlock()
		pause()
	}
}
