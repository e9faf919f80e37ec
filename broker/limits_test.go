package broker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestSilentSocketIsClosed(t *testing.T) {
	h := start(t, func(c *Config) { c.LoginTimeout = time.Second })
	for _, first := range []string{"", "\x10", "\x10\x7f", "\x10\x7f\x00\x04MQTT"} {
		c, err := net.Dial("tcp", h.Addr())
		must(t, err)
		_, _ = io.WriteString(c, first)
		(&peer{Conn: c, t: t, in: nil}).closedRaw()
	}
	p := h.in(t, h.as("sensor")) // outlives the deadline
	must(t, p.SetReadDeadline(time.Now().Add(1500*time.Millisecond)))
	if _, err := p.Conn.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("a client that is in was closed: %v", err)
	}
}

// closedRaw waits for the broker to close a connection that never logged in.
func (p *peer) closedRaw() {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, p.Conn); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			p.t.Error("the broker did not close the connection")
		}
	}
}

func TestLengthsBeforeAndAfterLogin(t *testing.T) {
	h := start(t)
	for _, head := range []string{"\x10\xff\xff\xff\x7f", "\x10\xff\xff\xff\xff\x01", "\x82\xff\xff\x7f"} {
		c, err := net.Dial("tcp", h.Addr())
		must(t, err)
		_, _ = io.WriteString(c, head)
		(&peer{Conn: c, t: t}).closedRaw()
	}
	for user, c := range map[string]struct {
		size int
		cut  bool
	}{"sensor": {200 << 10, false}, "window": {300 << 10, true}, "hub": {10 << 20, false}} {
		p := h.in(t, h.as(user))
		_ = p.try(publication("doorhub/in/"+user+"/x", strings.Repeat("x", c.size), 1, false))
		if c.cut {
			p.closed()
		} else {
			p.next(packets.Puback)
		}
	}
}

func TestTooManyLogins(t *testing.T) {
	h := start(t, func(c *Config) { c.MaxLogins = 3 })
	for range 10 { // a finished login gives its place back
		h.in(t, h.as("sensor"))
	}
	var idle []*peer
	for range 3 {
		c, err := net.Dial("tcp", h.Addr())
		must(t, err)
		defer c.Close()
		idle = append(idle, &peer{Conn: c, t: t})
	}
	until(t, func() bool { return h.lobby.count() == 3 })
	h.from(t, "127.0.0.1").closedRaw()
	p := h.from(t, elsewhere) // where nobody else comes from
	login := h.as("sensor").wire(t)
	_, err := p.Write(login[:10])
	must(t, err)
	idle[0].closedRaw()
	_, err = p.Write(login[10:])
	must(t, err)
	until(t, func() bool { return h.lobby.count() == 2 })
}

// Who speaks something else is not waited for.
func TestNoMQTTIsClosedAtOnce(t *testing.T) {
	h := start(t, func(c *Config) { c.LoginTimeout = time.Minute }) // far more than the test's patience
	for _, hello := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\x30\xff\x01"} {
		c, err := net.Dial("tcp", h.Addr())
		must(t, err)
		_, err = c.Write([]byte(hello))
		must(t, err)
		(&peer{Conn: c, t: t, in: bufio.NewReader(c)}).closed()
	}
}

// A subscriber that stops reading is cut after the write timeout and delays the publishers to
// its topics no longer. Without that they would wait for ever, for its keepalive is zero.
func TestStuckSubscriber(t *testing.T) {
	h := start(t, func(c *Config) { c.WriteTimeout = 200 * time.Millisecond })
	l := h.as("viewer")
	l.change = func(pk *packets.Packet) { pk.Connect.Keepalive = 0 }
	stuck := h.in(t, l)
	stuck.subscribe("doorhub/door/#", 1)
	hub := h.in(t, h.as("hub"))
	payload := strings.Repeat("x", 100_000)
	for range 300 { // 30 MB: more than all buffers on the way
		hub.publish("doorhub/door/front/image", payload, false)
	}
	stuck.closed()
	h.in(t, h.as("viewer"))
}

// Many that acknowledge nothing hold up a publisher no longer than one does.
func TestManyStuckSubscribers(t *testing.T) {
	h := start(t, func(c *Config) { c.WriteTimeout, c.MaxQueue = time.Second, 64<<10 })
	var stuck []*peer
	for i := range 2 * int(patience/time.Second) {
		l := h.as("viewer")
		l.id = fmt.Sprint(i)
		stuck = append(stuck, h.in(t, l))
		stuck[i].subscribe("doorhub/alarm/state", 1)
	}
	hub := h.in(t, h.as("hub"))
	for range 8 { // the last finds all queues full
		hub.publish("doorhub/alarm/state", strings.Repeat("x", 10<<10), false)
	}
	for _, p := range stuck {
		p.closed()
	}
}

// A device that loses its power with full buffers is let in as soon as it returns, and finds its
// session. No write to the old connection has come to an end by then.
func TestDeviceThatReturnsIsLetInAtOnce(t *testing.T) {
	h := start(t, func(c *Config) { c.WriteTimeout = time.Minute })
	l := h.as("viewer")
	l.keep = true
	old := h.in(t, l)
	old.subscribe("doorhub/door/#", 0)
	hub := h.in(t, h.as("hub"))
	for range 1000 {
		hub.send(publication("doorhub/door/front/image", strings.Repeat("x", 100_000), 0, false))
	}
	hub.ping()
	if _, ack := h.connect(t, l); ack.ReasonCode != 0 || !ack.SessionPresent {
		t.Errorf("code %#x, session present %t", ack.ReasonCode, ack.SessionPresent)
	}
}

// With a Receive Maximum mochi-mqtt stops delivering for good after a burst.
func TestReceiveMaximumDoesNotStall(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.version = 5
	l.change = func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = 20 }
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/#", 1)
	hub := h.in(t, h.as("hub"))
	go func() {
		for i := range 2000 {
			pk := publication("doorhub/alarm/state", fmt.Sprint(i), 1, false)
			pk.PacketID = uint16(i + 1)
			_ = hub.try(pk)
		}
		pk := publication("doorhub/alarm/end", "", 1, false)
		pk.PacketID = 2001
		_ = hub.try(pk)
	}()
	if n := len(p.received("doorhub/alarm/end")); n != 2000 {
		t.Errorf("received %d of 2000", n)
	}
}

func TestQoS2BurstOfV4(t *testing.T) {
	h := start(t)
	p := h.in(t, h.as("sensor"))
	go func() {
		for i := range 3000 {
			pk := publication("doorhub/in/sensor/x", "x", 2, false)
			pk.PacketID = uint16(i + 1)
			_ = p.try(pk)
		}
	}()
	for range 3000 {
		p.next(packets.Pubrec)
	}
}

// A v5 topic alias must not carry a message past the rules, nor may a denied topic name one.
func TestTopicAliasIsRefused(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/#", 1)
	l := h.as("sensor")
	l.version = 5
	for _, topics := range [][]string{{"doorhub/in/sensor/x", ""}, {"doorhub/cmd/door/front/lock", ""}} {
		p := h.in(t, l)
		for _, topic := range topics {
			pk := publication(topic, "x", 0, false)
			pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 1, true
			_ = p.try(pk)
		}
		p.closed()
	}
	h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", "open", false)
	if got := hub.received("doorhub/in/sensor/contact"); len(got) != 0 {
		t.Errorf("got through: %v", got)
	}
}

func TestPayloadsDoNoHarm(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	for _, payload := range []string{"", "\xff\xfe\x00", strings.Repeat("é", 50_000)} {
		h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", payload, false)
		if pk := hub.next(packets.Publish); string(pk.Payload) != payload {
			t.Errorf("sent %.20q, received %.20q", payload, pk.Payload)
		}
	}
	big := h.in(t, h.as("sensor"))
	_ = big.try(publication("doorhub/in/sensor/contact", strings.Repeat("x", 10<<20), 1, false))
	big.closed()
	h.in(t, h.as("window")).publish("doorhub/in/window/contact", "open", false)
	if pk := hub.next(packets.Publish); pk.TopicName != "doorhub/in/window/contact" {
		t.Errorf("received %s", pk.TopicName)
	}
}

// What a packet says of itself must hold for each cut of it, too.
func FuzzSubscribe(f *testing.F) {
	f.Add(panicPacket[2:], true)
	f.Add([]byte{0, 9, 0, 0, 1, 'a', 1}, true)
	f.Add([]byte{0, 9, 0, 1, 'a', 1}, false)
	f.Add([]byte{0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, v5 bool) {
		if checkSubscribe(body, v5) != nil {
			return
		}
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Remaining: len(body)}, ProtocolVersion: 4}
		if v5 {
			pk.ProtocolVersion = 5
		}
		_ = pk.SubscribeDecode(body) // may refuse, must not panic
	})
}
