package broker

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientWithoutPort(t *testing.T) {
	h := start(t, func(c *Config) { c.Listen = "" })
	token, err := h.users.Lend("hub2", RoleHub)
	must(t, err)
	c := h.client(t, "hub2", func(c *ClientConfig) { c.Conn, c.Token = h.Dial, token })
	got := make(chan Message, 1)
	must(t, c.Subscribe(soon(t), "doorhub/door/+/lock", 1, func(m Message) { got <- m }))
	want := Message{Topic: "doorhub/door/front/lock", Payload: []byte("LOCKED"), QoS: 1}
	must(t, c.Publish(soon(t), want))
	if diff := cmp.Diff(want, take(t, got)); diff != "" {
		t.Error(diff)
	}
}

func TestClientComesBack(t *testing.T) {
	h := start(t)
	c := h.client(t, "hub")
	got, up := make(chan Message, 10), make(chan struct{}, 10)
	must(t, c.Subscribe(soon(t), "doorhub/sensor/#", 1, func(m Message) { got <- m }))
	c.OnUp(func() { up <- struct{}{} })
	take(t, up)
	for range 2 {
		must(t, h.Close())
		h.restart(t)
		take(t, up)
		m := Message{Topic: "doorhub/sensor/w/contact", Payload: []byte("open"), QoS: 1}
		must(t, c.Publish(soon(t), m))
		if diff := cmp.Diff(m, take(t, got)); diff != "" {
			t.Error(diff)
		}
	}
	want := Link{URL: "mqtt://" + h.Addr(), Up: true, Since: c.Link().Since, Reconnects: 2}
	if diff := cmp.Diff(want, c.Link()); diff != "" || time.Since(want.Since) > time.Minute {
		t.Error(want.Since, diff)
	}
	must(t, h.Close())
	for c.Link().Problem == "" {
		<-time.After(time.Millisecond)
	}
	if l := c.Link(); l.Up || !l.Since.After(want.Since) {
		t.Errorf("after the loss %+v", l)
	}
}

func TestPublishWhileDown(t *testing.T) {
	c, err := Dial(t.Context(), ClientConfig{URL: "mqtt://127.0.0.1:1", ClientID: "x"})
	must(t, err)
	defer c.Close()
	for qos := range byte(3) {
		if err := c.Publish(soon(t), Message{Topic: "a", QoS: qos}); !errors.Is(err, ErrDown) {
			t.Errorf("QoS %d: %v, want ErrDown", qos, err)
		}
	}
	if c.Up() {
		t.Error("up with no broker")
	}
}

// A publication under way when the connection is lost is not sent again by the next one.
func TestLostPublicationStaysLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	second := make(chan []byte, 1)
	go mute(l, second)
	c, err := Dial(t.Context(), ClientConfig{URL: "mqtt://" + l.Addr().String(), ClientID: "x", Retry: 1})
	must(t, err)
	defer c.Close()
	must(t, c.Ready(soon(t)))
	if err := c.Publish(soon(t), Message{Topic: "state", Payload: []byte("old"), QoS: 1}); !errors.Is(err, ErrDown) {
		t.Errorf("publish: %v, want ErrDown", err)
	}
	if sent := take(t, second); strings.Contains(string(sent), "old") {
		t.Errorf("the second connection carried the first one's message: %q", sent)
	}
}

// mute lets a client in, reads one packet, and hangs up; the second time it tells what came
// up to the client's goodbye.
func mute(l net.Listener, second chan<- []byte) {
	buf := make([]byte, 4096)
	for n := range 2 {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(buf)
		_, _ = c.Write([]byte{0x20, 2, 0, 0})
		if n == 1 {
			_, _ = c.Write([]byte{0x30, 3, 0, 1, 'a', 0xd0, 0}) // a message and a stray PINGRESP
			_ = c.(*net.TCPConn).CloseWrite()
		}
		size, _ := c.Read(buf)
		_ = c.Close()
		if n == 1 {
			second <- buf[:size]
		}
	}
}

func TestRefusedFilterIsTold(t *testing.T) {
	h := start(t)
	told := make(chan error, 10)
	c := h.client(t, "sensor", func(c *ClientConfig) { c.Problem = func(err error) { told <- err } })
	err := c.Subscribe(soon(t), "doorhub/in/window/#", 1, func(Message) {})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("subscribe: %v, want ErrRefused", err)
	}
	must(t, h.Close())
	h.restart(t)
	for !errors.Is(take(t, told), ErrRefused) { // the loss comes first
	}
}

func TestWrongTokenIsExplained(t *testing.T) {
	h := start(t)
	told := make(chan error, 1)
	c, err := Dial(t.Context(), ClientConfig{
		URL: "mqtt://" + h.Addr(), User: "sensor", Token: "wrong", ClientID: "x", Problem: func(err error) { told <- err },
	})
	must(t, err)
	defer c.Close()
	if msg := take(t, told).Error(); !strings.Contains(msg, `does not let user "sensor" in`) || strings.Contains(msg, "wrong") {
		t.Errorf("told %q", msg)
	}
}

func TestOverflowIsTold(t *testing.T) {
	h := start(t)
	told, hold := make(chan error, 10), make(chan struct{})
	c := h.client(t, "hub", func(c *ClientConfig) { c.Queue, c.Problem = 1, func(err error) { told <- err } })
	must(t, c.Subscribe(soon(t), "doorhub/#", 1, func(Message) { <-hold }))
	for range 5 {
		must(t, c.Publish(soon(t), Message{Topic: "doorhub/x", Payload: []byte("m"), QoS: 1}))
	}
	if err := take(t, told); !errors.Is(err, ErrOverflow) {
		t.Errorf("told %v, want ErrOverflow", err)
	}
	close(hold)
}

func TestWillIsTold(t *testing.T) {
	h := start(t)
	watch := h.in(t, h.as("viewer"))
	watch.subscribe("doorhub/instance/#", 1)
	h.client(t, "hub", func(c *ClientConfig) {
		c.Will = &Message{Topic: "doorhub/instance/main/status", Payload: []byte("offline"), QoS: 1, Retain: true}
	})
	h.Cut("hub")
	if pk := watch.next(3); string(pk.Payload) != "offline" {
		t.Errorf("the will said %q", pk.Payload)
	}
}

func TestExternalSettings(t *testing.T) {
	password := t.TempDir() + "/password"
	must(t, os.WriteFile(password, []byte("s3cret\n"), 0o600))
	cfg := Config{Mode: External, URL: "mqtts://broker.lan", User: "hub", PasswordFile: password}
	must(t, cfg.Validate())
	cc, err := cfg.External(nil)
	must(t, err)
	got := []string{cc.URL, cc.User, cc.Token}
	if diff := cmp.Diff([]string{"mqtts://broker.lan", "hub", "s3cret"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestExternalAddresses(t *testing.T) {
	cfg := Config{Mode: External, URL: "mqtts://a.lan:8883, mqtts://b.lan , mqtt://127.0.0.1:1883", User: "hub"}
	must(t, cfg.Validate())
	if got := cfg.Exposed(); got != "" {
		t.Errorf("exposed: %s", got)
	}
	open := Config{Mode: External, URL: "mqtts://a.lan, mqtt://b.lan", PlaintextAnywhere: true}
	if got := open.Exposed(); !strings.Contains(got, "mqtt://b.lan") {
		t.Errorf("exposed: %q", got)
	}
	for _, url := range []string{"", "mqtts://a.lan,", "mqtts://a.lan, mqtt://b.lan", "mqtts://a.lan mqtts://b.lan", "mqtts://a.lan, http://b.lan"} {
		cfg.URL = url
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "url: ") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
