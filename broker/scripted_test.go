package broker

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
)

// scripted is a broker of few words, which lives in a bubble of fake time.
type scripted struct {
	t      *testing.T
	began  time.Time
	mu     sync.Mutex
	dials  []time.Duration // when somebody connected
	accept func(n int) bool
	answer func(conn net.Conn, n int, p packets.ControlPacket) // n: which connection, from 0
}

func newScripted(t *testing.T) *scripted {
	s := &scripted{t: t, began: time.Now(), accept: func(int) bool { return true }}
	s.answer = func(conn net.Conn, _ int, p packets.ControlPacket) { s.polite(conn, p) }
	return s
}

func (s *scripted) dial(context.Context) (net.Conn, error) {
	s.mu.Lock()
	n := len(s.dials)
	s.dials = append(s.dials, time.Since(s.began))
	s.mu.Unlock()
	if !s.accept(n) {
		return nil, errors.New("nobody there")
	}
	near, far := net.Pipe()
	go func() {
		in := bufio.NewReader(far)
		for {
			p, err := packets.ReadPacket(in)
			if err != nil {
				return
			}
			s.answer(far, n, p)
		}
	}()
	return near, nil
}

// polite answers as any broker does.
func (s *scripted) polite(conn net.Conn, p packets.ControlPacket) {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		s.send(conn, packets.NewControlPacket(packets.Connack))
	case *packets.SubscribePacket:
		a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		a.MessageID, a.ReturnCodes = p.MessageID, slices.Clone(p.Qoss)
		s.send(conn, a)
	case *packets.PublishPacket:
		a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		a.MessageID = p.MessageID
		s.send(conn, a)
	case *packets.PingreqPacket:
		s.send(conn, packets.NewControlPacket(packets.Pingresp))
	}
}

func (s *scripted) send(conn net.Conn, p packets.ControlPacket) {
	_ = p.Write(conn) // fails when the client is gone
}

func (s *scripted) client(change ...func(*ClientConfig)) *Client {
	cc := ClientConfig{Conn: s.dial, ClientID: "x"}
	for _, f := range change {
		f(&cc)
	}
	c, err := Dial(s.t.Context(), cc)
	must(s.t, err)
	return c
}

func TestRetriesAreAtMostHalfAMinuteApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		s.accept = func(int) bool { return false }
		c := s.client()
		time.Sleep(2 * time.Minute)
		c.Close()
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, s.dials); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

// A broker that takes a message and never answers is left, and the caller told in time.
func TestSilentBrokerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		s.answer = func(conn net.Conn, n int, p packets.ControlPacket) {
			if _, ok := p.(*packets.PublishPacket); n > 0 || !ok {
				s.polite(conn, p)
			}
		}
		c := s.client()
		defer c.Close()
		must(t, c.Ready(t.Context()))
		m := Message{Topic: "a", QoS: 1}
		if err := c.Publish(t.Context(), m); !errors.Is(err, ErrDown) || time.Since(s.began) != answerPatience {
			t.Errorf("after %s: %v", time.Since(s.began), err)
		}
		time.Sleep(2 * time.Second)
		must(t, c.Ready(t.Context()))
		must(t, c.Publish(t.Context(), m))
	})
}

// So is one that reads nothing: a write takes no longer than its time-out, and neither does who
// waits for it.
func TestDeafBrokerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, hold := newScripted(t), make(chan struct{})
		s.answer = func(conn net.Conn, n int, p packets.ControlPacket) {
			if s.polite(conn, p); n == 0 {
				<-hold
			}
		}
		c := s.client()
		defer c.Close()
		must(t, c.Ready(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Publish(ctx, Message{Topic: "a"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(s.began) != time.Second {
			t.Errorf("after %s: %v", time.Since(s.began), err)
		}
		time.Sleep(answerPatience + firstRetry)
		s.mu.Lock()
		if len(s.dials) != 2 {
			t.Errorf("connections: %v", s.dials)
		}
		s.mu.Unlock()
		must(t, c.Ready(t.Context()))
		must(t, c.Publish(t.Context(), Message{Topic: "a"}))
		close(hold)
	})
}

// A connection that is open no more counts as none, whatever else is still to be done for it.
func TestOpenConnectionsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		s.answer = func(conn net.Conn, _ int, p packets.ControlPacket) {
			if s.polite(conn, p); p.Details().Qos > 0 {
				_ = conn.Close()
			}
		}
		c := s.client()
		done := make(chan struct{})
		var once sync.Once
		c.OnUp(func() {
			once.Do(func() {
				must(t, c.Publish(t.Context(), Message{Topic: "last", QoS: 1}))
				time.Sleep(time.Second)
				at := time.Now()
				if err := c.Publish(t.Context(), Message{Topic: "a"}); c.Up() || !errors.Is(err, ErrDown) || time.Since(at) > 0 {
					t.Errorf("up %t, publish after %s: %v", c.Up(), time.Since(at), err)
				}
				close(done)
			})
		})
		<-done
		c.Close()
	})
}

// A handler that takes its time holds up no acknowledgement of what is published meanwhile.
func TestHandlersOnlyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		c := s.client()
		defer c.Close()
		must(t, c.Ready(t.Context()))
		busy, hold := make(chan struct{}), make(chan struct{})
		must(t, c.Subscribe(t.Context(), "slow", 1, func(Message) { close(busy); <-hold }))
		s.answer = func(conn net.Conn, _ int, p packets.ControlPacket) {
			if pub, ok := p.(*packets.PublishPacket); ok && pub.TopicName == "start" {
				m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
				m.TopicName, m.Qos, m.MessageID = "slow", 1, 1
				s.send(conn, m)
			}
			s.polite(conn, p)
		}
		must(t, c.Publish(t.Context(), Message{Topic: "start", QoS: 1}))
		<-busy
		must(t, c.Publish(t.Context(), Message{Topic: "meanwhile", QoS: 1}))
		if waited := time.Since(s.began); waited != 0 {
			t.Errorf("it waited %s", waited)
		}
		close(hold)
	})
}

// What a broker sends to a session that it keeps.
func TestSentAgain(t *testing.T) {
	type sent struct {
		id    uint16
		text  string
		again bool
	}
	for name, c := range map[string]struct {
		sent []sent
		want string
	}{
		"while it waits": {[]sent{{1, "a", false}, {2, "b", false}, {1, "a", true}, {2, "b", true}}, "a b"},
		// Mosquitto: first what was on its way, in order.
		"before what is new": {[]sent{{1, "a", true}, {2, "b", true}, {3, "c", false}}, "a b c"},
		// NATS: when it was not acknowledged for so long.
		"behind what is new": {[]sent{{3, "c", false}, {1, "a", true}, {2, "b", true}}, "c a c b c"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t)
				acked := make(chan uint16, 10)
				s.answer = func(conn net.Conn, _ int, p packets.ControlPacket) {
					if a, ok := p.(*packets.PubackPacket); ok {
						acked <- a.MessageID
					}
					s.polite(conn, p)
					if _, ok := p.(*packets.SubscribePacket); !ok {
						return
					}
					for _, one := range c.sent {
						m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
						m.TopicName, m.Qos, m.Dup, m.MessageID, m.Payload = "doorhub/in/a/contact", 1, one.again, one.id, []byte(one.text)
						s.send(conn, m)
					}
				}
				var taken []string
				client := s.client(keeping(func(text string) error {
					taken = append(taken, text)
					time.Sleep(time.Second)
					return nil
				}))
				time.Sleep(10 * time.Second)
				client.Close()
				ids := map[uint16]bool{}
				for _, one := range c.sent {
					ids[one.id] = true
				}
				if got := strings.Join(taken, " "); got != c.want || len(acked) != len(ids) {
					t.Errorf("taken: %s, want %s; %d acknowledged", got, c.want, len(acked))
				}
			})
		})
	}
}

// An address where nobody answers costs no pause while there is another.
func TestNextAddress(t *testing.T) {
	h := start(t)
	c := h.client(t, "hub", func(cc *ClientConfig) {
		cc.URL = "mqtt://127.0.0.1:1, mqtt://" + h.Addr()
		cc.Retry = time.Hour
	})
	must(t, c.Publish(soon(t), Message{Topic: "doorhub/x", QoS: 1}))
	if got := c.Link().URL; got != "mqtt://"+h.Addr() {
		t.Errorf("connected to %s", got)
	}
}
