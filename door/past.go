package door

import (
	"encoding/json"
	"maps"
	"slices"
)

// Past is what the journal tells of the present: who is inside, and which sensors are open.
// It is a fold over the records in order, so that a restart forgets nothing. The zero value
// is an empty house.
type Past struct {
	inside    map[string]bool // person id → surely so
	strangers int             // how many without a name came in, and did not surely leave
	puzzled   bool            // somebody left whom nobody knew to be inside, and none came in since
	sensors   map[string]bool // sensor id → open
}

// Apply takes one more record into account.
func (p *Past) Apply(r Record) {
	if p.inside == nil {
		p.inside, p.sensors = map[string]bool{}, map[string]bool{}
	}
	switch r.Kind {
	case KindEntry:
		p.enter(r.Person)
	case KindExit:
		p.leave(r.Person)
	case KindErased:
		delete(p.inside, r.Person)
	case KindSensorOpen, KindSensorClosed:
		p.sensors[r.Details[DetailSensor]] = r.Kind == KindSensorOpen
	}
}

func (p *Past) enter(person string) {
	p.puzzled = false
	if person == "" {
		p.strangers++
		return
	}
	p.inside[person] = true
}

// Somebody without a name leaving may be any of those inside.
func (p *Past) leave(person string) {
	switch {
	case person != "":
		delete(p.inside, person)
	case len(p.inside) > 0:
		for id := range p.inside {
			p.inside[id] = false
		}
	case p.strangers > 0:
		p.strangers--
	default:
		p.puzzled = true
	}
}

// Inside lists the ids of those who came in and were not seen to leave, sorted, and whether
// that is uncertain because somebody came or went without a name.
func (p *Past) Inside() (people []string, uncertain bool) {
	uncertain = p.strangers > 0 || p.puzzled
	for _, sure := range p.inside {
		uncertain = uncertain || !sure
	}
	return slices.Sorted(maps.Keys(p.inside)), uncertain
}

// SensorOpen reports the last known state of a sensor, and whether there is one.
func (p *Past) SensorOpen(id string) (open, known bool) {
	open, known = p.sensors[id]
	return open, known
}

// pastText is how a Past is kept between runs.
type pastText struct {
	Inside    map[string]bool `json:"inside"`
	Strangers int             `json:"strangers"`
	Puzzled   bool            `json:"puzzled"`
	Sensors   map[string]bool `json:"sensors"`
}

// MarshalJSON returns a form that UnmarshalJSON reads back.
func (p Past) MarshalJSON() ([]byte, error) {
	return json.Marshal(pastText{p.inside, p.strangers, p.puzzled, p.sensors})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Past) UnmarshalJSON(text []byte) error {
	var t pastText
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	*p = Past{orEmpty(t.Inside), t.Strangers, t.Puzzled, orEmpty(t.Sensors)}
	return nil
}

func orEmpty(m map[string]bool) map[string]bool {
	if m == nil {
		return map[string]bool{}
	}
	return m
}

// Clone returns a copy that shares nothing with p.
func (p Past) Clone() Past {
	p.inside, p.sensors = maps.Clone(p.inside), maps.Clone(p.sensors)
	return p
}
