package main

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

//go:embed testdata/core_schema.py
var coreSchema string

// TestHomeAssistantCore is a day of one house with one Home Assistant Core, whose start takes
// longer than all the rest: its parts follow upon each other.
func TestHomeAssistantCore(t *testing.T) {
	c := startCore(t)
	address := freeAddr(t)
	house := newTestHouse(t, func(cfg *Config) { cfg.Broker.Listen, cfg.HomeAssistant.People = address, true })
	h := house.start(t)
	c.join(h.as("homeassistant"))

	t.Run("entities", func(t *testing.T) { entitiesAppear(t, c, h) })
	t.Run("schema", func(t *testing.T) { schemaKnowsKeys(t, c, h) })
	t.Run("unlock", func(t *testing.T) { codeOpens(t, c, h) })
	t.Run("complaints", func(t *testing.T) {
		if all := c.complaints(); len(all) > 0 {
			t.Errorf("Home Assistant complains:\n%s", strings.Join(all, ""))
		}
	})
}

// entitiesAppear: nothing that was announced is missing, and nothing else is there.
func entitiesAppear(t *testing.T, c *core, h *testHub) {
	_, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	want := map[string]string{
		"binary_sensor.ann_inside":      "off presence",
		"binary_sensor.doorhub_problem": "off problem",
		"binary_sensor.doorhub_status":  "on connectivity",
		"binary_sensor.front_contact":   "off door",
		"binary_sensor.front_problem":   "off problem",
		"binary_sensor.kitchen":         "off window",
		"button.front_relock":           "unknown",
		"event.doorhub":                 "unknown",
		"event.front_access":            "unknown",
		"lock.front":                    "locked",
		"sensor.doorhub_clock":          "synced enum",
		"sensor.doorhub_journal_head":   "1",
		"sensor.doorhub_people_inside":  "0",
		"sensor.front_last_person":      "unknown",
		"sensor.front_policy":           "pin",
		"sensor.front_prompt":           "ready enum",
		"sensor.front_relock_time":      "5 duration",
		"sensor.kitchen_last_seen":      "now timestamp",
		"sensor.kitchen_status":         "ok enum",
	}
	var got map[string]string
	end := time.Now().Add(20 * time.Second)
	c.until("all entities", func() bool {
		got = map[string]string{}
		for id, e := range c.entities() {
			got[id] = e.State
			if class, ok := e.Attr["device_class"].(string); ok {
				got[id] += " " + class
			}
			if seen, err := time.Parse(time.RFC3339, e.State); err == nil && time.Since(seen) < time.Minute {
				got[id] = "now " + e.Attr["device_class"].(string)
			}
		}
		return cmp.Equal(want, got) || time.Now().After(end)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

func schemaKnowsKeys(t *testing.T, c *core, h *testHub) {
	var payloads []string
	for _, m := range h.announcements() {
		payloads = append(payloads, string(m.Payload))
	}
	said, err := c.python(coreSchema, string(mustJSON(t, payloads)))
	t.Log(said)
	if err != nil {
		t.Errorf("Home Assistant's own schema: %v", err)
	}
}

// codeOpens: the right code opens and names the person, a wrong one does not.
func codeOpens(t *testing.T, c *core, h *testHub) {
	must(t, c.service("lock", "unlock", map[string]any{"entity_id": "lock.front", "code": noRemote}))
	if r := h.await(door.KindCommandRefused); r.Reason != door.ReasonWrongCode {
		t.Errorf("refused: %+v", r)
	}
	if h.doors["front"].sim.Energised() || c.state("lock.front").State != "locked" {
		t.Error("a wrong code opened")
	}
	must(t, c.service("lock", "unlock", map[string]any{"entity_id": "lock.front", "code": annRemote}))
	c.shows("lock.front", "unlocked")
	until(t, "the line", h.doors["front"].sim.Energised)
	if s := c.shows("sensor.front_last_person", "Ann"); s.Attr["kind"] != string(door.KindGranted) {
		t.Errorf("last person: %v", s.Attr)
	}
	must(t, c.service("lock", "lock", map[string]any{"entity_id": "lock.front"}))
	c.shows("lock.front", "locked")
	if h.doors["front"].sim.Energised() {
		t.Error("locked in Home Assistant alone")
	}
}
