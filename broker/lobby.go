package broker

import (
	"errors"
	"slices"
	"sync"
	"time"
)

var errCrowded = errors.New("too many connections that have not logged in")

// longLogin is how long a login may take before others may take its place: far longer than one
// does while a thousand devices come back at once, since to cut those would cost their work anew.
const longLogin = time.Second

// lobby holds the connections that have not logged in, of which there may be so many. When it is
// full, who comes from an address with few takes the place of one from the address with the most,
// so that whoever opens many is in nobody's way but its own; else that of one that takes long.
type lobby struct {
	limit int

	mu   sync.Mutex
	from map[string][]guest // by address, the oldest first
	n    int
	full bool // told, and not yet half empty again
}

type guest struct {
	c     *conn
	since time.Time
}

func newLobby(limit int) *lobby { return &lobby{limit: limit, from: map[string][]guest{}} }

// enter lets c in if there is a place for it, and returns who must leave, which may be c itself;
// first tells that it is so for the first time for a while.
func (l *lobby) enter(c *conn, address string, now time.Time) (out *conn, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.limit {
		first, l.full = !l.full, true
		if out = l.replaced(address, now); out == nil {
			return c, first
		}
	}
	l.from[address] = append(l.from[address], guest{c, now})
	l.n++
	return out, first
}

// replaced makes a place for somebody from an address, and returns who had it; nil: none can be
// made.
func (l *lobby) replaced(address string, now time.Time) *conn {
	crowd, oldest := l.crowd(), ""
	if len(l.from[crowd]) < len(l.from[address])+2 {
		for a, guests := range l.from {
			if a != "" && (oldest == "" || guests[0].since.Before(l.from[oldest][0].since)) {
				oldest = a
			}
		}
		if oldest == "" || now.Sub(l.from[oldest][0].since) < longLogin {
			return nil
		}
		crowd = oldest
	}
	out := l.from[crowd][0].c
	l.remove(out, crowd)
	return out
}

// crowd is the address with the most connections. The hub's own, from within this process, is
// nobody's to take the place of.
func (l *lobby) crowd() (most string) {
	for address, guests := range l.from {
		if address != "" && (most == "" || len(guests) > len(l.from[most])) {
			most = address
		}
	}
	return most
}

// leave lets go of c, which may have had to leave before.
func (l *lobby) leave(c *conn, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c, address)
	if l.n <= l.limit/2 {
		l.full = false
	}
}

func (l *lobby) remove(c *conn, address string) {
	at := slices.IndexFunc(l.from[address], func(g guest) bool { return g.c == c })
	if at < 0 {
		return
	}
	l.n--
	if l.from[address] = slices.Delete(l.from[address], at, at+1); len(l.from[address]) == 0 {
		delete(l.from, address)
	}
}

func (l *lobby) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}
