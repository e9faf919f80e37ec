package broker

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestRetainedSurvivesRestart(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	raw := string([]byte{0xff, 0xd8, 0, '\n', 0xfe})
	hub.publish("doorhub/door/front/lock", "UNLOCKED", true)
	hub.publish("doorhub/door/front/lock", "LOCKED", true)
	hub.publish("doorhub/door/front/bytes", raw, true)
	hub.publish("doorhub/door/front/contact", "open", true)
	hub.publish("doorhub/door/front/contact", "", true)
	hub.publish("doorhub/door/front/person", "{}", false)
	want := []Message{
		{Topic: "doorhub/door/front/bytes", Payload: []byte(raw), Retain: true},
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

// Figures that change all the time, and pictures, are there for whoever asks, and never on the
// disk.
func TestFiguresAndPicturesAreNotWritten(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/instance/main/status", "online", true)
	before, n := keptFiles(t, h)
	hub.publish("doorhub/instance/main/broker", "{}", true)
	hub.publish("doorhub/instance/main/history", "{}", true)
	hub.publish("doorhub/instance/main/journal", "{}", true)
	hub.publish("doorhub/instance/main/history", "{}", true)
	hub.publish("doorhub/sensor/kitchen/health", "{}", true)
	hub.publish("doorhub/door/front/image", "a picture", true)
	if after, _ := keptFiles(t, h); n == 0 || after != before {
		t.Errorf("%d records before; written: %q", n, strings.TrimPrefix(after, before))
	}
	viewer := h.in(t, h.as("viewer"))
	viewer.subscribe("doorhub/instance/main/broker", 0)
	if pk := viewer.next(packets.Publish); !pk.FixedHeader.Retain || string(pk.Payload) != "{}" {
		t.Errorf("a late subscriber gets %+v", pk)
	}
	viewer.subscribe("doorhub/door/front/image", 0)
	if pk := viewer.next(packets.Publish); !pk.FixedHeader.Retain || string(pk.Payload) != "a picture" {
		t.Errorf("a late subscriber gets %+v", pk)
	}
}

// retained reads the door's states as a viewer, sorted by topic. The answer to the ping comes
// when the broker has queued them all.
func (h *house) retained(t *testing.T) []Message {
	p := h.in(t, h.as("viewer"))
	p.subscribe("doorhub/alarm/end", 1)
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 2,
		Filters: packets.Subscriptions{{Filter: "doorhub/door/front/#"}},
	})
	p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	var got []Message
	for {
		pk, err := p.read()
		must(t, err)
		if pk.FixedHeader.Type == packets.Pingresp {
			break
		}
		if pk.FixedHeader.Type == packets.Publish {
			got = append(got, Message{Topic: pk.TopicName, Payload: pk.Payload, Retain: pk.FixedHeader.Retain})
		}
	}
	h.in(t, h.as("hub")).publish("doorhub/alarm/end", "", false)
	got = append(got, p.received("doorhub/alarm/end")...)
	slices.SortFunc(got, func(a, b Message) int { return strings.Compare(a.Topic, b.Topic) })
	return got
}

func TestOnlyChangesAreWritten(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	five := h.in(t, h.v5("hub", func(pk *packets.Packet) { pk.Connect.ClientIdentifier = "five" }))
	typed := publication("doorhub/alarm/state", "armed_away", 1, true)
	typed.Properties.ContentType = "text/plain"
	for i, c := range []struct {
		do      func()
		written int // records
	}{
		{func() { hub.publish("doorhub/alarm/state", "disarmed", true) }, 1},
		{func() { hub.publish("doorhub/alarm/state", "disarmed", true) }, 0},
		{func() { hub.publish("doorhub/alarm/state", "armed_away", true) }, 1},
		{func() { five.send(typed); five.next(packets.Puback) }, 1}, // says more
		{func() { five.send(typed); five.next(packets.Puback) }, 0},
		{func() { hub.publish("doorhub/alarm/state", "", true) }, 1},
		{func() { hub.publish("doorhub/alarm/state", "", true) }, 0},
		{func() { hub.publish("doorhub/alarm/event", "x", false) }, 0},
	} {
		_, before := keptFiles(t, h)
		c.do()
		if _, after := keptFiles(t, h); after-before != c.written {
			t.Errorf("step %d: %d records written, want %d", i, after-before, c.written)
		}
	}
}

// damage changes a byte of the one file of what is kept, behind a text in it.
func (h *house) damage(t *testing.T, behind string) {
	t.Helper()
	names, err := logFiles(filepath.Join(h.cfg.Dir, "kept"))
	must(t, err)
	content, err := os.ReadFile(names[0])
	must(t, err)
	at := bytes.Index(content, []byte(behind))
	if len(names) != 1 || at < 0 {
		t.Fatalf("%q is not in %v", behind, names)
	}
	content[at+len(behind)] ^= 0x10
	must(t, os.WriteFile(names[0], content, 0o600))
}

func TestDamageCostsWhatIsDamaged(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	for _, part := range []string{"contact", "lock", "person"} {
		hub.publish("doorhub/door/front/"+part, part, true)
	}
	must(t, h.Close())
	h.damage(t, "doorhub/door/front/lock")
	h.restart(t)
	want := []Message{
		{Topic: "doorhub/door/front/contact", Payload: []byte("contact"), Retain: true},
		{Topic: "doorhub/door/front/person", Payload: []byte("person"), Retain: true},
	}
	if diff := cmp.Diff(want, h.retained(t)); diff != "" {
		t.Error(diff)
	}
}

// A new file that a crash has cut off must not stand for what is in the one before.
func TestHalfANewFileCountsForNothing(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.keep = true
	h.in(t, l).subscribe("doorhub/alarm/state", 1)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/alarm/state", "armed_away", true)
	must(t, h.Close())
	names, err := logFiles(filepath.Join(h.cfg.Dir, "kept"))
	must(t, err)
	m, err := newMark()
	must(t, err)
	half := appendRecord(fileHead(m), m, note{kind: noteOpen, id: "viewer/viewer1", open: opening{User: "viewer"}})
	half = appendRecord(half, m, note{kind: noteDrop, id: "doorhub/alarm/state"})
	must(t, os.WriteFile(filepath.Join(filepath.Dir(names[0]), "0000000099"+logSuffix), half, 0o600))
	h.restart(t)
	p, ack := h.connect(t, l)
	if pk := p.next(packets.Publish); !ack.SessionPresent || string(pk.Payload) != "armed_away" {
		t.Errorf("session present %t, message %q", ack.SessionPresent, pk.Payload)
	}
	if _, ok := h.mq.Topics.Retained.Get("doorhub/alarm/state"); !ok {
		t.Error("the state is gone")
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
}

// What has changed while a slow client is still being sent the states of many topics reaches it as
// it is, and not as it was when the client subscribed: it might never hear of it again.
func TestStatesAreSentAsTheyAre(t *testing.T) {
	const topics = 300
	h := start(t, func(c *Config) { c.WriteTimeout, c.MaxQueue = time.Minute, 64<<10 })
	topic := func(i int) string { return fmt.Sprintf("doorhub/sensor/s%d/contact", i) }
	for i := range topics { // 19 MB: more than all buffers on the way
		h.mq.Topics.RetainMessage(publication(topic(i), strings.Repeat("old", 21_000), 0, true))
	}
	p := h.in(t, h.as("viewer"))
	p.subscribe("doorhub/sensor/#", 0)
	hub := h.in(t, h.as("hub"))
	for i := range topics {
		hub.send(publication(topic(i), "new", 0, true))
	}
	hub.ping()
	p.ping() // all has come
	last := map[string]string{}
	for _, pk := range p.held {
		if last[pk.TopicName] == "new" && string(pk.Payload) != "new" {
			t.Errorf("%s as it was, behind its news", pk.TopicName)
		}
		last[pk.TopicName] = string(pk.Payload)
	}
	news := slices.Collect(maps.Values(last))
	news = slices.DeleteFunc(news, func(payload string) bool { return payload != "new" })
	if len(last) != topics || len(news) < topics/5 {
		t.Errorf("%d topics, %d as they are", len(last), len(news))
	}
}

// What the race detector sees here could end the process: a text of one message's place with the
// length of another's.
func TestStatesChangeWhileOthersSubscribe(t *testing.T) {
	h := start(t)
	hub, p := h.in(t, h.as("hub")), h.in(t, h.as("viewer"))
	go func() {
		for i := range 500 {
			_ = hub.try(publication(fmt.Sprintf("doorhub/sensor/s%d/contact", i), "open", 0, true))
			_ = hub.try(publication(fmt.Sprintf("doorhub/sensor/s%d/contact", i/2), "", 0, true))
		}
		_ = hub.try(publication("doorhub/alarm/end", "", 0, false))
	}()
	p.subscribe("doorhub/alarm/end", 0)
	for range 100 {
		if code := p.subscribe("doorhub/sensor/#", 0); code != 0 {
			t.Fatalf("code %#x", code)
		}
	}
}
