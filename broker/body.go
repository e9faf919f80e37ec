package broker

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// body is a message without what differs between its receivers, who share it.
type body struct {
	topic   string
	payload []byte
	created int64               // Unix seconds
	expiry  int64               // Unix seconds; 0: none
	props   *packets.Properties // of version 5; nil: none
}

// outgoing is a message on its way to one client.
type outgoing struct {
	*body
	next, prev *outgoing // in the queue
	subs       []int     // subscription identifiers
	id         uint16    // 0 at QoS 0
	qos        byte
	retain     bool
	again      bool // sent before, perhaps
	sent       bool // on this connection
	released   bool // QoS 2: the client has it, only the exchange is to be ended
}

// line holds messages in their order.
type line struct {
	front, back *outgoing
	n           int
}

func (q *line) push(o *outgoing) {
	o.prev, o.next = q.back, nil
	if q.back == nil {
		q.front = o
	} else {
		q.back.next = o
	}
	q.back = o
	q.n++
}

func (q *line) remove(o *outgoing) {
	if o.prev == nil {
		q.front = o.next
	} else {
		o.prev.next = o.next
	}
	if o.next == nil {
		q.back = o.prev
	} else {
		o.next.prev = o.prev
	}
	o.prev, o.next = nil, nil
	q.n--
}

// size is what a message takes of the room of a queue, in bytes.
func (m *body) size() int { return len(m.topic) + len(m.payload) + queuedCost }

func (o *outgoing) expired() bool {
	return !o.released && o.expiry > 0 && o.expiry <= time.Now().Unix()
}

// noProperties is the properties of a packet that has none.
const noProperties = "\x00"

// form is how a message is written for one connection.
type form struct {
	v5    bool
	alias uint16 // of its topic; 0: none
	bare  bool   // the alias alone
	most  uint32 // bytes that the client takes in a packet; 0: any number
}

// append adds o to p as it is sent: as a PUBLISH (MQTT 5.0, 3.3), or as a PUBREL.
func (o *outgoing) append(p []byte, f form) []byte {
	if o.released {
		return appendAnswer(p, packets.Pubrel, o.id, 0)
	}
	first := byte(typePublish<<4) | o.qos<<1
	if o.retain {
		first |= 1
	}
	if o.again && o.qos > 0 {
		first |= 8
	}
	topic, props := o.topic, ""
	if f.bare {
		topic = ""
	}
	if f.v5 {
		props = o.properties(f.alias)
	}
	length := 2 + len(topic) + 2*int(min(o.qos, 1)) + len(props) + len(o.payload)
	p = binary.AppendUvarint(append(p, first), uint64(length))
	p = append(binary.BigEndian.AppendUint16(p, uint16(len(topic))), topic...)
	if o.qos > 0 {
		p = binary.BigEndian.AppendUint16(p, o.id)
	}
	return append(append(p, props...), o.payload...)
}

// properties is the property field, with its length.
func (o *outgoing) properties(alias uint16) string {
	if o.props == nil && o.subs == nil && o.expiry == 0 && alias == 0 {
		return noProperties
	}
	var props packets.Properties
	if o.props != nil {
		props = *o.props
	}
	props.SubscriptionIdentifier = o.subs
	props.TopicAlias, props.TopicAliasFlag, props.MessageExpiryInterval = alias, alias > 0, 0
	if o.expiry > 0 {
		props.MessageExpiryInterval = uint32(max(o.expiry-time.Now().Unix(), 1)) // what is left (MQTT 5.0, 3.3.2.3.3)
	}
	var b bytes.Buffer
	props.Encode(packets.Publish, packets.Mods{AllowResponseInfo: true}, &b, 0)
	return b.String()
}

// packet is the message as mochi-mqtt keeps it.
func (m *body) packet(qos byte) packets.Packet {
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: true},
		TopicName:   m.topic, Payload: m.payload, Created: m.created, Expiry: m.expiry,
	}
	if m.props != nil {
		pk.Properties = *m.props
	}
	if m.props != nil || m.expiry > 0 {
		pk.ProtocolVersion = 5 // others have no expiry
	}
	return pk
}

// bodyOf is the reverse.
func bodyOf(pk packets.Packet) *body {
	m := &body{topic: pk.TopicName, payload: pk.Payload, created: pk.Created, expiry: pk.Expiry}
	if pk.ProtocolVersion == 5 {
		m.props = &pk.Properties
	}
	return m
}

// appendAnswer adds an acknowledgement to p (MQTT 5.0, 3.4 to 3.7).
func appendAnswer(p []byte, kind byte, id uint16, code byte) []byte {
	first, length := kind<<4, byte(2)
	if kind == packets.Pubrel {
		first |= 2
	}
	if code > 0 {
		length++
	}
	p = append(p, first, length, byte(id>>8), byte(id))
	if code > 0 {
		p = append(p, code)
	}
	return p
}
