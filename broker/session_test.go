package broker

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

const burst = 10_000

// retain puts a burst of retained messages into a broker, past its disk.
func retain(s *mqtt.Server) {
	for i := range burst {
		pk := publication(fmt.Sprintf("doorhub/sensor/s%d/contact", i), "open", 1, true)
		pk.Created = 1
		s.Topics.RetainMessage(pk)
	}
}

func TestRetainedBurst(t *testing.T) {
	h := start(t)
	retain(h.mq)
	for _, qos := range []byte{0, 1} {
		p := h.in(t, h.as("viewer"))
		p.send(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
			Filters: packets.Subscriptions{{Filter: "doorhub/sensor/#", Qos: qos}},
		})
		topics := map[string]bool{}
		for len(topics) < burst {
			pk := p.next(packets.Publish)
			topics[pk.TopicName] = true
			if !pk.FixedHeader.Retain || pk.FixedHeader.Qos != qos {
				t.Fatalf("%s: retain %t, QoS %d", pk.TopicName, pk.FixedHeader.Retain, pk.FixedHeader.Qos)
			}
			if qos == 1 {
				p.send(answer(packets.Puback, pk.PacketID, 0))
			}
		}
	}
}

func TestRetainedBurstIsCutShortByBareMochi(t *testing.T) {
	b := startBare(t, func(o *mqtt.Options) { o.Capabilities.MaximumMessageExpiryInterval = 0 })
	retain(b.Server)
	p := b.in(t, login{id: "s"})
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: "doorhub/sensor/#", Qos: 1}},
	})
	if n := p.count(packets.Publish); n == burst {
		t.Error("all came")
	}
}

// fill has somebody who is away get numbered messages, and returns it when it is back, before
// it has read any.
func fill(t *testing.T, in func(login) *peer, l login, n int, away ...func(id string)) *peer {
	t.Helper()
	l.keep = true
	p := in(l)
	p.subscribe("doorhub/alarm/state", 1)
	must(t, p.Close())
	for _, wait := range away {
		wait(l.id)
	}
	from := in(login{user: "hub", id: "from"})
	for i := range n {
		from.publish("doorhub/alarm/state", strconv.Itoa(i), false)
	}
	return in(l)
}

// queue returns also what it is sent, without its acknowledging any.
func queue(t *testing.T, in func(login) *peer, l login, n int, away ...func(id string)) (p *peer, numbers []int) {
	t.Helper()
	p = fill(t, in, l, n, away...)
	for range n {
		numbers = append(numbers, number(t, p.next(packets.Publish)))
	}
	return p, numbers
}

func number(t *testing.T, pk packets.Packet) int {
	t.Helper()
	i, err := strconv.Atoi(string(pk.Payload))
	must(t, err)
	return i
}

func (h *house) enter(t *testing.T) func(login) *peer {
	return func(l login) *peer {
		l.token = h.tokens[l.user]
		return h.in(t, l)
	}
}

func (b *bare) enter(t *testing.T) func(login) *peer {
	return func(l login) *peer { return b.in(t, l) }
}

// away waits for the server to notice that a client has gone: what is published before that may
// be lost.
func (b *bare) away(t *testing.T) func(id string) {
	return func(id string) {
		gone(t, func() bool { cl, ok := b.Clients.Get(id); return !ok || cl.Closed() })
	}
}

func TestQueuedMessagesComeInOrder(t *testing.T) {
	h := start(t)
	p, got := queue(t, h.enter(t), login{user: "viewer", id: "v"}, 300)
	if !slices.IsSorted(got) {
		t.Errorf("order: %v", got)
	}
	p.send(answer(packets.Puback, 2, 0))
	p.ping()
	must(t, p.Close())
	p = h.in(t, login{user: "viewer", token: h.tokens["viewer"], id: "v", keep: true})
	for _, want := range []uint16{1, 3, 4} { // as before (MQTT 5.0, 4.4)
		if pk := p.next(packets.Publish); pk.PacketID != want || !pk.FixedHeader.Dup {
			t.Errorf("packet id %d, dup %t, want %d", pk.PacketID, pk.FixedHeader.Dup, want)
		}
	}
}

// At times one does not come at all.
func TestQueuedMessagesComeInAnyOrderFromBareMochi(t *testing.T) {
	const n = 300
	b := startBare(t)
	p := fill(t, b.enter(t), login{user: "viewer", id: "v"}, n, b.away(t))
	var got []int
	for len(got) < n {
		pk, err := p.readIn(patience)
		if err != nil {
			break
		}
		if pk.FixedHeader.Type == packets.Publish {
			got = append(got, number(t, pk))
		}
	}
	if len(got) == n && slices.IsSorted(got) {
		t.Error("all came, in order")
	}
}

func subscribeOne(p *peer, filter string) byte {
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: filter, Qos: 1}},
	})
	return p.next(packets.Suback).ReasonCodes[0]
}

// Both directions have packet ids of their own (MQTT 5.0, 2.2.1).
func TestPacketIDsOfBothDirections(t *testing.T) {
	h := start(t)
	l := login{user: "homeassistant", id: "ha", token: h.tokens["homeassistant"], keep: true}
	p, _ := queue(t, h.enter(t), l, 3)
	if code := subscribeOne(p, "doorhub/door/#"); code != 1 {
		t.Errorf("SUBSCRIBE with the packet id of a delivery: code %#x", code)
	}
	for _, qos := range []byte{1, 2} { // with the packet id of the second delivery
		pk := publication("doorhub/cmd/door/front/lock", "lock", qos, false)
		pk.PacketID = 2
		p.send(pk)
		p.next(map[byte]byte{1: packets.Puback, 2: packets.Pubrec}[qos])
	}
	p.send(answer(packets.Pubrel, 2, 0))
	p.next(packets.Pubcomp)
	must(t, p.Close())
	p = h.in(t, l)
	for i := range 3 {
		if pk := p.next(packets.Publish); string(pk.Payload) != strconv.Itoa(i) {
			t.Errorf("delivery %d after the reconnect is %q", i, pk.Payload)
		}
	}
}

func TestPacketIDsClashOnBareMochi(t *testing.T) {
	b := startBare(t)
	p, _ := queue(t, b.enter(t), login{user: "homeassistant", id: "ha"}, 3, b.away(t))
	if code := subscribeOne(p, "doorhub/door/#"); code < 0x80 {
		t.Errorf("the subscription was granted with %d", code)
	}
}

func TestQoS2BothWays(t *testing.T) {
	for _, version := range []byte{4, 5} {
		h := start(t)
		l := h.as("hub")
		l.version = version
		hub := h.in(t, l)
		hub.subscribe("doorhub/in/#", 2)
		l = h.as("sensor")
		l.version = version
		p := h.in(t, l)
		for range 2 { // the second as if the first answer had been lost
			pk := publication("doorhub/in/sensor/contact", "open", 2, false)
			p.send(pk)
			if pk := p.next(packets.Pubrec); pk.PacketID != 1 || pk.ReasonCode != 0 {
				t.Errorf("PUBREC %d, code %#x", pk.PacketID, pk.ReasonCode)
			}
		}
		p.send(answer(packets.Pubrel, 1, 0))
		if pk := p.next(packets.Pubcomp); pk.PacketID != 1 || pk.ReasonCode != 0 {
			t.Errorf("PUBCOMP %d, code %#x", pk.PacketID, pk.ReasonCode)
		}
		first := hub.next(packets.Publish)
		hub.send(answer(packets.Pubrec, first.PacketID, 0))
		if pk := hub.next(packets.Pubrel); pk.PacketID != first.PacketID || pk.ReasonCode != 0 {
			t.Errorf("PUBREL %d, code %#x", pk.PacketID, pk.ReasonCode)
		}
		hub.send(answer(packets.Pubcomp, first.PacketID, 0))
		p.publish("doorhub/in/sensor/light", "1", false)
		if pk := hub.next(packets.Publish); pk.TopicName != "doorhub/in/sensor/light" {
			t.Errorf("received a second time: %s", pk.TopicName)
		}
	}
}

func TestReceiveMaximumIsKept(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.version = 5
	l.change = func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = 5 }
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	hub := h.in(t, h.as("hub"))
	for i := range 20 {
		hub.publish("doorhub/alarm/state", strconv.Itoa(i), false)
	}
	p.ping() // what was sent is here
	if n := len(p.held); n != 5 {
		t.Errorf("%d messages without an acknowledgement, 5 are allowed", n)
	}
	for i := range 20 {
		pk := p.next(packets.Publish)
		if string(pk.Payload) != strconv.Itoa(i) {
			t.Errorf("message %d is %q", i, pk.Payload)
		}
		p.send(answer(packets.Puback, pk.PacketID, 0))
	}
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flood sends 100 MB at QoS 0 to a subscriber that does not read, and returns by how much that
// lets the heap grow.
func flood(t *testing.T, in func(login) *peer) int64 {
	stuck := in(login{user: "viewer", id: "stuck", change: func(pk *packets.Packet) { pk.Connect.Keepalive = 0 }})
	stuck.subscribe("doorhub/alarm/state", 0)
	hub := in(login{user: "hub", id: "hub"})
	before := heap()
	payload := strings.Repeat("x", 50_000)
	for range 2000 {
		hub.send(publication("doorhub/alarm/state", payload, 0, false))
	}
	hub.ping()
	return heap() - before
}

func TestSubscriberThatStopsReadingTakesLittleMemory(t *testing.T) {
	h := start(t, func(c *Config) { c.WriteTimeout = time.Minute }) // not cut
	if grown := flood(t, h.enter(t)); grown > int64(4*h.cfg.MaxQueue) {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

func TestSubscriberThatStopsReadingTakesMuchMemoryOfBareMochi(t *testing.T) {
	if grown := flood(t, startBare(t).enter(t)); grown < 50<<20 {
		t.Errorf("the heap grew by %d MB only", grown>>20)
	}
}

// A session whose queue is full ends, so that its client knows that it has missed something.
func TestFullQueueEndsTheSession(t *testing.T) {
	h := start(t, func(c *Config) { c.MaxQueue = 64 << 10 })
	l := h.as("viewer")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	must(t, p.Close())
	hub := h.in(t, h.as("hub"))
	for _, c := range []struct {
		messages int
		present  bool
	}{{6, true}, {20, false}} {
		for range c.messages {
			hub.publish("doorhub/alarm/state", strings.Repeat("x", 8<<10), false)
		}
		p, ack := h.connect(t, l)
		if ack.SessionPresent != c.present {
			t.Errorf("after %d messages: session present %t", c.messages, ack.SessionPresent)
		}
		must(t, p.Close())
	}
}

// What is published while a client comes back again and again reaches it.
func TestNothingIsLostWhileASessionChangesHands(t *testing.T) {
	h := start(t)
	const n = 2000
	l := h.as("homeassistant")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	hub := h.in(t, h.as("hub"))
	go func() {
		for i := range n {
			err := hub.try(publication("doorhub/alarm/state", strconv.Itoa(i), 1, false))
			if _, err2 := hub.read(); err != nil || err2 != nil {
				return
			}
		}
	}()
	for want := 0; want < n; {
		next := h.in(t, l) // takes over, or finds the session
		_ = p.Close()
		p = next
		for range rand.IntN(200) {
			pk := p.next(packets.Publish)
			got, err := strconv.Atoi(string(pk.Payload))
			must(t, err)
			if got > want {
				t.Fatalf("received %d, want %d", got, want)
			}
			p.send(answer(packets.Puback, pk.PacketID, 0))
			if want = max(want, got+1); want == n {
				break
			}
		}
	}
}

func expiring(id string) login {
	return login{user: "viewer", id: id, version: 5, keep: true, change: func(pk *packets.Packet) {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 1, true
	}}
}

// gone waits for a session to be forgotten.
func gone(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session does not expire")
		}
	}
}

func TestExpiredSessionLeavesNoSubscription(t *testing.T) {
	t.Parallel()
	h := start(t)
	p := h.enter(t)(expiring("g"))
	p.subscribe("doorhub/alarm/state", 1)
	must(t, p.Close())
	gone(t, func() bool { return h.session("viewer/g") == nil })
	if n := len(h.mq.Topics.Subscribers("doorhub/alarm/state").Subscriptions); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	p, ack := h.connect(t, login{user: "viewer", token: h.tokens["viewer"], id: "g", version: 5})
	h.in(t, h.as("hub")).publish("doorhub/alarm/state", "x", false)
	p.ping()
	if diff := cmp.Diff(0, len(p.held)); ack.SessionPresent || diff != "" {
		t.Errorf("session present %t, messages: %s", ack.SessionPresent, diff)
	}
}

func TestExpiredSessionLeavesAGhostOnBareMochi(t *testing.T) {
	t.Parallel()
	b := startBare(t)
	p := b.in(t, expiring("g"))
	p.subscribe("doorhub/alarm/state", 1)
	must(t, p.Close())
	gone(t, func() bool { _, ok := b.Clients.Get("g"); return !ok })
	if n := len(b.Topics.Subscribers("doorhub/alarm/state").Subscriptions); n != 1 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// What a client has said before it returns counts: a message that it has acknowledged does not
// come again.
func TestWhatCameByTheLastConnectionCounts(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	hub := h.in(t, h.as("hub"))
	for i := range 100 {
		hub.publish("doorhub/alarm/state", strconv.Itoa(i), false)
		pk := p.next(packets.Publish)
		if string(pk.Payload) != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, pk.Payload)
		}
		p.send(answer(packets.Puback, pk.PacketID, 0))
		if i%2 == 0 {
			must(t, p.Close())
		}
		p = h.in(t, l)
	}
}
