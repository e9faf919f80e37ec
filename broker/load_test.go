package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The load that benchmarks put on a broker: raw MQTT, so that what is measured is the broker.

// loadPayload is the bytes of a message; the first of them are the publisher's number, the
// message's and the time.
const loadPayload = 64

// loader is one connection of the load.
type loader struct {
	net.Conn
	in      *bufio.Reader
	version byte
}

// loadLogin says who connects.
type loadLogin struct {
	user, token, id string
	version         byte // 0: 4, that is v3.1.1
	keepalive       uint16
	keep            bool // the session (v3.1.1)
}

// dialLoad connects and logs in. A user of "" logs in without a name.
func dialLoad(addr string, as loadLogin) (*loader, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	version := max(as.version, 4)
	l := &loader{Conn: c, in: bufio.NewReaderSize(c, 32<<10), version: version}
	body := append(field("MQTT"), version, 0x02) // a clean session
	if as.keep {
		body[len(body)-1] = 0
	}
	if as.user != "" {
		body[len(body)-1] |= 0xc0
	}
	body = l.properties(binary.BigEndian.AppendUint16(body, as.keepalive))
	body = append(body, field(as.id)...)
	if as.user != "" {
		body = append(append(body, field(as.user)...), field(as.token)...)
	}
	if _, err := l.Write(frame(0x10, body)); err != nil {
		return nil, err
	}
	_, answer, err := l.next()
	if err == nil && (len(answer) < 2 || answer[1] != 0) {
		err = fmt.Errorf("login of %s refused: % x", as.user, answer)
	}
	return l, err
}

// subscribe asks for one filter at QoS 1.
func (l *loader) subscribe(filter string) error {
	body := append(l.properties([]byte{0, 1}), field(filter)...)
	if _, err := l.Write(frame(0x82, append(body, 1))); err != nil {
		return err
	}
	kind, answer, err := l.next()
	if err == nil && (kind>>4 != 9 || answer[len(answer)-1] != 1) {
		err = fmt.Errorf("subscription to %s refused: % x", filter, answer)
	}
	return err
}

// properties adds that there are none, where the version of MQTT has a place for them.
func (l *loader) properties(p []byte) []byte {
	if l.version == 5 {
		p = append(p, 0)
	}
	return p
}

// next reads a packet. Its body is valid until the next call.
func (l *loader) next() (first byte, body []byte, err error) {
	head, length, err := readHeader(l.in)
	if err != nil {
		return 0, nil, err
	}
	if length > l.in.Size() {
		body = make([]byte, length)
		_, err = io.ReadFull(l.in, body)
		return head[0], body, err
	}
	if body, err = l.in.Peek(length); err == nil {
		_, err = l.in.Discard(length)
	}
	return head[0], body, err
}

func field(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func frame(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

// publisher sends numbered messages at QoS 1.
type publisher struct {
	*loader
	frame   []byte // a PUBLISH, in which id, number and time are replaced
	id      []byte // of frame: the packet id
	payload []byte // of frame
	sent    uint32
	acked   atomic.Uint32 // in the order sent (MQTT 3.1.1, 4.6)
}

func newPublisher(l *loader, number int, topic string, size int) *publisher {
	head := append(field(topic), 0, 0)
	payload := make([]byte, size)
	binary.BigEndian.PutUint32(payload, uint32(number))
	all := frame(0x32, append(l.properties(head), payload...))
	body := all[len(all)-len(l.properties(head))-size:]
	return &publisher{loader: l, frame: all, id: body[len(head)-2:], payload: all[len(all)-size:]}
}

// append adds the next message to out.
func (p *publisher) append(out []byte) []byte {
	p.sent++
	binary.BigEndian.PutUint16(p.id, packetID(p.sent))
	binary.BigEndian.PutUint32(p.payload[4:], p.sent)
	binary.BigEndian.PutUint64(p.payload[8:], uint64(time.Now().UnixNano()))
	return append(out, p.frame...)
}

// packetID of the nth message; ids are never 0.
func packetID(n uint32) uint16 { return uint16((n-1)%0xffff + 1) }

// ack reads the answer to the oldest message not acknowledged.
func (p *publisher) ack() error {
	first, body, err := p.next()
	if err != nil {
		return err
	}
	if want := packetID(p.acked.Load() + 1); first>>4 != typePuback || binary.BigEndian.Uint16(body) != want {
		return fmt.Errorf("an answer of type %d, % x to message %d", first>>4, body, want)
	}
	p.acked.Add(1)
	return nil
}

// run keeps so many messages in flight until stop is closed, and then waits for all answers.
func (p *publisher) run(window uint32, stop <-chan struct{}) error {
	var out []byte
	for stopped := false; ; {
		select {
		case <-stop:
			stopped = true
		default:
		}
		out = out[:0]
		for !stopped && p.sent-p.acked.Load() < window {
			out = p.append(out)
		}
		if _, err := p.Write(out); err != nil {
			return err
		}
		if p.sent == p.acked.Load() {
			return nil
		}
		for more := true; more; more = p.in.Buffered() > 0 {
			if err := p.ack(); err != nil {
				return err
			}
		}
	}
}

// subscriber counts what it receives of each publisher, and acknowledges it.
type subscriber struct {
	*loader
	got   atomic.Int64    // messages, each counted once
	last  []atomic.Uint32 // by publisher: the highest number
	holes atomic.Int64    // numbers left out
	late  func(time.Duration)
}

func newSubscriber(l *loader, publishers int) *subscriber {
	return &subscriber{loader: l, last: make([]atomic.Uint32, publishers)}
}

// run receives until the connection ends.
func (s *subscriber) run() error {
	var acks []byte
	for {
		first, body, err := s.next()
		if err != nil {
			return err
		}
		if first>>4 != typePublish {
			continue
		}
		n := 2 + int(binary.BigEndian.Uint16(body))
		if first>>1&3 == 1 {
			acks = append(acks, typePuback<<4, 2, body[n], body[n+1])
			n += 2
		}
		if s.version == 5 {
			n += 1 + int(body[n]) // fewer than 128 bytes of properties
		}
		s.note(body[n:])
		if s.in.Buffered() > 0 {
			continue
		}
		if _, err := s.Write(acks); err != nil {
			return err
		}
		acks = acks[:0]
	}
}

func (s *subscriber) note(payload []byte) {
	from, n := binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])
	before := s.last[from].Load()
	if n <= before {
		return // a second time
	}
	s.last[from].Store(n)
	s.got.Add(1)
	s.holes.Add(int64(n - before - 1))
	if s.late != nil {
		s.late(time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(payload[8:]))))
	}
}
