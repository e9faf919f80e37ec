package main

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

// fakeBus says who offends as the test has it.
type fakeBus struct{ flooding, addresses, users []string }

func (b *fakeBus) Flooding() []string                { return b.flooding }
func (b *fakeBus) Blocked() (addresses, us []string) { return b.addresses, b.users }

func TestOffendersAreToldOnceAndWhenTheyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{}
		var told []string
		o := &offenders{bus: bus, rate: 300, wake: make(chan struct{}, 1), send: func(in door.Input) {
			f := in.(door.Fault)
			told = append(told, f.Part+" "+f.Reason)
		}}
		go o.run(t.Context())
		for _, c := range []struct {
			bus  fakeBus
			want []string
		}{
			{fakeBus{flooding: []string{"kitchen"}}, []string{"bus_user/kitchen flooding"}},
			{fakeBus{flooding: []string{"bath", "kitchen"}}, []string{"bus_user/bath flooding"}},
			{fakeBus{flooding: []string{"bath"}, addresses: []string{"192.0.2.7"}},
				[]string{"bus_login login_blocked", "bus_user/kitchen "}},
			{fakeBus{flooding: []string{"bath"}, addresses: []string{"192.0.2.8", "192.0.2.9"}, users: []string{"bath"}},
				[]string{"bus_login/bath login_blocked"}},
			{fakeBus{users: []string{"bath"}}, []string{"bus_login ", "bus_user/bath "}},
			{fakeBus{}, []string{"bus_login/bath "}},
			{fakeBus{}, nil},
		} {
			told = nil
			*bus = c.bus
			nudge(o.wake)
			<-time.After(10 * offenceBeat)
			synctest.Wait()
			if diff := cmp.Diff(c.want, slices.Sorted(slices.Values(told))); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", c.bus, diff)
			}
		}
	})
}

// A device gone mad on the real bus: it is slowed and cut, the journal says so once and says
// when it has paused, and neither the hub nor another sensor notices.
func TestFloodOnTheBusIsJournalledOnce(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, func(c *Config) {
		c.Broker.UserRate = 20
		c.Sensors = append(c.Sensors, Sensor{ID: "bath", Name: "Bath", Kind: "window"})
	})
	window := h.client("bath")
	stop, flooding := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for stop.Err() == nil {
			flood(stop, h.as("kitchen"))
		}
	}()
	t.Cleanup(func() { flooding(); <-done })

	cut := h.records.next(t, "the flood", func(r door.Record) bool { return r.Reason == busFlooding })
	if cut.Kind != door.KindProblem || cut.Details[door.DetailPart] != "bus_user/kitchen" || cut.Details[door.DetailText] == "" {
		t.Errorf("journalled as %+v", cut)
	}
	for range 3 { // while it goes on
		must(t, window.Publish(soon(t), reading("bath", "open")))
		h.await(door.KindSensorOpen)
		must(t, window.Publish(soon(t), reading("bath", "closed")))
		h.await(door.KindSensorClosed)
		h.enters(annPIN)
		h.await(door.KindGranted)
	}
	flooding()
	<-done
	h.records.next(t, "its end", func(r door.Record) bool {
		return r.Kind == door.KindProblemGone && r.Reason == busFlooding
	})
	n := 0
	for _, r := range h.records.seen() {
		if r.Reason == busFlooding {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d records of one flood", n)
	}
}

// flood logs in and sends readings of no sensor as fast as the connection takes them, until it
// is cut or ctx ends.
func flood(ctx context.Context, l login) {
	c, err := net.Dial("tcp", l.address)
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write(connectPacket(l, "flood")); err != nil {
		return
	}
	if _, err := c.Read(make([]byte, 4)); err != nil {
		return
	}
	publish := append([]byte{0x30, byte(2 + len("doorhub/in/kitchen/x") + 1), 0, byte(len("doorhub/in/kitchen/x"))}, "doorhub/in/kitchen/xy"...)
	many := bytes.Repeat(publish, 1000)
	for {
		if _, err := c.Write(many); err != nil {
			return
		}
	}
}

// connectPacket is a CONNECT of version 3.1.1 (MQTT 3.1.1, 3.1).
func connectPacket(l login, id string) []byte {
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 60}, text(id)...)
	body = append(append(body, text(l.user)...), text(l.token)...)
	return append([]byte{0x10, byte(len(body))}, body...)
}

// reading is what a sensor's user says.
func reading(sensor, word string) broker.Message {
	return broker.Message{Topic: "doorhub/in/" + sensor + "/contact", Payload: []byte(word), QoS: 1}
}

func text(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

// Somebody who guesses at a user's password is in the journal, once, and that user is let in
// from where it always was.
func TestWrongPasswordsAreJournalledOnce(t *testing.T) {
	t.Parallel()
	h := startTestHub(t)
	kitchen := h.client("kitchen")
	for range 40 {
		c, err := net.Dial("tcp", h.server.Addr())
		must(t, err)
		_, err = c.Write(connectPacket(login{user: "homeassistant", token: "guess"}, "x"))
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(soonEnough)))
		answer := make([]byte, 4)
		if n, err := c.Read(answer); err == nil && (n < 4 || answer[3] == 0) {
			t.Fatalf("let in: % x", answer[:n])
		}
		c.Close()
	}
	r := h.records.next(t, "the block", func(r door.Record) bool { return r.Reason == busLoginBlocked })
	if r.Kind != door.KindProblem || r.Details[door.DetailPart] != "bus_login/homeassistant" {
		t.Errorf("journalled as %+v", r)
	}
	must(t, kitchen.Publish(soon(t), reading("kitchen", "open")))
	h.await(door.KindIntrusion)
	n := 0
	for _, r := range h.records.seen() {
		if r.Reason == busLoginBlocked {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d records of one block", n)
	}
}
