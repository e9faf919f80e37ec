package broker

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// elsewhere is an address of this machine that decent clients do not come from.
const elsewhere = "127.0.0.2"

// from connects from an address, without a login.
func (h *house) from(t *testing.T, address string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	c, err := d.Dial("tcp", h.Addr())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &peer{Conn: c, t: t, version: 4}
}

// wire is a login as bytes.
func (l login) wire(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	got := make(chan []byte)
	go func() {
		buf := make([]byte, 1000)
		n, _ := far.Read(buf)
		_ = far.Close()
		got <- buf[:n]
	}()
	login2(t, near, l)
	return <-got
}

// drip sends bytes one by one, until the broker has had enough.
func (p *peer) drip(wire []byte, every time.Duration) (sent int) {
	for i := range wire {
		if _, err := p.Write(wire[i : i+1]); err != nil {
			return i
		}
		<-time.After(every)
	}
	return len(wire)
}

// Byte by byte: who does not get through a login in time is cut, who is in may be as slow as it
// likes, as long as it keeps within its keepalive.
func TestSlowLoris(t *testing.T) {
	h := start(t, func(c *Config) { c.LoginTimeout = time.Second })
	stop := h.canary(t)
	slow := h.as("sensor").wire(t)
	var all sync.WaitGroup
	for range 50 {
		p := h.from(t, elsewhere)
		all.Go(func() {
			if p.drip(slow, 100*time.Millisecond) == len(slow) {
				if n, err := io.ReadAll(p.Conn); len(n) > 0 {
					t.Errorf("let in after %d bytes in ten times as many tenths of a second: %v", len(slow), err)
				}
			}
		})
	}
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	p := h.in(t, h.as("sensor"))
	p.drip([]byte("\x30\x1f\x00\x19doorhub/in/sensor/contactopen"), 20*time.Millisecond)
	if pk := hub.next(packets.Publish); string(pk.Payload) != "open" {
		t.Errorf("received %q", pk.Payload)
	}
	l := h.as("window")
	l.change = func(pk *packets.Packet) { pk.Connect.Keepalive = 1 }
	half := h.in(t, l)
	half.drip([]byte("\x30\x1f\x00\x19doorhub/in/wi"), 0)
	half.closed()
	all.Wait()
	stop()
}

// Lengths that are only claimed take no memory, before a login or after it.
func TestClaimedLengthsTakeNoMemory(t *testing.T) {
	h := start(t)
	stop := h.canary(t)
	var all []*peer
	for range 100 {
		all = append(all, h.from(t, elsewhere), h.in(t, login{user: "sensor", token: h.tokens["sensor"], id: fmt.Sprint(len(all))}))
	}
	before := heap()
	for i, p := range all {
		head := []string{"\x10", "\x30", "\x82"}[i%3] + "\xff\xff\xff\x7f"
		_, _ = io.WriteString(p, head+strings.Repeat("x", 10_000))
	}
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	for _, p := range all {
		p.closedRaw()
	}
	stop()
}

// Two thousand connections at once that say nothing, and come again when they are cut: who
// comes from elsewhere is let in at once.
func TestManyConnectionAttempts(t *testing.T) {
	h := start(t)
	stop := h.canary(t)
	ctx, enough := context.WithCancel(t.Context())
	var all sync.WaitGroup
	began := make(chan struct{}, 10_000)
	for range 2000 {
		all.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(elsewhere)}}
			for ctx.Err() == nil {
				c, err := d.DialContext(ctx, "tcp", h.Addr())
				if err != nil {
					continue
				}
				select {
				case began <- struct{}{}:
				default:
				}
				cut := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = io.Copy(io.Discard, c)
				cut()
				_ = c.Close()
				<-time.After(300 * time.Millisecond) // or all that this machine can do is to connect
			}
		})
	}
	for range 2000 {
		take(t, began)
	}
	for i := range 100 {
		h.in(t, login{user: "sensor", token: h.tokens["sensor"], id: fmt.Sprint(i)})
	}
	if n := h.lobby.count(); n > h.cfg.MaxLogins {
		t.Errorf("%d connections that have not logged in, %d are allowed", n, h.cfg.MaxLogins)
	}
	enough()
	all.Wait()
	stop()
	until(t, func() bool { return h.lobby.count() == 0 })
	t.Logf("%d connections were turned away", h.totals.turnedAway.Load())
}

// Guesses at speed: a few are looked at, all others are not, neither now nor after a restart, and
// who has logged in before is not kept out.
func TestWrongPasswordsAtSpeed(t *testing.T) {
	h := start(t)
	h.throttle.exempt = func(string) bool { return false }
	h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", "open", false) // known from here
	stop := h.canary(t)
	var all sync.WaitGroup
	guess := login{user: "sensor", token: "wrong", id: "x"}.wire(t)
	for range 20 {
		all.Go(func() {
			for range 100 {
				p := h.from(t, elsewhere)
				_, _ = p.Write(guess)
				p.closedRaw()
				_ = p.Close()
			}
		})
	}
	all.Wait()
	looked, away := h.totals.refusedLogins.Load(), h.totals.turnedAway.Load()
	if looked+away != 2000 || looked > 2*freeFailures+20 {
		t.Errorf("%d of 2000 guesses were looked at, %d turned away", looked, away)
	}
	stop()
	for range 2 {
		h.in(t, h.as("sensor"))
		right := h.from(t, elsewhere)
		_, _ = right.Write(h.as("sensor").wire(t))
		if answer, _ := io.ReadAll(right); len(answer) > 0 {
			t.Errorf("an address that guesses was let in: %x", answer)
		}
		must(t, h.Close())
		h.restart(t)
		h.throttle.exempt = func(string) bool { return false }
	}
}

// A thousand devices that come back at once, as when the power returns, are let in, those that
// find no place as soon as they try again. Nobody else notices.
func TestReconnectStorm(t *testing.T) {
	h := start(t, func(c *Config) { c.MaxClients, c.MaxUserClients, c.UserRate = 1100, 1000, 0 })
	stop := h.canary(t)
	for range 2 {
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() { h.returns(t, i) })
		}
		all.Wait()
		if n := h.Stats().Connections; n != 1002 {
			t.Errorf("%d clients are in", n)
		}
	}
	stop()
	t.Logf("%d logins, %d were turned away and came again", h.totals.logins.Load(), h.totals.turnedAway.Load())
}

// returns has a device connect until it is in. It stays, until it returns the next time.
func (h *house) returns(t *testing.T, i int) {
	l := login{user: "sensor", token: h.tokens["sensor"], id: fmt.Sprint(i)}
	for end := time.Now().Add(2 * patience); ; <-time.After(100 * time.Millisecond) {
		c, err := net.Dial("tcp", h.Addr())
		if err == nil {
			if _, ack := login2(t, c, l); ack.ReasonCode == 0 {
				return
			}
		}
		if time.Now().After(end) {
			t.Errorf("device %d was not let in: %v", i, err)
			return
		}
	}
}

// A stolen token takes no place from others: not by connections, nor by sessions that it leaves
// behind, nor by filters without number.
func TestOneUserTakesNotAll(t *testing.T) {
	h := start(t, func(c *Config) { c.MaxClients, c.MaxUserClients, c.UserRate = 50, 10, 0 })
	stop := h.canary(t)
	for i := range 200 {
		l := login{user: "sensor", token: h.tokens["sensor"], id: fmt.Sprint("left", i), keep: true}
		p := h.in(t, l)
		p.subscribe("doorhub/out/sensor/event", 1)
		_ = p.Close()
	}
	if n := len(h.sessionsOf("sensor")); n > 10+1 { // the last may still be connected
		t.Errorf("%d sessions are kept", n)
	}
	let := 0
	for i := range 50 {
		_, ack := h.connect(t, login{user: "sensor", token: h.tokens["sensor"], id: fmt.Sprint("here", i), version: byte(4 + i%2)})
		switch ack.ReasonCode {
		case 0:
			let++
		case packets.Err3ServerUnavailable.Code, packets.ErrQuotaExceeded.Code:
		default:
			t.Errorf("refused with %#x", ack.ReasonCode)
		}
	}
	if let != 10 {
		t.Errorf("%d of 50 were let in", let)
	}
	h.in(t, login{user: "sensor", token: h.tokens["sensor"], id: "here0"}) // comes back
	for i := range 10 {
		h.in(t, login{user: "reader", token: h.tokens["reader"], id: fmt.Sprint(i)})
	}
	stop()
}

// Filters are work: a SUBSCRIBE with thousands of them counts for as many packets as it is long.
func TestManyFiltersAreSlowed(t *testing.T) {
	h := start(t)
	p := h.in(t, h.as("viewer"))
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1}
	for range 10_000 {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: "doorhub/door/+/lock"})
	}
	p.send(pk)
	p.next(packets.Suback)
	limit := h.limiterOf("viewer", RoleViewer)
	limit.mu.Lock()
	left := limit.tokens
	limit.mu.Unlock()
	if want := float64(h.cfg.UserRate*floodBurst) - 2000; left > want {
		t.Errorf("%.0f tokens are left, want at most %.0f", left, want)
	}
}
