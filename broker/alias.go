package broker

// maxAliases bounds the topics that a connection keeps in mind.
const maxAliases = 64

// aliases shorten the topics of messages to a client that takes them, on one connection: the
// first message on a topic names it and gives it a number, those after it have the number alone
// (MQTT 5.0, 3.3.2.3.4). The session's lock guards them.
type aliases struct {
	most  int
	known map[string]uint16 // by topic, counted from 1
}

// of returns the alias of a topic, 0 when it has none, and whether it is a new one.
func (a *aliases) of(topic string) (id uint16, isNew bool) {
	if id = a.known[topic]; id > 0 || len(a.known) >= a.most {
		return id, false
	}
	if a.known == nil {
		a.known = map[string]uint16{}
	}
	id = uint16(len(a.known) + 1)
	a.known[topic] = id
	return id, true
}
