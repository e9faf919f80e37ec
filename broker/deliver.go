package broker

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// publishing is a PUBLISH on its way through the broker, which is shown it at QoS 0, so that it
// leaves the rest to us.
type publishing struct {
	qos      byte
	id       uint16
	retain   bool
	answered bool
}

// asking is one filter of a SUBSCRIBE.
type asking struct {
	sub     packets.Subscription
	retains bool // the client wants what is retained
	granted bool
	refusal byte // by version 5; 0: the client may not
}

// publish does with a user's allowed message all that is to be done, and then acknowledges it.
func (s *Server) publish(cl *mqtt.Client, c *conn, pk packets.Packet) {
	pk.FixedHeader.Qos, pk.PacketID = c.pub.qos, c.pub.id
	if c.overQuota() {
		c.pub.answered = true
		s.disconnect(cl, packets.ErrReceiveMaximum)
		return
	}
	isNew, record := true, uint64(0)
	if c.pub.qos == 2 {
		if isNew, record = c.session.receive(c.pub.id); isNew {
			c.unreleased++
		}
	}
	if isNew {
		record = max(record, s.tell(c.session, pk))
	}
	if c.pub.qos > 0 {
		s.sessionLog.wait(record)
	}
	s.acknowledge(cl, c, 0)
}

// acknowledge answers the PUBLISH being handled.
func (s *Server) acknowledge(cl *mqtt.Client, c *conn, code byte) {
	c.pub.answered = true
	switch c.pub.qos {
	case 1:
		_ = cl.WritePacket(answer(packets.Puback, c.pub.id, code)) // fails when the client is gone
	case 2:
		_ = cl.WritePacket(answer(packets.Pubrec, c.pub.id, code))
	}
}

// refusePublish answers a PUBLISH that is not allowed. Version 3.1.1 has no word for it, so the
// connection ends (MQTT 3.1.1, 3.3.5).
func (s *Server) refusePublish(cl *mqtt.Client, c *conn) {
	switch {
	case c.pub.qos == 0:
	case cl.Properties.ProtocolVersion == 5:
		s.acknowledge(cl, c, packets.ErrNotAuthorized.Code)
	default:
		cl.Stop(packets.ErrNotAuthorized)
	}
}

// tell shows a message, keeps it when it is to be retained, and delivers it. from is the session
// of its sender. It returns what to wait for before acknowledging the message.
func (s *Server) tell(from *session, pk packets.Packet) (record uint64) {
	s.show(from.user, pk)
	if pk.FixedHeader.Retain {
		s.mq.Topics.RetainMessage(pk.Copy(false))
		atomic.StoreInt64(&s.mq.Info.Retained, int64(s.mq.Topics.Retained.Len()))
		s.keepRetained(pk.TopicName)
	}
	return s.deliver(from, pk)
}

// deliver hands a message to everybody who has subscribed to it and may have it now.
func (s *Server) deliver(from *session, pk packets.Packet) (record uint64) {
	shared := pk.Copy(false)
	for id, sub := range s.subscribers(pk.TopicName) {
		to := s.session(id)
		if to == nil || sub.NoLocal && to == from || !s.mayRead(to, pk.TopicName) {
			continue
		}
		record = max(record, s.hand(from, to, &outgoing{
			pk: &shared, qos: min(pk.FixedHeader.Qos, sub.Qos), subs: identifiers(sub),
			retain: pk.FixedHeader.Retain && sub.RetainAsPublished, // never asked for by version 3.1.1
		}))
	}
	return record
}

// mayRead goes by the rules of this moment, so that a revoked user gets nothing more.
func (s *Server) mayRead(to *session, topic string) bool {
	return !s.refuses(topic) && MaySubscribe(s.users.rules(to.user), topic)
}

// hand gives a message to one client. A session whose queue is full ends: its client sees at
// the next login that there is none, and asks again for what it missed. Leaving out messages
// would tell it nothing.
func (s *Server) hand(from, to *session, o *outgoing) (record uint64) {
	if o.qos == 0 {
		to.send(o)
		return 0
	}
	full := false
	if from == to { // which cannot make room while it waits for itself
		full = to.over(selfPublish * s.cfg.MaxQueue)
	} else {
		full = !to.fits(o.size(), s.cfg.MaxQueue, s.cfg.WriteTimeout)
	}
	if full {
		s.overflow(to)
		return 0
	}
	return to.enqueue(o)
}

// overflow ends a session that has more queued than it may.
func (s *Server) overflow(x *session) {
	x.cut()
	if !s.end(x) {
		return
	}
	s.totals.overflows.Add(1)
	s.log.Warn("a session ended, because its client takes less than is sent to it", keyUser, x.user, keyClient, x.id,
		"most_bytes", s.cfg.MaxQueue, "most_messages", maxQueued)
}

// sendRetained gives a new subscriber what is retained on the topics of its filter, however
// much that is. It runs in the goroutine that reads from this client, whose answers must be
// read for its queue to get shorter: so what has a place in the queue must not wait, and a client that is
// behind already gets nothing on top.
func (s *Server) sendRetained(cl *mqtt.Client, c *conn, a asking) error {
	if a.sub.Qos > 0 && c.session.over(s.cfg.MaxQueue) {
		return fmt.Errorf("%w, and asks for more", errStuck)
	}
	a.sub.Identifiers = map[string]int{a.sub.Filter: a.sub.Identifier}
	for _, pk := range s.retainedOn(a.sub.Filter) {
		if !s.mayRead(c.session, pk.TopicName) {
			continue
		}
		o := &outgoing{pk: &pk, qos: min(pk.FixedHeader.Qos, a.sub.Qos), retain: true, subs: identifiers(a.sub)}
		if o.qos > 0 {
			c.session.enqueue(o)
			continue
		}
		if err := c.out.wait(o.size()); err != nil {
			return err
		}
		c.session.send(o)
	}
	return nil
}

// unkept reports whether what is retained on a topic goes with the process: raw input, and
// figures of the broker that would wear out an SD card for what a restart makes anew.
func unkept(topic string) bool {
	return strings.HasPrefix(topic, "$") || Match("doorhub/in/#", topic) || Match("doorhub/instance/+/broker", topic)
}

// tellWill tells the will of a connection that is gone, by the rules of this moment: that of a
// token revoked or rotated is as worthless as the token.
func (s *Server) tellWill(x *session, c *conn) {
	will := c.will
	if will.Flag == 0 || !s.users.holds(x.user, c.token) || !MayPublish(s.users.rules(x.user), will.TopicName, will.Retain) {
		return
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: will.Qos, Retain: will.Retain},
		TopicName:   will.TopicName, Payload: will.Payload, Created: time.Now().Unix(),
		ProtocolVersion: 5, Properties: willProperties(c.willProps),
	}
	if life := int64(pk.Properties.MessageExpiryInterval); life > 0 {
		pk.Expiry = pk.Created + life
	}
	s.tell(x, pk)
}

// keepRetained writes what the broker now holds for topic.
func (s *Server) keepRetained(topic string) {
	if unkept(topic) {
		return
	}
	s.judge(&s.wrong.retained, s.store.keep(topic, s.mq.Topics.Retained.Get))
}
