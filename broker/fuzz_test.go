package broker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
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
	mouth  *Client // of another hub, which the decent client may hear
}

func newTarget(tb testing.TB) *target {
	tb.Helper()
	cfg := Defaults()
	cfg.Listen, cfg.Dir, cfg.UserRate = "", tb.TempDir(), 0
	cfg.WriteTimeout = 30 * time.Second // nobody is cut because the machine is busy
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
	other, err := users.Add("other", RoleHub)
	check(err)
	x.s, err = Start(cfg, users, slog.New(x.log))
	check(err)
	tb.Cleanup(func() { _ = x.s.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	in := func(user, token string) *Client {
		c, err := Dial(context.Background(), ClientConfig{Conn: x.s.Dial, User: user, Token: token, ClientID: "decent"})
		check(err)
		tb.Cleanup(c.Close)
		check(c.Ready(ctx))
		return c
	}
	x.decent, x.mouth = in("viewer", viewer), in("other", other)
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
		wire = append(x.connect(version, "x", false), wire...)
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

// connect is a CONNECT that the broker accepts.
func (x *target) connect(version byte, id string, clean bool) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version}
	pk.Connect = packets.ConnectParams{
		ProtocolName: []byte("MQTT"), ClientIdentifier: id, Clean: clean, Keepalive: 60, UsernameFlag: true, Username: []byte("hub"),
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
	return slices.Concat(all, [][]byte{panicPacket}, ours(4), ours(5))
}

// ours are packets that the broker accepts from the hub.
func ours(version byte) [][]byte {
	texts := []string{
		"\x82\x0e\x00\x07\x00\x09doorhub/#\x02", "\xa2\x0d\x00\x08\x00\x09doorhub/#", "\x30\x0e\x00\x0bdoorhub/x/yx",
		"\x32\x10\x00\x0bdoorhub/x/y\x00\x05x", "\x34\x10\x00\x0bdoorhub/x/y\x00\x06x", "\x3c\x10\x00\x0bdoorhub/x/y\x00\x06x",
	}
	if version == 5 { // as above, with properties; those of the last two are an expiry, and a content type
		texts = []string{
			"\x82\x0f\x00\x07\x00\x00\x09doorhub/#\x02", "\xa2\x0e\x00\x08\x00\x00\x09doorhub/#", "\x30\x0f\x00\x0bdoorhub/x/y\x00x",
			"\x32\x11\x00\x0bdoorhub/x/y\x00\x05\x00x", "\x34\x16\x00\x0bdoorhub/x/y\x00\x06\x05\x02\x00\x00\x00\x09x", "\x3c\x15\x00\x0bdoorhub/x/y\x00\x06\x04\x03\x00\x01ax",
		}
	}
	var all [][]byte
	for _, s := range append(texts, "\x40\x02\x00\x01", "\x50\x02\x00\x01", "\x62\x02\x00\x06", "\x70\x02\x00\x01", "\xc0\x00") {
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
