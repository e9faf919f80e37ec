package broker

import (
	"container/list"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
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
// wrong order, loses those that come while a session changes hands and drops what it has
// acknowledged when a client is slow.
//
// Everything sent at QoS 1 or 2 stands in queue, in order and with its packet id, until the
// client has acknowledged it. The first of them, as many as the client's window takes, are sent.
type session struct {
	id, user string
	token    [sha256.Size]byte // the hash of what the user had when it began: with another token it is another's
	version  byte
	log      *sessionLog

	mu     sync.Mutex
	keep   bool   // while the client is away, and in the log
	life   uint32 // seconds, by version 5
	subs   map[string]packets.Subscription
	conn   *conn        // nil while the client is away
	cl     *mqtt.Client // nil until the client has been told that it is in
	queue  *list.List   // of *outgoing
	byID   map[uint16]*list.Element
	unsent *list.Element // the first not sent on this connection
	flying int           // sent and not acknowledged
	lastID uint16
	bytes  int
	room   chan struct{}       // closed when the queue gets shorter; nil when nobody waits
	behind time.Time           // since when the queue is over its bound; zero: it is not
	taken  int                 // bytes acknowledged since
	got    map[uint16]struct{} // QoS 2 packet ids of the client's that it has not released
	will   *time.Timer         // tells a delayed will
	seen   time.Time           // when something last came from a client that is away
}

// outgoing is a message on its way to one client. pk is shared with other receivers.
type outgoing struct {
	pk       *packets.Packet
	id       uint16 // 0 at QoS 0
	qos      byte
	retain   bool
	subs     []int // subscription identifiers
	again    bool  // sent before, perhaps
	sent     bool  // on this connection
	released bool  // QoS 2: the client has it, only the exchange is to be ended
}

func newSession(id, user string, log *sessionLog) *session {
	return &session{id: id, user: user, log: log, subs: map[string]packets.Subscription{}, queue: list.New(), byID: map[uint16]*list.Element{}, got: map[uint16]struct{}{}}
}

func (o *outgoing) size() int { return len(o.pk.TopicName) + len(o.pk.Payload) + queuedCost }

// packet is o as it is sent.
func (o *outgoing) packet() packets.Packet {
	if o.released {
		return answer(packets.Pubrel, o.id, 0)
	}
	pk := *o.pk
	pk.FixedHeader = packets.FixedHeader{Type: packets.Publish, Qos: o.qos, Retain: o.retain, Dup: o.again && o.qos > 0}
	pk.PacketID = o.id
	pk.Properties.SubscriptionIdentifier = o.subs
	return pk
}

func (o *outgoing) expired(now int64) bool {
	return !o.released && o.pk.Expiry > 0 && o.pk.Expiry <= now
}

// answer is an acknowledgement.
func answer(kind byte, id uint16, code byte) packets.Packet {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: id, ReasonCode: code}
	if kind == packets.Pubrel {
		pk.FixedHeader.Qos = 1
	}
	return pk
}

// attach gives the session a new connection, on which nothing has been sent yet.
func (x *session) attach(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conn, x.cl = c, nil
	x.unsent, x.flying = x.queue.Front(), 0
	x.behind = time.Time{}
	for e := x.queue.Front(); e != nil; e = e.Next() {
		o := e.Value.(*outgoing)
		o.again, o.sent = o.again || o.sent, false
	}
	if x.will != nil {
		x.will.Stop()
		x.will = nil
	}
	x.makeRoom()
}

// forgetWill lets a delayed will go untold.
func (x *session) forgetWill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.will != nil {
		x.will.Stop()
	}
}

// begin sends what is queued.
func (x *session) begin(cl *mqtt.Client, c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == c {
		x.cl = cl
		x.pump()
	}
}

// detach takes the connection away, unless the session has another by now.
func (x *session) detach(c *conn) (was bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn != c {
		return false
	}
	x.conn, x.cl, x.seen = nil, nil, c.counts.seen()
	x.makeRoom()
	return true
}

// send writes a QoS 0 message. It is dropped when the client is away or too far behind.
func (x *session) send(o *outgoing) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.cl == nil:
	case x.conn.out.fits(o.size()):
		_ = x.write(o)
	default:
		x.conn.counts.dropped.Add(1)
	}
}

// enqueue takes a message for the client, unless that is away for good, and returns what to
// wait for before anybody is told that it is safe.
func (x *session) enqueue(o *outgoing) (record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil && !x.keep || x.queue.Len() >= maxQueued {
		return 0
	}
	o.id = x.nextID()
	record = x.note(o.note())
	x.push(o)
	x.pump()
	return record
}

func (x *session) push(o *outgoing) {
	e := x.queue.PushBack(o)
	x.byID[o.id] = e
	x.bytes += o.size()
	if x.unsent == nil {
		x.unsent = e
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
func (x *session) pump() {
	for x.cl != nil && x.unsent != nil && x.flying < x.conn.window {
		e := x.unsent
		x.unsent = e.Next()
		o := e.Value.(*outgoing)
		if o.expired(time.Now().Unix()) {
			x.remove(e)
			continue
		}
		o.sent = true
		x.flying++
		if err := x.write(o); err == packets.ErrPacketTooLarge { // for this client
			x.remove(e) // (MQTT 5.0, 3.1.2.11.4)
		}
	}
}

// remove is the end of a message. The caller holds the lock.
func (x *session) remove(e *list.Element) {
	o := x.queue.Remove(e).(*outgoing)
	delete(x.byID, o.id)
	x.note(note{Kind: noteDone, PID: o.id})
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
func (x *session) acked(kind byte, id uint16, refused bool) (known bool, record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byID[id]
	if e == nil || !e.Value.(*outgoing).sent {
		return false, 0
	}
	o := e.Value.(*outgoing)
	switch {
	case kind == packets.Puback && o.qos == 1,
		kind == packets.Pubrec && o.qos == 2 && refused && !o.released,
		kind == packets.Pubcomp && o.released:
		x.remove(e)
		x.pump()
	case kind == packets.Pubrec && o.qos == 2:
		o.released = true
		return true, x.note(note{Kind: noteRel, PID: id})
	default:
		return false, 0
	}
	return true, 0
}

// receive notes a QoS 2 message of the client and reports whether it is a new one, and what to
// wait for before acknowledging it.
func (x *session) receive(id uint16) (isNew bool, record uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, had := x.got[id]; had {
		return false, 0
	}
	x.got[id] = struct{}{}
	return true, x.note(note{Kind: noteGot, PID: id})
}

// release forgets a QoS 2 message of the client and reports whether there was one.
func (x *session) release(id uint16) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, had := x.got[id]
	delete(x.got, id)
	if had {
		x.note(note{Kind: noteFree, PID: id})
	}
	return had
}

// fits waits until the queue takes a message of so many bytes. A connected client is given
// patience to make room, and is cut when it does not, or takes so little that it would hold up
// everybody for long. The queue of a client that is away either has room or has not.
func (x *session) fits(size, limit int, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		x.mu.Lock()
		ok, wait := x.roomFor(size, limit, patience)
		x.mu.Unlock()
		if wait == nil {
			return ok
		}
		select {
		case <-wait:
		case <-timer.C:
			x.cut()
		}
	}
}

// roomFor reports whether there is room or, when it pays to wait, what to wait for.
func (x *session) roomFor(size, limit int, patience time.Duration) (bool, <-chan struct{}) {
	if x.queue.Len() == 0 || x.bytes+size <= limit && x.queue.Len() < maxQueued {
		if x.bytes < limit/2 {
			x.behind = time.Time{}
		}
		return true, nil
	}
	if x.conn == nil || x.conn.out.closed() {
		return false, nil
	}
	if x.behind.IsZero() {
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
	return x.bytes > limit || x.queue.Len() >= maxQueued
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
