package broker

import "github.com/mochi-mqtt/server/v2/packets"

// maxAliases bounds the topics that a connection keeps in mind.
const maxAliases = 64

// aliases shorten the topics of messages to a client that takes them, on one connection: the
// first message on a topic names it and gives it a number, those after it have the number alone
// (MQTT 5.0, 3.3.2.3.4).
type aliases struct {
	most  int
	known map[string]uint16 // by topic, counted from 1
}

// newAliases makes room for as many as the client takes; none by version 3.1.1.
func newAliases(most uint16) aliases {
	if most == 0 {
		return aliases{}
	}
	return aliases{most: min(int(most), maxAliases), known: map[string]uint16{}}
}

// shorten gives pk an alias, if there is one for its topic, and reports whether it is a new one.
func (a *aliases) shorten(pk *packets.Packet) (isNew bool) {
	id, known := a.known[pk.TopicName]
	if !known && len(a.known) >= a.most {
		return false
	}
	if known {
		pk.TopicName = ""
	} else {
		id = uint16(len(a.known) + 1)
		a.known[pk.TopicName] = id
	}
	pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = id, true
	return !known
}

// write sends o to the client. The caller holds the lock.
func (x *session) write(o *outgoing) error {
	pk := o.packet()
	topic := pk.TopicName
	isNew := !o.released && x.conn.aliases.shorten(&pk)
	err := x.cl.WritePacket(pk)
	if err == packets.ErrPacketTooLarge && isNew { // the client has not seen it
		delete(x.conn.aliases.known, topic)
	}
	return err
}
