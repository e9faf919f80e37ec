package broker

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// counts are of one connection, so that no two share what every packet touches.
type counts struct {
	in, out flow
	dropped atomic.Uint64 // messages
	at      atomic.Int64  // of the last packet in, Unix nanoseconds
}

type flow struct{ messages, packets, bytes atomic.Uint64 }

// received counts a packet from the client.
func (c *counts) received(kind byte, size int) {
	c.in.add(kind, size)
	c.at.Store(time.Now().UnixNano())
}

// sent counts a packet to the client, given whole.
func (c *counts) sent(p []byte) {
	if len(p) > 0 {
		c.out.add(p[0]>>4, len(p))
	}
}

func (f *flow) add(kind byte, size int) {
	if kind == typePublish {
		f.messages.Add(1)
	}
	f.packets.Add(1)
	f.bytes.Add(uint64(size))
}

func (f *flow) now() Flow { return Flow{f.messages.Load(), f.packets.Load(), f.bytes.Load()} }

func (c *counts) flows() (in, out Flow, dropped uint64) {
	return c.in.now(), c.out.now(), c.dropped.Load()
}

// seen returns when something last came; zero: nothing did.
func (c *counts) seen() time.Time {
	if at := c.at.Load(); at > 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}

// bygone are the sums of connections that have ended. The server's lock guards them.
type bygone struct {
	in, out Flow
	dropped uint64
}

func (b *bygone) flows() (in, out Flow, dropped uint64) { return b.in, b.out, b.dropped }

// retire adds a connection that ends. The caller holds s.mu.
func (s *Server) retire(c *conn) {
	in, out, dropped := c.counts.flows()
	s.past.in.add(in)
	s.past.out.add(out)
	s.past.dropped += dropped
	if err := c.out.failure(); errors.Is(err, errStuck) || errors.Is(err, os.ErrDeadlineExceeded) {
		s.totals.stuck.Add(1)
	}
	if c.session != nil {
		s.lastSeen[c.session.user] = c.counts.seen()
	}
}

func (o *outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// totals are Totals as they are counted.
type totals struct {
	logins, refusedLogins, turnedAway, refusedMessages, refusedFilters atomic.Uint64
	floods, loginBlocks, overflows, stuck, panics                      atomic.Uint64
}

func (t *totals) now() Totals {
	return Totals{
		Logins: t.logins.Load(), RefusedLogins: t.refusedLogins.Load(), TurnedAway: t.turnedAway.Load(),
		RefusedMessages: t.refusedMessages.Load(), RefusedFilters: t.refusedFilters.Load(),
		Floods: t.floods.Load(), LoginBlocks: t.loginBlocks.Load(), Overflows: t.overflows.Load(),
		Stuck: t.stuck.Load(), Panics: t.panics.Load(),
	}
}
