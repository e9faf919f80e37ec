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

// meet takes from the first CONNECT what the broker must not see: Receive Maximum, after which
// it would lose count and stop delivering; topic aliases, which it sends bare after a drop; and
// that a will has no payload, which may be (MQTT 5.0, 3.1.3.4), but which the broker refuses.
func (c *conn) meet(pk *packets.Packet) {
	if c.client != nil { // a second one, which the broker refuses
		return
	}
	if c.window = maxWindow; pk.Properties.ReceiveMaximum > 0 {
		c.window = min(c.window, int(pk.Properties.ReceiveMaximum))
	}
	c.aliases = newAliases(pk.Properties.TopicAliasMaximum)
	c.willProps, c.willPayload = pk.Connect.WillProperties, pk.Connect.WillPayload
	pk.Properties.ReceiveMaximum, pk.Properties.TopicAliasMaximum = 0, 0
	if pk.Connect.WillFlag && len(pk.Connect.WillPayload) == 0 {
		pk.Connect.WillPayload = []byte{0}
	}
}

// announce tells a client what it may ask of us (MQTT 5.0, 3.2.2.3).
func (c *conn) announce(p *packets.Properties) {
	p.MaximumPacketSize = uint32(c.limit)
	p.SharedSubAvailable, p.SharedSubAvailableFlag = 0, true
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

// overQuota reports whether the PUBLISH being handled is one more than the client was allowed
// to have on its way (MQTT 5.0, 4.9). Messages of QoS 1 are acknowledged before the next is read.
func (c *conn) overQuota() bool {
	return c.v5 && c.pub.qos > 0 && c.unreleased >= receiveMaximum
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

// refusals puts our reasons in place of the broker's, which is always the same.
func (c *conn) refusals(codes []byte) []byte {
	for i, a := range c.asked {
		if c.v5 && i < len(codes) && codes[i] == packets.ErrNotAuthorized.Code && a.refusal != 0 {
			codes[i] = a.refusal
		}
	}
	return codes
}

// willProperties are those of a will's message (MQTT 5.0, 3.1.3.2).
func willProperties(p packets.Properties) packets.Properties {
	return packets.Properties{
		PayloadFormat: p.PayloadFormat, PayloadFormatFlag: p.PayloadFormatFlag,
		MessageExpiryInterval: p.MessageExpiryInterval,
		ContentType:           p.ContentType,
		ResponseTopic:         p.ResponseTopic,
		CorrelationData:       p.CorrelationData,
		User:                  p.User,
	}
}

// explain tells a client why what was read ends its connection, where there is a word for it.
func (c *conn) explain(err error) {
	switch {
	case errors.Is(err, errTooLarge):
		c.dismiss(packets.ErrPacketTooLarge)
	case errors.Is(err, errMalformed):
		c.dismiss(packets.ErrMalformedPacket)
	case errors.Is(err, errAuth):
		c.dismiss(packets.ErrProtocolViolation)
	case errors.Is(err, errFlood):
		c.dismiss(packets.ErrMessageRateTooHigh)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.dismiss(packets.ErrKeepAliveTimeout)
	}
}

// dismiss sends a client that has logged in a DISCONNECT, by version 5 (MQTT 5.0, 4.13). Only who
// reads from the connection may call it.
func (c *conn) dismiss(code packets.Code) {
	if c.client != nil && c.v5 {
		_ = c.client.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: code.Code})
	}
}

// linger reads what a client that has logged in still sends until it hangs up as well: closing
// with something unread resets a connection, and the client may never see why it was ended.
func (c *conn) linger() {
	if c.out.lingers.Load() && c.Conn.SetReadDeadline(time.Now().Add(c.out.timeout)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, maxLinger)
		_ = c.Conn.Close()
	}
}
