package discovery

import (
	"strings"

	"github.com/doorhub/doorhub/door"
)

// Message is one MQTT message to publish.
type Message struct {
	Topic   string
	Payload []byte
	Retain  bool
	QoS     byte
}

// What the hub subscribes to for ParseCommand and ParseReading.
const (
	CommandFilter = "doorhub/cmd/door/+/lock"
	ReadingFilter = "doorhub/in/+/contact"
)

// Where Event tells records, by door and of the house.
const (
	EventFilter     = "doorhub/door/+/event"
	HouseEventTopic = "doorhub/house/event"
)

// atLeastOnce is the QoS of all that the hub says but pictures: a state lost is a lock shown
// wrong.
const (
	atMostOnce  = 0
	atLeastOnce = 1
)

func doorTopic(id, what string) string   { return "doorhub/door/" + id + "/" + what }
func sensorTopic(id, what string) string { return "doorhub/sensor/" + id + "/" + what }
func houseTopic(what string) string      { return "doorhub/house/" + what }
func personTopic(id string) string       { return houseTopic("person/" + id) }
func statusTopic(instance string) string { return hubTopic(instance, "status") }
func brokerTopic(instance string) string { return hubTopic(instance, "broker") }

func historyTopic(instance string) string { return hubTopic(instance, "history") }

func hubTopic(instance, what string) string { return "doorhub/instance/" + instance + "/" + what }

func commandTopic(door string) string { return "doorhub/cmd/door/" + door + "/lock" }

func configTopic(prefix, device string) string { return prefix + "/device/" + device + "/config" }

// state is a retained message: whoever comes late learns it, too.
func state(topic string, payload []byte) Message {
	return Message{Topic: topic, Payload: payload, Retain: true, QoS: atLeastOnce}
}

// between returns the id that stands between prefix and suffix in topic.
func between(prefix, topic, suffix string) (id string, ok bool) {
	id, ok = strings.CutPrefix(topic, prefix)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, suffix)
	return id, ok && door.ValidID(id) == nil
}
