package main

import (
	_ "embed"
	"strings"
	"testing"

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
	house := newTestHouse(t, func(cfg *Config) { cfg.Broker.Listen = address })
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
	want := map[string]string{
		"lock.front":                  "locked",
		"binary_sensor.front_contact": "off door",
		"sensor.front_last_person":    "unknown",
		"binary_sensor.kitchen":       "unknown window",
	}
	var got map[string]string
	c.until("all entities", func() bool {
		got = map[string]string{}
		for id, e := range c.entities() {
			got[id] = e.State
			if class, ok := e.Attr["device_class"].(string); ok {
				got[id] += " " + class
			}
		}
		return cmp.Equal(want, got) || len(got) > len(want)
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
