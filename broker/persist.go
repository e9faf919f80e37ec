package broker

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What of a session goes into the log and comes out of it.

// note appends a record about the session, when it is kept. The caller holds the lock, so that
// records stand in the order of what they tell.
func (x *session) note(n note) uint64 {
	if !x.keep {
		return 0
	}
	n.id = x.id
	return x.log.add(n)
}

// noteAll adds the whole state of the session, when it is kept. The caller holds the lock.
func (x *session) noteAll(log func(note) uint64) {
	if !x.keep {
		return
	}
	add := func(n note) {
		n.id = x.id
		log(n)
	}
	add(note{kind: noteOpen, open: opening{x.user, x.token[:], x.version, x.life}})
	if len(x.subs) > 0 {
		add(note{kind: noteSub, subs: logSubs(slices.Collect(maps.Values(x.subs)))})
	}
	for o := x.queue.front; o != nil; o = o.next {
		add(note{kind: noteMsg, pid: o.id, msg: o})
		if o.released {
			add(note{kind: noteRel, pid: o.id})
		}
	}
	for id, handedOn := range x.got {
		if handedOn {
			add(note{kind: noteGot, pid: id})
		}
	}
}

// noteUnsent adds which messages have never been sent, when the broker is closed: the first of
// them, since those after it have not either. After a crash nobody knows, and all count as sent
// before, as MQTT allows where it is in doubt (5.0, 3.3.1.1). To be sure, each would have to be
// written once more before it is sent.
func (x *session) noteUnsent() {
	x.mu.Lock()
	defer x.mu.Unlock()
	var first *outgoing
	for o := x.queue.back; o != nil && !o.sent && !o.again; o = o.prev {
		first = o
	}
	if first != nil {
		x.note(note{kind: noteUnsent, pid: first.id})
	}
}

// persist says by the login whether the session is kept, and for how long.
func (x *session) persist(version byte, keep bool, life uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !keep {
		x.note(note{kind: noteEnd})
	}
	changed := keep != x.keep || version != x.version || life != x.life
	x.version, x.keep, x.life = version, keep, life
	if changed {
		x.noteAll(x.log.add)
	}
}

// relive changes the life of a session as its client says goodbye (MQTT 5.0, 3.14.2.2.2).
func (x *session) relive(life uint32) error {
	x.mu.Lock()
	version, keep := x.version, x.keep
	x.mu.Unlock()
	if life > 0 && !keep {
		return packets.ErrProtocolViolationZeroNonZeroExpiry
	}
	x.persist(version, life > 0, min(life, uint32(sessionLife/time.Second)))
	return nil
}

// noteSubs notes what the client has subscribed to and returns what to wait for before it is
// told so.
func (x *session) noteSubs(subs []packets.Subscription) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(subs) == 0 {
		return 0
	}
	return x.note(note{kind: noteSub, subs: logSubs(subs)})
}

func (x *session) noteUnsubs(filters []packets.Subscription) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.note(note{kind: noteUnsub, subs: logSubs(filters)})
}

func logSubs(subs []packets.Subscription) []logSub {
	var all []logSub
	for _, s := range subs {
		all = append(all, logSub{s.Filter, s.Qos, s.Identifier, s.NoLocal, s.RetainAsPublished})
	}
	return all
}

// found is what the log says was kept.
type found struct {
	sessions map[string]*session
	retained map[string]*outgoing
}

// replay applies a record.
func (f *found) replay(n note) {
	x := f.sessions[n.id]
	switch {
	case n.kind == noteKeep:
		f.retained[n.msg.topic] = n.msg
	case n.kind == noteDrop:
		delete(f.retained, n.id)
	case n.kind == noteOpen:
		x = newSession(n.id, n.open.User, nil)
		copy(x.token[:], n.open.Token)
		x.version, x.life = n.open.Version, n.open.Life
		f.sessions[n.id] = x
	case x == nil: // of a session that ended
	case n.kind == noteEnd:
		delete(f.sessions, n.id)
	default:
		x.replay(n)
	}
}

func (x *session) replay(n note) {
	o := x.byID[n.pid]
	switch n.kind {
	case noteSub:
		for _, s := range n.subs {
			x.subscribe(packets.Subscription{
				Filter: s.Filter, Qos: s.QoS, Identifier: s.Identifier, NoLocal: s.NoLocal,
				RetainAsPublished: s.RetainAsPublished,
			})
		}
	case noteUnsub:
		for _, s := range n.subs {
			x.unsubscribe(s.Filter)
		}
	case noteMsg:
		if o == nil && n.pid > 0 {
			n.msg.again = true // until a noteUnsent says otherwise
			x.push(n.msg)
			x.lastID = n.pid
		}
	case noteRel:
		if o != nil {
			o.released = true
		}
	case noteDone:
		if o != nil {
			x.remove(o)
		}
	case noteUnsent:
		for ; o != nil; o = o.next {
			o.again = false
		}
	case noteGot:
		x.receive(n.pid)
		x.got[n.pid] = true
	case noteFree:
		delete(x.got, n.pid)
	}
}

// restore makes the broker know what was kept. Sessions of users who are gone or have another
// token are not.
func (s *Server) restore() error {
	dir := filepath.Join(s.cfg.Dir, "kept")
	f := found{map[string]*session{}, map[string]*outgoing{}}
	if err := readLog(dir, f.replay); err != nil {
		s.log.Warn("some retained or queued messages are lost", "error", err)
	}
	for id, x := range f.sessions {
		if s.users.holds(x.user, x.token) && strings.HasPrefix(id, x.user+"/") {
			x.keep = true
			s.sessions[id] = x
		}
	}
	for _, o := range f.retained {
		if ValidTopic(o.topic) == nil && len(o.payload) > 0 && !o.expired() {
			s.mq.Topics.RetainMessage(o.packet(o.qos))
		}
	}
	var err error
	s.kept, err = openLog(dir, s.noteKept, s.judgeDisk)
	if err != nil {
		return err
	}
	for id, x := range s.sessions {
		x.log = s.kept
		for _, sub := range x.subs {
			s.mq.Topics.Subscribe(id, sub)
		}
		s.noteDeep(x, slices.Collect(maps.Values(x.subs)))
		x.await(s.expire) // its life begins anew
	}
	return nil
}

// noteKept adds all that is kept to the log.
func (s *Server) noteKept(add func(note) uint64, pause func()) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	for _, x := range all {
		x.mu.Lock()
		x.noteAll(add)
		x.mu.Unlock()
		pause()
	}
	s.noteRetained(add, pause)
}
