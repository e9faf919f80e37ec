package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What a client publishes, from the packet to its answer.

// posted is what a PUBLISH says besides its content.
type posted struct {
	qos    byte
	retain bool
	id     uint16
}

// aim is where a client's last message went, and whether it might: most clients publish to few
// topics.
type aim struct {
	topic string
	may   [2]bool // not retained, retained
	route *route
}

// publishPlain deals with a PUBLISH without properties, which nearly all are, and reports
// whether it did: what is unusual about a packet, and what is forbidden, is left to the longer
// way. But for an empty property field it is the same in both versions (MQTT 3.1.1 and 5.0, 3.3).
func (s *Server) publishPlain(c *conn, p packet) bool {
	in := posted{qos: p.first >> 1 & 3, retain: p.first&1 > 0}
	if in.qos > 2 || in.qos == 0 && p.first&8 > 0 || len(p.body) < 2 {
		return false
	}
	n := 2 + int(binary.BigEndian.Uint16(p.body))
	if len(p.body) < n || in.qos > 0 && len(p.body) < n+2 {
		return false
	}
	topic, rest := p.body[2:n], p.body[n:]
	if in.qos > 0 {
		if in.id, rest = binary.BigEndian.Uint16(rest), rest[2:]; in.id == 0 {
			return false
		}
	}
	if c.v5 {
		if len(rest) == 0 || rest[0] != 0 {
			return false
		}
		rest = rest[1:]
	}
	if !s.aimAt(c, topic, in.retain) {
		return false
	}
	if !p.owned {
		rest = bytes.Clone(rest)
	}
	s.publish(c, &body{topic: c.aim.topic, payload: rest, created: time.Now().Unix()}, in)
	return true
}

// aimAt reports whether a client may publish to a topic, by the rules of this moment, and finds
// out who is to get it.
func (s *Server) aimAt(c *conn, topic []byte, retain bool) bool {
	a := &c.aim
	if a.route == nil || a.topic != string(topic) || a.route.epoch != s.epoch() {
		if a.topic != string(topic) {
			a.topic = string(topic)
		}
		rules := s.users.rules(c.session.user)
		a.route = s.route(a.topic)
		a.may = [2]bool{MayPublish(rules, a.topic, false), MayPublish(rules, a.topic, true)}
	}
	if retain {
		return a.may[1]
	}
	return a.may[0]
}

// publishAny deals with any decoded PUBLISH.
func (s *Server) publishAny(c *conn, pk packets.Packet) error {
	if code := pk.PublishValidate(0); code != packets.CodeSuccess { // no topic aliases
		return code
	}
	in := posted{pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.PacketID}
	if !s.aimAt(c, []byte(pk.TopicName), in.retain) {
		s.refuse(c, pk.TopicName, in)
		return nil
	}
	pk.Created = time.Now().Unix()
	if life := pk.Properties.MessageExpiryInterval; life > 0 {
		pk.Expiry = pk.Created + int64(life)
	}
	s.publish(c, bodyOf(pk), in)
	return nil
}

// publish does with an allowed message all that is to be done, and has it acknowledged.
func (s *Server) publish(c *conn, m *body, in posted) {
	if c.v5 && in.qos > 0 && c.unreleased >= receiveMaximum { // (MQTT 5.0, 4.9)
		c.dismiss(packets.ErrReceiveMaximum)
		return
	}
	if in.qos == 2 && !c.session.receive(in.id) {
		s.acknowledge(c, in, 0, ack{record: s.kept.last(), size: len(m.payload)}) // the first answer may still wait
		return
	}
	record := s.tell(c.session, m, in.qos, in.retain, c.aim.route, &c.batch)
	if in.qos == 2 {
		c.unreleased++
		record = max(record, c.session.noteReceived(in.id))
	}
	s.acknowledge(c, in, 0, ack{record: record, size: len(m.payload)})
	if record > 0 && s.kept.crowded() {
		c.batch.flush()
		s.kept.waitForRoom()
	}
}

// acknowledge answers a PUBLISH.
func (s *Server) acknowledge(c *conn, in posted, code byte, x ack) {
	x.kind, x.id, x.code = typePuback, in.id, code
	switch in.qos {
	case 0:
		return
	case 2:
		x.kind = typePubrec
	}
	c.acks.add(x, s.kept)
}

// refuse answers a PUBLISH that is not allowed. Version 3.1.1 has no word for it, so the
// connection ends (MQTT 3.1.1, 3.3.5).
func (s *Server) refuse(c *conn, topic string, in posted) {
	s.totals.refusedMessages.Add(1)
	if !c.warned { // once a connection: a device must not fill the log
		c.warned = true
		s.log.Warn("publication refused", keyUser, c.session.user, "topic", fmt.Sprintf("%.80q", topic), "retain", in.retain)
	}
	switch {
	case in.qos == 0:
	case c.v5:
		s.acknowledge(c, in, packets.ErrNotAuthorized.Code, ack{})
	default:
		c.dismiss(packets.ErrNotAuthorized)
	}
}

// answered deals with a client's answer to a message sent to it, and with its release of one of
// its own, and answers that.
func (s *Server) answered(c *conn, kind byte, id uint16, refused bool) {
	if kind == typePubrel {
		s.released(c, id)
		return
	}
	known, record := c.session.acked(kind, id, refused, &c.batch)
	if kind != typePubrec || refused {
		return
	}
	s.waitFor(c, record)
	c.acks.send(ack{kind: typePubrel, id: id, code: c.unknownID(known)}, &c.batch)
}

// released deals with the release of a QoS 2 message of a client's. It is answered when that is
// durable: with an id of which a restart would not know that it is free, the next message would
// be taken for this one.
func (s *Server) released(c *conn, id uint16) {
	known, record := c.session.release(id)
	if known {
		c.unreleased = max(c.unreleased-1, 0)
	}
	c.acks.add(ack{record: record, kind: typePubcomp, id: id, code: c.unknownID(known)}, s.kept)
}

// unknownID is the reason code of an answer about a packet id: version 5 alone has one.
func (c *conn) unknownID(known bool) byte {
	if known || !c.v5 {
		return 0
	}
	return packets.ErrPacketIdentifierNotFound.Code
}

// waitFor returns when a record is durable.
func (s *Server) waitFor(c *conn, record uint64) {
	if record > 0 {
		c.batch.flush()
		s.kept.wait(record)
	}
}
