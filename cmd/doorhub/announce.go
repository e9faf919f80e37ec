package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
)

// hasStills reports whether it is told what a door's camera outside sees.
func (c Config) hasStills(d Door) bool { return hasVision && c.Pictures.Show && c.watched(d.ID) }

// device is what Home Assistant is told of one.
type device struct {
	id   string
	tell func() discovery.Message
}

// devices are all that the config has.
func (h *hub) devices() (all []device) {
	hub := h.hubInfo()
	add := func(id string, tell func() discovery.Message) { all = append(all, device{id, tell}) }
	add(discovery.HouseDevice, func() discovery.Message {
		return discovery.Home(discovery.House{Inside: h.cfg.HomeAssistant.Inside != discovery.InsideOff, History: h.cfg.History.URL != ""}, hub)
	})
	for _, d := range h.cfg.Doors {
		add(discovery.DoorDevice(d.ID), func() discovery.Message { return discovery.Device(h.shownDoor(d), hub) })
	}
	for _, s := range h.cfg.Sensors {
		add(discovery.SensorDevice(s.ID), func() discovery.Message {
			return discovery.Window(discovery.Sensor{ID: s.ID, Name: s.Name, Area: s.Area, Class: s.Kind}, hub)
		})
	}
	if !h.cfg.HomeAssistant.People {
		return all
	}
	people := h.names.all()
	for _, id := range slices.Sorted(maps.Keys(people)) {
		add(discovery.PersonDevice(id), func() discovery.Message { return h.resident(id, people[id]) })
	}
	return all
}

// announcements are the discovery messages of all devices.
func (h *hub) announcements() (ms []discovery.Message) {
	for _, d := range h.devices() {
		ms = append(ms, d.tell())
	}
	return ms
}

// shownDoor is a door with what it has: what the config lacks is not announced.
func (h *hub) shownDoor(d Door) discovery.Door {
	return discovery.Door{
		ID: d.ID, Name: d.Name, Area: d.Area, Contact: d.has(d.Contact),
		Readers: len(d.Keypads)+len(d.Cameras) > 0, Faces: len(d.Cameras) > 0,
		Picture: h.cfg.hasPictures(d), Stills: h.cfg.hasStills(d),
	}
}

func (h *hub) resident(id, called string) discovery.Message {
	return discovery.Known(discovery.Resident{ID: id, Name: called}, h.hubInfo())
}

// keptDiscovery takes out of Home Assistant what the broker has kept and the config no longer
// has: devices, and entities of those that are still there.
func (h *hub) keptDiscovery(o *outlet) func(broker.Message) {
	return func(m broker.Message) {
		if !m.Retain {
			return // the hub's own words
		}
		var keep []string
		for _, d := range h.devices() {
			keep = append(keep, d.id)
			if d.id != discovery.DeviceOf(m.Topic, h.hubInfo()) {
				continue
			}
			if with, shrunk := discovery.Shrunk(d.tell(), m.Payload, h.hubInfo()); shrunk {
				o.shrunk(with)
			}
		}
		gone, ok := discovery.Orphan(m.Topic, m.Payload, h.hubInfo(), keep)
		switch {
		case !ok:
		case h.server != nil && o == h.bus: // whoever was there has been cut off, and will be born
			o.removeAtBirth(gone)
		default:
			o.show(gone)
		}
	}
}

// keptPerson takes back what the broker has kept of people who are known no more, or of whom
// nothing is to be told any more.
func (h *hub) keptPerson(o *outlet, m broker.Message) {
	id, ok := discovery.PersonOf(m.Topic)
	_, known := h.names.all()[id]
	if ok && m.Retain && (!known || !h.cfg.HomeAssistant.People) {
		o.show(discovery.Unknown(id))
	}
}

// introduce tells Home Assistant of people who are new or are called otherwise, and takes out
// those who are no more.
func (h *hub) introduce(before, now map[string]string) {
	if h.panel == nil || !h.cfg.HomeAssistant.People {
		return
	}
	for id := range before {
		if _, still := now[id]; !still {
			h.panel.show(discovery.Remove(discovery.PersonDevice(id), h.hubInfo()))
			h.show(discovery.Whereabouts(id, false, false))
			h.retract(discovery.Unknown(id))
		}
	}
	for id, called := range now {
		if was, known := before[id]; !known || was != called {
			h.panel.show(h.resident(id, called))
		}
	}
}

// retract takes states back once Home Assistant has surely forgotten the entities that show them:
// an empty state is a warning in its log.
func (h *hub) retract(ms ...discovery.Message) {
	time.AfterFunc(settle, func() { h.show(ms...) })
}

// tellJournal shows the journal's end, which grows all the time and nobody waits for: once at
// the start, and then every half minute if there is more of it.
func (h *hub) tellJournal(ctx context.Context) {
	grown := make(chan struct{}, 1)
	h.watch(func(door.Record) { nudge(grown) })
	if h.store.Head().Seq > 0 {
		nudge(grown)
	}
	tick := time.NewTicker(healthBeat)
	defer tick.Stop()
	var shown []byte
	for next := grown; ; next = nil {
		select {
		case <-ctx.Done():
			return
		case <-next:
		case <-tick.C:
		}
		head := h.store.Head()
		m := discovery.Journal(h.cfg.Name, head.Seq, head.Hash[:], h.clock.now().Synced)
		if !bytes.Equal(shown, m.Payload) {
			h.show(m)
			shown = m.Payload
		}
	}
}
