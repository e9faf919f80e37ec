package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
)

const benchStates = 200

// BenchmarkHomeAssistantState measures from a sensor's word on the bus, through the house and
// back over the bus, to the new state of its entity at a client of a real Home Assistant.
func BenchmarkHomeAssistantState(b *testing.B) {
	c := startCore(b)
	address := freeAddr(b)
	h := newTestHouse(b, func(cfg *Config) { cfg.Broker.Listen = address }).start(b)
	c.join(h.as("homeassistant"))
	kitchen := h.client("kitchen")
	say := func(word string) {
		b.Helper()
		must(b, kitchen.Publish(soon(b), broker.Message{Topic: kitchenIn, Payload: []byte(word), QoS: 1}))
	}
	say("closed")
	c.shows("binary_sensor.kitchen", "off")
	changes := c.changes()
	var took []time.Duration
	for b.Loop() {
		for i := range benchStates {
			word, want := "open", "on"
			if i%2 == 1 {
				word, want = "closed", "off"
			}
			began := time.Now()
			say(word)
			shown := changes.next(b, want, func(ch change) bool { return ch.ID == "binary_sensor.kitchen" && ch.State == want })
			took = append(took, shown.at.Sub(began))
		}
	}
	reportMillis(b, "state", took)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHomeAssistantAnnounce measures from Home Assistant's birth until 20 doors and 200
// sensors have been announced, and how long until a real Home Assistant, which hears of them for
// the first time, has them all.
func BenchmarkHomeAssistantAnnounce(b *testing.B) {
	c := startCore(b)
	address := freeAddr(b)
	h := newTestHouse(b, func(cfg *Config) {
		cfg.Broker.Listen = address
		front, window := cfg.Doors[0], cfg.Sensors[0]
		cfg.Doors, cfg.Sensors = nil, nil
		for i := range 20 {
			front.ID = fmt.Sprintf("door%d", i)
			cfg.Doors = append(cfg.Doors, front)
		}
		for i := range 200 {
			window.ID = fmt.Sprintf("window%d", i)
			cfg.Sensors = append(cfg.Sensors, window)
		}
	}).start(b)
	devices, parts := len(h.announcements()), 0
	for _, m := range h.announcements() {
		parts += strings.Count(string(m.Payload), `"unique_id":`)
	}
	watch := h.client("homeassistant")
	told := hears(b, watch, "homeassistant/device/+/config")
	configs := func() (n int) {
		for _, m := range told.seen() {
			if !m.retained && strings.HasSuffix(m.topic, "/config") {
				n++
			}
		}
		return n
	}
	until(b, "the hub's own start", func() bool {
		h.bus.mu.Lock()
		defer h.bus.mu.Unlock()
		return len(h.bus.states) > devices && len(h.bus.dirty) == 0
	})
	var took []time.Duration
	for b.Loop() {
		for range 5 {
			before, began := configs(), time.Now()
			must(b, watch.Publish(soon(b), broker.Message{Topic: "homeassistant/status", Payload: []byte("online"), QoS: 1}))
			until(b, "all announcements", func() bool { return configs() >= before+devices })
			took = append(took, time.Since(began))
		}
	}
	began := time.Now()
	c.join(h.as("homeassistant"))
	c.until(fmt.Sprint(parts, " entities"), func() bool { return len(c.entities()) == parts })
	b.ReportMetric(time.Since(began).Seconds(), "core-s")
	b.ReportMetric(float64(parts), "entities")
	b.ReportMetric(slices.Max(took).Seconds(), "announced-max-s")
	b.ReportMetric(0, "ns/op")
}
