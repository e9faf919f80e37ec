package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// deliverPatience bounds how long a device waits for its acknowledgement.
const deliverPatience = 5 * time.Second

// What keeps a reading from being heard.
var (
	errGone = errors.New("the house takes no more readings")
	errLate = errors.New("the house or its journal does not answer")
)

// deliver brings an input of the network to the house and returns when what the house wrote
// down of it is durable, or when the journal is known to fail: only then is the device told
// that it was heard. The error says that nobody knows.
func (h *hub) deliver(in door.Input) error {
	taken := h.deliveries.expect(in)
	h.sendBehind(in)
	timer := time.NewTimer(deliverPatience)
	defer timer.Stop()
	var durable <-chan struct{}
	gone := h.gone
	for {
		select {
		case durable = <-taken:
			if taken = nil; durable == nil {
				return nil
			}
		case <-durable:
			return nil
		case <-gone: // what it took before is still written down
			if gone = nil; taken != nil && len(taken) == 0 {
				return errGone
			}
		case <-timer.C:
			return fmt.Errorf("%w for %s", errLate, deliverPatience)
		}
	}
}

// deliveries are the inputs whose senders wait for them.
type deliveries struct {
	mu sync.Mutex
	m  map[door.Input][]chan (<-chan struct{})
}

// expect returns a channel that tells, once the house has taken in once more, what to wait for.
func (d *deliveries) expect(in door.Input) <-chan (<-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.m == nil {
		d.m = map[door.Input][]chan (<-chan struct{}){}
	}
	taken := make(chan (<-chan struct{}), 1)
	d.m[in] = append(d.m[in], taken)
	return taken
}

// taken tells all who wait for in that the house has taken it, and what to wait for now.
func (d *deliveries) taken(in door.Input, durable <-chan struct{}) {
	switch in.(type) {
	case door.Sensor, door.Fault: // nobody waits for others, and not every input can be a key
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.m[in] {
		c <- durable
	}
	delete(d.m, in)
}
