package broker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// vanishEnv has the test binary connect as a client, and then only be there. Its words are the
// address, user, token and keepalive.
const vanishEnv = "DOORHUB_TEST_VANISHING_CLIENT"

func vanishingClient(words string) {
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n') // there is a network now
	var address, user, token string
	var keepalive uint16
	_, _ = fmt.Sscan(words, &address, &user, &token, &keepalive)
	c, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	p := &peer{Conn: c, in: bufio.NewReader(c), version: 4}
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	pk.Connect = packets.ConnectParams{
		ProtocolName: []byte("MQTT"), Clean: true, Keepalive: keepalive, ClientIdentifier: "vanishing", UsernameFlag: true, Username: []byte(user),
		PasswordFlag: true, Password: []byte(token), WillFlag: true, WillTopic: "homeassistant/status", WillPayload: []byte("offline"),
	}
	_ = p.try(pk)
	_, _ = p.read()
	_ = p.try(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1,
		Filters: packets.Subscriptions{{Filter: "doorhub/door/#", Qos: 1}},
	})
	answer, err := p.read()
	fmt.Println("in", answer.ReasonCodes, err)
	_, _ = io.Copy(io.Discard, c)
	_, _ = io.Copy(io.Discard, in)
}

// farAway is a network of its own, whose cable can be pulled.
type farAway struct {
	t           *testing.T
	device      string
	here, there string // addresses
}

func newFarAway(t *testing.T) *farAway {
	t.Helper()
	_, err := exec.LookPath("ip")
	if os.Getuid() != 0 || err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED: %s: needs root and the program ip, to pull a cable\n", t.Name())
		t.Skip("needs root and the program ip, to pull a cable")
	}
	pid := os.Getpid()
	address := func(host int) string { return fmt.Sprintf("198.18.%d.%d", pid>>6&255, pid&63*4+host) } // RFC 2544
	f := &farAway{t: t, device: fmt.Sprintf("dh%d", pid), here: address(1), there: address(2)}
	f.run("ip", "link", "add", f.device, "type", "veth", "peer", "name", f.device+"p")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", f.device).Run() })
	f.run("ip", "address", "add", f.here+"/30", "dev", f.device)
	f.run("ip", "link", "set", f.device, "up")
	return f
}

func (f *farAway) run(command ...string) {
	f.t.Helper()
	if out, err := exec.CommandContext(f.t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %v: %s", command, err, out)
	}
}

// connect has a client connect from there.
func (f *farAway) connect(h *house, address, user string, keepalive int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", vanishEnv, address, user, h.tokens[user], keepalive))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	must(f.t, err)
	out, err := cmd.StdoutPipe()
	must(f.t, err)
	must(f.t, cmd.Start())
	f.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid := fmt.Sprint(cmd.Process.Pid)
	f.run("ip", "link", "set", f.device+"p", "netns", pid)
	f.run("nsenter", "-t", pid, "-n", "ip", "address", "add", f.there+"/30", "dev", f.device+"p")
	f.run("nsenter", "-t", pid, "-n", "ip", "link", "set", f.device+"p", "up")
	_, err = io.WriteString(in, "go\n")
	must(f.t, err)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "in [1] <nil>") {
		f.t.Fatalf("the client says %q, %v", line, err)
	}
}

func (f *farAway) pull() { f.run("ip", "link", "set", f.device, "down") }

// A device whose cable is pulled says nothing more, not even that it is gone. By its keepalive the
// broker finds out and tells its will; what is sent to it meanwhile holds up nobody.
func TestVanishedDevice(t *testing.T) {
	for keepalive, what := range map[int]string{1: "found out by its keepalive", 0: "found out by what it does not take"} {
		f := newFarAway(t)
		h := start(t, func(c *Config) {
			c.Listen, c.PlaintextAnywhere, c.WriteTimeout = "0.0.0.0:0", true, 200*time.Millisecond
		})
		_, port, err := net.SplitHostPort(h.Addr())
		must(t, err)
		stop := h.canary(t)
		hub := h.in(t, h.as("hub"))
		hub.subscribe("homeassistant/status", 1)
		f.connect(h, net.JoinHostPort(f.here, port), "homeassistant", keepalive)
		f.pull()
		for range 300 * (1 - keepalive) {
			hub.publish("doorhub/door/front/image", strings.Repeat("x", 100_000), false)
		}
		if pk := hub.next(packets.Publish); string(pk.Payload) != "offline" {
			t.Errorf("%s: the will said %q", what, pk.Payload)
		}
		until(t, func() bool { return h.session("homeassistant/vanishing") == nil })
		stop()
		_ = exec.Command("ip", "link", "delete", f.device).Run()
	}
}
