package broker

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A session changes hands, begins and ends under s.life, from the moment the broker looks for
// an older one to the answer to the CONNECT: mochi-mqtt v2.7.9 takes no lock for it, and the end
// of the old connection may remove the new one.

func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) setSession(id string, x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.deep, id)
	if x == nil {
		delete(s.sessions, id)
		return
	}
	s.sessions[id] = x
}

// establish gives a client that has logged in its session, an old or a new one. c.settled must
// be called after it.
func (s *Server) establish(cl *mqtt.Client, c *conn, clean bool) {
	s.life.Lock()
	c.settled = sync.OnceFunc(s.life.Unlock)
	x := s.session(cl.ID)
	before, known := s.mq.Clients.Get(cl.ID)
	if x != nil && (!known || clean || transient(before)) {
		s.drop(x)
		x = nil
	}
	if x == nil {
		x = newSession(cl.ID, userOf(cl), s.sessionLog)
		x.token = c.token
		s.setSession(cl.ID, x)
	}
	x.persist(life(cl))
	c.session = x
	x.attach(c)
	if !s.users.holds(x.user, c.token) { // revoked since it was checked, before there was a session to cut
		c.out.abort(errRefused)
	}
}

// transient reports whether a session ends with its connection by version 3.1.1.
func transient(cl *mqtt.Client) bool {
	return cl.Properties.Clean && cl.Properties.ProtocolVersion < 5
}

// expires reports whether a session ends with its connection.
func expires(cl *mqtt.Client) bool {
	return transient(cl) || cl.Properties.ProtocolVersion == 5 && cl.Properties.Props.SessionExpiryInterval == 0
}

// life returns by what version of MQTT a client speaks, whether its session is kept when it
// goes, and for how many seconds (version 5).
func life(cl *mqtt.Client) (version byte, keep bool, seconds uint32) {
	return cl.Properties.ProtocolVersion, !expires(cl), min(cl.Properties.Props.SessionExpiryInterval, uint32(sessionLife/time.Second))
}

// depart sees a client off: its session ends or waits, its will is told.
func (s *Server) depart(cl *mqtt.Client, c *conn) {
	c.settled()
	c.left = true
	if c.session == nil {
		return
	}
	s.life.Lock()
	x := c.session
	was := x.detach(c)
	over := was && (expires(cl) || !s.users.holds(x.user, c.token))
	switch {
	case over:
		s.forgetClient(cl)
		s.drop(x)
	case was:
		x.persist(life(cl)) // which the goodbye may have changed
	}
	if now, ok := s.mq.Clients.Get(cl.ID); !ok || now != cl {
		cl.ID = "" // the broker deletes by it, and it may be another's by now
	}
	s.life.Unlock()
	if cl.StopCause() == packets.CodeDisconnect && c.goodbye {
		return
	}
	if delay := c.will.WillDelayInterval; delay > 0 && !over {
		x.delayWill(time.Duration(delay)*time.Second, func() { s.tellWill(x, c) })
		return
	}
	s.tellWill(x, c)
}

func (x *session) delayWill(d time.Duration, tell func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil {
		x.will = time.AfterFunc(d, tell)
	}
}

// drop ends a session that no connection has any more. The caller holds s.life.
func (s *Server) drop(x *session) {
	if s.session(x.id) == x {
		s.setSession(x.id, nil)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.note(note{Kind: noteEnd})
	if x.will != nil && x.will.Stop() {
		x.will.Reset(0) // a will waits no longer than its session (MQTT 5.0, 3.1.3.2.2)
	}
	x.conn, x.cl, x.keep = nil, nil, false
	x.makeRoom()
}

// end ends a session, connected or not, and reports whether there was still one.
func (s *Server) end(x *session) bool {
	s.life.Lock()
	defer s.life.Unlock()
	if s.session(x.id) != x {
		return false
	}
	if cl, ok := s.mq.Clients.Get(x.id); ok {
		cl.Stop(packets.ErrQuotaExceeded)
		s.forgetClient(cl)
	}
	s.drop(x)
	return true
}

// expire ends the session of a client that has been away for too long.
func (s *Server) expire(cl *mqtt.Client) {
	s.life.Lock()
	defer s.life.Unlock()
	x := s.session(cl.ID)
	if x == nil {
		return
	}
	x.mu.Lock()
	back := x.conn != nil
	x.mu.Unlock()
	if !back {
		s.mq.UnsubscribeClient(cl) // which mochi-mqtt v2.7.9 leaves out
		s.drop(x)
	}
}

// forgetClient makes the broker forget a client and its subscriptions. The caller holds s.life.
func (s *Server) forgetClient(cl *mqtt.Client) {
	s.mq.UnsubscribeClient(cl)
	if now, ok := s.mq.Clients.Get(cl.ID); ok && now == cl {
		s.mq.Clients.Delete(cl.ID)
	}
}

// Cut closes the connections of a user and drops its sessions. Revoking a user and rotating its
// token do it.
func (s *Server) Cut(user string) {
	for _, x := range s.sessionsOf(user) {
		s.log.Info("connection cut", keyUser, user, keyClient, x.id)
		if cl, ok := s.mq.Clients.Get(x.id); ok {
			s.disconnect(cl, packets.ErrNotAuthorized)
		}
		s.end(x)
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
