package broker

import (
	"bytes"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

// v5 is the login of a user by version 5.
func (h *house) v5(user string, change ...func(*packets.Packet)) login {
	l := h.as(user)
	l.version = 5
	l.change = func(pk *packets.Packet) {
		for _, f := range change {
			f(pk)
		}
	}
	return l
}

// told returns the reason code with which the broker ends the connection.
func (p *peer) told() byte {
	p.t.Helper()
	return p.next(packets.Disconnect).ReasonCode
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	_, err := p.Write(b)
	must(p.t, err)
}

func TestAVersion5ClientIsToldWhyItIsCut(t *testing.T) {
	const topic = "doorhub/in/sensor/contact"
	h := start(t)
	for name, c := range map[string]struct {
		send func(*peer)
		want packets.Code
	}{
		"packet too large": {func(p *peer) {
			p.send(publication(topic, strings.Repeat("x", h.cfg.MaxPacket), 1, false))
		}, packets.ErrPacketTooLarge},
		"malformed SUBSCRIBE":  {func(p *peer) { p.raw([]byte{0x82, 5, 0, 9, 0, 0, 0}) }, packets.ErrMalformedPacket},
		"retain handling 3":    {func(p *peer) { p.raw([]byte{0x82, 7, 0, 9, 0, 0, 1, 'x', 0x30}) }, packets.ErrMalformedPacket},
		"reserved option bits": {func(p *peer) { p.raw([]byte{0x82, 7, 0, 9, 0, 0, 1, 'x', 0x40}) }, packets.ErrMalformedPacket},
		"second CONNECT": {func(p *peer) {
			p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, Connect: packets.ConnectParams{
				ProtocolName: []byte("MQTT"), ClientIdentifier: "x", WillFlag: true, WillTopic: topic, WillPayload: []byte("x"),
			}})
		}, packets.ErrProtocolViolation},
		"AUTH":            {func(p *peer) { p.raw([]byte{0xf0, 0}) }, packets.ErrProtocolViolation},
		"topic alias":     {func(p *peer) { p.send(aliased(topic, 1)) }, packets.ErrTopicAliasInvalid},
		"topic alias 0":   {func(p *peer) { p.raw([]byte{0x30, 8, 0, 1, 'x', 3, 0x23, 0, 0, 'x'}) }, packets.ErrTopicAliasInvalid},
		"nothing for 1 s": {func(*peer) {}, packets.ErrKeepAliveTimeout},
	} {
		p := h.in(t, h.v5("sensor", func(pk *packets.Packet) { pk.Connect.Keepalive = 1 }))
		c.send(p)
		if got := p.told(); got != c.want.Code {
			t.Errorf("%s: code %#x, want %#x", name, got, c.want.Code)
		}
		p.closed()
	}
}

func aliased(topic string, alias uint16) packets.Packet {
	pk := publication(topic, "x", 1, false)
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = alias, true
	return pk
}

// What is sent after the last straw must not keep the reason from arriving.
func TestMoreThanTheReceiveMaximum(t *testing.T) {
	h := start(t)
	p, ack := h.connect(t, h.v5("hub"))
	if got := ack.Properties.ReceiveMaximum; got != receiveMaximum {
		t.Errorf("announced: %d", got)
	}
	var all bytes.Buffer
	for id := range uint16(receiveMaximum + 1) {
		pk := publication("doorhub/x", "x", 2, false)
		pk.ProtocolVersion, pk.PacketID = 5, id+1
		must(t, pk.PublishEncode(&all))
	}
	for id := range uint16(receiveMaximum) {
		pk := answer(packets.Pubrel, id+1, 0)
		pk.ProtocolVersion = 5
		must(t, pk.PubrelEncode(&all))
	}
	p.raw(all.Bytes())
	if got := p.told(); got != packets.ErrReceiveMaximum.Code {
		t.Errorf("code %#x", got)
	}
	p.closed()
	for range 3 { // a reset, which may overtake the reason, would show as an error
		p.raw([]byte{0xc0, 0})
	}
}

func TestReleasedMessagesCountNoMore(t *testing.T) {
	h := start(t)
	p := h.in(t, h.v5("hub"))
	for i := range uint16(receiveMaximum + 10) {
		pk := publication("doorhub/x", "x", 2, false)
		pk.PacketID = i + 1
		p.send(pk)
		p.next(packets.Pubrec)
		p.send(answer(packets.Pubrel, i+1, 0))
		p.next(packets.Pubcomp)
	}
	p.ping()
}

func TestWhatAVersion5ClientIsAnnounced(t *testing.T) {
	h := start(t)
	for user, most := range map[string]int{"sensor": h.cfg.MaxPacket, "hub": h.cfg.MaxHubPacket} {
		l := h.v5(user, func(pk *packets.Packet) {
			pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 1<<32-1, true
		})
		l.id = ""
		_, ack := h.connect(t, l)
		got := ack.Properties
		want := packets.Properties{
			MaximumPacketSize: uint32(most), ReceiveMaximum: receiveMaximum, SharedSubAvailableFlag: true,
			SessionExpiryInterval: uint32(sessionLife / time.Second), SessionExpiryIntervalFlag: true,
			AssignedClientID: got.AssignedClientID,
		}
		if diff := cmp.Diff(want, got); diff != "" || got.AssignedClientID == "" {
			t.Errorf("%s: -want +got:\n%s", user, diff)
		}
		l.id, l.keep = got.AssignedClientID, true
		if _, again := h.connect(t, l); !again.SessionPresent {
			t.Errorf("%s: no session under the assigned id", user)
		}
	}
}

func TestNoAuthenticationMethods(t *testing.T) {
	h := start(t)
	p, ack := h.connect(t, h.v5("sensor", func(pk *packets.Packet) { pk.Properties.AuthenticationMethod = "SCRAM-SHA-1" }))
	if ack.ReasonCode != packets.ErrBadAuthenticationMethod.Code {
		t.Errorf("code %#x", ack.ReasonCode)
	}
	p.closed()
}

func TestKeepaliveIsImposed(t *testing.T) {
	for _, c := range []struct {
		setting           time.Duration
		asked, told, held uint16
	}{
		{0, 0, 0, 0},
		{0, 30, 0, 30},
		{0, 65535, longestKeepalive, longestKeepalive},
		{time.Minute, 0, 60, 60},
		{time.Minute, 120, 60, 60},
		{time.Minute, 60, 0, 60},
		{time.Minute, 5, 0, 5},
	} {
		h := start(t, func(cfg *Config) { cfg.Keepalive = c.setting })
		for _, version := range []byte{4, 5} {
			l := h.as("sensor")
			l.version, l.change = version, func(pk *packets.Packet) { pk.Connect.Keepalive = c.asked }
			_, ack := h.connect(t, l)
			if got := h.session("sensor/sensor1").connection().keepalive; got != time.Duration(c.held)*time.Second {
				t.Errorf("v%d, setting %s, asked %d: held to %s, want %d s", version, c.setting, c.asked, got, c.held)
			}
			told := ack.Properties.ServerKeepAlive
			if version == 5 && (told != c.told || ack.Properties.ServerKeepAliveFlag != (told > 0)) {
				t.Errorf("setting %s, asked %d: told %d, want %d", c.setting, c.asked, told, c.told)
			}
		}
	}
}

// A device may want no keepalive and lose its power: the system must ask whether it is there.
func TestHalfOpenConnectionsAreAskedFor(t *testing.T) {
	h := start(t)
	h.in(t, h.as("sensor"))
	h.Server.mu.Lock()
	defer h.Server.mu.Unlock()
	for c := range h.conns {
		raw, err := c.Conn.(*net.TCPConn).SyscallConn()
		must(t, err)
		on := 0
		must(t, raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) }))
		must(t, err)
		if on == 0 {
			t.Error("TCP keepalive is off")
		}
	}
	if len(h.conns) != 1 {
		t.Errorf("%d connections", len(h.conns))
	}
}

func TestRefusedFilters(t *testing.T) {
	const image, lock = "doorhub/door/front/image", "doorhub/door/front/lock"
	h := start(t, func(cfg *Config) { cfg.RefuseFilters = []string{"doorhub/door/+/image"} })
	for _, version := range []byte{4, 5} {
		l := h.as("viewer")
		l.version = version
		p := h.in(t, l)
		for filter, v5 := range map[string]byte{
			image: 0x80, "doorhub/door/+/image": 0x80, // not wished
			"doorhub/cmd/#": 0x87, "$share/g/doorhub/door/#": 0x9e, "doorhub/door/+/lock": 1, "doorhub/door/#": 1,
		} {
			want := v5
			if version == 4 && v5 > 1 {
				want = 0x80
			}
			if got := p.subscribe(filter, 1); got != want {
				t.Errorf("v%d: %s: %#x, want %#x", version, filter, got, want)
			}
		}
		hub := h.in(t, h.as("hub"))
		hub.publish(image, "secret", true)
		hub.publish(lock, "LOCKED", false)
		if got := p.received(lock); len(got) != 0 {
			t.Errorf("v%d: received %v", version, got)
		}
		if p.subscribe("doorhub/door/#", 1); len(p.held) != 0 {
			t.Errorf("v%d: received what is retained: %v", version, p.held)
		}
		_ = p.Close()
	}
}

func TestSettingsThatCutOffTheHubAreRefused(t *testing.T) {
	for filter, ok := range map[string]bool{
		"doorhub/door/+/image": true, "doorhub/sensor/#": true,
		"#": false, "doorhub/#": false, "doorhub/+/kitchen/contact": false, "doorhub/cmd/alarm": false, "homeassistant/status": false,
		"": false, "a#": false, "$share/g/doorhub/door/#": false,
	} {
		cfg := Defaults()
		cfg.RefuseFilters = []string{filter}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", filter, err)
		}
	}
	cfg := Defaults()
	cfg.Keepalive = 5500 * time.Millisecond
	if cfg.Validate() == nil {
		t.Error("half seconds pass for a keepalive")
	}
}

type sent struct {
	Topic   string
	Alias   uint16
	Payload string
}

// messages reads up to a message and acknowledges each.
func (p *peer) messages(last string) (got []sent) {
	p.t.Helper()
	for {
		pk := p.next(packets.Publish)
		got = append(got, sent{pk.TopicName, pk.Properties.TopicAlias, string(pk.Payload)})
		if pk.FixedHeader.Qos == 1 {
			p.send(answer(packets.Puback, pk.PacketID, 0))
		}
		if string(pk.Payload) == last {
			return got
		}
	}
}

func TestTopicAliasesShortenWhatIsSent(t *testing.T) {
	const a, b = "doorhub/door/front/lock", "doorhub/door/back/lock"
	h := start(t)
	l := h.v5("viewer", func(pk *packets.Packet) {
		pk.Properties.TopicAliasMaximum, pk.Properties.MaximumPacketSize = 1, 64
	})
	hub := h.in(t, h.as("hub"))
	for range 2 { // a new connection knows no alias
		p := h.in(t, l)
		p.subscribe("doorhub/door/#", 1)
		hub.publish(a, strings.Repeat("x", 64), false) // too large for this client: it never sees its alias
		for _, m := range []sent{{a, 0, "1"}, {a, 0, "2"}, {b, 0, "3"}, {a, 0, "4"}} {
			hub.publish(m.Topic, m.Payload, false)
		}
		hub.send(publication(a, "5", 0, false))
		want := []sent{{a, 1, "1"}, {"", 1, "2"}, {b, 0, "3"}, {"", 1, "4"}, {"", 1, "5"}}
		if diff := cmp.Diff(want, p.messages("5")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		_ = p.Close()
	}
}

func TestAliasesAreBounded(t *testing.T) {
	h := start(t)
	h.in(t, h.v5("viewer", func(pk *packets.Packet) { pk.Properties.TopicAliasMaximum = 1<<16 - 1 }))
	a := &h.session("viewer/viewer1").connection().aliases
	for i := range 10 * maxAliases {
		if _, isNew := a.of(strings.Repeat("x", i+1)); isNew != (i < maxAliases) {
			t.Fatalf("topic %d: new alias: %t", i, isNew)
		}
	}
}

func TestVersion311NeedsAnIDToKeepASession(t *testing.T) {
	h := start(t)
	l := h.as("sensor")
	l.id = ""
	if _, ack := h.connect(t, l); ack.ReasonCode != 0 {
		t.Errorf("without a session: code %#x", ack.ReasonCode)
	}
	l.keep = true
	p, ack := h.connect(t, l)
	if ack.ReasonCode != packets.Err3ClientIdentifierNotValid.Code {
		t.Errorf("code %#x", ack.ReasonCode)
	}
	p.closed()
}

// What is left of a message's life is told, not what it was given (MQTT 5.0, 3.3.2.3.3).
func TestMessagesAgeInTheQueue(t *testing.T) {
	const topic, last = "doorhub/door/front/lock", "doorhub/door/front/contact"
	h := start(t)
	l := h.v5("viewer", func(pk *packets.Packet) {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 100, true
	})
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/door/#", 1)
	p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	p.closed()
	hub := h.in(t, h.v5("hub"))
	for _, payload := range []string{"old", "young"} {
		pk := publication(topic, payload, 1, false)
		pk.Properties.MessageExpiryInterval = 1000
		hub.send(pk)
		hub.next(packets.Puback)
	}
	hub.publish(last, "open", false)
	x := h.session("viewer/viewer1")
	x.mu.Lock()
	now, front := time.Now().Unix(), x.queue.front
	front.expiry = now
	front.next.expiry = now + 500
	x.mu.Unlock()

	p = h.in(t, l)
	pk := p.next(packets.Publish)
	left := pk.Properties.MessageExpiryInterval
	if string(pk.Payload) != "young" || left == 0 || left > 500 {
		t.Errorf("%s came with %d s to live", pk.Payload, left)
	}
	if pk = p.next(packets.Publish); pk.TopicName != last || pk.Properties.MessageExpiryInterval != 0 {
		t.Errorf("%s came with %d s to live", pk.TopicName, pk.Properties.MessageExpiryInterval)
	}
}
