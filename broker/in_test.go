package broker

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// drops hands out a stream in pieces of random length.
type drops struct {
	r    *rand.Rand
	rest []byte
	most int
}

func (d *drops) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+d.r.IntN(d.most))], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// packet reads the next one, as Server.next does.
func (in *inbox) packet() (packet, error) {
	for {
		p, size, ok, err := in.header()
		switch {
		case err != nil:
			return p, err
		case ok && in.take(&p, size):
			return p, nil
		case ok && size > largeInbox:
			return p, in.takeLong(&p, size)
		}
		if err := in.fill(max(size, in.w-in.r+1)); err != nil {
			return p, err
		}
	}
}

// However a stream of packets comes, the same packets come out, and the buffer is large only
// while it is needed.
func TestInboxTakesPacketsApart(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		var want [][]byte
		for range 100 {
			body := bytes.Repeat([]byte{byte(r.Uint32())}, []int{0, 2, r.IntN(200), r.IntN(2 * largeInbox)}[r.IntN(4)])
			want = append(want, body)
			stream = append(stream, frame(0x30, body)...)
		}
		in := newInbox(&drops{r: r, rest: stream, most: []int{1, 10, 1000, 100_000}[seed%4]})
		for i, body := range want {
			p, err := in.packet()
			must(t, err)
			if p.kind() != typePublish || !bytes.Equal(p.body, body) {
				t.Fatalf("seed %d, packet %d: %d bytes, want %d", seed, i, len(p.body), len(body))
			}
			if len(in.buf) > largeInbox {
				t.Fatalf("the buffer has %d bytes", len(in.buf))
			}
		}
		if _, err := in.packet(); !errors.Is(err, io.EOF) {
			t.Errorf("seed %d: at the end: %v", seed, err)
		}
	}
}

func TestInboxIsSmallAgain(t *testing.T) {
	d := &drops{r: rand.New(rand.NewPCG(1, 1)), rest: bytes.Repeat(frame(0x30, make([]byte, 100)), 1000), most: 100_000}
	in := newInbox(d)
	read := func(n int) {
		for range n {
			_, err := in.packet()
			must(t, err)
		}
	}
	if read(1000); len(in.buf) != largeInbox {
		t.Errorf("after a burst the buffer has %d bytes", len(in.buf))
	}
	for range 20 * shrinkAt {
		d.rest = []byte{0xc0, 0}
		read(1)
	}
	if len(in.buf) > 2*smallInbox {
		t.Errorf("after a time of little it has %d bytes", len(in.buf))
	}
}
