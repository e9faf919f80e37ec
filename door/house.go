// Package door is the domain: doors, people, policies, lockouts, and what follows from what
// happens at them. It imports the standard library only and does no I/O: House.Step takes an
// input and returns what must be done, and Run alone knows channels and time.
package door

import (
	"math/rand/v2"
	"slices"
	"time"
)

// House is all doors, sensors and people of an installation. It is not safe for concurrent
// use: Run owns it.
type House struct {
	cfg      Config
	people   map[string]Person
	doors    []*portal
	sensors  []string
	counters counters
	past     Past
	problems map[string]string // part → reason
	floods   map[string]*flood // by part
	issued   map[issue]time.Duration
	started  time.Time // by the clock as it is set now
	rand     *rand.Rand

	now Instant  // of the present Step
	out []Effect // of the present Step
}

// Kept is what outlives a restart.
type Kept struct {
	People   []Person
	Lockouts map[string]Lockout
	Past     Past
	Seed     [32]byte // for what nobody may foresee: new and random at each start
}

// New makes a house that is locked and knows what was kept. Lockouts go on from now.
func New(cfg Config, kept Kept, now Instant) (*House, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h := &House{
		cfg:      cfg,
		sensors:  slices.Clone(cfg.Sensors),
		counters: restoreCounters(kept.Lockouts, now.Mono),
		past:     kept.Past.Clone(),
		problems: map[string]string{},
		floods:   map[string]*flood{},
		issued:   map[issue]time.Duration{},
		started:  now.Wall,
		rand:     newRand(kept.Seed),
	}
	for _, p := range cfg.Doors {
		h.doors = append(h.doors, newPortal(h, p))
	}
	h.setPeople(kept.People)
	return h, nil
}

// Step applies one input to the house at now and returns what must happen, in order, and
// after how long Step must be called again if no input comes first (zero: never). A nil
// input only lets time pass. It does no I/O and keeps no reference to in.
func (h *House) Step(now Instant, in Input) (effects []Effect, wake time.Duration) {
	h.now, h.out = now, nil
	h.elapse()
	h.apply(in)
	h.elapse()
	at, ok := h.next()
	if !ok {
		return h.out, 0
	}
	return h.out, max(at-now.Mono, 1)
}

func (h *House) apply(in Input) {
	switch in := in.(type) {
	case nil:
	case Started:
		h.start(in)
	case Stopping:
		h.stop()
	case Command:
		h.command(in)
	case Sensor:
		h.sensor(in)
	case Fault:
		h.fault("", in.Part, in.Reason, in.Detail)
	case ClockSet:
		h.clockSet(in)
	case People:
		h.setPeople(in.People)
	case Note:
		h.note(in.Record)
	default:
		h.atDoor(in)
	}
}

// What happens at a door that is not of this house is nobody's business.
func (h *House) atDoor(in Input) {
	switch in := in.(type) {
	case Claim:
		if p := h.door(in.Door); p != nil {
			p.claim(in)
		}
	case Face:
		if p := h.door(in.Door); p != nil {
			p.face(in)
		}
	case Turned:
		if p := h.door(in.Door); p != nil {
			p.turned(in)
		}
	case Gone:
		if p := h.door(in.Door); p != nil {
			p.gone(in)
		}
	case Contact:
		if p := h.door(in.Door); p != nil {
			p.contact(in.Open)
		}
	case REX:
		if p := h.door(in.Door); p != nil {
			p.rex()
		}
	case Jam:
		if p := h.door(in.Door); p != nil {
			p.jam(in.Jammed)
		}
	case Vision:
		if p := h.door(in.Door); p != nil {
			p.vision(in)
		}
	}
}

func (h *House) door(id string) *portal {
	for _, p := range h.doors {
		if p.cfg.ID == id {
			return p
		}
	}
	return nil
}

func (h *House) start(in Started) {
	h.record(Record{Kind: KindStarted, Details: map[string]string{DetailVersion: in.Version}})
	for _, p := range h.doors {
		h.do(Lock{Door: p.cfg.ID})
		p.show()
		for _, side := range []Side{Entry, Exit} {
			h.do(Prompt{Door: p.cfg.ID, Side: side, Say: SayReady})
		}
	}
}

func (h *House) stop() {
	for _, p := range h.doors {
		if p.unlocked && !p.boltWaits() {
			p.relock(ReasonStopping)
		}
	}
	for _, key := range sortedKeys(h.counters) {
		h.keep(h.counters[key])
	}
	h.record(Record{Kind: KindStopped})
}

// clockSet also corrects when the hub started, by which commands are judged.
func (h *House) clockSet(in ClockSet) {
	h.started = h.started.Add(in.Offset)
	h.record(Record{Kind: KindClockSet, Details: map[string]string{DetailOffset: in.Offset.String()}})
}

func (h *House) setPeople(people []Person) {
	h.people = map[string]Person{}
	for _, p := range people {
		if p.ID != "" { // "" stands for nobody everywhere
			h.people[p.ID] = p
		}
	}
	for _, p := range h.doors {
		p.forgetStrangers()
	}
}

// note takes in what was done elsewhere. When somebody's faces were changed, or a face was not
// theirs, what was seen of them before counts no more: the next look tells.
func (h *House) note(r Record) {
	if r.Kind == KindChanged && r.Factors.Has(SetOf(FaceID)) {
		for _, p := range h.doors {
			p.forgetFace(r.Person)
		}
	}
	h.record(r)
}

// sensor takes a reading; zones are armed always. One that does not change is no news.
func (h *House) sensor(in Sensor) {
	if !slices.Contains(h.sensors, in.Sensor) {
		return
	}
	part := "readings/" + in.Sensor
	if open, known := h.past.SensorOpen(in.Sensor); known && open == in.Open {
		h.upToDate(part)
		h.do(ShowSensor(in))
		return
	}
	if h.flooded("", part, func() { h.sensor(in) }) {
		h.do(ShowSensor(in))
		return
	}
	details := func() map[string]string { return map[string]string{DetailSensor: in.Sensor} }
	if in.Open {
		h.record(Record{Kind: KindSensorOpen, Details: details()})
		h.record(Record{Kind: KindIntrusion, Details: details()})
	} else {
		h.record(Record{Kind: KindSensorClosed, Details: details()})
	}
	h.do(ShowSensor(in))
}

// fault records a problem when it comes, changes and goes.
func (h *House) fault(door, part, reason, text string) {
	was := h.problems[part]
	if was == reason {
		h.upToDate("reports/" + part)
		return
	}
	if h.flooded(door, "reports/"+part, func() { h.fault(door, part, reason, text) }) {
		return
	}
	details := map[string]string{DetailPart: part}
	if reason == "" {
		delete(h.problems, part)
		h.record(Record{Door: door, Kind: KindProblemGone, Reason: was, Details: details})
		return
	}
	h.problems[part] = reason
	if text != "" {
		details[DetailText] = text
	}
	h.record(Record{Door: door, Kind: KindProblem, Reason: reason, Details: details})
}

// record writes what happened, as known now.
func (h *House) record(r Record) { h.write(Write{Record: r}) }

func (h *House) write(w Write) {
	w.Record.Time, w.Record.Clock.Synced, w.Record.Clock.Mono = h.now.Wall, h.now.Synced, h.now.Mono
	h.past.Apply(w.Record)
	h.do(w)
}

func (h *House) do(e Effect) { h.out = append(h.out, e) }
