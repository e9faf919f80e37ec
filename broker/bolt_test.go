package broker

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
)

// startBolt is a bare broker with mochi's own storage in a file, and what stops it in order.
func startBolt(t *testing.T, path string) (*bare, func()) {
	t.Helper()
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler), SysTopicResendInterval: 1}) // seconds, as is its default
	must(t, s.AddHook(new(bolt.Hook), &bolt.Options{Path: path}))
	return serveBare(t, s), func() { must(t, s.Close()) }
}

// Stopped in order and started again, a bare broker sends nobody what it has acknowledged for a
// session, though it still knows the session: what it stores of a message lacks the packet id,
// and without one it can send nothing, so it cuts the client, each time anew.
func TestBoltLosesQueuedMessagesOfBareMochi(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bolt")
	b, stop := startBolt(t, path)
	kept := login{id: "kept", keep: true}
	p := b.in(t, kept)
	p.subscribe("t", 1)
	must(t, p.Close())
	p = b.in(t, login{id: "p"})
	p.publish("t", "queued", false) // acknowledged
	must(t, p.Close())
	stop()

	b, stop = startBolt(t, path)
	defer stop()
	for range 2 {
		c, err := net.Dial("tcp", b.addr)
		must(t, err)
		p, ack := login2(t, c, kept)
		pk, err := p.read()
		if !ack.SessionPresent || err == nil {
			t.Errorf("session present %t, then a packet of type %d", ack.SessionPresent, pk.FixedHeader.Type)
		}
	}
}

// While nothing at all happens, a bare broker's storage writes.
func TestBoltOfBareMochiWritesWhileNothingHappens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bolt")
	_, stop := startBolt(t, path)
	defer stop()
	content := func() []byte {
		text, err := os.ReadFile(path)
		must(t, err)
		return text
	}
	first := content()
	writes := 0
	for end := time.Now().Add(patience); writes < 2; <-time.After(10 * time.Millisecond) {
		if now := content(); !bytes.Equal(now, first) {
			writes, first = writes+1, now
		}
		if time.Now().After(end) {
			t.Fatalf("written %d times", writes)
		}
	}
}
