package discovery

import (
	"math"
	"time"
)

// BusHealth is how the hub's embedded broker fares. What is counted is counted from Since on.
type BusHealth struct {
	Since                   time.Time // the broker's start
	Connections             int       // clients logged in
	Sessions                int       // of these, and of clients that may come back
	Users                   int
	Retained                int     // messages
	MessagesIn, MessagesOut float64 // a second
	BytesIn, BytesOut       float64 // a second
	Queued                  int     // messages that clients have not acknowledged
	QueueBytes              int     // of these, and of what is being written
	Dropped                 uint64  // messages of QoS 0 to clients too far behind
	RefusedLogins           uint64
	RefusedMessages         uint64 // publications that the sender's role forbids
	Floods                  uint64
	Problems                []string // part and reason, as "bus_user/kitchen flooding"
}

// BusLink is how the hub fares at a broker that is elsewhere.
type BusLink struct {
	URL        string // without user and password
	Up         bool
	Since      time.Time // when the connection was made, or lost
	Reconnects uint64
	Backlog    uint64 // records of the journal still to be told
	Problems   []string
}

// EmbeddedBus returns the retained health of the hub's own broker, which keeps this topic in
// memory alone: figures that change all the time would wear out an SD card.
func EmbeddedBus(instance string, b BusHealth) Message {
	return state(brokerTopic(instance), encode(busHealth{
		Mode: "embedded", Since: stamp(b.Since), Connections: b.Connections, Sessions: b.Sessions, Users: b.Users,
		Retained: b.Retained, MessagesIn: tenth(b.MessagesIn), MessagesOut: tenth(b.MessagesOut),
		BytesIn: tenth(b.BytesIn), BytesOut: tenth(b.BytesOut), Queued: b.Queued, QueueBytes: b.QueueBytes,
		Dropped: b.Dropped, RefusedLogins: b.RefusedLogins, RefusedMessages: b.RefusedMessages,
		Floods: b.Floods, Problems: listed(b.Problems),
	}))
}

// ExternalBus returns the retained health of the hub's connection to a broker elsewhere.
func ExternalBus(instance string, l BusLink) Message {
	return state(brokerTopic(instance), encode(busLink{
		Mode: "external", URL: l.URL, Up: l.Up, Since: stamp(l.Since), Reconnects: l.Reconnects, Backlog: l.Backlog,
		Problems: listed(l.Problems),
	}))
}

// listed is a list also where there is nothing to list.
func listed(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func tenth(x float64) float64 { return math.Round(x*10) / 10 }
