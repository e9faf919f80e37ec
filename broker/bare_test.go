package broker

import (
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// The tests named …BareMochi show on a bare mochi broker the faults that ours must not have. When
// one fails, mochi has mended the fault and the guard against it may go. Each fault, the test that
// shows it, and those that show that ours lacks it:
//
//	panic in SUBSCRIBE     PanicPacketEndsBareMochi; PanicPacket, PanicCostsOneConnection, SoakMutatedPackets
//	stuck subscriber       StuckSubscriberFreezesBareMochi, DeviceThatReturnsWaitsForBareMochi; StuckSubscriber, DeviceThatReturnsIsLetInAtOnce, VanishedDevice
//	Receive Maximum        ReceiveMaximumStallsBareMochi; ReceiveMaximumDoesNotStall, ReceiveMaximumIsKept
//	silent sockets         SilentSocketStaysOnBareMochi; SilentSocketIsClosed, SlowLoris, ManyConnectionAttempts
//	sizes and queues       FiveBytesTakeMuchMemoryOfBareMochi, SubscriberThatStopsReadingTakesMuchMemoryOfBareMochi; LengthsBeforeAndAfterLogin, ClaimedLengthsTakeNoMemory, SubscriberThatStopsReadingTakesLittleMemory, FullQueueEndsTheSession
//	wills                  WillBypassesRulesOfBareMochi; WhoIsLetIn, MatrixOfWills, MatrixAfterRevoke
//	client ids             ClientIDTakesSessionOnBareMochi; ClientIDsBelongToUsers, MatrixOfClientIDs
//	retained messages      RetainedMessagesGet24HoursOnBareMochi, RetainedBurstIsCutShortByBareMochi; RetainedMessagesDoNotExpire, RetainedBurst
//	persistence            BareMochiAcknowledgesBeforeItStores, BoltLosesQueuedMessagesOfBareMochi, BoltOfBareMochiWritesWhileNothingHappens; KilledBrokerLosesNothingAcknowledged, SessionSurvivesRestart, NothingIsWrittenWhileNothingHappens
//	order and packet ids   QueuedMessagesComeInAnyOrderFromBareMochi, PacketIDsClashOnBareMochi; QueuedMessagesComeInOrder, PacketIDsOfBothDirections
//	expired sessions       ExpiredSessionLeavesAGhostOnBareMochi; ExpiredSessionLeavesNoSubscription
//	bursts at QoS 2        QoS2BurstIsCutByBareMochi; QoS2BurstOfV4
//	origin of websockets   ForeignPageReachesBareMochi; NoWebsocket
//	floods and guesses     FloodIsTakenByBareMochi, WrongLoginsAreNotLimitedByBareMochi; FloodingUserIsCutOthersAreNot, WrongLoginsAreBlockedBeyondARestart, WrongPasswordsAtSpeed
//
// What a login costs is no fault of mochi's: BenchmarkReconnectStorm sets ours beside bcrypt.

// bare is a mochi broker as it comes.
type bare struct {
	*mqtt.Server
	addr string
}

// stall is how long nothing must come for it to count as never. Ours answer in far less.
const stall = time.Second

func startBare(t *testing.T, change ...func(*mqtt.Options)) *bare {
	t.Helper()
	o := &mqtt.Options{Capabilities: mqtt.NewDefaultServerCapabilities(), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(o)
	}
	return serveBare(t, mqtt.New(o)) // never closed: mochi's Close races with a connection just accepted
}

// serveBare has a mochi broker let everybody in.
func serveBare(t *testing.T, s *mqtt.Server) *bare {
	t.Helper()
	must(t, s.AddHook(new(auth.AllowHook), nil))
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	must(t, s.AddListener(l))
	must(t, s.Serve())
	return &bare{s, l.Address()}
}

// in connects; a bare broker takes any user.
func (b *bare) in(t *testing.T, l login) *peer {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	p, ack := login2(t, c, l)
	if ack.ReasonCode != 0 {
		t.Fatalf("refused with code %#x", ack.ReasonCode)
	}
	return p
}

// count reads until nothing comes and returns how many packets of a type there were. Messages
// are acknowledged.
func (p *peer) count(kind byte) (n int) {
	for {
		pk, err := p.readIn(stall)
		if err != nil {
			return n
		}
		if pk.FixedHeader.Type == kind {
			n++
		}
		if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos == 1 {
			_ = p.try(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: pk.PacketID})
		}
	}
}

func TestStuckSubscriberFreezesBareMochi(t *testing.T) {
	b := startBare(t)
	stuck := b.in(t, login{id: "stuck", change: func(pk *packets.Packet) { pk.Connect.Keepalive = 0 }})
	stuck.subscribe("s", 1)
	p := b.in(t, login{id: "p"})
	for range 300 {
		p.send(publication("s", strings.Repeat("x", 100_000), 1, false))
		if _, err := p.readIn(stall); err != nil {
			return
		}
	}
	t.Error("the publisher never had to wait")
}

// A device that loses its power with full buffers, and returns, waits until the old connection is
// given up: at a keepalive of a minute, for longer than that.
func TestDeviceThatReturnsWaitsForBareMochi(t *testing.T) {
	b := startBare(t)
	l := login{id: "device", change: func(pk *packets.Packet) { pk.Connect.Keepalive = 60 }}
	b.in(t, l).subscribe("s", 0)
	p := b.in(t, login{id: "p"})
	for range 1000 {
		p.send(publication("s", strings.Repeat("x", 100_000), 0, false))
	}
	p.ping()
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer c.Close()
	_, err = c.Write(l.wire(t))
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(stall))) // TestDeviceThatReturnsIsLetInAtOnce is done by then
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("answered at once with %d bytes", n)
	}
}

func TestReceiveMaximumStallsBareMochi(t *testing.T) {
	b := startBare(t)
	p := b.in(t, login{id: "s", version: 5, change: func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = 20 }})
	p.subscribe("d", 1)
	from := b.in(t, login{id: "p"})
	go func() {
		for i := range 2000 {
			pk := publication("d", "x", 1, false)
			pk.PacketID = uint16(i + 1)
			_ = from.try(pk)
		}
	}()
	if n := p.count(packets.Publish); n == 2000 {
		t.Error("all were delivered")
	}
}

func TestSilentSocketStaysOnBareMochi(t *testing.T) {
	b := startBare(t)
	for _, first := range []string{"", "\x10", "\x10\x7f\x00\x04MQTT"} {
		c, err := net.Dial("tcp", b.addr)
		must(t, err)
		defer c.Close()
		_, _ = io.WriteString(c, first)
		must(t, c.SetReadDeadline(time.Now().Add(stall))) // TestSilentSocketIsClosed waits as long
		if _, err := c.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
			t.Errorf("after %q the connection ended: %v", first, err)
		}
	}
}

func TestFiveBytesTakeMuchMemoryOfBareMochi(t *testing.T) {
	b := startBare(t)
	before := allocated()
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "\x10\xff\xff\xff\x7f")
	must(t, err)
	for end := time.Now().Add(patience); allocated()-before < 200<<20; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d bytes were set aside", allocated()-before)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// denyWrites is the usual ACL hook: it is asked for publications and subscriptions.
type denyWrites struct{ mqtt.HookBase }

func (*denyWrites) ID() string { return "deny" }
func (*denyWrites) Provides(b byte) bool {
	return b == mqtt.OnACLCheck || b == mqtt.OnConnectAuthenticate
}
func (*denyWrites) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*denyWrites) OnACLCheck(_ *mqtt.Client, _ string, write bool) bool    { return !write }

func TestWillBypassesRulesOfBareMochi(t *testing.T) {
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, s.AddHook(new(denyWrites), nil))
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	must(t, s.AddListener(l))
	must(t, s.Serve())
	b := &bare{s, l.Address()}
	watch := b.in(t, login{id: "w"})
	watch.subscribe("#", 0)
	for _, topic := range []string{"door/lock/set", "$SYS/broker/version"} {
		p := b.in(t, login{id: "x", will: &Message{Topic: topic, Payload: []byte("unlock"), Retain: true}})
		must(t, p.Close())
		for end := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
			pk, ok := s.Topics.Retained.Get(topic)
			if ok && string(pk.Payload) == "unlock" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the will on %s was not told", topic)
			}
		}
	}
	watch.next(packets.Publish)
	for _, topic := range []string{"door/+/#", "#"} { // which are no topics; each is let in all the same
		b.in(t, login{id: "x", will: &Message{Topic: topic, Payload: []byte("x")}})
	}
}

func TestClientIDTakesSessionOnBareMochi(t *testing.T) {
	b := startBare(t)
	b.in(t, login{user: "alice", token: "a", id: "same", keep: true}).subscribe("secret", 1)
	c, err := net.Dial("tcp", b.addr)
	must(t, err)
	thief, ack := login2(t, c, login{user: "mallory", token: "m", id: "same", keep: true})
	b.in(t, login{id: "p"}).publish("secret", "s", false)
	if pk := thief.next(packets.Publish); !ack.SessionPresent || string(pk.Payload) != "s" {
		t.Errorf("session present %t, received %q", ack.SessionPresent, pk.Payload)
	}
}

func TestRetainedMessagesGet24HoursOnBareMochi(t *testing.T) {
	b := startBare(t)
	b.in(t, login{id: "p"}).publish("homeassistant/device/front/config", "{}", true)
	pk, ok := b.Topics.Retained.Get("homeassistant/device/front/config")
	if life := pk.Expiry - pk.Created; !ok || life != 24*60*60 {
		t.Errorf("kept %t, with a life of %d s", ok, life)
	}
}

func TestQoS2BurstIsCutByBareMochi(t *testing.T) {
	p := startBare(t).in(t, login{id: "p"})
	go func() {
		for i := range 3000 {
			pk := publication("b", "x", 2, false)
			pk.PacketID = uint16(i + 1)
			_ = p.try(pk)
		}
	}()
	for i := range 3000 {
		if _, err := p.readIn(patience); err != nil {
			t.Logf("cut after %d of 3000", i)
			return
		}
	}
	t.Error("all were taken")
}
