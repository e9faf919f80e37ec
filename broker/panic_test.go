package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

var panicPacket = []byte{0x82, 5, 0, 9, 0, 0, 0} // SUBSCRIBE, no properties, empty filter, no options

func TestPanicPacket(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	l := with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("offline")})
	l.version = 5
	p := h.in(t, l)
	_, err := p.Write(panicPacket)
	must(t, err)
	p.closed()
	if pk := hub.next(packets.Publish); string(pk.Payload) != "offline" {
		t.Errorf("the will said %q", pk.Payload)
	}
	h.in(t, l).publish("doorhub/in/sensor/contact", "open", false)
}

// Should another packet be found that makes the broker panic, it costs its sender only; here
// the panic comes from a callback.
func TestPanicCostsOneConnection(t *testing.T) {
	h := start(t)
	must(t, h.OnPublish("doorhub/in/sensor/bang", func(string, Message) { panic("bang") }))
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	p := h.in(t, with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("offline"), QoS: 1}))
	p.send(publication("doorhub/in/sensor/bang", "x", 1, false))
	p.closed()
	if pk := hub.next(packets.Publish); string(pk.Payload) != "offline" || pk.FixedHeader.Qos != 1 {
		t.Errorf("the will said %q at QoS %d", pk.Payload, pk.FixedHeader.Qos)
	}
	if h.session("sensor/sensor1") != nil {
		t.Error("the client is still listed")
	}
	h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", "open", false)
}

// bareEnv has the test binary run a bare mochi broker, which ends with its process.
const bareEnv = "DOORHUB_TEST_BARE_BROKER"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(bareEnv) != "":
		bareBroker()
		return
	case os.Getenv(pahoEnv) != "":
		barePaho(os.Getenv(pahoEnv))
		return
	case os.Getenv(benchEnv) != "":
		benchBroker(os.Getenv(benchEnv))
		return
	case os.Getenv(vanishEnv) != "":
		vanishingClient(os.Getenv(vanishEnv))
		return
	case os.Getenv(killEnv) != "":
		killedBroker(os.Getenv(killEnv))
		return
	}
	os.Exit(m.Run())
}

func bareBroker() {
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := errors.Join(s.AddHook(new(auth.AllowHook), nil), s.AddListener(l), s.Serve()); err != nil {
		os.Exit(3)
	}
	_, _ = os.Stdout.WriteString(l.Address() + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // to the end of the test
}

func TestPanicPacketEndsBareMochi(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), bareEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line := make([]byte, 100)
	n, err := out.Read(line)
	must(t, err)
	c, err := net.Dial("tcp", strings.TrimSpace(string(line[:n])))
	must(t, err)
	p, _ := login2(t, c, login{id: "x", version: 5})
	_, err = p.Write(panicPacket)
	must(t, err)
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "SubscribeDecode") {
		t.Errorf("the bare broker lives (%v): is the guard against this packet still needed?", err)
	}
}
