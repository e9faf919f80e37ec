package broker

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"
)

// retained says which record of the log tells of each topic, unless that is durable and forgotten.
// The lock is held while a retained message changes, so that records stand in the order of what
// they tell, and while messages are looked up.
type retained struct {
	mu   sync.Mutex
	last map[string]uint64
	most int // of these, before they are looked through
}

// note notes a record. The caller holds the lock.
func (r *retained) note(topic string, record uint64, log *keptLog) {
	if r.last == nil || len(r.last) > r.most {
		durable := log.reached()
		maps.DeleteFunc(r.last, func(_ string, n uint64) bool { return n <= durable })
		r.most = 2*len(r.last) + 1000
	}
	if r.last == nil {
		r.last = map[string]uint64{}
	}
	r.last[topic] = record
}

// unkept reports whether what is retained on a topic goes with the process: raw input, figures
// that would wear out an SD card for what a restart makes anew, and pictures, which must lie
// nowhere once they have been erased.
func unkept(topic string) bool {
	if strings.HasPrefix(topic, "$") {
		return true
	}
	return slices.ContainsFunc([]string{"doorhub/in/#", "doorhub/instance/+/broker", "doorhub/instance/+/journal",
		"doorhub/instance/+/history", "doorhub/sensor/+/health", "doorhub/door/+/image"},
		func(filter string) bool { return Match(filter, topic) })
}

// retain makes a message the one that is retained on its topic; one without a payload, none. It
// returns what to wait for before anybody is told that it is safe. What is retained already is
// not written again.
func (s *Server) retain(m *body, qos byte) (record uint64) {
	s.retained.mu.Lock()
	defer s.retained.mu.Unlock()
	before, had := s.mq.Topics.Retained.Get(m.topic)
	s.mq.Topics.RetainMessage(m.packet(qos))
	atomic.StoreInt64(&s.mq.Info.Retained, int64(s.mq.Topics.Retained.Len()))
	n := note{kind: noteKeep, msg: &outgoing{body: m, qos: qos}}
	switch empty := len(m.payload) == 0; {
	case unkept(m.topic):
		return 0
	case empty && !had, !empty && had && same(&before, m, qos):
		return s.retained.last[m.topic]
	case empty:
		n = note{kind: noteDrop, id: m.topic}
	}
	record = s.kept.add(n)
	s.retained.note(m.topic, record, s.kept)
	return record
}

// same reports whether a message says what is retained already. One that has an end never does.
func same(before *packets.Packet, m *body, qos byte) bool {
	if before.FixedHeader.Qos != qos || before.Expiry > 0 || m.expiry > 0 || !bytes.Equal(before.Payload, m.payload) {
		return false
	}
	var props packets.Properties
	if m.props != nil {
		props = *m.props
	}
	return reflect.DeepEqual(before.Properties, props)
}

// unretain notes that a message's own life has run out, unless there is another by now.
func (s *Server) unretain(topic string) {
	s.retained.mu.Lock()
	defer s.retained.mu.Unlock()
	if _, has := s.mq.Topics.Retained.Get(topic); has || unkept(topic) {
		return
	}
	s.kept.add(note{kind: noteDrop, id: topic})
	delete(s.retained.last, topic)
}

// noteRetained adds all retained messages to the log.
func (s *Server) noteRetained(add func(note) uint64, pause func()) {
	for topic := range s.mq.Topics.Retained.GetAll() {
		if unkept(topic) {
			continue
		}
		s.retained.mu.Lock()
		if pk, ok := s.mq.Topics.Retained.Get(topic); ok {
			add(note{kind: noteKeep, msg: &outgoing{body: bodyOf(pk), qos: pk.FixedHeader.Qos}})
		}
		s.retained.mu.Unlock()
		pause()
	}
}
