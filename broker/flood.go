package broker

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

var errFlood = errors.New("client sends faster than it may")

const (
	floodBurst    = 10               // seconds of the rate that may come at once
	floodPatience = 10 * time.Second // of being slowed without a pause, then it is cut
	freeBytes     = 16 << 10         // in a packet; more count as further packets
	filterBytes   = 64               // in a SUBSCRIBE: each filter is work, and may bring much that is retained
	answerCost    = 0.1              // packets: an answer to what the broker sent
)

// limiter slows a user who sends faster than its rate: a bucket of tokens, one a packet, for all
// its connections.
type limiter struct {
	user string
	rate float64 // packets a second

	mu     sync.Mutex
	tokens float64
	last   time.Time
	slowed time.Time // since when; zero: it is not
	told   bool      // that it floods
}

// take returns how long a packet must wait or that its sender is to be cut, and whether
// somebody is to be told of it: once, until the user has paused.
func (l *limiter) take(now time.Time, cost float64) (wait time.Duration, cut, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill(now)
	if l.paused() {
		l.slowed, l.told = time.Time{}, false
	}
	l.tokens -= cost
	if l.tokens >= 0 {
		return 0, false, false
	}
	if l.slowed.IsZero() {
		l.slowed = now
	}
	if now.Sub(l.slowed) > floodPatience {
		tell, l.told = !l.told, true
		l.tokens = 0   // what was not taken costs nothing
		l.slowed = now // who comes back is slowed as long: a login costs more than a packet that waits
		return 0, true, tell
	}
	return time.Duration(-l.tokens / l.rate * float64(time.Second)), false, false
}

// fill adds the tokens of the time since it was called last. The caller holds the lock.
func (l *limiter) fill(now time.Time) {
	most := l.rate * floodBurst
	if l.last.IsZero() {
		l.tokens = most
	} else {
		l.tokens = min(most, l.tokens+now.Sub(l.last).Seconds()*l.rate)
	}
	l.last = now
}

// paused reports whether a flood, if there was one, is over. The caller holds the lock.
func (l *limiter) paused() bool { return l.tokens > l.rate*floodBurst/2 }

// flooding reports whether the user was cut and has not paused since.
func (l *limiter) flooding(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill(now)
	return l.told && !l.paused()
}

// slow makes a connection wait for its user's tokens. It is called for each packet, before that
// is read.
func (s *Server) slow(c *conn, kind byte, size int) error {
	if c.limiter == nil {
		return nil
	}
	cost := 1 + float64(size/freeBytes)
	switch {
	case kind >= typePuback && kind <= typePubcomp && kind != typePubrel:
		cost = answerCost
	case kind == typeSubscribe:
		cost = 1 + float64(size/filterBytes)
	}
	wait, cut, tell := c.limiter.take(time.Now(), cost)
	if tell {
		s.tellFlood(c.limiter.user)
	}
	if cut {
		return errFlood
	}
	if wait == 0 {
		return nil
	}
	c.batch.flush()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.out.done:
		return errClosed
	}
}

// limiterOf returns what all connections of a user share.
func (s *Server) limiterOf(user string, role Role) *limiter {
	if role == RoleHub || s.cfg.UserRate == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limits[user] == nil {
		s.limits[user] = &limiter{user: user, rate: float64(s.cfg.UserRate)}
	}
	return s.limits[user]
}

// Flooding returns the users who were cut because they sent faster than they may and have not
// paused since, by name.
func (s *Server) Flooding() []string {
	s.mu.Lock()
	limits := maps.Clone(s.limits)
	s.mu.Unlock()
	var users []string
	for user, l := range limits {
		if l.flooding(time.Now()) {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

// OnFlood has f called with a user who was cut because it sent faster than it may for long:
// once, until it has paused, which Flooding tells. f must only enqueue.
func (s *Server) OnFlood(f func(user string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floods = append(s.floods, f)
}

func (s *Server) tellFlood(user string) {
	s.totals.floods.Add(1)
	s.log.Warn("a user sends faster than it may, and was cut", keyUser, user, "packets_a_second", s.cfg.UserRate)
	s.mu.Lock()
	floods := s.floods
	s.mu.Unlock()
	for _, f := range floods {
		f(user)
	}
}

// Blocked returns whose logins are turned away at present, after many with wrong tokens:
// addresses (of IPv6, networks) and names of users, each sorted.
func (s *Server) Blocked() (addresses, users []string) { return s.throttle.list() }

// OnLoginBlock has f called when an address or a user is blocked after many logins with wrong
// tokens, as "address 192.0.2.7 for 1m0s"; Blocked tells when that is over. f must only enqueue.
func (s *Server) OnLoginBlock(f func(what string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = append(s.blocks, f)
}

func (s *Server) tellBlock(what string) {
	s.totals.loginBlocks.Add(1)
	s.log.Warn("logins blocked after many wrong ones", "what", what)
	s.mu.Lock()
	blocks := s.blocks
	s.mu.Unlock()
	for _, f := range blocks {
		f(what)
	}
}
