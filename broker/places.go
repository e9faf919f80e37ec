package broker

import (
	"slices"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// placeFor makes sure that a user may come in by a client of this id. When it has as many as it
// may, the session that has waited longest for its client makes room; when none waits, there is
// none: so a user whose token was stolen takes no place from others.
func (s *Server) placeFor(user, id string) bool {
	for {
		all := s.sessionsOf(user)
		if len(all) < s.cfg.MaxUserClients || slices.ContainsFunc(all, func(x *session) bool { return x.id == id }) {
			s.crowd(user, false)
			return true
		}
		oldest := longestAway(all)
		if oldest == nil {
			if s.crowd(user, true) {
				s.log.Warn("a user has as many clients connected as it may have: others are refused", keyUser, user, "max_user_clients", s.cfg.MaxUserClients)
			}
			return false
		}
		s.log.Debug("a session ended to make room for another of its user", keyUser, user, keyClient, oldest.id)
		s.end(oldest, packets.ErrQuotaExceeded)
	}
}

// crowd notes whether a user has as many clients as it may, and reports whether that is new.
func (s *Server) crowd(user string, is bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.crowds[user]
	s.crowds[user] = is
	return is != was
}

// longestAway is the session that has waited longest for its client; nil: none does.
func longestAway(all []*session) (oldest *session) {
	var since time.Time
	for _, x := range all {
		x.mu.Lock()
		waits, seen := x.conn == nil, x.seen
		x.mu.Unlock()
		if waits && (oldest == nil || seen.Before(since)) {
			oldest, since = x, seen
		}
	}
	return oldest
}
