package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
)

const insideTopic = "doorhub/house/inside"

// comes has Ann come in at the front door.
func (h *testHub) comes() {
	h.tb.Helper()
	h.enters(annPIN)
	h.await(door.KindGranted)
	until(h.tb, "the lock", h.doors["front"].sim.Energised)
	must(h.tb, h.doors["front"].sim.Open())
	h.await(door.KindEntry)
}

func TestInside(t *testing.T) {
	for mode, want := range map[discovery.InsideMode]string{
		discovery.InsideNames: `{"count":1,"certain":true,"names":["Ann"]}`,
		discovery.InsideCount: `{"count":1,"certain":true}`,
	} {
		h := startTestHub(t, func(c *Config) { c.HomeAssistant.Inside = mode })
		f := sub(t, h.as("viewer"), insideTopic)
		h.comes()
		if m := says(t, f, insideTopic, `"count":1`); m.payload != want {
			t.Errorf("%s: %s, want %s", mode, m.payload, want)
		}
	}
}

// What is switched off is told to nobody, and taken back where it was told before.
func TestInsideOff(t *testing.T) {
	house := newTestHouse(t, func(c *Config) { c.HomeAssistant.People = true })
	h := house.start(t)
	person := "doorhub/house/person/" + h.ann
	f := sub(t, h.as("viewer"), "doorhub/house/#")
	h.comes()
	says(t, f, insideTopic, "Ann")
	says(t, f, person, `"inside":true`)
	h.stop()
	house.cfg.HomeAssistant.Inside, house.cfg.HomeAssistant.People = discovery.InsideOff, false
	h = house.start(t)
	f = sub(t, h.as("homeassistant"), "doorhub/house/#", "homeassistant/#")
	_, err := pub(t, h.as("homeassistant"), "-t", "homeassistant/status", "-m", "online")
	must(t, err)
	config := "homeassistant/device/doorhub_person_" + h.ann + "/config"
	for _, topic := range []string{insideTopic, person, config} {
		until(t, "the end of "+topic, func() bool {
			return slices.ContainsFunc(f.seen(), func(m heard) bool { return m.topic == topic && m.payload == "" })
		})
	}
	const ofHouse = "homeassistant/device/doorhub_house/config"
	late := sub(t, h.as("homeassistant"), "doorhub/house/#", "homeassistant/#")
	until(t, "what the broker keeps", func() bool { return lastOf(late, ofHouse) != "" })
	for _, m := range late.seen() {
		if strings.Contains(m.payload, "Ann") || m.topic == ofHouse && strings.Contains(m.payload, insideTopic) {
			t.Errorf("still told: %v", m)
		}
	}
}

// A sensor is there once it was heard, and what it says that makes no sense is its status.
func TestSensorHealth(t *testing.T) {
	house := newTestHouse(t)
	h := house.start(t)
	const health, status = "doorhub/sensor/kitchen/health", "doorhub/sensor/kitchen/status"
	f := sub(t, h.as("viewer"), health, status)
	says(t, f, health, `{"status":"unheard","seen":null}`)
	says(t, f, status, "offline")
	tell := func(word string) {
		t.Helper()
		_, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", word)
		must(t, err)
	}
	tell("closed")
	says(t, f, health, `"status":"ok","seen":"2`)
	says(t, f, status, "online")
	tell("ajar")
	says(t, f, health, `"status":"unreadable"`)
	tell("open")
	says(t, f, health, `"status":"ok"`)
	h.stop()
	h = house.start(t)
	says(t, sub(t, h.as("viewer"), health), health, `"status":"ok","seen":"2`)
}

// What is wrong stands where it belongs: with the door, or with the house.
func TestProblemsShown(t *testing.T) {
	h := startTestHub(t)
	const atDoor, inHouse = "doorhub/door/front/problem", "doorhub/house/problem"
	f := sub(t, h.as("viewer"), atDoor, inHouse)
	for part, topic := range map[string]string{"rex/front": atDoor, "keypad/front/keypad": atDoor, "broker": inHouse, "bus_user/front": inHouse} {
		h.send(door.Fault{Part: part, Reason: "failed"})
		says(t, f, topic, `{"problems":["`+part+` failed"]}`)
		h.send(door.Fault{Part: part})
		says(t, f, topic, `{"problems":[]}`)
	}
}
