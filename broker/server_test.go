package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
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
	if _, ok := h.mq.Clients.Get("sensor/sensor1"); ok {
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

func TestRetainedSurvivesRestart(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	picture := string([]byte{0xff, 0xd8, 0, '\n', 0xfe})
	hub.publish("doorhub/door/front/lock", "UNLOCKED", true)
	hub.publish("doorhub/door/front/lock", "LOCKED", true)
	hub.publish("doorhub/door/front/image", picture, true)
	hub.publish("doorhub/door/front/contact", "open", true)
	hub.publish("doorhub/door/front/contact", "", true)
	hub.publish("doorhub/door/front/person", "{}", false)
	want := []Message{
		{Topic: "doorhub/door/front/image", Payload: []byte(picture), Retain: true},
		{Topic: "doorhub/door/front/lock", Payload: []byte("LOCKED"), Retain: true},
	}
	for range 2 {
		must(t, h.Close())
		h.restart(t)
		if diff := cmp.Diff(want, h.retained(t)); diff != "" {
			t.Error(diff)
		}
	}
}

// retained reads the door's states as a viewer, sorted by topic.
func (h *house) retained(t *testing.T) []Message {
	p := h.in(t, h.as("viewer"))
	p.subscribe("doorhub/alarm/end", 1)
	p.subscribe("doorhub/door/front/#", 1)
	h.in(t, h.as("hub")).publish("doorhub/alarm/end", "", false)
	got := p.received("doorhub/alarm/end")
	if len(got) == 2 && got[0].Topic > got[1].Topic {
		got[0], got[1] = got[1], got[0]
	}
	return got
}

func TestStoreWritesOnlyChanges(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/alarm/state", "disarmed", true)
	dir := filepath.Join(h.cfg.Dir, "retained")
	files, err := filepath.Glob(dir + "/*")
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("files: %v", files)
	}
	long := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, os.Chtimes(files[0], long, long))
	hub.publish("doorhub/alarm/state", "disarmed", true)
	if info, err := os.Stat(files[0]); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("the same state was written again: %v, %v", info.ModTime(), err)
	}
	hub.publish("doorhub/alarm/state", "armed_away", true)
	if info, err := os.Stat(files[0]); err != nil || info.ModTime().Equal(long) {
		t.Errorf("a new state was not written: %v", err)
	}
}

func TestDamagedRetainedFileCostsOnlyItself(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/door/front/lock", "LOCKED", true)
	must(t, h.Close())
	dir := filepath.Join(h.cfg.Dir, "retained")
	for name, content := range map[string]string{"cut": `{"topic":"doorhub/x"`, "swapped": "{\"topic\":\"doorhub/in/x\"}\nopen", "half" + tempSuffix: "x"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	h.restart(t)
	want := []Message{{Topic: "doorhub/door/front/lock", Payload: []byte("LOCKED"), Retain: true}}
	if diff := cmp.Diff(want, h.retained(t)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "half"+tempSuffix)); err == nil {
		t.Error("a half-written file is still there")
	}
}

func TestStoreFaultIsTold(t *testing.T) {
	h := start(t)
	told := make(chan error, 10)
	h.OnFault(func(err error) { told <- err })
	hub := h.in(t, h.as("hub"))
	dir := filepath.Join(h.cfg.Dir, "retained")
	must(t, os.Rename(dir, dir+".away"))
	hub.publish("doorhub/alarm/state", "armed_away", true)
	if err := take(t, told); err == nil {
		t.Error("no fault told")
	}
	must(t, os.Rename(dir+".away", dir))
	hub.publish("doorhub/alarm/state", "disarmed", true)
	if err := take(t, told); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

// A bare mochi broker gives every retained message 24 hours; ours only what it asks for.
func TestRetainedMessagesDoNotExpire(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.publish("homeassistant/device/front/config", "{}", true)
	five := h.as("hub")
	five.version, five.id = 5, "hub5"
	pk := publication("doorhub/alarm/state", "armed_away", 1, true)
	pk.Properties.MessageExpiryInterval = 3600
	p := h.in(t, five)
	p.send(pk)
	p.next(packets.Puback)
	if h.mq.Options.Capabilities.MaximumMessageExpiryInterval != 0 {
		t.Error("the broker still ends messages by their age")
	}
	for topic, want := range map[string]int64{"homeassistant/device/front/config": 0, "doorhub/alarm/state": 3600} {
		got, _ := h.mq.Topics.Retained.Get(topic)
		if life := got.Expiry - got.Created; want == 0 && got.Expiry != 0 || want > 0 && life != want {
			t.Errorf("%s: created %d, expiry %d, want a life of %d", topic, got.Created, got.Expiry, want)
		}
	}
	must(t, h.Close())
	h.restart(t)
	if got, _ := h.mq.Topics.Retained.Get("doorhub/alarm/state"); got.Expiry-got.Created != 3600 {
		t.Errorf("after a restart the message's life is %d s", got.Expiry-got.Created)
	}
	store, err := openRetained(filepath.Join(h.cfg.Dir, "retained"))
	must(t, err)
	if pks, err := store.load(time.Now().Unix() + 3601); err != nil || len(pks) != 1 {
		t.Errorf("an hour later %d messages are kept, want 1: %v", len(pks), err)
	}
}

var panicPacket = []byte{0x82, 5, 0, 9, 0, 0, 0} // SUBSCRIBE, no properties, empty filter, no options

func TestPanicPacket(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	l := with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("offline")})
	l.version = 5
	p := h.in(t, l)
	_, err := p.Write(panicPacket)
	must(t, err)
	p.closed()
	if pk := hub.next(packets.Publish); string(pk.Payload) != "offline" {
		t.Errorf("the will said %q", pk.Payload)
	}
	h.in(t, l).publish("doorhub/in/sensor/contact", "open", false)
}

// Should another packet be found that makes the broker panic, it costs its sender only; here
// the panic comes from a callback.
func TestPanicCostsOneConnection(t *testing.T) {
	h := start(t)
	must(t, h.OnPublish("doorhub/in/sensor/bang", func(string, Message) { panic("bang") }))
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	p := h.in(t, with(h.as("sensor"), &Message{Topic: "doorhub/in/sensor/status", Payload: []byte("offline"), QoS: 1}))
	p.send(publication("doorhub/in/sensor/bang", "x", 1, false))
	p.closed()
	if pk := hub.next(packets.Publish); string(pk.Payload) != "offline" || pk.FixedHeader.Qos != 1 {
		t.Errorf("the will said %q at QoS %d", pk.Payload, pk.FixedHeader.Qos)
	}
	if _, ok := h.mq.Clients.Get("sensor/sensor1"); ok {
		t.Error("the client is still listed")
	}
	h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", "open", false)
}

// bareEnv has the test binary run a bare mochi broker, which ends with its process.
const bareEnv = "DOORHUB_TEST_BARE_BROKER"

func TestMain(m *testing.M) {
	if os.Getenv(bareEnv) != "" {
		bareBroker()
		return
	}
	os.Exit(m.Run())
}

func bareBroker() {
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := errors.Join(s.AddHook(new(auth.AllowHook), nil), s.AddListener(l), s.Serve()); err != nil {
		os.Exit(3)
	}
	_, _ = os.Stdout.WriteString(l.Address() + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // to the end of the test
}

func TestPanicPacketEndsBareMochi(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), bareEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line := make([]byte, 100)
	n, err := out.Read(line)
	must(t, err)
	c, err := net.Dial("tcp", strings.TrimSpace(string(line[:n])))
	must(t, err)
	p, _ := login2(t, c, login{id: "x", version: 5})
	_, err = p.Write(panicPacket)
	must(t, err)
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "SubscribeDecode") {
		t.Errorf("the bare broker lives (%v): is the guard against this packet still needed?", err)
	}
}
