package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keeping subscribes to readings for which the broker keeps a session, and has take decide what
// becomes of each.
func keeping(take func(text string) error) func(*ClientConfig) {
	return func(cc *ClientConfig) {
		cc.Keep = []Keep{{"doorhub/in/+/contact", func(_ context.Context, m Message) error { return take(string(m.Payload)) }}}
		cc.Retry = time.Millisecond
	}
}

func say(t *testing.T, c *Client, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		must(t, c.Publish(soon(t), Message{Topic: "doorhub/in/sensor/contact", Payload: []byte(strconv.Itoa(n)), QoS: 1}))
	}
}

func TestKeptMessagesWait(t *testing.T) {
	h := start(t)
	sensor := h.client(t, "sensor")
	got := make(chan string, 10)
	take3 := func(from int) {
		t.Helper()
		for n := from; n < from+3; n++ {
			if text := take(t, got); text != strconv.Itoa(n) {
				t.Errorf("got %s, want %d", text, n)
			}
		}
	}
	hear := keeping(func(text string) error { got <- text; return nil })
	for n := 1; n < 9; n += 6 {
		c := h.client(t, "hub", hear)
		say(t, sensor, n, n+2)
		take3(n)
		c.Close()
		say(t, sensor, n+3, n+5)
		c = h.client(t, "hub", hear)
		take3(n + 3)
		c.Close()
	}
	if len(got) > 0 {
		t.Errorf("and again %s", <-got)
	}
}

// What could not be taken comes again, and what came behind it is not taken before.
func TestKeptMessagesComeAgain(t *testing.T) {
	h := start(t)
	var log []string
	done := make(chan struct{})
	failures := 0
	h.client(t, "hub", keeping(func(text string) error {
		if text == "2" && failures < 3 {
			failures++
			return errors.New("not now")
		}
		if log = append(log, text); text == "5" {
			close(done)
		}
		return nil
	}))
	say(t, h.client(t, "sensor"), 1, 5)
	<-done
	if diff := cmp.Diff([]string{"1", "2", "3", "4", "5"}, log); diff != "" || failures != 3 {
		t.Errorf("%d failures, taken (-want +got):\n%s", failures, diff)
	}
}

// More than can wait comes again, too: none is lost, and the last word is the last.
func TestKeptMessagesOverflow(t *testing.T) {
	const all = 20
	h := start(t)
	hold, got := make(chan struct{}), make(chan int, 1000)
	h.client(t, "hub", keeping(func(text string) error {
		<-hold
		n, err := strconv.Atoi(text)
		got <- n
		return err
	}), func(cc *ClientConfig) { cc.Queue = 2 })
	say(t, h.client(t, "sensor"), 1, all)
	close(hold)
	var seen []int
	for !slices.Contains(seen, all) {
		seen = append(seen, take(t, got))
	}
	if sorted := slices.Compact(slices.Clone(seen)); !slices.IsSorted(sorted) || len(sorted) != all {
		t.Errorf("taken: %v", seen)
	}
}
