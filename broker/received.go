package broker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Keep is a subscription of which nothing is lost that the broker has acknowledged to its sender
// at QoS 1: it waits there while the client is away, and until Handle has dealt with it.
type Keep struct {
	Filter string
	// Handle is called as those of Subscribe are, for a message perhaps more than once. After an
	// error the connection is made anew, and the broker sends this message and those behind it
	// again, in their order. ctx ends with the client.
	Handle func(ctx context.Context, m Message) error
}

// wire is one connection of a client.
type wire struct {
	keeps bool // the broker keeps the session
	lost  chan error

	fresh map[string]Message // by topic, the last that was not sent again; the handling goroutine's own

	mu      sync.Mutex
	over    bool
	waiting map[uint16]bool // packet ids of messages not yet dealt with
}

// arrival is a message and the connection that it came by.
type arrival struct {
	paho.Message
	wire *wire
}

// kept reports whether the broker sends the message again, unless it is acknowledged.
func (a arrival) kept() bool { return a.wire.keeps && a.Qos() > 0 }

// end has nothing more handled that came by this connection and that the broker keeps: it comes
// again by the next one, and must not be handled behind what came later.
func (w *wire) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

func (w *wire) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// first notes a message as waiting; false when it does already. NATS sends again, by the same
// connection, what was not acknowledged in time.
func (w *wire) first(id uint16) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[uint16]bool{}
	}
	again := w.waiting[id]
	w.waiting[id] = true
	return !again
}

func (w *wire) remember(m Message) {
	if m.Retain {
		return // the broker's memory, and not news
	}
	if w.fresh == nil {
		w.fresh = map[string]Message{}
	}
	w.fresh[m.Topic] = m
}

func (w *wire) done(id uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, id)
}

// enqueue never blocks: paho reads nothing, not even acknowledgements, while a handler runs.
func (c *Client) enqueue(w *wire, m paho.Message) {
	a := arrival{m, w}
	if a.kept() && !w.first(m.MessageID()) {
		return
	}
	select {
	case c.queue <- a:
		return
	default:
	}
	if a.kept() {
		w.end()
		c.anew(fmt.Errorf("more than %d messages wait to be handled: let the broker have fewer on their way", c.cfg.Queue))
		return
	}
	c.problem(fmt.Errorf("%w: first on %s", ErrOverflow, m.Topic()))
	go m.Ack()
}

// handle calls the handlers of each message and then acknowledges it.
func (c *Client) handle(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-c.queue:
			c.take(ctx, a)
		}
	}
}

func (c *Client) take(ctx context.Context, a arrival) {
	if a.kept() && a.wire.ended() {
		return
	}
	m := Message{Topic: a.Topic(), Payload: a.Payload(), QoS: a.Qos(), Retain: a.Retained()}
	err := c.deliver(ctx, m)
	if err == nil && a.kept() {
		err = c.renew(ctx, a, m)
	}
	if err != nil && a.kept() {
		a.wire.end()
		c.anew(fmt.Errorf("%s: not taken, to be sent again: %w", a.Topic(), err))
		return
	}
	a.wire.done(a.MessageID()) // before the broker may use the id again
	a.Ack()
}

// renew delivers a topic's last message once more behind one that came late: where a node of a
// cluster fails, NATS sends again what was on its way, and sends what is newer meanwhile.
func (c *Client) renew(ctx context.Context, a arrival, m Message) error {
	if !a.Duplicate() {
		a.wire.remember(m)
		return nil
	}
	if last, ok := a.wire.fresh[m.Topic]; ok {
		return c.deliver(ctx, last)
	}
	return nil
}

func (c *Client) deliver(ctx context.Context, m Message) error {
	c.mu.Lock()
	subs := slices.Clone(c.subs)
	c.mu.Unlock()
	for _, s := range subs {
		if !Match(s.filter, m.Topic) {
			continue
		}
		if err := s.handle(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
