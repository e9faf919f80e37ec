package broker

import (
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

// Figures that change all the time are there for whoever asks, and never on the disk.
func TestFiguresAreNotWritten(t *testing.T) {
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/instance/main/status", "online", true)
	before, err := os.ReadDir(filepath.Join(h.cfg.Dir, "retained"))
	must(t, err)
	hub.publish("doorhub/instance/main/broker", "{}", true)
	after, err := os.ReadDir(filepath.Join(h.cfg.Dir, "retained"))
	must(t, err)
	if len(before) != 1 || len(after) != 1 {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	viewer := h.in(t, h.as("viewer"))
	viewer.subscribe("doorhub/instance/main/broker", 0)
	if pk := viewer.next(packets.Publish); !pk.FixedHeader.Retain || string(pk.Payload) != "{}" {
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
