package broker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// panics is a log that keeps what was told of panics.
type panics struct {
	slog.Handler
	mu   sync.Mutex
	told []string
}

func (p *panics) Enabled(context.Context, slog.Level) bool { return true }
func (p *panics) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p *panics) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stack" || a.Key == "panic" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told = append(p.told, a.Value.String())
		}
		return true
	})
	return nil
}

func (p *panics) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	told := p.told
	p.told = nil
	return told
}

// target is a broker to be fuzzed, with a decent client that must not notice.
type target struct {
	s      *Server
	log    *panics
	token  string
	decent *Client
}

func newTarget(tb testing.TB) *target {
	tb.Helper()
	cfg := Defaults()
	cfg.Listen, cfg.Dir, cfg.UserRate = "", tb.TempDir(), 0
	cfg.WriteTimeout = 200 * time.Millisecond
	users, err := OpenUsers(filepath.Join(cfg.Dir, "users.json"))
	x := &target{log: &panics{Handler: slog.DiscardHandler}}
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(err)
	x.token, err = users.Add("hub", RoleHub)
	check(err)
	viewer, err := users.Add("viewer", RoleViewer)
	check(err)
	x.s, err = Start(cfg, users, slog.New(x.log))
	check(err)
	tb.Cleanup(func() { _ = x.s.Close() })
	x.decent, err = Dial(context.Background(), ClientConfig{Conn: x.s.Dial, User: "viewer", Token: viewer, ClientID: "decent"})
	check(err)
	tb.Cleanup(x.decent.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(x.decent.Ready(ctx))
	return x
}

// ended tells when the broker is done with a connection.
type ended struct {
	net.Conn
	done chan struct{}
	once func()
}

func (e *ended) Close() error {
	e.once()
	return e.Conn.Close()
}

// attack sends bytes on a connection of its own, after a login or instead of one.
func (x *target) attack(tb testing.TB, wire []byte, version byte, in bool) {
	tb.Helper()
	near, far := net.Pipe()
	e := &ended{Conn: near, done: make(chan struct{})}
	e.once = sync.OnceFunc(func() { close(e.done) })
	x.s.admitConn(e, "fuzz")
	go func() { _, _ = io.Copy(io.Discard, far) }()
	if in {
		wire = append(x.connect(version), wire...)
	}
	_ = far.SetDeadline(time.Now().Add(patience))
	end := bytes.Repeat([]byte{0xff}, 100) // no packet begins so, thus the broker closes when it has done all before
	_, _ = far.Write(append(wire, end...)) // fails when the broker has closed
	select {
	case <-e.done:
	case <-time.After(5 * time.Millisecond): // unless all of it was part of a packet that goes on
	}
	_ = far.Close()
	select {
	case <-e.done:
	case <-time.After(patience):
		tb.Errorf("the broker hangs after %x", wire)
	}
	if told := x.log.take(); len(told) > 0 {
		tb.Errorf("%x made the broker panic: %s", wire, told)
	}
	if !x.decent.Up() {
		tb.Errorf("after %x somebody else was cut", wire)
	}
}

// connect is a CONNECT that the broker accepts. Every version has sessions that stay.
func (x *target) connect(version byte) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version}
	pk.Connect = packets.ConnectParams{
		ProtocolName: []byte("MQTT"), ClientIdentifier: "x", Keepalive: 60, UsernameFlag: true, Username: []byte("hub"),
		PasswordFlag: true, Password: []byte(x.token), WillFlag: true, WillTopic: "doorhub/in/hub/will", WillPayload: []byte("x"),
	}
	var b bytes.Buffer
	if err := pk.ConnectEncode(&b); err != nil {
		return nil
	}
	return b.Bytes()
}

// samples are packets of all types, right ones and wrong ones.
func samples() [][]byte {
	var all [][]byte
	for _, cases := range packets.TPacketData {
		for _, c := range cases {
			if len(c.RawBytes) > 0 && len(c.RawBytes) < 1<<10 {
				all = append(all, c.RawBytes)
			}
		}
	}
	slices.SortFunc(all, bytes.Compare) // the same in each run
	return append(append(all, panicPacket), ours()...)
}

// ours are packets of version 3.1.1 that the broker accepts from the hub.
func ours() [][]byte {
	var all [][]byte
	for _, s := range []string{
		"\x82\x0e\x00\x07\x00\x09doorhub/#\x02", "\xa2\x0d\x00\x08\x00\x09doorhub/#", "\x30\x0e\x00\x0bdoorhub/x/yx",
		"\x32\x10\x00\x0bdoorhub/x/y\x00\x05x", "\x34\x10\x00\x0bdoorhub/x/y\x00\x06x", "\x3c\x10\x00\x0bdoorhub/x/y\x00\x06x",
		"\x40\x02\x00\x01", "\x50\x02\x00\x01", "\x62\x02\x00\x06", "\x70\x02\x00\x01", "\xc0\x00",
	} {
		all = append(all, []byte(s))
	}
	return all
}

// FuzzServer takes what a connection may send at all, after a login or instead of one.
func FuzzServer(f *testing.F) {
	x := newTarget(f)
	for i, s := range samples() {
		f.Add(s, byte(4+i%2), true)
		f.Add(s, byte(4), false)
	}
	f.Fuzz(func(t *testing.T, wire []byte, version byte, in bool) {
		x.attack(t, wire, 4+version%2, in)
	})
}

// mutate changes a packet a little; mostly its length is then made right, so that the broker's
// decoders get to see the rest.
func mutate(r *rand.Rand, packet []byte) []byte {
	b := slices.Clone(packet)
	for range r.IntN(4) {
		if len(b) == 0 {
			break
		}
		at := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		case 2:
			b = slices.Delete(b, at, at+1)
		case 3:
			b = slices.Insert(b, at, byte(r.Uint32()))
		case 4:
			b = b[:at]
		}
	}
	if len(b) < 2 || r.IntN(10) > 7 {
		return b
	}
	rest := bytes.TrimLeftFunc(b[1:], func(c rune) bool { return c == 0xfffd }) // bytes from 0x80, as a length has
	if len(rest) > 0 {
		rest = rest[1:]
	}
	out := []byte{b[0]}
	for n := len(rest); ; n >>= 7 {
		if n < 0x80 {
			return append(append(out, byte(n)), rest...)
		}
		out = append(out, byte(n)|0x80)
	}
}

// The fuzzer's seeds, mutated for a while with a fixed seed. `go test -fuzz FuzzServer` goes on
// for as long as one likes.
func TestMutatedPackets(t *testing.T) {
	x := newTarget(t)
	r := rand.New(rand.NewPCG(1, 2))
	all, own := samples(), ours()
	for range 3000 {
		var wire []byte
		for range 1 + r.IntN(20) {
			packet := own[r.IntN(len(own))]
			switch r.IntN(8) { // most are right: the first wrong one ends a connection
			case 0:
				packet = mutate(r, packet)
			case 1:
				packet = mutate(r, all[r.IntN(len(all))])
			}
			wire = append(wire, packet...)
		}
		x.attack(t, wire, byte(4+r.IntN(4)/3), r.IntN(4) > 0)
		if t.Failed() {
			return
		}
	}
	if n := x.s.mq.Info.Clone().MessagesReceived; n < 1000 {
		t.Errorf("only %d messages were understood: the packets do not get far", n)
	}
}
