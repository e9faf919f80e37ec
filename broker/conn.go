package broker

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
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
	typePuback     = 4
	typePubrel     = 6
	typePubcomp    = 7
	typeSubscribe  = 8
	typeDisconnect = 14
	typeAuth       = 15
	maxFixedHeader = 5
)

// conn stands between a device's connection and the broker. It refuses packets that are too
// large before memory is set aside for them and SUBSCRIBEs that the broker's decoder cannot
// take, and writes behind the broker's back, with deadlines of its own.
//
// The broker reads from one goroutine, which alone touches the fields below reading.
type conn struct {
	net.Conn
	out     *outbox
	began   time.Time
	counts  counts
	release func()                                   // gives back the place among those not logged in; called once
	slow    func(c *conn, kind byte, size int) error // waits as long as a packet must; nil: none must

	// reading
	in        *bufio.Reader
	head      []byte // read and looked at, not yet handed over
	body      int    // bytes of the present packet after head, yet to be handed over
	limit     int    // bytes in one packet
	v5        bool
	client    *mqtt.Client      // nil until logged in
	left      bool              // the broker has seen the client off
	will      mqtt.Will         // told when the client is gone without goodbye; ours, not the broker's
	goodbye   bool              // so that it is not told
	session   *session          // from the login on
	limiter   *limiter          // of the user; nil: none
	token     [sha256.Size]byte // the hash of what it logged in with
	cert      *x509.Certificate // verified; nil when none was asked for
	certified bool              // no login without one of that user
	settled   func()            // ends the time in which the session may not change hands
	pub       publishing        // the PUBLISH being handled
	asked     []asking          // the filters of the SUBSCRIBE being handled
	known     bool              // the packet id of the QoS 2 answer being handled
	window    int               // messages that the client takes without acknowledging one
	aliases   aliases           // of topics, for messages to the client; locked by session.mu
	warned    bool              // a refused publication has been logged

	willProps   packets.Properties
	willPayload []byte
	unreleased  int // QoS 2 messages of the client's on this connection that it has not released
}

func newConn(c net.Conn, cfg Config, release func()) *conn {
	return &conn{
		Conn: c, began: time.Now(), in: bufio.NewReaderSize(c, 2048), limit: cfg.MaxLoginPacket, settled: func() {},
		out: newOutbox(c, cfg.WriteTimeout, cfg.MaxQueue), release: sync.OnceFunc(release),
	}
}

// holder is the user whose certificate was shown; "", which is nobody's name, without one.
func (c *conn) holder() string {
	if c.cert == nil {
		return ""
	}
	return c.cert.Subject.CommonName
}

// admit marks the connection as logged in.
func (c *conn) admit(cl *mqtt.Client, v5 bool, limit int) {
	c.client, c.v5, c.limit = cl, v5, limit
	c.out.lingers.Store(true)
	c.release()
}

// Read never returns bytes of two packets at once, so that what a packet changes holds for
// the next.
func (c *conn) Read(p []byte) (int, error) {
	if c.out.closed() {
		return 0, errClosed
	}
	if len(c.head) == 0 && c.body == 0 {
		if err := c.out.wait(0); err != nil { // who asks must take the answers
			return 0, err
		}
		if err := c.next(); err != nil {
			c.explain(err)
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

// next reads the head of a packet; of a SUBSCRIBE or DISCONNECT, all of it.
func (c *conn) next() error {
	woken := c.in.Buffered() == 0
	head, length, err := readHeader(c.in)
	if err != nil {
		return err
	}
	if woken && head[0]>>4 == typePublish {
		// Go's poller wakes the last connection first. A SUBSCRIBE that came before this message,
		// on another one, is to be first.
		runtime.Gosched()
	}
	if len(head)+length > c.limit {
		return fmt.Errorf("%w: %d bytes, %d allowed", errTooLarge, len(head)+length, c.limit)
	}
	c.counts.received(head[0]>>4, len(head)+length)
	if c.slow != nil {
		if err := c.slow(c, head[0]>>4, len(head)+length); err != nil {
			return err
		}
	}
	c.head, c.body = head, length
	switch head[0] >> 4 {
	case typeSubscribe:
		body, err := c.whole()
		return cmp.Or(err, checkSubscribe(body, c.v5))
	case typeDisconnect: // mochi-mqtt v2.7.9 overlooks a reason that nothing follows
		body, err := c.whole()
		c.goodbye = !c.v5 || len(body) == 0 || body[0] == 0
		return err
	case typeAuth:
		return errAuth
	}
	return nil
}

// whole reads the body of the present packet to its end.
func (c *conn) whole() ([]byte, error) {
	n := len(c.head)
	c.head = append(c.head, make([]byte, c.body)...)
	c.body = 0
	_, err := io.ReadFull(c.in, c.head[n:])
	return c.head[n:], err
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

// SetDeadline bounds reading alone: the broker means the keepalive.
func (c *conn) SetDeadline(t time.Time) error {
	if c.out.closed() {
		return errClosed
	}
	return c.Conn.SetReadDeadline(t)
}
