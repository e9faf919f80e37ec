package discovery

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
)

const (
	clockSynced   = "synced"
	clockUnsynced = "unsynced"
)

// SensorStatus is how a sensor fares, in one word.
type SensorStatus string

// What a sensor's status can be.
const (
	SensorOK         SensorStatus = "ok"
	SensorUnheard    SensorStatus = "unheard"    // it never said anything
	SensorUnreadable SensorStatus = "unreadable" // what it says makes no sense
	SensorTooMany    SensorStatus = "too_many"   // it says more than is written down
)

// SensorStatuses returns all of them.
func SensorStatuses() []SensorStatus {
	return []SensorStatus{SensorOK, SensorUnheard, SensorUnreadable, SensorTooMany}
}

// SensorHealth returns how a sensor fares and when it was last heard; seen zero: not since
// anybody knows. One that was never heard is not there: its entities are unavailable, but for
// the two that say so.
func SensorHealth(id string, s SensorStatus, seen time.Time) []Message {
	h := sensorHealth{Status: string(s)}
	if !seen.IsZero() {
		at := stamp(seen)
		h.Seen = &at
	}
	return []Message{state(sensorTopic(id, "health"), encode(h)), state(sensorTopic(id, "status"), presence(s != SensorUnheard))}
}

// DoorStatus returns whether a door is there, beside whether its hub is.
func DoorStatus(id string, there bool) Message {
	return state(doorTopic(id, "status"), presence(there))
}

func presence(there bool) []byte {
	if there {
		return []byte(online)
	}
	return []byte(offline)
}

// DoorSettings returns the settings of a door as its owner may see them, and nobody change.
func DoorSettings(p door.Portal, c door.Config) Message {
	s := settings{Policy: sets(c.Policy), Fallback: sets(c.Fallback), Grant: p.Grant.Seconds(), HeldOpen: p.HeldOpen.Seconds(),
		Egress: string(p.Egress), Liveness: string(c.Liveness)}
	for set, mode := range c.LivenessOf {
		if s.LivenessOf == nil {
			s.LivenessOf = map[string]string{}
		}
		s.LivenessOf[set.String()] = string(mode)
	}
	return state(doorTopic(p.ID, "settings"), encode(s))
}

func sets(of []door.Set) string {
	var all []string
	for _, s := range of {
		all = append(all, s.String())
	}
	return strings.Join(all, ", ")
}

// DoorProblems returns what is wrong at a door, each as part and reason; none: all is well.
func DoorProblems(id string, all []string) Message {
	return state(doorTopic(id, "problem"), encode(problems{listed(all)}))
}

// HouseProblems is DoorProblems for what belongs to no single door.
func HouseProblems(all []string) Message {
	return state(houseTopic("problem"), encode(problems{listed(all)}))
}

// Inside returns how many are inside, and whether that is certain; names nil: not to be told.
func Inside(count int, certain bool, names []string) Message {
	s := insideState{Count: count, Certain: certain}
	if names != nil {
		shown := make([]string, len(names))
		for i, n := range names {
			shown[i] = name(n, "?")
		}
		slices.Sort(shown)
		s.Names = &shown
	}
	return state(houseTopic("inside"), encode(s))
}

// NobodyTold takes back what Inside said, where that is no longer to be told.
func NobodyTold() Message { return state(houseTopic("inside"), []byte{}) }

// Whereabouts returns whether a person is inside, and whether that is certain.
func Whereabouts(person string, inside, certain bool) Message {
	return state(personTopic(person), encode(whereabouts{inside, certain}))
}

// Unknown takes back what Whereabouts said of a person.
func Unknown(person string) Message { return state(personTopic(person), []byte{}) }

// Journal returns the journal's end and whether the hub knows the time.
func Journal(instance string, seq uint64, hash []byte, synced bool) Message {
	clock := clockUnsynced
	if synced {
		clock = clockSynced
	}
	return state(hubTopic(instance, "journal"), encode(journalState{seq, hex.EncodeToString(hash), clock}))
}

// PersonFilter is what the hub subscribes to for PersonOf.
const PersonFilter = "doorhub/house/person/+"

// PersonOf returns whom a topic of Whereabouts is about.
func PersonOf(topic string) (id string, ok bool) {
	return between(personTopic(""), topic, "")
}
