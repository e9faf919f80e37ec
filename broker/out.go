package broker

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What a connection is closed for by the side that writes.
var (
	errClosed = errors.New("connection closed")
	errStuck  = errors.New("client does not take what is sent to it")
)

const (
	chunk    = 64 << 10 // bytes written under one deadline: with it, the least speed of a device
	headroom = 4        // answers may go over the bound for messages by this factor
)

// outbox holds what is to be written to a device. Writing into it never waits: who writes may
// hold locks that every publisher to its topics needs. One goroutine, which lives while there is
// something to write, empties it.
type outbox struct {
	raw     net.Conn
	timeout time.Duration // for each chunk
	limit   int           // bytes

	mu      sync.Mutex
	change  sync.Cond // room, or the end
	waiting [][]byte
	bytes   int // of waiting, and of what is being written
	writing bool
	err     error         // why nothing more is taken
	done    chan struct{} // closed with err
	closeBy time.Time
	lingers atomic.Bool // what comes is read on when nothing more is written: see conn.linger
}

func newOutbox(raw net.Conn, timeout time.Duration, limit int) *outbox {
	o := &outbox{raw: raw, timeout: timeout, limit: limit, done: make(chan struct{})}
	o.change.L = &o.mu
	return o
}

// Write takes p over. A device so far behind that not even answers find room is cut.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	if o.bytes > 0 && o.bytes+len(p) > headroom*o.limit {
		o.fail(errStuck)
		return 0, o.err
	}
	o.waiting = append(o.waiting, append([]byte(nil), p...))
	o.bytes += len(p)
	if !o.writing {
		o.writing = true
		go o.flush()
	}
	return len(p), nil
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

func (o *outbox) flush() {
	for {
		p, deadline, end := o.take()
		if end {
			o.hangUp()
		}
		if p == nil {
			return
		}
		err := o.raw.SetWriteDeadline(deadline)
		if err == nil {
			_, err = o.raw.Write(p)
		}
		o.wrote(len(p), err)
	}
}

// take returns the next bytes to write; nil when there are none, and then whether to close.
func (o *outbox) take() (p []byte, deadline time.Time, end bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.writing = false
		o.waiting = nil
		return nil, time.Time{}, o.err != nil
	}
	deadline = time.Now().Add(o.timeout)
	if !o.closeBy.IsZero() && o.closeBy.Before(deadline) {
		deadline = o.closeBy
	}
	first := o.waiting[0]
	if len(first) >= chunk {
		o.waiting[0] = first[chunk:]
		if len(first) == chunk {
			o.waiting = o.waiting[1:]
		}
		return first[:chunk:chunk], deadline, false
	}
	n := 1
	for size := len(first); n < len(o.waiting) && size+len(o.waiting[n]) <= chunk; n++ {
		size += len(o.waiting[n])
		first = append(first, o.waiting[n]...)
	}
	clear(o.waiting[:n])
	o.waiting = o.waiting[n:]
	return first, deadline, false
}

// hangUp ends the connection, or only our side of it when the other's is to be heard out.
func (o *outbox) hangUp() {
	if half, ok := o.raw.(interface{ CloseWrite() error }); ok && o.lingers.Load() && half.CloseWrite() == nil {
		return
	}
	_ = o.raw.Close()
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
	for _, p := range o.waiting {
		o.bytes -= len(p)
	}
	o.waiting = nil
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
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil
	}
	o.err = errClosed
	close(o.done)
	o.change.Broadcast()
	if !o.writing {
		go o.hangUp()
	}
	o.closeBy = time.Now().Add(o.timeout)
	return o.raw.SetReadDeadline(time.Unix(1, 0))
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
