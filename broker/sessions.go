package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A session begins, changes hands and ends under s.life. Wills are told when that is free.

func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) setSession(id string, x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changes.Add(1)
	delete(s.deep, id)
	if x == nil {
		delete(s.sessions, id)
		return
	}
	s.sessions[id] = x
}

// establish gives a client that has logged in its session, an old or a new one, and reports
// whether it is an old one.
func (s *Server) establish(cl *mqtt.Client, c *conn) (present bool) {
	x := s.claim(cl.ID, cl.Properties.Clean)
	defer s.life.Unlock()
	present = x != nil
	if !present {
		x = newSession(cl.ID, string(cl.Properties.Username), s.kept)
		x.token = c.token
		s.setSession(cl.ID, x)
	}
	x.persist(life(cl))
	c.session = x
	x.attach(c)
	if !s.users.holds(x.user, c.token) { // revoked since it was checked, before there was a session to cut
		c.out.abort(errRefused)
	}
	return present
}

// claim locks s.life and returns the session of a client id; nil: there is none, or no longer.
// Who is connected with it is sent away first.
func (s *Server) claim(id string, clean bool) *session {
	for {
		s.life.Lock()
		x := s.session(id)
		if x == nil {
			return nil
		}
		var then func()
		switch c := x.connection(); {
		case c != nil:
			then = func() { s.sendAway(c, packets.ErrSessionTakenOver) }
		case clean:
			then = s.drop(x)
		default:
			return x
		}
		s.life.Unlock()
		then()
	}
}

// sendAway ends a connection, when what has come by it is dealt with, and returns when its
// session is free of it and its will is told.
func (s *Server) sendAway(c *conn, code packets.Code) {
	c.out.leave()
	c.dismiss(code)
	s.part(c)
}

// life returns by what version of MQTT a client speaks, whether its session is kept when it
// goes, and for how many seconds (version 5).
func life(cl *mqtt.Client) (version byte, keep bool, seconds uint32) {
	version, seconds = cl.Properties.ProtocolVersion, cl.Properties.Props.SessionExpiryInterval
	if version < 5 {
		return version, !cl.Properties.Clean, 0
	}
	return version, seconds > 0, min(seconds, uint32(sessionLife/time.Second))
}

// part takes a connection from its session, which ends or waits, and tells the will. It does so
// once; whoever comes later waits for that.
func (s *Server) part(c *conn) {
	c.parting.Do(func() {
		if c.session == nil {
			return
		}
		s.life.Lock()
		then := s.leave(c)
		s.life.Unlock()
		then()
	})
}

// leave takes a connection from its session. It returns what is to be done when s.life, which
// the caller holds, is free.
func (s *Server) leave(c *conn) (then func()) {
	x := c.session
	keep := x.detach(c)
	tell := func() {
		if !c.polite.Load() {
			s.tellWill(x, c)
		}
	}
	if s.session(x.id) != x {
		return tell
	}
	if !keep || !s.users.holds(x.user, c.token) {
		s.drop(x)
		return tell
	}
	x.await(s.expire)
	if c.will != nil && c.will.delay > 0 {
		x.delayWill(c.will.delay, tell)
		return func() {}
	}
	return tell
}

// drop ends a session. It returns what is to be done when s.life, which the caller holds, is
// free: to tell a will that was to come later, but not later than this (MQTT 5.0, 3.1.3.2.2).
func (s *Server) drop(x *session) (then func()) {
	if s.session(x.id) == x {
		s.setSession(x.id, nil)
	}
	filters, will := x.end()
	for _, f := range filters {
		s.mq.Topics.Unsubscribe(f, x.id)
	}
	s.changes.Add(1)
	return will
}

// end ends a session, connected or not, and reports whether there was still one. Its connection
// ends, too, and parts by itself.
func (s *Server) end(x *session, code packets.Code) bool {
	s.life.Lock()
	if s.session(x.id) != x {
		s.life.Unlock()
		return false
	}
	c := x.connection()
	then := s.drop(x)
	s.life.Unlock()
	if c != nil {
		c.dismiss(code)
	}
	go then() // the caller may be one that others wait for
	return true
}

// expire ends the session of a client that has been away for too long.
func (s *Server) expire(x *session) {
	s.life.Lock()
	then := func() {}
	if s.session(x.id) == x && x.overdue(time.Now()) {
		then = s.drop(x)
	}
	s.life.Unlock()
	then()
}

// Cut closes the connections of a user and drops its sessions. Revoking a user and rotating its
// token do it. When it returns, the wills of those who may still have one are told.
func (s *Server) Cut(user string) {
	for _, x := range s.sessionsOf(user) {
		s.log.Info("connection cut", keyUser, user, keyClient, x.id)
		c := x.connection()
		s.end(x, packets.ErrNotAuthorized)
		if c != nil {
			s.part(c)
		}
	}
}

func (s *Server) sessionsOf(user string) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*session
	for _, x := range s.sessions {
		if x.user == user {
			all = append(all, x)
		}
	}
	return all
}

// end makes the session one that is no more. It returns what it had subscribed to, and what
// tells its delayed will.
func (x *session) end() (filters []string, will func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.note(note{kind: noteEnd})
	for f := range x.subs {
		filters = append(filters, f)
	}
	x.conn, x.ready, x.keep, x.subs = nil, false, false, nil
	x.queue, x.byID, x.unsent, x.bytes = line{}, nil, nil, 0 // a route may know the session for a while yet
	x.makeRoom()
	will = func() {}
	if x.stopTimers() {
		will = x.tell
	}
	return filters, will
}

// stopTimers is for a session that comes back or ends. It reports whether a will was to be told
// and now will not. The caller holds the lock.
func (x *session) stopTimers() (will bool) {
	if x.expiry != nil {
		x.expiry.Stop()
		x.expiry = nil
	}
	if x.will != nil {
		will = x.will.Stop()
		x.will = nil
	}
	return will
}

// await has f called with a session that nobody has come back to for the whole of its life.
func (x *session) await(f func(*session)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn != nil || !x.keep {
		return
	}
	life := sessionLife
	if x.version == 5 {
		life = time.Duration(x.life) * time.Second
	}
	x.until = time.Now().Add(life)
	x.expiry = time.AfterFunc(life, func() { f(x) })
}

// overdue reports whether the client has been away for too long.
func (x *session) overdue(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn == nil && !now.Before(x.until)
}

// delayWill has a will told later, unless the client comes back.
func (x *session) delayWill(d time.Duration, tell func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil {
		x.tell = tell
		x.will = time.AfterFunc(d, tell)
	}
}

// forgetTimers lets a delayed will go untold, and the session be as it is.
func (x *session) forgetTimers() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopTimers()
}
