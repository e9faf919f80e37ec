package broker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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

// script is a connection whose device sends the given packets and then hangs up. It hands over
// no byte of a packet before the broker asks for it, so that it is known which ones the broker
// has looked at. What the broker sends is taken and thrown away.
type script struct {
	packets []sample
	done    chan struct{}
	once    sync.Once

	mu   sync.Mutex
	next int // packet
	at   int // byte in it
	seen int // packets begun before the broker had had enough; -1: it has not yet
	late bool
}

// sample is a packet to send.
type sample struct {
	wire    []byte
	mutated bool
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late {
		return 0, os.ErrDeadlineExceeded
	}
	for s.next < len(s.packets) && s.at == len(s.packets[s.next].wire) {
		s.next, s.at = s.next+1, 0
	}
	if s.next == len(s.packets) {
		return 0, io.EOF
	}
	n := copy(p, s.packets[s.next].wire[s.at:])
	s.at += n
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }

func (s *script) Close() error {
	s.enough()
	s.once.Do(func() { close(s.done) })
	return nil
}

// SetReadDeadline tells by a time that is past that the broker looks at nothing more, though it
// may hear the rest out.
func (s *script) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.late = !t.IsZero() && t.Before(time.Now())
	late := s.late
	s.mu.Unlock()
	if late {
		s.enough()
	}
	return nil
}

func (s *script) enough() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen >= 0 {
		return
	}
	if s.seen = s.next; s.at > 0 {
		s.seen++
	}
}

func (*script) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (*script) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// mutator makes mutated packets, the same ones from the same seed.
type mutator struct {
	*rand.Rand
	all         [][]byte
	own, logins map[byte][][]byte // by version
}

func newMutator(x *target, seed uint64) *mutator {
	m := &mutator{Rand: rand.New(rand.NewPCG(seed, 0)), all: samples(), own: map[byte][][]byte{}, logins: map[byte][][]byte{}}
	for _, version := range []byte{4, 5} {
		m.own[version] = ours(version)
		for id := range 8 {
			m.logins[version] = append(m.logins[version], x.connect(version, fmt.Sprintf("%d-%d", seed, id), id%2 == 0))
		}
	}
	return m
}

func (m *mutator) right(from [][]byte) sample { return sample{wire: from[m.IntN(len(from))]} }

func (m *mutator) wrong(from [][]byte) sample {
	right := from[m.IntN(len(from))]
	wire := mutate(m.Rand, right)
	return sample{wire, !bytes.Equal(wire, right)}
}

// stream is what one connection sends: mostly a right login, else a mutated one or none; then
// packets of which most are mutated.
func (m *mutator) stream() (packets []sample) {
	version := byte(4 + m.IntN(2))
	switch m.IntN(8) {
	case 0:
		packets = append(packets, m.wrong(m.logins[version]))
	case 1: // none
	default:
		packets = append(packets, m.right(m.logins[version]))
	}
	for range 1 + m.IntN(30) {
		switch m.IntN(8) {
		case 0:
			packets = append(packets, m.wrong(m.all))
		case 1, 2:
			packets = append(packets, m.right(m.own[version]))
		default:
			packets = append(packets, m.wrong(m.own[version]))
		}
	}
	return packets
}

// looked tells how many mutated packets the broker has begun to read.
func (s *script) looked() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packets[:min(s.seen, len(s.packets))] {
		if p.mutated {
			n++
		}
	}
	return n
}

// play has the broker serve one connection, to its end.
func (x *target) play(packets []sample) (looked int64, ended bool) {
	s := &script{packets: packets, seen: -1, done: make(chan struct{})}
	x.s.admitConn(s, "fuzz")
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.looked(), true
	case <-timer.C:
		return 0, false
	}
}

// goroutines tells where they all are.
func goroutines() []byte {
	stack := make([]byte, 1<<20)
	return stack[:runtime.Stack(stack, true)]
}

// packetsToSend is how many mutated packets the broker is to look at.
func packetsToSend(t *testing.T) int64 {
	if n, err := strconv.ParseInt(os.Getenv("DOORHUB_PACKETS"), 10, 64); err == nil {
		return n
	}
	if os.Getenv("DOORHUB_SOAK") != "" {
		return 10_000_000
	}
	t.Log("50,000 packets; DOORHUB_PACKETS or DOORHUB_SOAK make it more")
	return 50_000
}

// TestSoakMutatedPackets sends mutated packets, before and after a login, on connections of which
// several are served at once, until the broker has looked at so many. None makes it panic, none
// makes a connection hang, and a decent client notices nothing.
func TestSoakMutatedPackets(t *testing.T) {
	x, goal := newTarget(t), packetsToSend(t)
	seed := rand.Uint64()
	if text := os.Getenv("DOORHUB_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("DOORHUB_SEED=%d", seed)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var looked, before, connections atomic.Int64
	var senders, singing sync.WaitGroup
	singing.Go(func() {
		n, worst := sing(ctx, t, x.mouth, x.decent)
		t.Logf("the canary sang %d times and waited %s at most", n, worst.Round(time.Millisecond))
	})
	began := time.Now()
	for worker := range 8 * runtime.GOMAXPROCS(0) { // who waits for the disk leaves the processor to others
		senders.Go(func() {
			m := newMutator(x, seed+uint64(worker))
			for looked.Load() < goal && !t.Failed() {
				packets := m.stream()
				n, ended := x.play(packets)
				if told := x.log.take(); !ended || len(told) > 0 {
					t.Errorf("hangs %t, panics %s, after %+v", !ended, told, packets)
					return
				}
				looked.Add(n)
				if packets[0].mutated || packets[0].wire[0]>>4 != 1 {
					before.Add(n)
				}
				connections.Add(1)
			}
		})
	}
	senders.Wait()
	took := time.Since(began)
	stop()
	singing.Wait()
	t.Logf("the broker looked at %d mutated packets, %d of them before a login, on %d connections with %d logins in %s: %.0f a second", looked.Load(), before.Load(),
		connections.Load(), x.s.totals.logins.Load(), took.Round(time.Second), float64(looked.Load())/took.Seconds())
}
