package broker

import (
	"bytes"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	maxFilters = 512 << 10 // bytes that a client's subscriptions may take: some thousands
	filterCost = 100       // bytes that one takes besides its filter
)

// subscribe deals with a SUBSCRIBE.
func (s *Server) subscribe(c *conn, pk packets.Packet) error {
	if code := pk.SubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	codes, wanted, record := s.grantAll(c, pk.Filters)
	s.waitFor(c, record)
	ack := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Suback}, ProtocolVersion: pk.ProtocolVersion,
		PacketID: pk.PacketID, ReasonCodes: codes,
	}
	var b bytes.Buffer
	if err := ack.SubackEncode(&b); err != nil {
		return err
	}
	if err := c.answer(b.Bytes()); err != nil {
		return err
	}
	for _, sub := range wanted {
		if err := s.sendRetained(c, sub); err != nil {
			return err
		}
	}
	return nil
}

// grantAll subscribes a client, as far as it may, and returns a reason code for each filter, the
// subscriptions that are to begin with what is retained, and what to wait for before the client
// is told. It holds s.life, since a session that ends must leave no subscription behind.
func (s *Server) grantAll(c *conn, filters packets.Subscriptions) (codes []byte, wanted []packets.Subscription, record uint64) {
	s.life.Lock()
	defer s.life.Unlock()
	var granted []packets.Subscription
	for _, sub := range filters {
		code, isNew := s.grant(c, sub)
		if code > packets.CodeGrantedQos2.Code {
			if s.totals.refusedFilters.Add(1); !c.v5 {
				code = packets.ErrUnspecifiedError.Code // the only one (MQTT 3.1.1, 3.9.3)
			}
		} else {
			granted = append(granted, sub)
			if sub.RetainHandling == 0 || sub.RetainHandling == 1 && isNew {
				wanted = append(wanted, sub)
			}
		}
		codes = append(codes, code)
	}
	s.noteDeep(c.session, granted)
	record = c.session.noteSubs(granted)
	s.changes.Add(1)
	return codes, wanted, record
}

// grant subscribes a client to one filter, if it may, and returns the reason code and whether
// it had none of it before.
func (s *Server) grant(c *conn, sub packets.Subscription) (code byte, isNew bool) {
	x := c.session
	switch {
	case ValidFilter(sub.Filter) != nil:
		return packets.ErrTopicFilterInvalid.Code, false
	case s.refusal(sub.Filter) > 0:
		return s.refusal(sub.Filter), false
	case !MaySubscribe(s.users.rules(x.user), sub.Filter):
		return packets.ErrNotAuthorized.Code, false
	case s.session(x.id) != x: // it has ended
		return packets.ErrUnspecifiedError.Code, false
	}
	isNew, ok := x.subscribe(sub)
	if !ok {
		return packets.ErrQuotaExceeded.Code, false
	}
	s.mq.Topics.Subscribe(x.id, sub)
	return sub.Qos, isNew
}

// unsubscribe deals with an UNSUBSCRIBE.
func (s *Server) unsubscribe(c *conn, pk packets.Packet) error {
	if code := pk.UnsubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	ack := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, ProtocolVersion: pk.ProtocolVersion, PacketID: pk.PacketID,
	}
	for _, sub := range pk.Filters {
		code := packets.CodeNoSubscriptionExisted.Code
		if c.session.unsubscribe(sub.Filter) {
			code = packets.CodeSuccess.Code
			s.mq.Topics.Unsubscribe(sub.Filter, c.session.id)
		}
		ack.ReasonCodes = append(ack.ReasonCodes, code)
	}
	record := c.session.noteUnsubs(pk.Filters)
	s.changes.Add(1)
	s.waitFor(c, record)
	var b bytes.Buffer
	if err := ack.UnsubackEncode(&b); err != nil {
		return err
	}
	return c.answer(b.Bytes())
}

// subscribe notes a subscription, and reports whether it is a new one and whether there was room
// for it.
func (x *session) subscribe(sub packets.Subscription) (isNew, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, had := x.subs[sub.Filter]
	if !had {
		if x.filters+len(sub.Filter)+filterCost > maxFilters {
			return false, false
		}
		x.filters += len(sub.Filter) + filterCost
	}
	if x.subs == nil {
		x.subs = map[string]packets.Subscription{}
	}
	x.subs[sub.Filter] = sub
	return !had, true
}

// unsubscribe forgets a subscription, and reports whether there was one.
func (x *session) unsubscribe(filter string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, had := x.subs[filter]; !had {
		return false
	}
	delete(x.subs, filter)
	x.filters -= len(filter) + filterCost
	return true
}
