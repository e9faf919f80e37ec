package broker

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestLimiter(t *testing.T) {
	l := &limiter{rate: 10}
	now := time.Unix(1_700_000_000, 0)
	for i := range 100 { // as many as come in ten seconds may come at once
		if wait, cut, _ := l.take(now, 1); wait != 0 || cut {
			t.Fatalf("packet %d waits %s", i, wait)
		}
	}
	told := 0
	slowedFor := func(d time.Duration) (cut bool) {
		for end := now.Add(d); now.Before(end) && !cut; {
			var wait time.Duration
			var tell bool
			if wait, cut, tell = l.take(now, 1); tell {
				told++
			}
			now = now.Add(wait)
		}
		return cut
	}
	if slowedFor(9 * time.Second) {
		t.Error("cut before its time")
	}
	if !slowedFor(2*time.Second) || told != 1 {
		t.Errorf("cut and told %d times", told)
	}
	if slowedFor(9*time.Second) || !slowedFor(2*time.Second) || told != 1 {
		t.Errorf("who comes back is not slowed and cut again, or told: %d times", told)
	}
	now = now.Add(time.Minute)
	if !l.flooding(now.Add(-time.Minute)) || l.flooding(now) {
		t.Error("the flood does not end with a pause")
	}
	if wait, cut, _ := l.take(now, 1); wait != 0 || cut {
		t.Error("not forgiven after a pause")
	}
	if slowedFor(30 * time.Second); told != 2 {
		t.Errorf("a second flood is told %d times", told-1)
	}
}

func (p *peer) flood(topic string, n int) error {
	var b bytes.Buffer
	pk := publication(topic, "x", 0, false)
	for range n {
		if err := pk.PublishEncode(&b); err != nil {
			return err
		}
	}
	_, err := p.Write(b.Bytes())
	return err
}

func TestFloodingUserIsCutOthersAreNot(t *testing.T) {
	h := start(t, func(c *Config) { c.UserRate = 10 })
	told := make(chan string, 10)
	h.OnFlood(func(user string) { told <- user })
	p := h.in(t, h.as("sensor"))
	must(t, p.flood("doorhub/in/sensor/x", 1000)) // 100 are free
	h.in(t, h.as("window")).publish("doorhub/in/window/contact", "open", false)
	l := h.limiterOf("sensor", RoleSensor)
	l.slowedForLong()
	p.closed()
	again := h.in(t, h.as("sensor"))
	_ = again.flood("doorhub/in/sensor/x", 1000)
	l.slowedForLong()
	again.closed()
	h.in(t, h.as("window")).publish("doorhub/in/window/contact", "closed", false)
	if diff := cmp.Diff([]string{"sensor"}, h.Flooding()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("sensor", take(t, told)); diff != "" || len(told) > 0 {
		t.Errorf("told %d times more, %s", len(told), diff)
	}
}

// slowedForLong waits until the user is slowed and makes it as if that had gone on for long.
func (l *limiter) slowedForLong() {
	for ; ; <-time.After(time.Millisecond) {
		l.mu.Lock()
		slowed := !l.slowed.IsZero()
		if slowed {
			l.slowed = l.slowed.Add(-2 * floodPatience)
		}
		l.mu.Unlock()
		if slowed {
			return
		}
	}
}

func TestFloodIsTakenByBareMochi(t *testing.T) {
	b := startBare(t)
	p := b.in(t, login{id: "p"})
	must(t, p.flood("x", 50_000))
	p.ping()
	if n := atomic.LoadInt64(&b.Info.MessagesReceived); n != 50_000 {
		t.Errorf("%d were taken", n)
	}
}

func throttleAt(t *testing.T, path string) (*throttle, *[]string) {
	t.Helper()
	var told []string
	th, err := openThrottle(path, func(what string) { told = append(told, what) })
	must(t, err)
	return th, &told
}

func TestWrongLoginsAreBlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logins.json")
	th, told := throttleAt(t, path)
	must(t, th.right("192.0.2.1", "sensor"))
	for i := range freeFailures {
		if !th.allowed("192.0.2.7", "sensor") || !th.welcome("192.0.2.7") {
			t.Fatalf("blocked after %d", i)
		}
		must(t, th.wrong("192.0.2.7", "sensor"))
	}
	want := []string{"user sensor for 1m0s", "address 192.0.2.7 for 1m0s"}
	if diff := cmp.Diff(want, *told); diff != "" {
		t.Error(diff)
	}
	for range 2 { // the second after a restart
		for _, c := range []struct {
			address, user string
			allowed       bool
		}{
			{"192.0.2.7", "sensor", false}, {"192.0.2.7", "window", false}, {"192.0.2.8", "sensor", false},
			{"192.0.2.8", "window", true}, {"192.0.2.1", "sensor", true}, {"", "sensor", true},
		} {
			if got := th.allowed(c.address, c.user); got != c.allowed {
				t.Errorf("%s from %q: allowed %t", c.user, c.address, got)
			}
		}
		addresses, users := th.list()
		if diff := cmp.Diff([][]string{{"192.0.2.7"}, {"sensor"}}, [][]string{addresses, users}); diff != "" {
			t.Error(diff)
		}
		if th.welcome("192.0.2.7") || !th.welcome("192.0.2.8") {
			t.Error("the wrong address is turned away")
		}
		th, told = throttleAt(t, path)
	}
	th.failed[byAddress("192.0.2.7")].until = time.Now() // the block is over
	for range freeFailures {
		must(t, th.wrong("192.0.2.7", ""))
	}
	if diff := cmp.Diff([]string{"address 192.0.2.7 for 2m0s"}, *told); diff != "" {
		t.Error(diff)
	}
	for range 100 {
		must(t, th.wrong("127.0.0.1", ""))
	}
	if !th.allowed("127.0.0.1", "window") {
		t.Error("this machine has locked itself out")
	}
}

func TestThrottleForgets(t *testing.T) {
	th, _ := throttleAt(t, filepath.Join(t.TempDir(), "logins.json"))
	for i := range 3 * mostTracked {
		must(t, th.wrong(net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).String(), ""))
	}
	if n := len(th.failed); n > mostTracked {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestAddressesThatCount(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[2001:db8::1]:1": "2001:db8::", "[2001:db8::2]:9": "2001:db8::", "[::ffff:192.0.2.7]:1": "192.0.2.7",
	} {
		a, err := net.ResolveTCPAddr("tcp", text)
		must(t, err)
		if got := address(a); got != want {
			t.Errorf("%s counts as %q, want %q", text, got, want)
		}
	}
	if got := address(&net.UnixAddr{}); got != "" {
		t.Errorf("within the process: %q", got)
	}
}

func TestWrongLoginsAreBlockedBeyondARestart(t *testing.T) {
	h := start(t)
	told := make(chan string, 10)
	h.OnLoginBlock(func(what string) { told <- what })
	friend := h.in(t, h.as("sensor"))
	for range freeFailures + 5 {
		for _, user := range []string{"sensor", "window"} {
			p, ack := h.connect(t, login{user: user, token: "wrong", id: "x"})
			if ack.ReasonCode == 0 {
				t.Fatal("let in")
			}
			p.closed()
		}
	}
	friend.ping() // is not disturbed
	if got := []string{take(t, told), take(t, told)}; !strings.HasPrefix(got[0], "user sensor ") || !strings.HasPrefix(got[1], "user window ") || len(told) > 0 {
		t.Errorf("told %v and %d more", got, len(told))
	}
	for range 2 {
		if _, ack := h.connect(t, h.as("window")); ack.ReasonCode == 0 {
			t.Error("window is let in from where it never was")
		}
		h.in(t, h.as("sensor"))
		h.in(t, h.as("reader"))
		must(t, h.Close())
		h.restart(t)
	}
}

// gatekeeper lets nobody in and counts.
type gatekeeper struct {
	mqtt.HookBase
	asked atomic.Int64
}

func (*gatekeeper) ID() string           { return "gate" }
func (*gatekeeper) Provides(b byte) bool { return b == mqtt.OnConnectAuthenticate }
func (g *gatekeeper) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool {
	g.asked.Add(1)
	return false
}

func TestWrongLoginsAreNotLimitedByBareMochi(t *testing.T) {
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	g := &gatekeeper{}
	must(t, s.AddHook(g, nil))
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	must(t, s.AddListener(l))
	must(t, s.Serve())
	for range 100 {
		c, err := net.Dial("tcp", l.Address())
		must(t, err)
		login2(t, c, login{user: "x", token: "x", id: "x"})
	}
	if n := g.asked.Load(); n != 100 {
		t.Errorf("%d of 100 were looked at", n)
	}
}

// A token that is revoked between the look at it and the beginning of the session is worth as
// little as one revoked before or after.
func TestRevokeDuringLogin(t *testing.T) {
	for _, change := range []func(*house) error{
		func(h *house) error { return h.users.Revoke("sensor") },
		func(h *house) error { _, err := h.users.Rotate("sensor"); return err },
	} {
		h := start(t)
		h.life.Lock() // no session can begin
		c, err := net.Dial("tcp", h.Addr())
		must(t, err)
		until(t, func() bool { return h.lobby.count() == 1 })
		p := &peer{Conn: c, t: t, version: 4}
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
		pk.Connect = packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: "x", Keepalive: 60,
			UsernameFlag: true, Username: []byte("sensor"), PasswordFlag: true, Password: []byte(h.tokens["sensor"]),
		}
		p.send(pk)
		until(t, func() bool { return h.lobby.count() == 0 }) // the token has been found right
		must(t, change(h))
		h.life.Unlock()
		p.closedRaw()
		until(t, func() bool { return h.session("sensor/x") == nil })
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
