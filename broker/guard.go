package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Packet types (MQTT 3.1.1, 2.2.1) that only the guard of the client asks about.
const (
	typeConnack  = 2
	typeSuback   = 9
	typeUnsuback = 11
	typePingresp = 13
)

// guard stands between our client library and a broker that may be anybody's. It lets through
// what a broker may send, at the length it may have: paho v1.5.1 sets memory aside for whatever
// length is claimed, and panics when a SUBACK holds more codes than were asked for. It also
// gives each write a deadline, which paho does for publications only.
//
// paho reads from one goroutine and writes each packet with one call.
type guard struct {
	net.Conn
	limit int // bytes in one packet

	mu   sync.Mutex
	asks map[uint16]int // packet id of a SUBSCRIBE: number of filters

	in   *bufio.Reader
	head []byte // looked at, not yet handed over
	body int    // bytes that follow head
	met  bool   // the broker has answered the CONNECT
}

func newGuard(c net.Conn, limit int) *guard {
	return &guard{Conn: c, limit: limit, asks: map[uint16]int{}, in: bufio.NewReader(c)}
}

func (g *guard) Write(p []byte) (int, error) {
	g.watch(p)
	if err := g.SetWriteDeadline(time.Now().Add(answerPatience)); err != nil {
		return 0, err
	}
	n, err := g.Conn.Write(p)
	if err != nil && len(p) > 0 && p[0]>>4 == typeConnect {
		err = g.lastWord(err)
	}
	return n, err
}

// lastWord reads why a broker hung up before it was asked anything: with TLS 1.3 it tells what
// is wrong with a certificate after the handshake. Nobody else reads yet.
func (g *guard) lastWord(err error) error {
	if g.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return err
	}
	if _, why := g.in.Peek(1); why != nil && ourCertRefused(why) {
		return why
	}
	return err
}

// watch notes how many codes the answer to a SUBSCRIBE may hold.
func (g *guard) watch(p []byte) {
	if len(p) == 0 || p[0]>>4 != typeSubscribe {
		return
	}
	n := 1
	for n < len(p) && n < maxFixedHeader && p[n]&0x80 != 0 {
		n++
	}
	if n++; len(p) < n+2 {
		return
	}
	filters := 0
	for rest := p[n+2:]; len(rest) >= 2; filters++ {
		rest = rest[min(len(rest), 2+int(binary.BigEndian.Uint16(rest))+1):]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asks[binary.BigEndian.Uint16(p[n:])] = filters
}

func (g *guard) Read(p []byte) (int, error) {
	if len(g.head) == 0 && g.body == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.head) > 0 {
		n := copy(p, g.head)
		g.head = g.head[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.body)])
	g.body -= n
	return n, err
}

// next looks at a packet's head; of short packets, at all of it.
func (g *guard) next() error {
	head, length, err := readHeader(g.in)
	if err != nil {
		return err
	}
	if len(head)+length > g.limit {
		return fmt.Errorf("%w: the broker sends %d bytes, %d are allowed", errTooLarge, len(head)+length, g.limit)
	}
	kind := head[0] >> 4
	if !g.met && kind != typeConnack || !plausible(kind, head[0]&0xf, length) {
		return fmt.Errorf("%w: the broker sends type %d, flags %#x, %d bytes", errMalformed, kind, head[0]&0xf, length)
	}
	g.met = true
	look := length
	if kind == typePublish {
		look = 2
	}
	if head, err = g.more(head, look); err != nil {
		return err
	}
	body := head[len(head)-look:]
	switch kind {
	case typeSuback:
		err = g.answered(binary.BigEndian.Uint16(body), len(body)-2)
	case typePublish:
		head, err = g.topic(head, int(binary.BigEndian.Uint16(body)), length)
		look = len(body) + int(binary.BigEndian.Uint16(body))
	}
	g.head, g.body = head, length-look
	return err
}

func (g *guard) more(head []byte, n int) ([]byte, error) {
	head = append(head, make([]byte, n)...)
	_, err := io.ReadFull(g.in, head[len(head)-n:])
	return head, err
}

// plausible reports whether a broker may send such a packet (MQTT 3.1.1, 3).
func plausible(kind, flags byte, length int) bool {
	switch kind {
	case typePublish:
		qos := flags >> 1 & 3
		return qos < 3 && length >= 2+2*int(min(qos, 1))
	case typeConnack, typePuback, typePuback + 1, typePubcomp, typeUnsuback:
		return length == 2 && flags == 0
	case typePubrel:
		return length == 2 && flags == 2
	case typeSuback:
		return length > 2 && flags == 0
	case typePingresp:
		return length == 0 && flags == 0
	}
	return false
}

// answered checks a SUBACK. One that nobody asked for paho leaves alone.
func (g *guard) answered(id uint16, codes int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked, ok := g.asks[id]
	delete(g.asks, id)
	if !ok || codes != asked {
		return fmt.Errorf("%w: a SUBACK with %d codes for %d filters", errMalformed, codes, asked)
	}
	return nil
}

// topic reads and checks the topic of a PUBLISH.
func (g *guard) topic(head []byte, n, length int) ([]byte, error) {
	if 2+n > length {
		return nil, fmt.Errorf("%w: a topic of %d bytes in a PUBLISH of %d", errMalformed, n, length)
	}
	head, err := g.more(head, n)
	if err != nil {
		return nil, err
	}
	return head, ValidTopic(string(head[len(head)-n:]))
}
