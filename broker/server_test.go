package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestWhoIsLetIn(t *testing.T) {
	h := start(t)
	foreign := &Message{Topic: "doorhub/cmd/door/front/lock", Payload: []byte(`{"action":"unlock"}`)}
	for name, c := range map[string]struct {
		login login
		in    bool
	}{
		"right token":            {h.as("sensor"), true},
		"anonymous":              {login{id: "x"}, false},
		"name alone":             {login{user: "sensor", id: "x"}, false},
		"wrong token":            {login{user: "sensor", token: "x", id: "x"}, false},
		"another's token":        {login{user: "sensor", token: h.tokens["hub"], id: "x"}, false},
		"unknown":                {login{user: "nobody", token: h.tokens["hub"], id: "x"}, false},
		"anonymous with a will":  {login{id: "x", will: foreign}, false},
		"will on foreign topic":  {with(h.as("sensor"), foreign), false},
		"will on own topic":      {with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("x")}), true},
		"retained will":          {with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("x"), Retain: true}), false},
		"will on $SYS":           {with(h.as("hub"), &Message{Topic: "$SYS/broker/version", Payload: []byte("x")}), false},
		"will with a wildcard":   {with(h.as("hub"), &Message{Topic: "doorhub/+/#", Payload: []byte("x")}), false},
		"viewer with a will":     {with(h.as("viewer"), &Message{Topic: "doorhub/door/front/lock", Payload: []byte("x")}), false},
		"Home Assistant's will":  {with(h.as("homeassistant"), &Message{Topic: "homeassistant/status", Payload: []byte("offline"), Retain: true}), true},
		"retained will on a cmd": {with(h.as("homeassistant"), &Message{Topic: foreign.Topic, Payload: []byte("x"), Retain: true}), false},
	} {
		for _, version := range []byte{4, 5} {
			c.login.version = version
			p, ack := h.connect(t, c.login)
			if in := ack.ReasonCode == 0; in != c.in {
				t.Errorf("%s (v%d): code %#x", name, version, ack.ReasonCode)
			}
			if !c.in {
				p.closed()
			}
		}
	}
}

func with(l login, will *Message) login {
	l.will = will
	return l
}

// What a user publishes where it may not, by whatever way, reaches nobody: the hub listens to
// all and must get the last, allowed message only.
func TestForeignTopicsGetNothingThrough(t *testing.T) {
	for _, version := range []byte{4, 5} {
		h := start(t)
		hub := h.in(t, h.as("hub"))
		for _, f := range []string{"doorhub/#", "homeassistant/#"} {
			if code := hub.subscribe(f, 1); code != 1 {
				t.Fatalf("hub may not read %s: %#x", f, code)
			}
		}
		for _, user := range []string{"sensor", "reader", "viewer", "homeassistant"} {
			l := h.as(user)
			l.version = version
			for _, pk := range forbidden(user) {
				p := h.in(t, l) // a refused QoS 1 publication ends a v3.1.1 connection
				p.send(pk)
				_ = p.try(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
				_, _ = p.read() // the refusal or the answer to the ping: pk has been dealt with
				_ = p.Close()
			}
		}
		sensor := h.in(t, h.as("sensor"))
		sensor.publish("doorhub/in/sensor/contact", "open", false)
		if got := hub.received("doorhub/in/sensor/contact"); len(got) != 0 {
			t.Errorf("v%d: got through: %v", version, got)
		}
		if n := len(h.mq.Topics.Messages("doorhub/#")); n != 0 {
			t.Errorf("v%d: %d retained messages", version, n)
		}
	}
}

func forbidden(user string) []packets.Packet {
	var pks []packets.Packet
	for _, qos := range []byte{0, 1, 2} {
		for _, topic := range []string{"doorhub/door/front/lock", "doorhub/in/window/contact", "doorhub/out/sensor/event", "doorhub/instance/main/status", "homeassistant/device/front/config"} {
			pks = append(pks, publication(topic, "x", qos, false), publication(topic, "x", qos, true))
		}
		for _, topic := range []string{"doorhub/in/" + user + "/contact", "doorhub/in/" + user + "/replay", "doorhub/cmd/door/front/lock"} {
			pks = append(pks, publication(topic, "x", qos, true))
		}
	}
	return pks
}

func TestSubscriptionsOverTheWire(t *testing.T) {
	h := start(t)
	for user, filters := range map[string]map[string]bool{
		"homeassistant": {"homeassistant/+/+/config": true, "doorhub/sensor/w/contact": true, "doorhub/in/#": false, "#": false},
		"sensor":        {"doorhub/out/sensor/event": true, "doorhub/out/window/event": false, "$SYS/#": false, "doorhub/door/front/lock": false},
		"viewer":        {"doorhub/door/#": true, "$share/g/doorhub/door/#": false, "+/door/#": false, "doorhub/door/a#": false},
		"hub":           {"$SYS/#": true, "doorhub/#": true, "#": false},
	} {
		p := h.in(t, h.as(user))
		for f, want := range filters {
			if code := p.subscribe(f, 1); (code <= 2) != want {
				t.Errorf("%s subscribes to %s: code %#x", user, f, code)
			}
		}
	}
}

func TestOnPublishNamesTheUser(t *testing.T) {
	h := start(t)
	type shown struct {
		User string
		M    Message
	}
	got := make(chan shown, 10)
	must(t, h.OnPublish("doorhub/cmd/#", func(user string, m Message) { got <- shown{user, m} }))
	ha := h.in(t, h.as("homeassistant"))
	ha.publish("homeassistant/status", "online", true)
	ha.publish("doorhub/cmd/door/front/lock", "lock", false)
	want := shown{"homeassistant", Message{Topic: "doorhub/cmd/door/front/lock", Payload: []byte("lock"), QoS: 1}}
	if diff := cmp.Diff(want, take(t, got)); diff != "" {
		t.Error(diff)
	}
	if h.OnPublish("a#", nil) == nil {
		t.Error("an invalid filter passes")
	}
}

func TestClientIDsBelongToUsers(t *testing.T) {
	h := start(t)
	a := login{user: "sensor", token: h.tokens["sensor"], id: "same", keep: true}
	first := h.in(t, a)
	first.subscribe("doorhub/out/sensor/event", 1)
	b := login{user: "window", token: h.tokens["window"], id: "same", keep: true}
	second, ack := h.connect(t, b)
	if ack.ReasonCode != 0 || ack.SessionPresent {
		t.Errorf("code %#x, session present %t", ack.ReasonCode, ack.SessionPresent)
	}
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/out/sensor/event", "secret", false)
	first.received("doorhub/out/sensor/event") // still there
	hub.publish("doorhub/out/window/event", "x", false)
	second.subscribe("doorhub/out/window/event", 1)
	hub.publish("doorhub/out/window/event", "y", false)
	if got := second.received("doorhub/out/window/event"); len(got) != 0 {
		t.Errorf("window received %v", got)
	}
	_, ack = h.connect(t, a)
	if !ack.SessionPresent {
		t.Error("a user's own session is gone")
	}
}

func TestRevokeCutsAndSilences(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/#", 1)
	l := with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("offline")})
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/out/sensor/#", 1)
	must(t, h.users.Revoke("sensor"))
	p.closed()
	if _, ack := h.connect(t, l); ack.ReasonCode == 0 {
		t.Error("a revoked user is let in")
	}
	hub.publish("doorhub/out/sensor/event", "x", false)
	h.in(t, h.as("window")).publish("doorhub/in/window/contact", "open", false)
	want := []Message{{Topic: "doorhub/out/sensor/event", Payload: []byte("x")}}
	if diff := cmp.Diff(want, hub.received("doorhub/in/window/contact")); diff != "" {
		t.Error(diff)
	}
	if h.session("sensor/sensor1") != nil {
		t.Error("the session of a revoked user is kept")
	}
}

func TestRotateCutsTheOldToken(t *testing.T) {
	h := start(t)
	p := h.in(t, h.as("sensor"))
	token, err := h.users.Rotate("sensor")
	must(t, err)
	p.closed()
	if _, ack := h.connect(t, h.as("sensor")); ack.ReasonCode == 0 {
		t.Error("the old token is taken")
	}
	h.tokens["sensor"] = token
	h.in(t, h.as("sensor"))
}

// From the moment of the revoking on, before the connection is cut, nothing reaches the user.
func TestNothingReachesARevokedUser(t *testing.T) {
	h := start(t)
	p := h.in(t, h.as("viewer"))
	p.subscribe("doorhub/alarm/#", 1)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/alarm/state", "before", true)
	h.users.mu.Lock()
	h.users.forget("viewer") // as Revoke does, but it tells nobody
	h.users.mu.Unlock()
	hub.publish("doorhub/alarm/state", "after", false)
	p.subscribe("doorhub/alarm/+", 1)
	p.ping()
	if got := p.held; len(got) != 1 || string(got[0].Payload) != "before" {
		t.Errorf("received %v", got)
	}
}
