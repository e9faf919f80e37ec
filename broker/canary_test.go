package broker

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// lastBreath is how long the canary may wait for an answer: far longer than even a machine takes
// that is busy with other things, so that only a broker that hangs reaches it.
const lastBreath = time.Minute

// sing has one decent client say something and another hear it, again and again until ctx ends.
// It returns how often, and the longest wait.
func sing(ctx context.Context, tb testing.TB, mouth, ear *Client) (n int, worst time.Duration) {
	heard := make(chan string, 1000)
	if err := ear.Subscribe(ctx, "doorhub/instance/canary/#", 1, func(m Message) { heard <- string(m.Payload) }); err != nil {
		tb.Errorf("the canary cannot subscribe: %v", err)
		return 0, 0
	}
	for ctx.Err() == nil {
		n++
		said, began := "still there "+strconv.Itoa(n), time.Now()
		limit, cancel := context.WithTimeout(context.Background(), lastBreath)
		err := mouth.Publish(limit, Message{Topic: "doorhub/instance/canary/song", Payload: []byte(said), QoS: 1})
		for got := ""; err == nil && got != said; {
			select {
			case got = <-heard:
			case <-limit.Done():
				err = limit.Err()
			}
		}
		cancel()
		if err != nil {
			tb.Errorf("the canary heard nothing for %s: %v; meanwhile\n%s", time.Since(began), err, goroutines())
			return n, time.Since(began)
		}
		worst = max(worst, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return n, worst
}

// canary has decent clients talk until stop, which fails the test when they were disturbed: when
// an answer did not come, or a connection was lost.
func (h *house) canary(t *testing.T) (stop func()) {
	t.Helper()
	lost := make(chan error, 10)
	told := func(c *ClientConfig) {
		c.ClientID = "canary"
		c.Problem = func(err error) {
			if err != nil {
				lost <- err
			}
		}
	}
	mouth, ear := h.client(t, "hub", told), h.client(t, "viewer", told)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, worst := sing(ctx, t, mouth, ear)
		t.Logf("the canary sang %d times and waited %s at most", n, worst.Round(time.Millisecond))
	}()
	return func() {
		t.Helper()
		cancel()
		<-done
		select {
		case err := <-lost:
			t.Errorf("the canary was cut: %v", err)
		default:
		}
	}
}
