package broker

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	pahopackets "github.com/eclipse/paho.mqtt.golang/packets"
)

// pahoEnv has the test binary subscribe by a bare paho client at the address that it names.
const pahoEnv = "DOORHUB_TEST_BARE_PAHO"

func barePaho(address string) {
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID("x"))
	if t := c.Connect(); !t.WaitTimeout(patience) || t.Error() != nil {
		os.Exit(3)
	}
	c.Subscribe("a", 1, nil).WaitTimeout(patience)
	<-time.After(patience) // in which this process is to panic
}

// hostile is a broker that lets everybody in, answers a SUBSCRIBE with what answer makes of its
// packet id, and then reads until its client closes.
func hostile(t *testing.T, answer func(id []byte) string) (address string, closed <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	ended := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					head, length, err := readHeader(in)
					if err != nil {
						ended <- struct{}{}
						return
					}
					body := make([]byte, length)
					_, _ = io.ReadFull(in, body)
					switch head[0] >> 4 {
					case 1:
						_, _ = io.WriteString(c, "\x20\x02\x00\x00")
					case typeSubscribe:
						_, _ = io.WriteString(c, answer(body[:2]))
					}
				}
			}()
		}
	}()
	return l.Addr().String(), ended
}

func threeCodes(id []byte) string { return "\x90\x05" + string(id) + "\x01\x01\x01" }

func TestTooManyCodesEndBarePaho(t *testing.T) {
	address, _ := hostile(t, threeCodes)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), pahoEnv+"="+address)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "index out of range") {
		t.Errorf("paho lives (%v): is the guard against this packet still needed?", err)
	}
}

func TestFiveBytesTakeMuchMemoryOfBarePaho(t *testing.T) {
	before := allocated()
	_, err := pahopackets.ReadPacket(strings.NewReader("\x30\xff\xff\xff\x7f"))
	if grown := allocated() - before; err == nil || grown < 200<<20 {
		t.Errorf("only %d bytes were set aside: %v", grown, err)
	}
}

func TestHostileBroker(t *testing.T) {
	for name, answer := range map[string]func(id []byte) string{
		"too many codes":        threeCodes,
		"no codes":              func(id []byte) string { return "\x90\x02" + string(id) },
		"codes nobody asked":    func([]byte) string { return "\x90\x03\xff\xf0\x01" },
		"huge packet":           func([]byte) string { return "\x30\xff\xff\xff\x7f" },
		"length of five bytes":  func([]byte) string { return "\x30\xff\xff\xff\xff\x01" },
		"topic past the end":    func([]byte) string { return "\x30\x04\x00\x05ab" },
		"no topic":              func([]byte) string { return "\x30\x02\x00\x00" },
		"wildcard in the topic": func([]byte) string { return "\x30\x03\x00\x01#" },
		"topic not UTF-8":       func([]byte) string { return "\x30\x03\x00\x01\xff" },
		"QoS 3":                 func([]byte) string { return "\x36\x06\x00\x01a\x00\x01x" },
		"a client's packet":     func([]byte) string { return "\xc0\x00" },
		"packet of no type":     func([]byte) string { return "\x00\x00" },
		"short PUBACK":          func([]byte) string { return "\x40\x01\x00" },
		"PUBREL without flags":  func([]byte) string { return "\x60\x02\x00\x01" },
	} {
		t.Run(name, func(t *testing.T) {
			before := allocated()
			address, closed := hostile(t, answer)
			told := make(chan error, 10)
			c, err := Dial(t.Context(), ClientConfig{
				URL: "mqtt://" + address, ClientID: "x", Retry: time.Hour, Problem: func(err error) { told <- err },
			})
			must(t, err)
			t.Cleanup(c.Close)
			must(t, c.Subscribe(t.Context(), "a", 1, func(Message) { t.Error("a message came through") }))
			take(t, closed)
			if err := take(t, told); err == nil {
				t.Error("no problem was told")
			}
			if grown := allocated() - before; grown > 100<<20 {
				t.Errorf("%d bytes were set aside", grown)
			}
		})
	}
}

// What is broken into pieces arrives as what it was.
func TestGuardLetsThrough(t *testing.T) {
	const wire = "\x20\x02\x00\x00" + "\x90\x04\x00\x07\x01\x80" + "\x32\x08\x00\x03a/b\x00\x01x" + "\x30\x03\x00\x01a" + "\xd0\x00"
	near, far := net.Pipe()
	defer near.Close()
	g := newGuard(near, 1000)
	g.watch([]byte("\x82\x0a\x00\x07\x00\x01a\x01\x00\x01b\x01"))
	go func() {
		for i := range wire {
			_, _ = io.WriteString(far, wire[i:i+1])
		}
		_ = far.Close()
	}()
	got, err := io.ReadAll(g)
	if string(got) != wire || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v", got, err)
	}
}

// Whatever a broker sends, the guard does not panic, and paho does not panic over what it lets
// through.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{"\x20\x02\x00\x00", "\x90\x03\x00\x07\x01", "\x32\x08\x00\x03a/b\x00\x01x", "\x62\x02\x00\x01"} {
		f.Add([]byte("\x20\x02\x00\x00" + s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		near, far := net.Pipe()
		g := newGuard(near, 1<<16)
		g.asks[7] = 1
		go func() {
			_, _ = far.Write(wire)
			_ = far.Close()
		}()
		for {
			cp, err := pahopackets.ReadPacket(g)
			if err != nil {
				break
			}
			if s, ok := cp.(*pahopackets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Errorf("%d codes", len(s.ReturnCodes))
			}
		}
		_ = near.Close()
		g.watch(wire)
	})
}
