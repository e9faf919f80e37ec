package broker

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// What a connection is closed for before the broker sees the packet.
var (
	errTooLarge  = errors.New("packet larger than allowed")
	errMalformed = errors.New("malformed packet")
	errAuth      = errors.New("AUTH, though there are no authentication methods")
)

// Packet types (MQTT 5.0, 2.1.2) and the longest fixed header.
const (
	typeConnect    = 1
	typePublish    = 3
	typePuback     = 4
	typePubrec     = 5
	typePubrel     = 6
	typePubcomp    = 7
	typeSubscribe  = 8
	typePingreq    = 12
	typeDisconnect = 14
	typeAuth       = 15
	maxFixedHeader = 5
)

// conn is a device's connection. It refuses packets that are too large before memory is set
// aside for them. What is written to it never waits.
//
// The fields below reading belong to the goroutine that reads, which alone sets those of the
// client; others may look at these once the session has the connection.
type conn struct {
	net.Conn
	out     *outbox
	acks    acks
	began   time.Time
	counts  counts
	release func()    // gives back the place among those not logged in; called once
	parting sync.Once // from the session

	polite atomic.Bool // the client has ended the connection as it should, so that its will is not told

	// of the client, from its login on
	session *session
	v5      bool
	window  int               // messages that it takes without acknowledging one
	longest uint32            // bytes in one packet that it takes; 0: any number
	aliases aliases           // of topics, for messages to it; locked by session.mu
	will    *will             // nil: none
	limiter *limiter          // of the user; nil: none
	token   [sha256.Size]byte // the hash of what it logged in with

	// reading
	in         inbox
	batch      batch
	entered    bool              // the client is logged in
	keepalive  time.Duration     // 0: it may be silent for ever
	limit      int               // bytes in one packet
	cert       *x509.Certificate // verified; nil when none was asked for, and after the login
	certified  bool              // no login without one of that user
	aim        aim               // of its last message
	unreleased int               // QoS 2 messages of the client's on this connection that it has not released
	warned     bool              // a refused publication has been logged
	active     bool              // a packet has come since the read deadline was set
}

func newConn(c net.Conn, cfg Config, b *buffers, release func()) *conn {
	x := &conn{
		Conn: c, began: time.Now(), in: newInbox(c), limit: cfg.MaxLoginPacket,
		out: newOutbox(c, cfg.WriteTimeout, cfg.MaxQueue, b), release: sync.OnceFunc(release),
	}
	x.acks.c = x
	return x
}

// holder is the user whose certificate was shown; "", which is nobody's name, without one.
func (c *conn) holder() string {
	if c.cert == nil {
		return ""
	}
	return c.cert.Subject.CommonName
}

// admit marks the connection as logged in.
func (c *conn) admit(cl *mqtt.Client, limit int) {
	c.entered, c.active, c.limit, c.cert = true, true, limit, nil
	c.keepalive = time.Duration(cl.State.Keepalive) * time.Second
	c.out.linger()
	c.release()
}

// next returns the next packet. Before it waits for one, it sends what the last ones gave
// reason to.
func (s *Server) next(c *conn) (p packet, err error) {
	for {
		if c.out.closed() {
			return p, errClosed
		}
		p, size, ok, err := c.in.header()
		switch {
		case err != nil:
			return p, err
		case ok && !c.entered && p.kind() != typeConnect:
			return p, packets.ErrProtocolViolationRequireFirstConnect
		case ok && size > c.limit:
			return p, fmt.Errorf("%w: %d bytes, %d allowed", errTooLarge, size, c.limit)
		case ok && c.in.take(&p, size):
			return p, s.came(c, p, size)
		case ok && size > largeInbox:
			if err := errors.Join(s.came(c, p, size), c.ready()); err != nil {
				return p, err
			}
			return p, c.in.takeLong(&p, size)
		}
		if err := c.fill(size); err != nil {
			return p, err
		}
	}
}

// fill reads once, with room for a packet of so many bytes; 0: not known yet.
func (c *conn) fill(size int) error {
	if err := c.ready(); err != nil {
		return err
	}
	empty, size := c.in.w == c.in.r, max(size, c.in.w-c.in.r+1)
	err := c.in.fill(size)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.out.hurried() {
		c.in.src = leftover{c.out.direct}
		err = c.in.fill(size)
	}
	if err != nil {
		return err
	}
	if empty && c.in.buf[c.in.r]>>4 == typePublish {
		// Go's poller wakes the last connection first. A SUBSCRIBE that came before this message,
		// on another one, is to be first: once for who reads it, once for who deals with it (aside).
		runtime.Gosched()
		runtime.Gosched()
	}
	return nil
}

// came counts a packet, and has its sender wait as long as it must.
func (s *Server) came(c *conn, p packet, size int) error {
	c.active = true
	c.counts.received(p.kind(), size)
	return s.slow(c, p.kind(), size)
}

// ready prepares for waiting for the device: within one and a half keepalives it must have sent
// a whole packet (MQTT 5.0, 3.1.2.10), and it must take its answers.
func (c *conn) ready() error {
	c.batch.flush()
	if !c.entered { // LoginTimeout holds
		return nil
	}
	if err := errors.Join(c.out.wait(0), c.acks.wait()); err != nil || !c.active {
		return err
	}
	c.active = false
	if c.keepalive == 0 {
		return c.out.readUntil(time.Time{})
	}
	return c.out.readUntil(time.Now().Add(c.keepalive + c.keepalive/2))
}

// leftover is what has come by a connection that another one replaces, and nothing after it: a
// client that returns at once has often said much on the one before, as that it has a message.
type leftover struct{ direct syscall.RawConn }

func (l leftover) Read(p []byte) (n int, err error) {
	if l.direct != nil {
		err = l.direct.Control(func(fd uintptr) { n, _, _ = syscall.Recvfrom(int(fd), p, syscall.MSG_DONTWAIT) })
	}
	if err == nil && n <= 0 {
		err = packets.ErrSessionTakenOver
	}
	return max(n, 0), err
}

// answer sends the answer to a rare packet.
func (c *conn) answer(p []byte) error {
	c.counts.sent(p)
	return c.out.put(&c.batch, func(to []byte) []byte { return append(to, p...) })
}

// readHeader reads a fixed header: the type and the number of bytes that follow.
func readHeader(r io.ByteReader) (head []byte, length int, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	head = append(make([]byte, 0, maxFixedHeader), first)
	for shift := 0; len(head) < maxFixedHeader; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return nil, 0, err
		}
		head = append(head, b)
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return head, length, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: length of more than four bytes", errMalformed)
}

// checkSubscribe makes sure that each filter of a SUBSCRIBE is followed by its options byte, and
// this one by version 5 sensible (MQTT 5.0, 3.8.3): mochi-mqtt v2.7.9 reads it without looking
// whether it is there, and takes any.
func checkSubscribe(body []byte, v5 bool) error {
	if len(body) < 2 {
		return fmt.Errorf("%w: SUBSCRIBE without packet id", errMalformed)
	}
	rest := body[2:]
	if v5 {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return fmt.Errorf("%w: properties of SUBSCRIBE", errMalformed)
		}
		rest = rest[n+int(length):]
	}
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest))+1 {
			return fmt.Errorf("%w: SUBSCRIBE ends within a filter", errMalformed)
		}
		rest = rest[2+int(binary.BigEndian.Uint16(rest)):]
		if options := rest[0]; v5 && (options>>6 != 0 || options>>4&3 == 3) {
			return fmt.Errorf("%w: options %#x of a subscription", errMalformed, options)
		}
		rest = rest[1:]
	}
	return nil
}

// Write never waits.
func (c *conn) Write(p []byte) (int, error) {
	c.counts.sent(p)
	return c.out.Write(p)
}

// Close lets what was written before reach the device.
func (c *conn) Close() error { return c.out.close() }
