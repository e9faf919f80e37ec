package broker

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	maxWindow   = 512      // messages sent to a client and not acknowledged
	maxQueued   = 60_000   // messages queued for a client: there are 65,535 packet ids
	queuedCost  = 300      // bytes that a queued message takes besides its topic and payload
	leastSpeed  = 64 << 10 // bytes a second that a client too far behind must take to stay
	selfPublish = 2        // a client's own messages may take its queue over the bound by this factor
)

// session is what the broker knows of a client beyond its connection, in place of mochi-mqtt
// v2.7.9's, which keeps both directions' packet ids in one map, sends queued messages in the
// wrong order, loses those that come while a session changes hands, drops what it has
// acknowledged when a client is slow, and leaves subscriptions behind when it expires.
//
// Everything sent at QoS 1 or 2 stands in queue, in order and with its packet id, until the
// client has acknowledged it. The first of them, as many as the client's window takes, are sent.
type session struct {
	id, user string
	token    [sha256.Size]byte // the hash of what the user had when it began: with another token it is another's
	version  byte
	log      *keptLog

	mu      sync.Mutex
	keep    bool   // while the client is away, and in the log
	life    uint32 // seconds, by version 5
	subs    map[string]packets.Subscription
	filters int   // bytes that they take
	conn    *conn // nil while the client is away
	ready   bool  // the client has been told that it is in
	queue   line
	byID    map[uint16]*outgoing // of queue
	unsent  *outgoing            // the first not sent on this connection
	flying  int                  // sent and not acknowledged
	lastID  uint16
	bytes   int
	room    chan struct{}   // closed when the queue gets shorter; nil when nobody waits
	behind  time.Time       // since when the queue is over its bound; zero: it is not
	taken   int             // bytes acknowledged since
	got     map[uint16]bool // QoS 2 packet ids of the client's that it has not released; true: the message has been handed on
	seen    time.Time       // when something last came from a client that is away
	until   time.Time       // when the session ends, if the client stays away
	expiry  *time.Timer     // at until
	will    *time.Timer     // tells a delayed will
	tell    func()          // what it does
}

func newSession(id, user string, log *keptLog) *session {
	return &session{id: id, user: user, log: log}
}

// connection returns what the client is connected by; nil: it is away.
func (x *session) connection() *conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn
}

// attach gives the session a new connection, on which nothing has been sent yet.
func (x *session) attach(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn, x.ready = c, false
	x.unsent, x.flying = x.queue.front, 0
	x.behind = time.Time{}
	for o := x.queue.front; o != nil; o = o.next {
		o.again, o.sent = o.again || o.sent, false
	}
	x.stopTimers()
	x.makeRoom()
}

// begin sends what is queued.
func (x *session) begin(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == c {
		x.ready = true
		x.pump(&c.batch)
	}
}

// detach takes the connection away, unless the session has another by now, and reports whether
// the session is kept without one.
func (x *session) detach(c *conn) (keep bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == c {
		x.conn, x.ready, x.seen = nil, false, c.counts.seen()
		x.makeRoom()
	}
	return x.keep
}

// send writes a QoS 0 message. It is dropped when the client is away or too far behind.
func (x *session) send(o *outgoing, b *batch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !x.ready:
	case x.conn.out.fits(o.size()):
		_ = x.conn.message(o, b) // one too long is left out, too
	default:
		x.conn.counts.dropped.Add(1)
	}
}

// offer takes a message for the client if there is room for it, and returns what to wait for
// before anybody is told that it is safe.
func (x *session) offer(o *outgoing, limit int, b *batch) (record uint64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.hasRoom(o.size(), limit) {
		return 0, false
	}
	return x.add(o, b), true
}

// enqueue takes a message in any case.
func (x *session) enqueue(o *outgoing, b *batch) (record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.add(o, b)
}

// add queues a message, unless the client is away for good. The caller holds the lock.
func (x *session) add(o *outgoing, b *batch) (record uint64) {
	if x.conn == nil && !x.keep || x.queue.n >= maxQueued {
		return 0
	}
	o.id = x.nextID()
	record = x.note(note{kind: noteMsg, pid: o.id, msg: o})
	x.push(o)
	x.pump(b)
	return record
}

func (x *session) push(o *outgoing) {
	x.queue.push(o)
	if x.byID == nil {
		x.byID = map[uint16]*outgoing{}
	}
	x.byID[o.id] = o
	x.bytes += o.size()
	if x.unsent == nil {
		x.unsent = o
	}
}

// nextID returns a packet id that is not in use. There is one, by maxQueued.
func (x *session) nextID() uint16 {
	for {
		x.lastID++
		if _, used := x.byID[x.lastID]; x.lastID != 0 && !used {
			return x.lastID
		}
	}
}

// pump sends as many messages as the client takes now. The caller holds the lock.
func (x *session) pump(b *batch) {
	for x.ready && x.unsent != nil && x.flying < x.conn.window {
		o := x.unsent
		x.unsent = o.next
		if o.expired() {
			x.remove(o)
			continue
		}
		o.sent = true
		x.flying++
		if err := x.conn.message(o, b); err == packets.ErrPacketTooLarge { // for this client
			x.remove(o) // (MQTT 5.0, 3.1.2.11.4)
		}
	}
}

// message sends o. The caller holds the session's lock.
func (c *conn) message(o *outgoing, b *batch) error {
	kind, f, isNew := byte(typePubrel), form{v5: c.v5, most: c.longest}, false
	if !o.released {
		kind = typePublish
		f.alias, isNew = c.aliases.of(o.topic)
		f.bare = f.alias > 0 && !isNew
	}
	n, err := c.out.message(b, o, f)
	if err == nil {
		c.counts.out.add(kind, n)
	} else if isNew { // the client has not seen it
		delete(c.aliases.known, o.topic)
	}
	return err
}

// remove is the end of a message. The caller holds the lock.
func (x *session) remove(o *outgoing) {
	x.queue.remove(o)
	delete(x.byID, o.id)
	x.note(note{kind: noteDone, pid: o.id})
	if o.sent {
		x.flying--
	}
	x.bytes -= o.size()
	x.taken += o.size()
	x.makeRoom()
}

func (x *session) makeRoom() {
	if x.room != nil {
		close(x.room)
		x.room = nil
	}
}

// acked deals with a client's answer to a message sent to it, and reports whether there is one
// of this packet id that it can be an answer to, and what to wait for before going on.
func (x *session) acked(kind byte, id uint16, refused bool, b *batch) (known bool, record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.byID[id]
	if o == nil || !o.sent {
		return false, 0
	}
	switch {
	case kind == packets.Puback && o.qos == 1,
		kind == packets.Pubrec && o.qos == 2 && refused && !o.released,
		kind == packets.Pubcomp && o.released:
		x.remove(o)
		x.pump(b)
	case kind == packets.Pubrec && o.qos == 2:
		o.released = true
		return true, x.note(note{kind: noteRel, pid: id})
	default:
		return false, 0
	}
	return true, 0
}

// receive begins with a QoS 2 message of the client, if it is a new one.
func (x *session) receive(id uint16) (isNew bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, had := x.got[id]; had {
		return false
	}
	if x.got == nil {
		x.got = map[uint16]bool{}
	}
	x.got[id] = false
	return true
}

// noteReceived notes that the message has been handed on, and returns what to wait for before
// acknowledging it. Noted before, it would after a kill in between be taken for one that was.
func (x *session) noteReceived(id uint16) (record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, has := x.got[id]; !has { // released by another connection
		return 0
	}
	x.got[id] = true
	return x.note(note{kind: noteGot, pid: id})
}

// release forgets a QoS 2 message of the client and reports whether there was one, and what to
// wait for before saying so.
func (x *session) release(id uint16) (had bool, record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, had = x.got[id]; !had {
		return false, 0
	}
	delete(x.got, id)
	return true, x.note(note{kind: noteFree, pid: id})
}

// fallBehind notes since when the queue has been full.
func (x *session) fallBehind() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.behind.IsZero() {
		x.behind, x.taken = time.Now(), 0
	}
}

// offerUntil takes a message as soon as there is room for it. A connected client is given until over
// to make room, and is cut when it does not, or takes so little that it would hold up everybody
// for long. The queue of a client that is away either has room or has not.
func (x *session) offerUntil(o *outgoing, limit int, patience time.Duration, over <-chan struct{}, b *batch) (record uint64, ok bool) {
	for {
		record, ok, wait := x.offerOrWait(o, limit, patience, b)
		if wait == nil {
			return record, ok
		}
		b.flush()
		select {
		case <-wait:
		case <-over:
			x.cut()
		}
	}
}

func (x *session) offerOrWait(o *outgoing, limit int, patience time.Duration, b *batch) (record uint64, ok bool, wait <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ok, wait = x.roomFor(o.size(), limit, patience); ok {
		record = x.add(o, b)
	}
	return record, ok, wait
}

// roomFor reports whether there is room or, when it pays to wait, what to wait for. The caller
// holds the lock.
func (x *session) roomFor(size, limit int, patience time.Duration) (bool, <-chan struct{}) {
	if x.hasRoom(size, limit) {
		return true, nil
	}
	if x.conn == nil || x.conn.out.closed() {
		return false, nil
	}
	if x.behind.IsZero() { // it was not, and is again
		x.behind, x.taken = time.Now(), 0
	}
	if since := time.Since(x.behind); since > patience && float64(x.taken) < leastSpeed*since.Seconds() {
		x.conn.out.abort(errStuck)
		return false, nil
	}
	if x.room == nil {
		x.room = make(chan struct{})
	}
	return false, x.room
}

// hasRoom reports whether there is room for a message of so many bytes. The caller holds the lock.
func (x *session) hasRoom(size, limit int) bool {
	if x.queue.n > 0 && (x.bytes+size > limit || x.queue.n >= maxQueued) {
		return false
	}
	if x.bytes < limit/2 {
		x.behind = time.Time{}
	}
	return true
}

// cut ends the connection of a client that does not take what is sent to it.
func (x *session) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn != nil {
		x.conn.out.abort(errStuck)
	}
}

// over reports whether the queue is longer than so many bytes or as messages as there may be.
func (x *session) over(limit int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bytes > limit || x.queue.n >= maxQueued
}

// identifiers returns the subscription identifiers of a subscription that may be several.
func identifiers(sub packets.Subscription) []int {
	var ids []int
	for _, id := range sub.Identifiers {
		if id > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
