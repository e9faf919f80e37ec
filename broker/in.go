package broker

import (
	"fmt"
	"io"
)

const (
	smallInbox = 512      // bytes: enough for what an idle client sends
	largeInbox = 16 << 10 // bytes; longer packets are read past the buffer
	shrinkAt   = 16       // reads in a row that a quarter of the buffer would have held
)

// inbox reads the packets of a connection. Its buffer is small until much comes at once, and
// small again when no more does: most connections idle most of the time.
type inbox struct {
	src  io.Reader
	buf  []byte
	r, w int // what is in buf and not taken yet
	slim int // reads in a row that filled little of it
}

func newInbox(src io.Reader) inbox { return inbox{src: src, buf: make([]byte, smallInbox)} }

// packet is a packet as it came. When it is in the buffer its body is valid until the next read.
type packet struct {
	first byte   // type and flags
	head  int    // bytes before the body
	body  []byte // nil until it has been read
	owned bool   // body is not in the buffer
}

func (p *packet) kind() byte { return p.first >> 4 }

// header looks at the fixed header of the next packet (MQTT 5.0, 2.1), if it is here, and
// returns how many bytes the packet has.
func (in *inbox) header() (p packet, size int, ok bool, err error) {
	have := in.buf[in.r:in.w]
	length := 0
	for i := 1; i < len(have); i++ {
		length |= int(have[i]&0x7f) << (7 * (i - 1))
		if have[i]&0x80 == 0 {
			return packet{first: have[0], head: i + 1}, i + 1 + length, true, nil
		}
		if i == maxFixedHeader-1 {
			return p, 0, false, fmt.Errorf("%w: length of more than four bytes", errMalformed)
		}
	}
	return p, 0, false, nil
}

// take takes the next packet, of so many bytes, out of the buffer, if all of it is here.
func (in *inbox) take(p *packet, size int) bool {
	if in.w-in.r < size {
		return false
	}
	p.body = in.buf[in.r+p.head : in.r+size : in.r+size]
	if in.r += size; in.r == in.w {
		in.r, in.w = 0, 0
	}
	return true
}

// takeLong reads a packet that is longer than the buffer may be.
func (in *inbox) takeLong(p *packet, size int) error {
	p.body, p.owned = make([]byte, size-p.head), true
	n := copy(p.body, in.buf[in.r+p.head:in.w])
	in.r, in.w = 0, 0
	_, err := io.ReadFull(in.src, p.body[n:])
	return err
}

// fill reads once. so many bytes must have place, which is no more than largeInbox.
func (in *inbox) fill(size int) error {
	in.makeRoom(size)
	n, err := in.src.Read(in.buf[in.w:])
	in.w += n
	switch {
	case in.w == len(in.buf) && len(in.buf) < largeInbox:
		in.resize(2 * len(in.buf))
	case in.w < len(in.buf)/4 && len(in.buf) > smallInbox:
		in.slim++
	default:
		in.slim = 0
	}
	if n > 0 {
		return nil
	}
	return err
}

func (in *inbox) makeRoom(size int) {
	switch {
	case size > len(in.buf):
		in.resize(max(size, 2*len(in.buf)))
	case in.slim > shrinkAt && max(size, in.w-in.r) <= len(in.buf)/2:
		in.resize(len(in.buf) / 2)
	case in.r > 0:
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

func (in *inbox) resize(size int) {
	size = min(size, largeInbox)
	in.slim = 0
	in.buf = append(make([]byte, 0, size), in.buf[in.r:in.w]...)[:size]
	in.r, in.w = 0, in.w-in.r
}
