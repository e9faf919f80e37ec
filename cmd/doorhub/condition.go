package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// seenBeat is from one telling of when a sensor was heard to the next.
const seenBeat = 10 * time.Second

// sensorPast is how many records are read at the start for when sensors were last heard.
const sensorPast = 1000

// condition is what the house shows beside its locks and contacts: what is wrong, who is inside,
// how sensors fare. It follows the journal, and shows what has changed.
type condition struct {
	cfg           Config
	past          *past
	names         *names
	show, retract func(...discovery.Message)

	mu       sync.Mutex
	problems map[string]door.Record // by part
	seen     map[string]time.Time   // sensor → last heard
	shownAt  map[string]time.Time   // and when that was shown
	inside   map[string]bool        // person → shown as inside; those shown
	certain  bool                   // as shown
}

func newCondition(ctx context.Context, cfg Config, st *store.Store, p *past, ns *names, show, retract func(...discovery.Message)) (*condition, error) {
	c := &condition{cfg: cfg, past: p, names: ns, show: show, retract: retract, problems: map[string]door.Record{},
		seen: map[string]time.Time{}, shownAt: map[string]time.Time{}, inside: map[string]bool{}}
	heard := store.Filter{Kinds: []door.Kind{door.KindSensorOpen, door.KindSensorClosed}, Newest: true, Limit: sensorPast}
	for r, err := range st.Records(ctx, heard) {
		if err != nil && r.Seq == 0 {
			return nil, err
		}
		if id := r.Details[door.DetailSensor]; id != "" && c.seen[id].IsZero() {
			c.seen[id] = r.Time
		}
	}
	return c, nil
}

// begin shows all of it.
func (c *condition) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.cfg.Doors {
		c.show(discovery.DoorStatus(d.ID, true), discovery.DoorSettings(d.Portal, c.cfg.House))
		c.showDoor(d.ID)
	}
	for _, s := range c.cfg.Sensors {
		c.showSensor(s.ID)
	}
	c.show(discovery.HouseProblems(c.wrong(c.ofHouse)))
	c.showInside(true)
	if c.cfg.HomeAssistant.Inside == discovery.InsideOff {
		c.retract(discovery.NobodyTold())
	}
}

// wrote takes new records into account; the past has them already.
func (c *condition) wrote(recs []door.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inside := false
	for _, r := range recs {
		switch r.Kind {
		case door.KindProblem, door.KindProblemGone:
			c.problem(r)
		case door.KindEntry, door.KindExit, door.KindErased:
			inside = true
		}
	}
	if inside {
		c.showInside(false)
	}
}

func (c *condition) problem(r door.Record) {
	part := r.Details[door.DetailPart]
	if r.Kind == door.KindProblem {
		c.problems[part] = r
	} else {
		delete(c.problems, part)
	}
	switch {
	case c.doorOf(r) != "":
		c.showDoor(c.doorOf(r))
	case c.sensorOf(r) != "":
		c.showSensor(c.sensorOf(r))
	default:
		c.show(discovery.HouseProblems(c.wrong(c.ofHouse)))
	}
}

// doorOf is the door that a problem is at: the record's, or what its part names, as in
// keypad/front/keypad.
func (c *condition) doorOf(r door.Record) string {
	kind, id := about(r)
	switch {
	case r.Door != "":
		id = r.Door
	case !slices.Contains([]string{"keypad", "rex", "lock", "vision"}, kind):
		return ""
	}
	if slices.ContainsFunc(c.cfg.Doors, func(d Door) bool { return d.ID == id }) {
		return id
	}
	return ""
}

func (c *condition) sensorOf(r door.Record) string {
	kind, id := about(r)
	if (kind == "sensor" || kind == "readings") && slices.ContainsFunc(c.cfg.Sensors, func(s Sensor) bool { return s.ID == id }) {
		return id
	}
	return ""
}

func (c *condition) ofHouse(r door.Record) bool { return c.doorOf(r) == "" && c.sensorOf(r) == "" }

// about is what a problem's part says: a kind, and the id of what has it.
func about(r door.Record) (kind, id string) {
	part := strings.TrimPrefix(r.Details[door.DetailPart], "reports/")
	kind, id, _ = strings.Cut(part, "/")
	id, _, _ = strings.Cut(id, "/")
	return kind, id
}

// wrong lists the problems that fit.
func (c *condition) wrong(fits func(door.Record) bool) (all []string) {
	for _, part := range slices.Sorted(maps.Keys(c.problems)) {
		if r := c.problems[part]; fits(r) {
			all = append(all, part+" "+r.Reason)
		}
	}
	return all
}

func (c *condition) showDoor(id string) {
	c.show(discovery.DoorProblems(id, c.wrong(func(r door.Record) bool { return c.doorOf(r) == id })))
}

func (c *condition) showSensor(id string) {
	status := discovery.SensorOK
	past := c.past.now()
	if _, known := past.SensorOpen(id); !known && c.seen[id].IsZero() {
		status = discovery.SensorUnheard
	}
	for _, r := range c.problems {
		if c.sensorOf(r) != id {
			continue
		}
		status = discovery.SensorUnreadable
		if r.Reason == door.ReasonTooMany {
			status = discovery.SensorTooMany
			break
		}
	}
	c.show(discovery.SensorHealth(id, status, c.seen[id])...)
}

// heard notes that a sensor said something that makes sense. A nil condition shows nothing.
func (c *condition) heard(sensor string, now time.Time) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[sensor] = now
	if since := now.Sub(c.shownAt[sensor]); since >= 0 && since < seenBeat {
		return
	}
	c.shownAt[sensor] = now
	c.showSensor(sensor)
}

// known has the names of people taken into account, which have changed.
func (c *condition) known() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.showInside(true)
}

// showInside shows who is inside as far as the config wants it told: all, or what is new.
func (c *condition) showInside(all bool) {
	past := c.past.now()
	ids, uncertain := past.Inside()
	var names []string
	if c.cfg.HomeAssistant.Inside == discovery.InsideNames {
		names = []string{}
		for _, id := range ids {
			names = append(names, c.names.of(id))
		}
	}
	if c.cfg.HomeAssistant.Inside != discovery.InsideOff {
		c.show(discovery.Inside(len(ids), !uncertain, names))
	}
	if c.cfg.HomeAssistant.People {
		c.showPeople(ids, !uncertain, all || c.certain == uncertain)
	}
	c.certain = !uncertain
}

func (c *condition) showPeople(inside []string, certain, all bool) {
	for id := range c.names.all() {
		is := slices.Contains(inside, id)
		if was, shown := c.inside[id]; all || !shown || was != is {
			c.show(discovery.Whereabouts(id, is, certain))
		}
		c.inside[id] = is
	}
}
