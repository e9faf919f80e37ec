package broker

import "sync"

const (
	maxUnanswered      = 1024    // publications of one client whose answers wait for the disk
	maxUnansweredBytes = 1 << 20 // of these
	spareAnswers       = 32      // for which memory is kept
)

// acks are the answers to a client's publications, in their order (MQTT 5.0, 4.6). Each goes
// out when what it promises is durable; meanwhile the client is read on, so that one sync
// serves all that came.
type acks struct {
	c *conn

	mu      sync.Mutex
	waiting []ack
	bytes   int
	room    chan struct{} // closed when fewer wait; nil when nobody cares
}

// ack is one of them.
type ack struct {
	record uint64 // of the log, to be durable first; 0: none
	size   int    // bytes of what is acknowledged
	id     uint16
	kind   byte
	code   byte
}

// add answers, now or later.
func (a *acks) add(x ack, log *keptLog) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !log.follow(a, x.record) && len(a.waiting) == 0 {
		a.send(x, &a.c.batch)
		return
	}
	a.waiting = append(a.waiting, x)
	a.bytes += x.size
}

func (a *acks) send(x ack, b *batch) {
	a.c.counts.out.add(x.kind, 4)
	_ = a.c.out.put(b, func(p []byte) []byte { return appendAnswer(p, x.kind, x.id, x.code) }) // fails when the client is gone
}

// reached sends what waits for a record up to this one, and reports whether that is all.
func (a *acks) reached(record uint64) (all bool) {
	var b batch
	defer b.flush()
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.waiting) && a.waiting[n].record <= record {
		a.send(a.waiting[n], &b)
		a.bytes -= a.waiting[n].size
		n++
	}
	a.waiting = append(a.waiting[:0], a.waiting[n:]...)
	if len(a.waiting) == 0 && cap(a.waiting) > spareAnswers {
		a.waiting = nil
	}
	if a.room != nil && !a.full() {
		close(a.room)
		a.room = nil
	}
	return len(a.waiting) == 0
}

// full reports whether no more may wait. The caller holds the lock.
func (a *acks) full() bool {
	return len(a.waiting) >= maxUnanswered || a.bytes >= maxUnansweredBytes
}

// wait returns when more answers may wait, or with the reason why none ever will.
func (a *acks) wait() error {
	for {
		a.mu.Lock()
		if !a.full() {
			a.mu.Unlock()
			return nil
		}
		if a.room == nil {
			a.room = make(chan struct{})
		}
		room := a.room
		a.mu.Unlock()
		select {
		case <-room:
		case <-a.c.out.done:
			return errClosed
		}
	}
}
