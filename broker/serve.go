package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A connection from its first byte to its last. mochi-mqtt v2.7.9 would serve it with two
// goroutines whose stacks, deep and never small again, take more memory than all else about it.
// So we read the packets, deal with them, and leave to it what it does well: to decode and to
// write what is rare, and to keep subscriptions and retained messages by their topics.

// serve runs one connection to its end. Whatever happens costs that connection only.
func (s *Server) serve(c *conn, id string) {
	defer c.linger() // holds up nobody
	defer s.serving.Done()
	defer s.forget(c)
	defer func() {
		if r := recover(); r != nil {
			s.panicked(r)
		}
	}()
	if !s.enter(c, id) {
		return
	}
	err := s.read(c)
	c.explain(err)
	s.part(c)
	s.logEnd(c, err)
}

func (s *Server) panicked(r any) {
	stack := debug.Stack()
	if d, ok := r.(deepPanic); ok {
		r, stack = d.r, d.stack
	}
	s.totals.panics.Add(1)
	s.log.Error("a packet made the broker panic: its sender was cut", "panic", fmt.Sprint(r), "stack", string(stack))
}

// forget cleans up after a connection, also where serving it ended early.
func (s *Server) forget(c *conn) {
	c.batch.flush()
	_ = c.Close()
	s.part(c)
	c.release()
	if c.entered {
		atomic.AddInt64(&s.mq.Info.ClientsConnected, -1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.retire(c)
}

func (s *Server) logEnd(c *conn, err error) {
	level := slog.LevelDebug
	if errors.Is(err, errTooLarge) || errors.Is(err, errMalformed) {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "disconnected", keyUser, c.session.user, keyClient, c.session.id, "why", err.Error())
}

// read deals with a client's packets until the connection ends.
func (s *Server) read(c *conn) error {
	for {
		p, err := s.next(c)
		if err == nil {
			err = s.handle(c, p)
		}
		if err != nil {
			c.batch.flush()
			return err
		}
	}
}

// handle deals with one packet.
func (s *Server) handle(c *conn, p packet) error {
	switch {
	case p.kind() == typePublish && s.publishPlain(c, p):
	case p.kind() >= typePuback && p.kind() <= typePubcomp && p.plainAnswer():
		s.answered(c, p.kind(), binary.BigEndian.Uint16(p.body), false)
	case p.first == typePingreq<<4 && len(p.body) == 0:
		c.counts.out.add(packets.Pingresp, 2)
		return c.out.put(&c.batch, func(to []byte) []byte { return append(to, packets.Pingresp<<4, 0) })
	default:
		return s.handleAside(c, p)
	}
	return nil
}

// plainAnswer reports whether p, a PUBACK, PUBREC, PUBREL or PUBCOMP, says no more than it
// must: the packet id.
func (p *packet) plainAnswer() bool {
	flags := byte(0)
	if p.kind() == typePubrel {
		flags = 2
	}
	return len(p.body) == 2 && p.first&0xf == flags
}

// handleAside deals with a packet that is rare or unusual.
func (s *Server) handleAside(c *conn, p packet) error {
	if p.kind() == typeAuth {
		return errAuth
	}
	return aside(func() error {
		version := byte(4)
		if c.v5 {
			version = 5
		}
		pk, err := decode(p, version)
		if err != nil {
			return err
		}
		return s.process(c, pk)
	})
}

func (s *Server) process(c *conn, pk packets.Packet) error {
	switch kind := pk.FixedHeader.Type; kind {
	case packets.Publish:
		return s.publishAny(c, pk)
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		s.answered(c, kind, pk.PacketID, pk.ReasonCode >= packets.ErrUnspecifiedError.Code)
		return nil
	case packets.Subscribe:
		return s.subscribe(c, pk)
	case packets.Unsubscribe:
		return s.unsubscribe(c, pk)
	case packets.Disconnect:
		return c.goodbye(pk)
	case packets.Connect:
		return packets.ErrProtocolViolationSecondConnect
	}
	return fmt.Errorf("%w: type %d is not a client's to send", errMalformed, pk.FixedHeader.Type)
}

// goodbye ends a connection as its client asks for (MQTT 5.0, 3.14). Its error is what it ends
// with.
func (c *conn) goodbye(pk packets.Packet) error {
	if pk.Properties.SessionExpiryIntervalFlag {
		if err := c.session.relive(pk.Properties.SessionExpiryInterval); err != nil {
			return err
		}
	}
	if !c.v5 || pk.ReasonCode == packets.CodeDisconnect.Code {
		c.polite.Store(true)
	}
	return io.EOF
}

// decode reads a packet of a version of MQTT. The body is copied, since what is decoded refers
// to it.
func decode(p packet, version byte) (pk packets.Packet, err error) {
	pk.ProtocolVersion = version
	if err := pk.FixedHeader.Decode(p.first); err != nil {
		return pk, err
	}
	body := p.body
	if !p.owned {
		body = bytes.Clone(body)
	}
	pk.FixedHeader.Remaining = len(body)
	switch p.kind() {
	case packets.Connect:
		err = pk.ConnectDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Subscribe:
		if err = checkSubscribe(body, version == 5); err == nil {
			err = pk.SubscribeDecode(body)
		}
	case packets.Unsubscribe:
		err = pk.UnsubscribeDecode(body)
	case packets.Disconnect:
		if err = pk.DisconnectDecode(body); len(body) == 1 {
			pk.ReasonCode = body[0] // overlooked by mochi-mqtt v2.7.9
		}
	}
	return pk, err
}

// deepPanic is a panic on the stack of aside.
type deepPanic struct {
	r     any
	stack []byte
}

// aside runs f on a stack of its own, so that the caller's stays small: mochi-mqtt hands
// packets, 800 bytes each, from function to function by value, and a stack that has once grown
// stays so while its connection idles.
func aside(f func() error) (err error) {
	done := make(chan any)
	go func() {
		var caught any
		defer func() { done <- caught }()
		defer func() {
			if r := recover(); r != nil {
				caught = deepPanic{r, debug.Stack()}
			}
		}()
		err = f()
	}()
	if r := <-done; r != nil {
		panic(r)
	}
	return err
}
