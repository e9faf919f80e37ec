package broker

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// patience bounds every wait of a test; none measures with it.
const patience = 15 * time.Second

// house is an embedded broker with one user of each role, named as the role, and a second
// sensor.
type house struct {
	*Server
	cfg    Config
	users  *Users
	tokens map[string]string
}

func testConfig(t testing.TB) Config {
	t.Helper()
	cfg := Defaults()
	cfg.Listen = "127.0.0.1:0"
	cfg.Dir = t.TempDir()
	return cfg
}

func start(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	cfg := testConfig(t)
	for _, f := range change {
		f(&cfg)
	}
	users, err := OpenUsers(filepath.Join(cfg.Dir, "users.json"))
	must(t, err)
	h := &house{cfg: cfg, users: users, tokens: map[string]string{}}
	for name, role := range map[string]Role{
		"hub": RoleHub, "homeassistant": RoleHomeAssistant, "sensor": RoleSensor,
		"window": RoleSensor, "reader": RoleReader, "viewer": RoleViewer,
	} {
		h.tokens[name], err = users.Add(name, role)
		must(t, err)
	}
	h.restart(t)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// restart starts the broker, anew when it was closed before, at the same address.
func (h *house) restart(t testing.TB) {
	t.Helper()
	s, err := Start(h.cfg, h.users, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	must(t, err)
	h.Server = s
	if h.cfg.Listen != "" {
		h.cfg.Listen = s.Addr()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// peer speaks raw MQTT, so that it can do what no decent client does.
type peer struct {
	net.Conn
	t       *testing.T
	in      *bufio.Reader
	version byte
	held    []packets.Packet // messages that came while next waited for an answer
}

// login says who connects and how.
type login struct {
	user, token, id string
	version         byte // 0: 4, that is v3.1.1
	keep            bool // the session
	will            *Message
	change          func(*packets.Packet)
}

// as is the login of a user with its right token.
func (h *house) as(user string) login {
	return login{user: user, token: h.tokens[user], id: user + "1"}
}

// connect logs in, within the process when there is no port, and returns the answer's reason code.
func (h *house) connect(t *testing.T, l login) (*peer, packets.Packet) {
	t.Helper()
	dial := h.Dial
	if h.Addr() != "" {
		dial = func(context.Context) (net.Conn, error) { return net.Dial("tcp", h.Addr()) }
	}
	c, err := dial(t.Context())
	must(t, err)
	return login2(t, c, l)
}

func login2(t *testing.T, c net.Conn, l login) (*peer, packets.Packet) {
	t.Helper()
	p := &peer{Conn: c, t: t, in: bufio.NewReader(c), version: max(l.version, 4)}
	t.Cleanup(func() { _ = c.Close() })
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: p.version}
	pk.Connect = packets.ConnectParams{
		ProtocolName: []byte("MQTT"), Clean: !l.keep, Keepalive: 60, ClientIdentifier: l.id,
		UsernameFlag: l.user != "", Username: []byte(l.user), PasswordFlag: l.token != "", Password: []byte(l.token),
	}
	if l.will != nil {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, l.will.Topic, l.will.Payload
		pk.Connect.WillRetain, pk.Connect.WillQos = l.will.Retain, l.will.QoS
	}
	if l.change != nil {
		l.change(&pk)
	}
	err := p.try(pk)
	ack := packets.Packet{}
	if err == nil {
		ack, err = p.read()
	}
	if err != nil {
		ack.ReasonCode = 0xff // closed without an answer
	}
	return p, ack
}

// in connects and expects to be let in.
func (h *house) in(t *testing.T, l login) *peer {
	t.Helper()
	p, ack := h.connect(t, l)
	if ack.ReasonCode != 0 {
		t.Fatalf("%s was refused with code %#x", l.user, ack.ReasonCode)
	}
	return p
}

func (p *peer) send(pk packets.Packet) {
	p.t.Helper()
	must(p.t, p.try(pk))
}

func (p *peer) try(pk packets.Packet) error {
	pk.ProtocolVersion = p.version
	var b bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&b)
	case packets.Publish:
		err = pk.PublishEncode(&b)
	case packets.Puback:
		err = pk.PubackEncode(&b)
	case packets.Pubrec:
		err = pk.PubrecEncode(&b)
	case packets.Pubrel:
		err = pk.PubrelEncode(&b)
	case packets.Pubcomp:
		err = pk.PubcompEncode(&b)
	case packets.Unsubscribe:
		err = pk.UnsubscribeEncode(&b)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&b)
	case packets.Subscribe:
		err = pk.SubscribeEncode(&b)
	case packets.Pingreq:
		err = pk.PingreqEncode(&b)
	}
	if err != nil {
		return err
	}
	_, err = p.Write(b.Bytes())
	return err
}

// read returns the next packet; io.EOF or the like when the broker has closed.
func (p *peer) read() (packets.Packet, error) { return p.readIn(patience) }

func (p *peer) readIn(limit time.Duration) (packets.Packet, error) {
	_ = p.SetReadDeadline(time.Now().Add(limit))
	head, length, err := readHeader(p.in)
	if err != nil {
		return packets.Packet{}, err
	}
	pk := packets.Packet{ProtocolVersion: p.version}
	if err := pk.FixedHeader.Decode(head[0]); err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining = length
	body := make([]byte, length)
	if _, err := io.ReadFull(p.in, body); err != nil {
		return pk, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	}
	return pk, err
}

// next returns the next packet of a type. Of others, it keeps messages for later.
func (p *peer) next(kind byte) packets.Packet {
	p.t.Helper()
	if kind == packets.Publish && len(p.held) > 0 {
		pk := p.held[0]
		p.held = p.held[1:]
		return pk
	}
	for {
		pk, err := p.read()
		if err != nil {
			p.t.Fatalf("waiting for a packet of type %d: %v", kind, err)
		}
		if pk.FixedHeader.Type == kind {
			return pk
		}
		if pk.FixedHeader.Type == packets.Publish {
			p.held = append(p.held, pk)
		}
	}
}

// closed waits for the broker to close the connection.
func (p *peer) closed() {
	p.t.Helper()
	for {
		_, err := p.read()
		if err == nil {
			continue
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			p.t.Fatal("the broker did not close the connection")
		}
		return
	}
}

// subscribe returns the reason code of the answer.
func (p *peer) subscribe(filter string, qos byte) byte {
	p.t.Helper()
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 65000,
		Filters: packets.Subscriptions{{Filter: filter, Qos: qos}},
	})
	return p.next(packets.Suback).ReasonCodes[0]
}

func publication(topic, payload string, qos byte, retain bool) packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: retain},
		TopicName:   topic, Payload: []byte(payload),
	}
	if qos > 0 {
		pk.PacketID = 1
	}
	return pk
}

// answer is an acknowledgement.
func answer(kind byte, id uint16, code byte) packets.Packet {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: id, ReasonCode: code}
	if kind == packets.Pubrel {
		pk.FixedHeader.Qos = 1
	}
	return pk
}

// ping returns when the broker has dealt with all that was sent to it before.
func (p *peer) ping() {
	p.t.Helper()
	p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	p.next(packets.Pingresp)
}

// publish sends at QoS 1 and waits for the answer.
func (p *peer) publish(topic, payload string, retain bool) {
	p.t.Helper()
	p.send(publication(topic, payload, 1, retain))
	p.next(packets.Puback)
}

// received returns the messages up to the one with topic last, which must come.
func (p *peer) received(last string) []Message {
	p.t.Helper()
	var got []Message
	for {
		pk := p.next(packets.Publish)
		if pk.FixedHeader.Qos == 1 {
			p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
		}
		if pk.TopicName == last {
			return got
		}
		got = append(got, Message{Topic: pk.TopicName, Payload: pk.Payload, Retain: pk.FixedHeader.Retain})
	}
}

// client is one of ours, up.
func (h *house) client(t *testing.T, user string, change ...func(*ClientConfig)) *Client {
	t.Helper()
	cfg := ClientConfig{
		URL: "mqtt://" + h.Addr(), User: user, Token: h.tokens[user], ClientID: "c-" + user, Retry: 10 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := Dial(t.Context(), cfg)
	must(t, err)
	t.Cleanup(c.Close)
	must(t, c.Ready(soon(t)))
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// take waits for a value.
func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
