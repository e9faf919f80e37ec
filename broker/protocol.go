package broker

import (
	"errors"
	"io"
	"math"
	"os"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// What MQTT 5.0 asks of a server and mochi-mqtt v2.7.9 leaves out, or does not do safely.

const (
	receiveMaximum   = 1024                   // QoS 1 and 2 messages that a version 5 client may have on their way to us
	longestKeepalive = math.MaxUint16 / 3 * 2 // seconds: the broker adds half as much, in 16 bits
	maxLinger        = 1 << 20                // bytes that a client may still send after we have hung up
)

// meet notes what a CONNECT says of the client, and hides what mochi-mqtt would refuse: that a
// will has no payload, as it may (MQTT 5.0, 3.1.3.4).
func (c *conn) meet(pk *packets.Packet) {
	c.v5 = pk.ProtocolVersion == 5
	c.window, c.longest = maxWindow, pk.Properties.MaximumPacketSize
	if pk.Properties.ReceiveMaximum > 0 {
		c.window = min(c.window, int(pk.Properties.ReceiveMaximum))
	}
	c.aliases.most = min(int(pk.Properties.TopicAliasMaximum), maxAliases)
	if !pk.Connect.WillFlag {
		return
	}
	c.will = newWill(pk)
	if len(pk.Connect.WillPayload) == 0 {
		pk.Connect.WillPayload = []byte{0}
	}
}

// announcement tells a client what it may ask of us (MQTT 5.0, 3.2.2.3).
func (c *conn) announcement() *packets.Properties {
	return &packets.Properties{MaximumPacketSize: uint32(c.limit), SharedSubAvailableFlag: true}
}

// imposeKeepalive bounds the silence of a client that wants a longer one than it may have. By
// version 5 it is told; one of version 3.1.1 finds out when it is cut.
func (s *Server) imposeKeepalive(cl *mqtt.Client) {
	asked, most := cl.State.Keepalive, uint16(longestKeepalive)
	if s.cfg.Keepalive > 0 {
		most = uint16(s.cfg.Keepalive / time.Second)
	}
	if asked > most || asked == 0 && s.cfg.Keepalive > 0 {
		cl.State.Keepalive, cl.State.ServerKeepalive = most, true
	}
}

// refuses reports whether the owner's settings keep everybody from receiving what filter covers.
func (s *Server) refuses(filter string) bool {
	for _, f := range s.cfg.RefuseFilters {
		if covers(f, filter) {
			return true
		}
	}
	return false
}

// refusal is why nobody may subscribe to filter; 0: some may.
func (s *Server) refusal(filter string) byte {
	switch {
	case shared(filter):
		return packets.ErrSharedSubscriptionsNotSupported.Code
	case s.refuses(filter):
		return packets.ErrUnspecifiedError.Code
	}
	return 0
}

// will is told when a client is gone without goodbye.
type will struct {
	body
	qos    byte
	retain bool
	delay  time.Duration
	life   uint32 // seconds; 0: no end
}

// newWill takes the will out of a CONNECT. It never waits longer than the session (MQTT 5.0,
// 3.1.3.2.2).
func newWill(pk *packets.Packet) *will {
	c, props := &pk.Connect, &pk.Connect.WillProperties
	w := &will{
		body: body{topic: c.WillTopic, payload: c.WillPayload},
		qos:  c.WillQos, retain: c.WillRetain, delay: time.Duration(props.WillDelayInterval) * time.Second,
		life: props.MessageExpiryInterval,
	}
	if pk.ProtocolVersion == 5 {
		w.props = willProperties(props)
	}
	return w
}

// message is the will as it is published.
func (w *will) message() *body {
	m := w.body
	m.created = time.Now().Unix()
	if w.life > 0 {
		m.expiry = m.created + int64(w.life)
	}
	return &m
}

// willProperties are those of a will's message (MQTT 5.0, 3.1.3.2).
func willProperties(p *packets.Properties) *packets.Properties {
	return &packets.Properties{
		PayloadFormat: p.PayloadFormat, PayloadFormatFlag: p.PayloadFormatFlag,
		MessageExpiryInterval: p.MessageExpiryInterval,
		ContentType:           p.ContentType,
		ResponseTopic:         p.ResponseTopic,
		CorrelationData:       p.CorrelationData,
		User:                  p.User,
	}
}

// explain ends a connection, and tells its client why, where there is a word for it (MQTT 5.0,
// 4.13).
func (c *conn) explain(err error) {
	var code packets.Code
	switch {
	case errors.Is(err, errTooLarge):
		code = packets.ErrPacketTooLarge
	case errors.Is(err, errMalformed):
		code = packets.ErrMalformedPacket
	case errors.Is(err, errAuth):
		code = packets.ErrProtocolViolation
	case errors.Is(err, errFlood):
		code = packets.ErrMessageRateTooHigh
	case errors.Is(err, os.ErrDeadlineExceeded):
		code = packets.ErrKeepAliveTimeout
	case !errors.As(err, &code) || code.Code < packets.ErrUnspecifiedError.Code:
		_ = c.Close()
		return
	}
	c.dismiss(code)
}

// dismiss ends the connection of a client that has logged in. By version 5 it is told why.
func (c *conn) dismiss(code packets.Code) {
	if c.v5 {
		c.counts.out.add(typeDisconnect, 4)
		_ = c.out.put(nil, func(p []byte) []byte { return append(p, typeDisconnect<<4, 2, code.Code, 0) }) // fails when it is gone
	}
	_ = c.Close()
}

// linger reads what a client that has logged in still sends until it hangs up as well: closing
// with something unread resets a connection, and the client may never see why it was ended.
func (c *conn) linger() {
	if c.out.lingering() && c.Conn.SetReadDeadline(time.Now().Add(c.out.timeout)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, maxLinger)
		_ = c.Conn.Close()
	}
}
