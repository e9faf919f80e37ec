package main

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// tell publishes as a decent device does: at QoS 1, until it has the broker's word.
func tell(tb testing.TB, c *broker.Client, topic, text string) {
	tb.Helper()
	until(tb, "the broker's word", func() bool {
		return c.Publish(soon(tb), broker.Message{Topic: topic, Payload: []byte(text), QoS: 1}) == nil
	})
}

// hears subscribes, and returns what comes.
func hears(tb testing.TB, c *broker.Client, filters ...string) *flow[heard] {
	tb.Helper()
	f := newFlow[heard]()
	for _, filter := range filters {
		must(tb, c.Subscribe(soon(tb), filter, 1, func(m broker.Message) { f.add(heard{m.Retain, m.Topic, string(m.Payload)}) }))
	}
	return f
}

// kindsKept returns the kinds of a sensor's records in the journal.
func kindsKept(tb testing.TB, h *testHub, kinds ...door.Kind) []door.Kind {
	tb.Helper()
	var got []door.Kind
	for r, err := range h.store.Records(tb.Context(), store.Filter{Kinds: kinds}) {
		must(tb, err)
		got = append(got, r.Kind)
	}
	return got
}

// startElsewhere runs a hub until the end of the test, and waits for its connections.
func startElsewhere(tb testing.TB, house *testHouse) *testHub {
	tb.Helper()
	h := house.start(tb)
	must(tb, h.readings.Ready(soon(tb)))
	must(tb, h.bus.client.Ready(soon(tb)))
	return h
}

// What sensors say while the hub is away waits at the broker, whatever happens to the broker
// meanwhile, and is journalled once when the hub is back. A command does not wait.
func TestReadingsWaitForTheHub(t *testing.T) {
	e := mosquittoElsewhere(t)
	house := newTestHouse(t, e.asBus(t))
	kitchen, ha := e.client(t, "kitchen"), e.client(t, "homeassistant")
	h := startElsewhere(t, house)
	tell(t, kitchen, kitchenIn, "open")
	h.await(door.KindIntrusion)
	h.stop()

	tell(t, kitchen, kitchenIn, "closed")
	tell(t, kitchen, kitchenIn, "open")
	tell(t, kitchen, kitchenIn, "closed")
	tell(t, ha, frontLock, unlock(annRemote, time.Now()))
	h = startElsewhere(t, house)
	for _, kind := range []door.Kind{door.KindSensorClosed, door.KindIntrusion, door.KindSensorClosed} {
		h.await(kind)
	}
	h.stop()

	tell(t, kitchen, kitchenIn, "open")
	e.nodes[0].end(t, syscall.SIGTERM)
	e.nodes[0].start(t)
	h = startElsewhere(t, house)
	h.await(door.KindIntrusion)
	tell(t, kitchen, kitchenIn, "closed")
	h.await(door.KindSensorClosed)
	want := []door.Kind{door.KindSensorOpen, door.KindSensorClosed, door.KindSensorOpen, door.KindSensorClosed, door.KindSensorOpen, door.KindSensorClosed}
	if diff := cmp.Diff(want, kindsKept(t, h, door.KindSensorOpen, door.KindSensorClosed)); diff != "" {
		t.Errorf("journalled (-want +got):\n%s", diff)
	}
	if got := kindsKept(t, h, door.KindGranted, door.KindCommandRefused); len(got) > 0 {
		t.Errorf("the command waited: %v", got)
	}
}

// A reading that is retained counts once, when it comes, and not from the broker's memory.
func TestRetainedReadingElsewhere(t *testing.T) {
	e := mosquittoElsewhere(t)
	house := newTestHouse(t, e.asBus(t))
	kitchen := e.client(t, "kitchen")
	h := startElsewhere(t, house)
	must(t, kitchen.Publish(soon(t), broker.Message{Topic: kitchenIn, Payload: []byte("open"), QoS: 1, Retain: true}))
	h.await(door.KindIntrusion)
	tell(t, kitchen, kitchenIn, "closed")
	h.await(door.KindSensorClosed)
	h.stop()
	h = startElsewhere(t, house)
	tell(t, kitchen, kitchenIn, "nonsense") // behind what is retained
	h.records.next(t, "the problem", func(r door.Record) bool { return r.Reason == "unreadable" })
	if got := kindsKept(t, h, door.KindSensorOpen); !slices.Equal(got, []door.Kind{door.KindSensorOpen}) {
		t.Errorf("journalled: %v", got)
	}
}

// While the broker is away the door opens, events wait in the journal, and a viewer is told
// them once when it is back.
func TestEventsWaitForTheBroker(t *testing.T) {
	e := mosquittoElsewhere(t)
	h := startElsewhere(t, newTestHouse(t, e.asBus(t)))
	viewer := e.client(t, "viewer")
	all := hears(t, viewer, "doorhub/door/#", "doorhub/house/event")
	until(t, "the lock", func() bool { return lastOf(all, "doorhub/door/front/lock") == "LOCKED" })
	e.nodes[0].end(t, os.Kill)
	until(t, "the hub to notice", func() bool { return !h.bus.client.Up() })
	h.enters(annPIN)
	until(t, "the lock to open", h.doors["front"].sim.Energised)
	must(t, h.doors["front"].sim.Open())
	h.await(door.KindEntry)
	must(t, h.doors["front"].sim.Shut())
	h.await(door.KindLocked)
	e.nodes[0].start(t)
	for _, kind := range []string{"granted", "entry", "locked"} {
		says(t, all, "doorhub/door/front/event", `"kind":"`+kind+`"`)
	}
	wantOnce(t, all.seen())
	until(t, "the last person", func() bool { return lastOf(all, "doorhub/door/front/lock") == "LOCKED" })
}
