package discovery

import (
	"time"

	"github.com/doorhub/doorhub/door"
)

const (
	online     = "online"
	offline    = "offline"
	wordOpen   = "open"
	wordClosed = "closed"
)

// DoorStates returns the retained states of a door: its lock and, where there is one, its
// contact. A lock of which nothing is known yet is left out.
func DoorStates(id string, s door.DoorState, contact bool) []Message {
	var ms []Message
	if s.Lock != "" {
		ms = append(ms, state(doorTopic(id, "lock"), []byte(s.Lock)))
	}
	if contact {
		ms = append(ms, state(doorTopic(id, "contact"), openOrClosed(s.Open)))
	}
	return ms
}

// SensorState returns the retained state of a sensor, as the house has taken it.
func SensorState(id string, open bool) Message {
	return state(sensorTopic(id, "contact"), openOrClosed(open))
}

func openOrClosed(open bool) []byte {
	if open {
		return []byte(wordOpen)
	}
	return []byte(wordClosed)
}

// Person returns the retained last person recognised at a door: the one r is about. Called is
// the person's name; without one the id is shown.
func Person(doorID string, r door.Record, called string) Message {
	if r.Person == "" {
		return Nobody(doorID)
	}
	id, shown, at := r.Person, name(called, r.Person), stamp(r.Time)
	side, factors, kind := string(r.Side), r.Factors.String(), string(r.Kind)
	return state(doorTopic(doorID, "person"), encode(personState{
		ID: &id, Name: &shown, Time: &at, Side: &side, Factors: &factors, Kind: &kind,
	}))
}

// Nobody takes back what Person said of a door, as when that person is erased. Home Assistant
// then shows the person as unknown; what its own history keeps stays there.
func Nobody(doorID string) Message {
	return state(doorTopic(doorID, "person"), encode(personState{}))
}

// Event returns a journal record as a message to doorhub/door/<door>/event, or to
// doorhub/house/event when no door is concerned; called is the person's name, "" for none.
// It is not retained: what happened is no state. To keep old news from setting off new
// automations, the caller sends no record that is 60 s old or older.
func Event(r door.Record, called string) Message {
	topic := HouseEventTopic
	if r.Door != "" {
		topic = doorTopic(r.Door, "event")
	}
	return Message{Topic: topic, QoS: atLeastOnce, Payload: encode(event{
		Seq: r.Seq, Time: stamp(r.Time), Synced: r.Clock.Synced, Door: r.Door,
		Kind: string(r.Kind), Side: string(r.Side), Person: r.Person, Name: name(called, ""),
		Factors: r.Factors.String(), Reason: r.Reason, Details: r.Details,
	})}
}

// Image returns the retained picture of the last event at a door, a JPEG file; none takes back
// what there was. It is sent at most once: for a client that is away the broker keeps the last
// one, and a row of older ones behind it would be of no use.
func Image(doorID string, jpeg []byte) Message {
	return Message{Topic: doorTopic(doorID, "image"), Payload: jpeg, Retain: true, QoS: atMostOnce}
}

// Still returns what the camera outside a door sees now, a JPEG file. It is kept nowhere: who does
// not hear it at once has no use for it.
func Still(doorID string, jpeg []byte) Message {
	return Message{Topic: doorTopic(doorID, "camera"), Payload: jpeg, QoS: atMostOnce}
}

// Prompt returns what the person at a door should do next, one word. A door with readers on
// both sides says the latest of either.
func Prompt(p door.Prompt) Message {
	return state(doorTopic(p.Door, "prompt"), []byte(p.Say))
}

// Status returns whether the hub of that name is there. Status(name, false) is also the will
// to leave with the broker, which says it when the hub no longer can.
func Status(instance string, there bool) Message {
	return state(statusTopic(instance), presence(there))
}

// stamp is a time in RFC 3339, UTC, always nine digits after the point, so that texts sort.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }
