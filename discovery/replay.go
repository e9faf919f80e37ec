package discovery

import (
	"encoding/json"
	"errors"

	"github.com/doorhub/doorhub/door"
)

// ReplayFilter is what the hub subscribes to for ParseReplay.
const ReplayFilter = "doorhub/in/+/replay"

// ErrAfter says what a request for events again must look like.
var ErrAfter = errors.New(`the request is no JSON object with a whole number in after: send {"after":42} for all events behind number 42, {"after":0} for all there are`)

// ReplayTopic is where a user asks for events again.
func ReplayTopic(user string) string { return "doorhub/in/" + user + "/replay" }

func replayedTopic(user string) string { return "doorhub/out/" + user + "/event" }

// ParseReplay reads a message from ReplayFilter: {"after":seq} asks for all events behind that
// number. User is named even when the request makes no sense. Whether there is such a user, who
// may ask, and such a number, is for the caller to say, who also drops what is retained.
func ParseReplay(topic string, payload []byte) (user string, after uint64, err error) {
	user, ok := between("doorhub/in/", topic, "/replay")
	if !ok {
		return "", 0, ErrTopic
	}
	var fields map[string]json.RawMessage
	if len(payload) > MaxCommand || json.Unmarshal(payload, &fields) != nil {
		return user, 0, ErrAfter
	}
	raw, ok := fields["after"]
	if !ok || string(raw) == "null" || json.Unmarshal(raw, &after) != nil {
		return user, 0, ErrAfter
	}
	return user, after, nil
}

// Replayed returns a journal record as an event for the one user who asked for it again.
func Replayed(user string, r door.Record, called string) Message {
	m := Event(r, called)
	m.Topic = replayedTopic(user)
	return m
}

// ReplayEnd follows the last event of a replay: so many records behind after were sent, and
// head was the journal's last when it was asked. Who counts fewer asks again.
func ReplayEnd(user string, after, replayed, head uint64) Message {
	return Message{Topic: replayedTopic(user), QoS: atLeastOnce, Payload: encode(replayEnd{after, replayed, head})}
}

// ReplayRefused tells why a request gets no events; head is the journal's last record.
func ReplayRefused(user, why string, head uint64) Message {
	return Message{Topic: replayedTopic(user), QoS: atLeastOnce, Payload: encode(replayRefused{why, head})}
}
