package broker

import (
	"context"
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
	case mqtt.OnPacketRead, mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck,
		mqtt.OnPublish, mqtt.OnWill, mqtt.OnWillSent, mqtt.OnDisconnect, mqtt.OnClientExpired,
		mqtt.OnRetainMessage, mqtt.OnRetainedExpired:
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

// OnPacketRead takes out what mochi-mqtt v2.7.9 does not do safely: with a Receive Maximum it
// loses count and stops delivering; with topic aliases it sends bare aliases after a drop.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Connect:
		pk.Properties.ReceiveMaximum = 0
		pk.Properties.TopicAliasMaximum = 0
	case packets.Publish:
		connOf(cl).retain = pk.FixedHeader.Retain
	}
	return pk, nil
}

// OnConnect is the login: the token, then the will, by the rules for publishing. The client id
// is put under the user's name, so that nobody takes over the session of another.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	name := string(pk.Connect.Username)
	role, ok := h.s.users.Check(name, string(pk.Connect.Password))
	if !ok {
		return h.refuse(cl, packets.ErrBadUsernameOrPassword, "no such user and token")
	}
	if pk.Connect.WillFlag && !MayPublish(h.s.users.rules(name), pk.Connect.WillTopic, pk.Connect.WillRetain) {
		return h.refuse(cl, packets.ErrNotAuthorized, fmt.Sprintf("may not have a will on %.80q (retained: %t)", pk.Connect.WillTopic, pk.Connect.WillRetain))
	}
	cl.ID = name + "/" + cl.ID
	limit := h.s.cfg.MaxPacket
	if role == RoleHub {
		limit = h.s.cfg.MaxHubPacket
	}
	connOf(cl).admit(cl, pk.ProtocolVersion == 5, limit)
	h.s.log.Debug("connected", keyUser, name, keyClient, cl.ID, keyRemote, cl.Net.Remote)
	return nil
}

func (h *hook) refuse(cl *mqtt.Client, code packets.Code, why string) error {
	if cl.Properties.ProtocolVersion < 5 {
		code = packets.Err3NotAuthorized
	}
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
		return MaySubscribe(rules, topic)
	}
	c := connOf(cl)
	ok := MayPublish(rules, topic, c.retain)
	if !ok && !c.warned { // once a connection: a device must not fill the log
		c.warned = true
		h.s.log.Warn("publication refused", keyUser, userOf(cl), "topic", fmt.Sprintf("%.80q", topic), "retain", c.retain)
	}
	return ok
}

// OnPublish shows an allowed message to those who asked, before it is acknowledged.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if !cl.Net.Inline {
		h.s.show(userOf(cl), pk)
	}
	return pk, nil
}

// OnWill takes away the will of a user whose rules have changed since login.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if !MayPublish(h.s.users.rules(userOf(cl)), will.TopicName, will.Retain) {
		return mqtt.Will{}, nil
	}
	return will, nil
}

// OnWillSent shows a will as any other message.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if pk.TopicName != "" {
		h.s.show(userOf(cl), pk)
	}
}

// OnDisconnect notes that the broker itself has cleaned up after the client.
func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	connOf(cl).left = true
	level := slog.LevelDebug
	if errors.Is(err, errTooLarge) || errors.Is(err, errMalformed) {
		level = slog.LevelWarn
	}
	if err == nil {
		err = io.EOF
	}
	h.s.log.Log(context.Background(), level, "disconnected", keyUser, userOf(cl), keyClient, cl.ID, "why", err.Error())
}

// OnClientExpired removes the subscriptions, which mochi-mqtt v2.7.9 leaves behind.
func (h *hook) OnClientExpired(cl *mqtt.Client) {
	h.s.mq.UnsubscribeClient(cl)
	cl.ClearInflights()
}

// OnRetainMessage keeps a retained message beyond a restart, before it is acknowledged.
func (h *hook) OnRetainMessage(_ *mqtt.Client, pk packets.Packet, _ int64) {
	h.s.keepRetained(pk.TopicName)
}

// OnRetainedExpired forgets a message whose own life has run out.
func (h *hook) OnRetainedExpired(topic string) { h.s.keepRetained(topic) }
