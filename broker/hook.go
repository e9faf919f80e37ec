package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// errRefused ends a connection that was not let in; it has been told why.
var errRefused = errors.New("login refused")

// hook is the broker's way to ask us: who may connect, publish and subscribe, and what to keep.
type hook struct {
	mqtt.HookBase
	s *Server
}

func (*hook) ID() string { return "doorhub" }

func (*hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketProcessed, mqtt.OnConnect, mqtt.OnConnectAuthenticate,
		mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnSubscribe,
		mqtt.OnSubscribed, mqtt.OnUnsubscribed, mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnRetainedExpired:
		return true
	}
	return false
}

// connOf returns our end of a client's connection; nil for the server's own client.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

func userOf(cl *mqtt.Client) string { return string(cl.Properties.Username) }

// OnPacketRead takes over what mochi-mqtt v2.7.9 does not do safely. Publications it sees at
// QoS 0 only, and no message of its own to acknowledge.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	refused := pk.ReasonCode >= packets.ErrUnspecifiedError.Code
	switch pk.FixedHeader.Type {
	case packets.Connect:
		c.meet(&pk)
	case packets.Publish:
		c.pub = publishing{qos: pk.FixedHeader.Qos, id: pk.PacketID, retain: pk.FixedHeader.Retain}
		if pk.PacketID > 0 { // without one the broker refuses it
			pk.FixedHeader.Qos, pk.PacketID = 0, 0
		}
	case packets.Puback, packets.Pubcomp, packets.Pubrec:
		var record uint64
		c.known, record = c.session.acked(pk.FixedHeader.Type, pk.PacketID, refused)
		h.s.sessionLog.wait(record)
	case packets.Pubrel:
		if c.known = c.session.release(pk.PacketID); c.known {
			c.unreleased = max(c.unreleased-1, 0)
		}
	}
	return pk, nil
}

// OnPacketEncode corrects answers of the broker, which knows of no packet ids.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	switch pk.FixedHeader.Type {
	case packets.Connack:
		c.settled()
		switch {
		case pk.ReasonCode == 0:
			c.announce(&pk.Properties)
		case pk.ReasonCode == packets.ErrUnspecifiedError.Code && cl.Properties.ProtocolVersion < 5:
			pk.ReasonCode = packets.Err3ClientIdentifierNotValid.Code // which is all it can be
		}
	case packets.Suback:
		pk.ReasonCodes = c.refusals(pk.ReasonCodes)
	case packets.Pubrel, packets.Pubcomp:
		if pk.ReasonCode == packets.ErrPacketIdentifierNotFound.Code && c.known {
			pk.ReasonCode, pk.Properties.ReasonString = 0, ""
		}
	}
	return pk
}

// OnPacketProcessed does what comes after the broker's part.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, err error) {
	c := connOf(cl)
	if err != nil || c == nil {
		return
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if !c.pub.answered {
			h.s.refusePublish(cl, c)
		}
	case packets.Subscribe:
		for _, a := range c.asked {
			if !a.granted || !a.retains {
				continue
			}
			if err := h.s.sendRetained(cl, c, a); err != nil {
				c.out.abort(err)
			}
		}
		c.asked = nil
	}
}

// OnConnect is the login: the token, then the will, by the rules for publishing. The client id
// is put under the user's name, so that nobody takes over the session of another.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	name := string(pk.Connect.Username)
	c := connOf(cl)
	if pk.Properties.AuthenticationMethod != "" { // (MQTT 5.0, 4.12)
		return h.refuse(cl, packets.ErrBadAuthenticationMethod, "asks for an authentication method; there are tokens only")
	}
	role, err := h.s.login(c, name, string(pk.Connect.Password))
	if err != nil {
		return h.refuse(cl, packets.ErrBadUsernameOrPassword, err.Error())
	}
	if pk.Connect.WillFlag && !MayPublish(h.s.users.rules(name), pk.Connect.WillTopic, pk.Connect.WillRetain) {
		return h.refuse(cl, packets.ErrNotAuthorized, fmt.Sprintf("may not have a will on %.80q (retained: %t)", pk.Connect.WillTopic, pk.Connect.WillRetain))
	}
	cl.ID = name + "/" + cl.ID
	limit := h.s.cfg.MaxPacket
	if role == RoleHub {
		limit = h.s.cfg.MaxHubPacket
	}
	c.limiter = h.s.limiterOf(name, role)
	c.will, cl.Properties.Will = cl.Properties.Will, mqtt.Will{}
	c.will.Payload = c.willPayload
	h.s.imposeKeepalive(cl)
	c.admit(cl, pk.ProtocolVersion == 5, limit)
	h.s.totals.logins.Add(1)
	h.s.log.Debug("connected", keyUser, name, keyClient, cl.ID, keyRemote, cl.Net.Remote)
	return nil
}

// login checks a user's token and the name in its certificate, if there is one, unless there were too many wrong ones.
func (s *Server) login(c *conn, name, token string) (Role, error) {
	from := address(c.RemoteAddr())
	if !s.throttle.allowed(from, name) {
		return "", errors.New("too many wrong logins of this address or user; wait some minutes")
	}
	c.token = sha256.Sum256([]byte(token))
	role, ok := s.users.Check(name, token)
	foreign := c.certified && c.holder() != name
	if !ok || foreign {
		known := ""
		if s.users.rules(name) != nil {
			known = name
		}
		if err := s.throttle.wrong(from, known); err != nil {
			s.log.Error("cannot write", "error", err)
		}
		if foreign {
			return "", fmt.Errorf("its certificate is of user %.64q", c.holder())
		}
		return "", errors.New("no such user and token")
	}
	s.warnOfEnd(c, name)
	if err := s.throttle.right(from, name); err != nil {
		s.log.Error("cannot write", "error", err)
	}
	return role, nil
}

func (h *hook) refuse(cl *mqtt.Client, code packets.Code, why string) error {
	if cl.Properties.ProtocolVersion < 5 {
		code = packets.Err3NotAuthorized
	}
	h.s.totals.refusedLogins.Add(1)
	err := h.s.mq.SendConnack(cl, code, false, nil)
	h.s.log.Warn("login refused", keyUser, fmt.Sprintf("%.40q", userOf(cl)), keyRemote, cl.Net.Remote, "why", why)
	return errors.Join(errRefused, err)
}

// OnConnectAuthenticate tells what OnConnect found.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	return connOf(cl).client == cl
}

// OnACLCheck is asked for publications, for filters to subscribe to and, for each message and
// receiver, whether it may be delivered; the last of a client that is away as well. The rules
// are those of this moment, so that a revoked user gets nothing more.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	rules := h.s.users.rules(userOf(cl))
	if !write {
		ok := !h.s.refuses(topic) && MaySubscribe(rules, topic)
		if !ok {
			h.s.totals.refusedFilters.Add(1)
		}
		return ok
	}
	c := connOf(cl)
	ok := MayPublish(rules, topic, c.pub.retain)
	if !ok {
		h.s.totals.refusedMessages.Add(1)
	}
	if !ok && !c.warned { // once a connection: a device must not fill the log
		c.warned = true
		h.s.log.Warn("publication refused", keyUser, userOf(cl), "topic", fmt.Sprintf("%.80q", topic), "retain", c.pub.retain)
	}
	return ok
}

// OnSessionEstablish gives the client its session, before the broker looks for one.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	h.s.establish(cl, connOf(cl), pk.Connect.Clean)
}

// OnSessionEstablished sends what is queued, after the answer to the CONNECT.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	c.session.begin(cl, c)
}

// OnPublish takes an allowed message over from the broker.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	h.s.publish(cl, connOf(cl), pk)
	return pk, packets.ErrRejectPacket
}

// OnSubscribe keeps the broker from sending what is retained, of which it drops all that
// exceeds its queues.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	c.asked = nil
	filters := make(packets.Subscriptions, len(pk.Filters))
	for i, sub := range pk.Filters {
		_, existed := cl.State.Subscriptions.Get(sub.Filter)
		never := sub.RetainHandling == 2 || sub.RetainHandling == 1 && existed
		c.asked = append(c.asked, asking{sub: sub, retains: !never, refusal: h.s.refusal(sub.Filter)})
		filters[i] = sub
		filters[i].RetainHandling = 2
	}
	pk.Filters = filters
	return pk
}

// OnSubscribed notes which filters were granted, before the client is told.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, codes []byte) {
	c := connOf(cl)
	var granted []packets.Subscription
	for i := range c.asked {
		if codes[i] <= packets.CodeGrantedQos2.Code {
			c.asked[i].granted = true
			granted = append(granted, c.asked[i].sub)
		}
	}
	h.s.noteDeep(c.session, granted)
	h.s.sessionLog.wait(c.session.subscribed(granted))
}

// OnUnsubscribed notes what the client asked for, before it is told. What the broker does by
// itself when a session ends is no matter.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	if c := connOf(cl); c != nil && pk.PacketID > 0 {
		h.s.sessionLog.wait(c.session.unsubscribed(pk.Filters))
	}
}

// OnDisconnect sees a client off.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	id := cl.ID
	h.s.depart(cl, connOf(cl))
	level := slog.LevelDebug
	if errors.Is(err, errTooLarge) || errors.Is(err, errMalformed) {
		level = slog.LevelWarn
	}
	if err == nil {
		err = io.EOF
	}
	h.s.log.Log(context.Background(), level, "disconnected", keyUser, userOf(cl), keyClient, id, "why", err.Error())
}

// OnClientExpired ends a session.
func (h *hook) OnClientExpired(cl *mqtt.Client) { h.s.expire(cl) }

// OnRetainedExpired forgets a message whose own life has run out.
func (h *hook) OnRetainedExpired(topic string) { h.s.keepRetained(topic) }
