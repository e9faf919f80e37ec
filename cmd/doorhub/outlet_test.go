package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
)

// told is an event as it goes over the bus.
type told struct {
	Seq     uint64            `json:"seq"`
	Kind    string            `json:"kind"`
	Person  string            `json:"person"`
	Name    string            `json:"name"`
	Reason  string            `json:"reason"`
	Details map[string]string `json:"details"`
}

func event(tb testing.TB, m heard) told {
	tb.Helper()
	var e told
	if err := json.Unmarshal([]byte(m.payload), &e); err != nil {
		tb.Fatalf("%s %s: %v", m.topic, m.payload, err)
	}
	return e
}

// What a viewer sees of an entry, by a program that is not ours.
func TestBusTellsAnEntry(t *testing.T) {
	h := startTestHub(t)
	states := map[string]string{
		"doorhub/door/front/lock": "LOCKED", "doorhub/door/front/contact": "closed",
		"doorhub/door/front/prompt": "ready", "doorhub/door/front/person": `"name":null`,
		"doorhub/instance/hub/status": "online",
	}
	for _, topic := range sortedKeys(states) {
		first := sub(t, h.as("viewer"), topic)
		says(t, first, topic, states[topic])
		if m := says(t, sub(t, h.as("viewer"), topic), topic, states[topic]); !m.retained {
			t.Errorf("%s is not retained", topic)
		}
	}
	all := sub(t, h.as("homeassistant"), "doorhub/door/#", "doorhub/house/#", "doorhub/sensor/#", "homeassistant/#")
	says(t, all, "homeassistant/device/doorhub_door_front/config", `"device_class":"door"`)
	h.enters(annPIN)
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`, `"name":"Ann"`)
	until(t, "the lock", h.doors["front"].sim.Energised)
	must(t, h.doors["front"].sim.Open())
	says(t, all, "doorhub/door/front/event", `"kind":"entry"`)
	must(t, h.doors["front"].sim.Shut())
	says(t, all, "doorhub/door/front/event", `"kind":"locked"`)
	until(t, "the last state", func() bool { return lastOf(all, "doorhub/door/front/contact") == "closed" })
	seen := all.seen()
	for _, want := range []heard{
		{false, "doorhub/door/front/lock", "UNLOCKED"}, {false, "doorhub/door/front/contact", "open"},
		{false, "doorhub/door/front/prompt", "welcome"},
	} {
		found := false
		for _, m := range seen {
			found = found || m == want
		}
		if !found {
			t.Errorf("nobody said %v", want)
		}
	}
	person := lastOf(all, "doorhub/door/front/person")
	if !strings.Contains(person, `"name":"Ann"`) || !strings.Contains(person, `"kind":"entry"`) {
		t.Errorf("the last person is %s", person)
	}
	wantOnce(t, seen)
	for _, m := range seen {
		if strings.Contains(m.payload, annPIN) || strings.Contains(m.topic, "/in/") {
			t.Errorf("a secret or raw input on the bus: %v", m)
		}
	}
}

// Who is to turn reads at the door how.
func TestBusPromptsATurn(t *testing.T) {
	h := startTestHub(t, func(c *Config) {
		c.House.Policy = []door.Set{door.SetOf(door.PIN, door.FaceID)}
		c.House.Liveness = door.LivenessChallenge
	})
	said := sub(t, h.as("viewer"), "doorhub/door/front/prompt")
	h.enters(annPIN)
	h.send(door.Face{Door: "front", Side: door.Entry, Track: 1, Near: []door.Match{{Person: h.ann, Distance: 0.3}}, Liveness: door.Live})
	turns := []door.Saying{door.SayLeft, door.SayRight, door.SayUp, door.SayDown}
	m := said.next(t, "a turn", func(m heard) bool { return slices.Contains(turns, door.Saying(m.payload)) })
	if now := says(t, sub(t, h.as("viewer"), m.topic), m.topic, m.payload); !now.retained {
		t.Errorf("%v is not retained", now)
	}
}

// wantOnce fails when an event was told twice, out of order, or out of the broker's memory.
func wantOnce(tb testing.TB, seen []heard) {
	tb.Helper()
	last := uint64(0)
	for _, m := range seen {
		if !strings.HasSuffix(m.topic, "/event") {
			continue
		}
		e := event(tb, m)
		if e.Seq <= last || m.retained {
			tb.Errorf("event %d after %d, retained %t", e.Seq, last, m.retained)
		}
		last = e.Seq
	}
}

func lastOf(f *flow[heard], topic string) (payload string) {
	for _, m := range f.seen() {
		if m.topic == topic {
			payload = m.payload
		}
	}
	return payload
}

// A restart tells no event again, keeps what is retained, and says offline in between.
func TestBusOverRestart(t *testing.T) {
	house := newTestHouse(t, func(c *Config) { c.Broker.Listen = freeAddr(t) })
	h := house.start(t)
	said := newFlow[heard]() // by the hub: a broker that stops does not wait for its listeners
	must(t, h.server.OnPublish("doorhub/#", func(user string, m broker.Message) {
		if user == hubUser {
			said.add(heard{false, m.Topic, string(m.Payload)})
		}
	}))
	all := sub(t, h.as("viewer"), "doorhub/door/#", "doorhub/house/#", "doorhub/sensor/#", "doorhub/instance/#")
	_, err := pub(t, h.as("kitchen"), "-t", "doorhub/in/kitchen/contact", "-m", "open")
	must(t, err)
	says(t, all, "doorhub/house/event", `"kind":"intrusion"`)
	h.enters(annPIN)
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`)
	h.stop()
	says(t, said, "doorhub/door/front/event", `"kind":"locked"`)
	says(t, said, "doorhub/house/event", `"kind":"stopped"`)
	says(t, said, "doorhub/instance/hub/status", "offline")
	if last := lastOf(said, "doorhub/door/front/lock"); last != "LOCKED" {
		t.Errorf("the lock was left as %s on the bus", last)
	}

	house.start(t) // mosquitto_sub comes back by itself
	says(t, all, "doorhub/instance/hub/status", "online")
	wantOnce(t, all.seen())
	fresh := sub(t, h.as("viewer"), "doorhub/door/front/person", "doorhub/door/front/lock", "doorhub/sensor/kitchen/contact")
	says(t, fresh, "doorhub/door/front/lock", "LOCKED")
	for topic, want := range map[string]string{"doorhub/door/front/lock": "LOCKED", "doorhub/sensor/kitchen/contact": "open"} {
		until(t, topic, func() bool { return lastOf(fresh, topic) == want })
	}
	until(t, "the last person", func() bool { return strings.Contains(lastOf(fresh, "doorhub/door/front/person"), "Ann") })
}

// An erased name leaves the door it was shown at, also where the event is missed.
func TestBusForgetsTheErased(t *testing.T) {
	h := startTestHub(t)
	all := sub(t, h.as("viewer"), "doorhub/door/front/person")
	h.enters(annPIN)
	says(t, all, "doorhub/door/front/person", `"name":"Ann"`)
	_, err := h.service.removePerson(t.Context(), whoRequest{Who: "Ann"})
	must(t, err)
	says(t, all, "doorhub/door/front/person", `"name":null`)
	h.stop()
	h = h.testHouse.start(t)
	fresh := sub(t, h.as("viewer"), "doorhub/door/front/person", "doorhub/instance/hub/status")
	says(t, fresh, "doorhub/instance/hub/status", "online")
	for _, m := range fresh.seen() {
		if strings.Contains(m.payload, "Ann") {
			t.Errorf("the bus still says %v", m)
		}
	}
}

// What was shown just before the stop is told.
func TestOutletLastWords(t *testing.T) {
	h := startTestHub(t)
	must(t, h.bus.client.Ready(soon(t)))
	said := newFlow[string]()
	must(t, h.server.OnPublish("doorhub/door/back/prompt", func(_ string, m broker.Message) { said.add(string(m.Payload)) }))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, say := range []door.Saying{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"} {
		o := h.newOutlet("last words", h.bus.client)
		o.show(discovery.Prompt(door.Prompt{Door: "back", Say: say}))
		<-o.wake
		o.run(stopped)
		said.next(t, string(say), func(s string) bool { return s == string(say) })
	}
}

// Old records reach no automation as news, and a person that came meanwhile is still the last.
func TestOutletAfterLongSilence(t *testing.T) {
	house := newTestHouse(t)
	h := house.start(t)
	h.await(door.KindStarted)
	h.bus.client.Close() // nothing more is told
	old := time.Now().Add(-2 * fresh)
	rec := door.Record{Time: old, Kind: door.KindEntry, Door: "front", Side: door.Entry, Person: h.ann}
	kept, err := h.store.Append(t.Context(), []door.Record{rec})
	must(t, err)
	h.journalled([]door.Write{{Record: kept[0]}})
	again, err := broker.Dial(t.Context(), broker.ClientConfig{Conn: h.server.Dial, User: "again", ClientID: "again",
		Token: func() string { token, err := h.users.Lend("again", broker.RoleHub); must(t, err); return token }()})
	must(t, err)
	defer again.Close()
	all := sub(t, h.as("viewer"), "doorhub/door/front/event", "doorhub/door/front/person", "doorhub/house/event")
	o := h.newOutlet("bus", again)
	must(t, again.Ready(soon(t)))
	must(t, o.tell(soon(t)))
	says(t, all, "doorhub/door/front/person", `"name":"Ann"`)
	for _, m := range all.seen() {
		if strings.HasSuffix(m.topic, "/event") && event(t, m).Kind == "entry" {
			t.Errorf("told as news: %v", m)
		}
	}
	cursor, err := h.store.Cursor(t.Context(), "bus")
	must(t, err)
	if head := h.store.Head().Seq; cursor < kept[0].Seq || cursor > head { // the hub may have written more
		t.Errorf("the cursor is at %d, want %d to %d", cursor, kept[0].Seq, head)
	}
}

// Home Assistant that was away hears what it missed, once, when it is back; others are told only
// that twice.
func TestMissedEventsAtBirth(t *testing.T) {
	const birth = "homeassistant/status"
	h := startTestHub(t)
	says := func(word string) {
		t.Helper()
		_, err := pub(t, h.as("homeassistant"), "-t", birth, "-m", word)
		must(t, err)
	}
	f := sub(t, h.as("viewer"), "doorhub/door/front/event")
	denied := func() uint64 {
		t.Helper()
		h.enters(noPIN)
		return event(t, f.next(t, "denied", func(m heard) bool { return event(t, m).Kind == "denied" })).Seq
	}
	says("online")
	until(t, "its birth", func() bool { return !h.bus.hears.deaf.Load() })
	denied()
	says("offline")
	until(t, "its end", h.bus.hears.deaf.Load)
	missed := denied()
	says("online")
	if again := event(t, f.next(t, "what it missed", func(heard) bool { return true })).Seq; again != missed {
		t.Errorf("%d is told again, want %d", again, missed)
	}
	says("online") // nothing was missed since
	if last := denied(); last <= missed {
		t.Errorf("%d is told again without need", last)
	}
	told := map[uint64]int{}
	for _, m := range f.seen() {
		told[event(t, m).Seq]++
	}
	for seq, n := range told {
		if want := map[bool]int{true: 2, false: 1}[seq == missed]; n != want {
			t.Errorf("event %d is told %d times, want %d", seq, n, want)
		}
	}
}

// Home Assistant that goes again before it was told what it missed is told at its next birth.
func TestMissedEventsOutliveAShortBirth(t *testing.T) {
	h := startTestHub(t)
	says := func(word string, deaf bool) {
		t.Helper()
		_, err := pub(t, h.as("homeassistant"), "-t", "homeassistant/status", "-m", word)
		must(t, err)
		until(t, word, func() bool { return h.bus.hears.deaf.Load() == deaf })
	}
	f := sub(t, h.as("viewer"), "doorhub/door/front/event")
	until(t, "the beginning", h.bus.hears.deaf.Load)
	h.enters(noPIN)
	denied := func(m heard) bool { return event(t, m).Kind == "denied" }
	missed := event(t, f.next(t, "denied", denied)).Seq
	says("online", false)
	says("offline", true)
	says("online", false)
	if again := event(t, f.next(t, "what it missed", denied)).Seq; again != missed {
		t.Errorf("%d is told again, want %d", again, missed)
	}
}
