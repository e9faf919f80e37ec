package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

//go:embed testdata/core_schema.py
var coreSchema string

// coreDay is a day of one house with one Home Assistant Core, whose start takes longer than all
// the rest: what happens follows upon each other.
type coreDay struct {
	*core
	whole *testing.T // not of one part alone
	house *testHouse
	hub   *testHub
	said  *saying      // what hubs logged
	at    func() login // Home Assistant's at its broker
}

func TestHomeAssistantCore(t *testing.T) {
	c := startCore(t)
	address := freeAddr(t)
	day := &coreDay{core: c, whole: t, said: &saying{}, house: newTestHouse(t, func(cfg *Config) {
		cfg.Broker.Listen, cfg.HomeAssistant.People = address, true
	})}
	day.at = func() login { return day.hub.as("homeassistant") }
	day.enrol(t)
	day.begin(t)
	c.join(day.at())

	day.live(t, []part{
		{"entities appear", day.entitiesAppear},
		{"schemas know every key", day.schemasKnowEveryKey},
		{"a code opens", day.codeOpens},
		{"an entry shows once", day.entryShowsOnce},
		{"Home Assistant restarts", day.coreRestarts},
		{"the hub restarts", day.hubRestarts},
		{"names change", day.namesChange},
		{"what is gone is removed", day.goneIsRemoved},
		{"nobody is told of people any more", day.peopleAreGone},
		{"nothing leaks", day.nothingLeaks},
		{"no complaints", day.noComplaints},
	})
}

type part struct {
	name string
	do   func(*testing.T)
}

// live does the parts of the day, up to the first that fails.
func (d *coreDay) live(t *testing.T, parts []part) {
	t.Helper()
	for _, p := range parts {
		if !t.Run(p.name, func(t *testing.T) { d.core.tb = t; p.do(t) }) {
			t.Fatalf("what follows %q builds on it", p.name)
		}
		d.core.tb = t
	}
}

// begin starts the hub with what its config now says.
func (d *coreDay) begin(t *testing.T) {
	t.Helper()
	d.hub = d.house.start(d.whole, func(h *hub) { h.log = slog.New(slog.NewTextHandler(io.MultiWriter(d.said, d.whole.Output()), nil)) })
}

// saying keeps what is written to it.
type saying struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *saying) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// The number by which a leaked descriptor is known.
const annsFace = 0.13572468

// enrol gives Ann a face, which no test can show to a camera here.
func (d *coreDay) enrol(t *testing.T) {
	t.Helper()
	st, err := store.Open(d.house.cfg.Data, store.With(d.house.cfg.Store))
	must(t, err)
	defer st.Close()
	face := store.Face{Source: "front"}
	for i := range face.Descriptor {
		face.Descriptor[i] = annsFace
	}
	must(t, st.AddFace(t.Context(), d.house.ann, face))
}

// entitiesAppear: nothing that was announced is missing, nothing else is there, and each has
// its class and its state.
func (d *coreDay) entitiesAppear(t *testing.T) {
	_, err := pub(t, d.hub.as("kitchen"), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	d.has(t, map[string]string{
		"binary_sensor.ann_inside":      "off presence",
		"binary_sensor.doorhub_problem": "off problem diagnostic",
		"binary_sensor.doorhub_status":  "on connectivity diagnostic",
		"binary_sensor.front_contact":   "off door",
		"binary_sensor.front_problem":   "off problem diagnostic",
		"binary_sensor.kitchen":         "off window",
		"button.front_relock":           "unknown",
		"event.doorhub":                 "unknown",
		"event.front_access":            "unknown",
		"lock.front":                    "locked",
		"sensor.doorhub_clock":          "synced enum diagnostic",
		"sensor.doorhub_journal_head":   "some diagnostic",
		"sensor.doorhub_people_inside":  "0",
		"sensor.front_last_person":      "unknown",
		"sensor.front_policy":           "pin diagnostic",
		"sensor.front_prompt":           "ready enum",
		"sensor.front_relock_time":      "5 duration diagnostic",
		"sensor.kitchen_last_seen":      "now timestamp diagnostic",
		"sensor.kitchen_status":         "ok enum diagnostic",
	})
}

// has waits until exactly these entities are there, each with state, class and category.
func (d *coreDay) has(t *testing.T, want map[string]string) {
	t.Helper()
	var got map[string]string
	end := time.Now().Add(soonEnough)
	d.until("entities", func() bool {
		got = map[string]string{}
		for id, e := range d.entities() {
			got[id] = inWords(e)
		}
		return cmp.Equal(want, got) || time.Now().After(end)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

func inWords(e entity) string {
	words := []string{e.State}
	if at, err := time.Parse(time.RFC3339, e.State); err == nil && time.Since(at) < time.Minute {
		words[0] = "now"
	}
	if n, err := strconv.Atoi(e.State); err == nil && n > 0 && e.UniqueID == "doorhub_house_journal" {
		words[0] = "some"
	}
	if class, ok := e.Attr["device_class"].(string); ok {
		words = append(words, class)
	}
	if e.Category != nil {
		words = append(words, *e.Category)
	}
	return strings.Join(words, " ")
}

// schemasKnowEveryKey: also of what this house does not have.
func (d *coreDay) schemasKnowEveryKey(t *testing.T) {
	hub := d.hub.hubInfo()
	all := discovery.Door{ID: "all", Name: "All", Area: "Hall", Contact: true, Readers: true, Faces: true, Picture: true, Stills: true}
	ms := append(d.hub.announcements(), discovery.Device(all, hub), discovery.Home(discovery.House{Inside: true, History: true}, hub))
	var payloads []string
	for _, m := range ms {
		payloads = append(payloads, string(m.Payload))
	}
	said, err := d.python(coreSchema, string(mustJSON(t, payloads)))
	if err != nil || strings.Count(said, " ok\n") < 30 {
		t.Errorf("Home Assistant's own schemas: %v\n%s", err, said)
	}
}

// codeOpens: the right code opens and names the person, a wrong one does not.
func (d *coreDay) codeOpens(t *testing.T) {
	unlock := func(code string) {
		t.Helper()
		must(t, d.service("lock", "unlock", map[string]any{"entity_id": "lock.front", "code": code}))
	}
	line := d.hub.doors["front"].sim
	unlock(noRemote)
	if r := d.hub.await(door.KindCommandRefused); r.Reason != door.ReasonWrongCode {
		t.Errorf("refused: %+v", r)
	}
	if line.Energised() || d.state("lock.front").State != "locked" {
		t.Error("a wrong code opened")
	}
	unlock(annRemote)
	d.shows("lock.front", "unlocked")
	until(t, "the line", line.Energised)
	if s := d.shows("sensor.front_last_person", "Ann"); s.Attr["kind"] != string(door.KindGranted) {
		t.Errorf("last person: %v", s.Attr)
	}
	must(t, d.service("lock", "lock", map[string]any{"entity_id": "lock.front"}))
	d.shows("lock.front", "locked")
	unlock(annRemote)
	d.shows("lock.front", "unlocked")
	must(t, d.service("button", "press", map[string]any{"entity_id": "button.front_relock"}))
	d.shows("lock.front", "locked")
	if line.Energised() {
		t.Error("locked in Home Assistant alone")
	}
}

// comesIn has Ann come in by her PIN, and returns what shall be shown of it.
func (d *coreDay) comesIn(t *testing.T) (shown []string) {
	t.Helper()
	leaf, before := d.hub.doors["front"].sim, d.hub.store.Head().Seq
	d.hub.enters(annPIN)
	granted := d.hub.records.next(t, "granted", func(r door.Record) bool { return r.Kind == door.KindGranted && r.Seq > before })
	until(t, "the lock", leaf.Energised)
	must(t, leaf.Open())
	entry := d.hub.await(door.KindEntry)
	must(t, leaf.Shut())
	d.hub.await(door.KindLocked)
	return []string{fmt.Sprintf("%d granted", granted.Seq), fmt.Sprintf("%d entry", entry.Seq)}
}

// shownOnce waits until each of these events has been shown, and looks whether any was twice.
func (d *coreDay) shownOnce(t *testing.T, changes *flow[change], want []string) {
	t.Helper()
	d.until(strings.Join(want, ", "), func() bool {
		n := happened("event.front_access", changes.seen())
		return !slices.ContainsFunc(want, func(w string) bool { return n[w] == 0 })
	})
	d.settled(t)
	for what, n := range happened("event.front_access", changes.seen()) {
		if n != 1 {
			t.Errorf("%s is shown %d times", what, n)
		}
	}
}

// settled waits until Home Assistant has shown all that it was told: an event behind all else.
func (d *coreDay) settled(t *testing.T) {
	t.Helper()
	before := d.hub.store.Head().Seq
	d.hub.enters(noPIN)
	r := d.hub.records.next(t, "denied", func(r door.Record) bool { return r.Kind == door.KindDenied && r.Seq > before })
	d.until("the last event", func() bool {
		seq, _ := d.state("event.front_access").Attr["seq"].(float64)
		return seq >= float64(r.Seq) // a fifth wrong PIN is a lockout, too
	})
}

func (d *coreDay) entryShowsOnce(t *testing.T) {
	changes := d.changes()
	want := d.comesIn(t)
	d.shownOnce(t, changes, want)
	d.shows("binary_sensor.ann_inside", "on")
	if s := d.shows("sensor.doorhub_people_inside", "1"); !cmp.Equal(s.Attr["names"], []any{"Ann"}) {
		t.Errorf("inside: %v", s.Attr)
	}
	for _, ch := range changes.seen() {
		if ch.ID == "event.front_access" && ch.Attr["event_type"] == "entry" && ch.Attr["name"] != "Ann" {
			t.Errorf("entry: %v", ch.Attr)
		}
	}
	// A birth without an end before it: nothing was missed, nothing is told again.
	_, err := pub(t, d.at(), "-t", "homeassistant/status", "-m", "online")
	must(t, err)
	d.shownOnce(t, changes, want)

	_, err = pub(t, d.hub.as("kitchen"), "-t", kitchenIn, "-m", "open")
	must(t, err)
	d.shows("binary_sensor.kitchen", "on")
	d.until("the intrusion", func() bool { return d.state("event.doorhub").Attr["event_type"] == "intrusion" })
	_, err = pub(t, d.hub.as("kitchen"), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	d.shows("binary_sensor.kitchen", "off")
}

// coreRestarts: who came while Home Assistant was away, or began to listen, shows once.
func (d *coreDay) coreRestarts(t *testing.T) {
	d.core.stop()
	want := d.comesIn(t)
	d.start()
	changes := d.changes()
	d.until("the lock", func() bool { return d.state("lock.front").State == "locked" }) // it listens, and is not born yet
	want = append(want, d.comesIn(t)...)
	d.shownOnce(t, changes, want)
	d.all(t, 19)
}

// all waits until so many entities are there, and none is unavailable.
func (d *coreDay) all(t *testing.T, n int) {
	t.Helper()
	var lacks []string
	d.until("all entities", func() bool {
		lacks = nil
		all := d.entities()
		for id, e := range all {
			if e.State == "unavailable" || e.State == "" {
				lacks = append(lacks, id)
			}
		}
		return len(all) == n && len(lacks) == 0
	})
}

func (d *coreDay) hubRestarts(t *testing.T) {
	d.hub.stop()
	d.shows("lock.front", "unavailable")
	d.begin(t)
	d.shows("lock.front", "locked")
	d.all(t, 19)
	changes := d.changes()
	d.shownOnce(t, changes, d.comesIn(t))
}

// namesChange: a door that is called otherwise is the same to everybody's automations.
func (d *coreDay) namesChange(t *testing.T) {
	before := d.ids()
	d.hub.stop()
	d.house.cfg.Doors[0].Name = "Haustür"
	d.begin(t)
	d.until("the new name", func() bool {
		return d.state("lock.front").Attr["friendly_name"] == "Haustür"
	})
	if diff := cmp.Diff(before, d.ids()); diff != "" {
		t.Errorf("ids (-before +after):\n%s", diff)
	}
}

// ids are the entities' own, by those that never change.
func (d *coreDay) ids() map[string]string {
	all := map[string]string{}
	for id, e := range d.entities() {
		all[e.UniqueID] = id
	}
	return all
}

// goneIsRemoved: a device and a single entity that the config no longer has, without a click.
func (d *coreDay) goneIsRemoved(t *testing.T) {
	const config = "homeassistant/device/doorhub_door_front/config"
	d.hub.stop()
	d.house.cfg.Doors[0].Contact.none = true
	d.house.cfg.Sensors = nil
	d.begin(t)
	d.until("the end of contact and window", func() bool {
		for id := range d.entities() {
			if id == "binary_sensor.front_contact" || strings.Contains(id, "kitchen") {
				return false
			}
		}
		return true
	})
	d.all(t, 15)
	if d.hub.ha != nil { // nobody cut it off, so it was not born since
		d.core.stop()
		d.start()
		d.all(t, 15)
	}
	until(t, "a message that says nothing of the contact", func() bool {
		m := says(t, sub(t, d.at(), config), config)
		return !strings.Contains(m.payload, "contact")
	})
}

func (d *coreDay) peopleAreGone(t *testing.T) {
	_, err := d.hub.service.removePerson(t.Context(), whoRequest{Who: d.house.ann})
	must(t, err)
	d.until("the end of Ann", func() bool { _, there := d.entities()["binary_sensor.ann_inside"]; return !there })
	d.shows("sensor.front_last_person", "unknown")
	d.shows("sensor.doorhub_people_inside", "0")
	for topic, payload := range d.retained(t) {
		if strings.Contains(payload, "Ann") {
			t.Errorf("%s: %s", topic, payload)
		}
	}
}

func (d *coreDay) noComplaints(t *testing.T) {
	if all := d.complaints(); len(all) > 0 {
		t.Errorf("Home Assistant complains:\n%s", strings.Join(all, ""))
	}
}
