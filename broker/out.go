package broker

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What a connection is closed for by the side that writes.
var (
	errClosed = errors.New("connection closed")
	errStuck  = errors.New("client does not take what is sent to it")
)

const (
	chunk    = 64 << 10 // bytes written under one deadline: with it, the least speed of a device
	headroom = 4        // answers may go over the bound for messages by this factor

	leftoverTime = 200 * time.Millisecond // for what has come by a connection that is replaced
	leftoverTLS  = 5 * time.Millisecond   // for it to come, where one cannot look
)

// outbox holds what is to be written to a device. Putting something in never waits: who does may
// hold locks that every publisher to its topics needs. What is in goes out by flush, as far as
// that goes without waiting, too; for a device that takes less, one goroutine, which lives while
// there is something to write, does the waiting.
type outbox struct {
	raw     net.Conn
	direct  syscall.RawConn // writes without waiting; nil: cannot, as by TLS
	try     func(fd uintptr) bool
	buffers *buffers
	timeout time.Duration // for each chunk
	limit   int           // bytes

	mu      sync.Mutex
	change  sync.Cond // room, or the end
	waiting *buffer   // nil: nothing
	bytes   int       // of waiting, and of what is being written
	writing bool      // somebody is; the next two are theirs
	trying  []byte
	tried   int
	touched *batch // which will flush
	err     error  // why nothing more is taken
	done    chan struct{}
	closeBy time.Time
	hurry   bool // nothing is waited for any more: see conn.fill
	lingers bool // what comes is read on when nothing more is written: see conn.linger
}

func newOutbox(raw net.Conn, timeout time.Duration, limit int, b *buffers) *outbox {
	o := &outbox{raw: raw, timeout: timeout, limit: limit, buffers: b, done: make(chan struct{})}
	o.change.L = &o.mu
	if c, ok := raw.(syscall.Conn); ok {
		if direct, err := c.SyscallConn(); err == nil {
			o.direct, o.try = direct, o.tryOnce
		}
	}
	return o
}

// Write takes p over. A device so far behind that not even answers find room is cut.
func (o *outbox) Write(p []byte) (int, error) {
	err := o.put(nil, func(to []byte) []byte { return append(to, p...) })
	o.flush()
	return len(p), err
}

// put adds what add appends, to be sent when b is flushed.
func (o *outbox) put(b *batch, add func([]byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	to, err := o.open()
	if err != nil {
		return err
	}
	return o.added(b, to, add(to.p))
}

// message adds a message, unless it is too long for its client, and returns its length.
func (o *outbox) message(b *batch, m *outgoing, f form) (size int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	to, err := o.open()
	if err != nil {
		return 0, err
	}
	p := m.append(to.p, f)
	size = len(p) - len(to.p)
	if f.most > 0 && uint32(size) > f.most {
		return 0, packets.ErrPacketTooLarge
	}
	return size, o.added(b, to, p)
}

// open returns where to append. The caller holds the lock.
func (o *outbox) open() (*buffer, error) {
	if o.err != nil {
		return nil, o.err
	}
	if o.waiting == nil {
		o.waiting = o.buffers.get()
	}
	return o.waiting, nil
}

// added makes p the content of to, what waits. The caller holds the lock.
func (o *outbox) added(b *batch, to *buffer, p []byte) error {
	n := len(p) - len(to.p)
	to.p = p
	if o.bytes > 0 && o.bytes+n > headroom*o.limit {
		o.bytes += n
		o.fail(errStuck)
		return o.err
	}
	o.bytes += n
	if b != nil && o.touched != b {
		o.touched = b
		b.boxes = append(b.boxes, o)
	}
	return nil
}

// fits reports whether a message of so many bytes may go in: an empty box takes any.
func (o *outbox) fits(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes == 0 || o.bytes+size <= o.limit
}

// pending is how many bytes have not been written yet.
func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// wait returns when a message of so many bytes fits, or with the reason why none ever will.
// A device that takes nothing is cut by the deadline for writing, which ends the wait.
func (o *outbox) wait(size int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.bytes > 0 && o.bytes+size > o.limit {
		o.change.Wait()
	}
	return o.err
}

// flush sends what waits, or sees to it that somebody does.
func (o *outbox) flush() {
	b := o.take()
	if b == nil {
		return
	}
	n := 0
	if o.direct != nil {
		n = o.tryWrite(b.p)
		o.wrote(n, nil)
	}
	if n == len(b.p) {
		if !o.next(b) {
			return
		}
		n = 0
	}
	go o.drain(b, n)
}

// take takes over what waits, and the writing; nil: there is nothing, or somebody is at it.
func (o *outbox) take() *buffer {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.touched = nil
	if o.writing || o.waiting == nil {
		return nil
	}
	o.writing = true
	b := o.waiting
	o.waiting = nil
	return b
}

// tryWrite writes as much of p as the system takes at once.
func (o *outbox) tryWrite(p []byte) int {
	o.trying, o.tried = p, 0
	_ = o.direct.Write(o.try) // an error is met again by who waits
	o.trying = nil
	return o.tried
}

func (o *outbox) tryOnce(fd uintptr) bool {
	n, _ := syscall.Write(int(fd), o.trying)
	o.tried = max(n, 0)
	return true
}

// next gives back the writing and b, all of which has been written, unless more has come, which
// b holds then.
func (o *outbox) next(b *buffer) (more bool) {
	more, end := o.swap(b)
	if end {
		o.hangUp()
	}
	return more
}

// hangUp ends the connection, or only our side of it when the other's is to be heard out. By
// TLS it may wait.
func (o *outbox) hangUp() {
	if half, ok := o.raw.(interface{ CloseWrite() error }); ok && o.lingering() && half.CloseWrite() == nil {
		return
	}
	_ = o.raw.Close()
}

func (o *outbox) lingering() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lingers
}

// linger has what comes read on at the end.
func (o *outbox) linger() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lingers = true
}

func (o *outbox) swap(b *buffer) (more, end bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.p = b.p[:0]
	if o.waiting == nil {
		o.buffers.put(b)
		o.writing = false
		return false, o.err != nil
	}
	*b, *o.waiting = *o.waiting, *b
	o.buffers.put(o.waiting)
	o.waiting = nil
	return true, false
}

// drain writes b, of which so many bytes are written already, and what comes meanwhile.
func (o *outbox) drain(b *buffer, written int) {
	for {
		for rest := b.p[written:]; len(rest) > 0; {
			n := min(len(rest), chunk)
			err := o.raw.SetWriteDeadline(o.deadline())
			if err == nil {
				_, err = o.raw.Write(rest[:n])
			}
			o.wrote(n, err)
			rest = rest[n:]
		}
		_ = o.raw.SetWriteDeadline(time.Time{}) // for tryWrite; fails when the connection is closed
		if !o.next(b) {
			return
		}
		written = 0
	}
}

func (o *outbox) deadline() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := time.Now().Add(o.timeout)
	if !o.closeBy.IsZero() && o.closeBy.Before(d) {
		d = o.closeBy
	}
	return d
}

func (o *outbox) wrote(n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	if err != nil {
		o.fail(err)
	}
	o.change.Broadcast()
}

// fail drops what waits and closes the connection. The caller holds the lock.
func (o *outbox) fail(err error) {
	if o.err == nil {
		o.err = err
		close(o.done)
	}
	if o.waiting != nil {
		o.bytes -= len(o.waiting.p)
		o.waiting = nil
	}
	_ = socket(o.raw).Close()
	o.change.Broadcast()
}

// socket is what lies under TLS, whose goodbye could wait for a device that does not read.
func socket(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// close lets what waits be written, as a refusal, within one deadline; no more is taken and
// nothing more is read.
func (o *outbox) close() error {
	defer o.flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil
	}
	o.err = errClosed
	close(o.done)
	o.change.Broadcast()
	if !o.writing && o.waiting == nil {
		go o.hangUp()
	}
	o.closeBy = time.Now().Add(o.timeout)
	return o.raw.SetReadDeadline(time.Unix(1, 0))
}

// readUntil sets the deadline for reading, unless the connection ends already.
func (o *outbox) readUntil(t time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil || o.hurry {
		return o.err
	}
	return o.raw.SetReadDeadline(t)
}

// leave has the reader end the connection when it has read what has come, and returns when it
// has, or has had its time.
func (o *outbox) leave() {
	o.mu.Lock()
	end := time.Unix(1, 0)
	if o.direct == nil {
		end = time.Now().Add(leftoverTLS)
	}
	o.hurry = true
	_ = o.raw.SetReadDeadline(end) // fails when it has ended
	o.mu.Unlock()
	timer := time.NewTimer(leftoverTime)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
	}
}

func (o *outbox) hurried() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hurry
}

// abort closes at once.
func (o *outbox) abort(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(err)
}

func (o *outbox) closed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil
}

// batch are the outboxes into which one goroutine has put something. It flushes them when it
// has put everything in, or before it waits for something: so a burst of packets costs one
// write to each device.
type batch struct{ boxes []*outbox }

func (b *batch) flush() {
	for i, o := range b.boxes {
		o.flush()
		b.boxes[i] = nil
	}
	b.boxes = b.boxes[:0]
}

// buffers are shared by the connections, most of which need none most of the time.
type buffers struct{ pool sync.Pool }

type buffer struct{ p []byte }

func (x *buffers) get() *buffer {
	if b, ok := x.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 0, smallInbox)}
}

func (x *buffers) put(b *buffer) {
	if cap(b.p) <= chunk {
		x.pool.Put(b)
	}
}
