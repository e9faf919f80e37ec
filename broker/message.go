// Package broker is the house's bus: an embedded MQTT broker or one elsewhere, the users and
// rules of the embedded one, and the client through which everybody talks to either.
//
// Nothing outside this package knows which broker or client library it is.
package broker

// Message is one MQTT message.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte // 0, 1 or 2
	// Retain asks the broker to keep the message as the topic's state. On a message received
	// by a Client it says that the message came from the broker's memory; on one shown by
	// Server.OnPublish, that its sender asked for it.
	Retain bool
}
