package broker

import (
	"maps"
	"slices"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// mochi-mqtt v2.7.9 forgets that a final # stands for the topic above it, too (MQTT 5.0,
// 4.7.1.2): in what is retained, and behind a + in what is said.

// retainedOn returns what is kept on the topics that a filter matches. mochi-mqtt v2.7.9 looks
// through its tree while others change it; so they must not.
func (s *Server) retainedOn(filter string) []packets.Packet {
	s.retained.mu.Lock()
	defer s.retained.mu.Unlock()
	pks := s.mq.Topics.Messages(filter)
	if above, ok := strings.CutSuffix(filter, "/#"); ok {
		pks = append(pks, s.mq.Topics.Messages(above)...)
	}
	return pks
}

// noteDeep remembers a session that has such a filter. Few have.
func (s *Server) noteDeep(x *session, subs []packets.Subscription) {
	if slices.ContainsFunc(subs, func(sub packets.Subscription) bool { return strings.HasSuffix(sub.Filter, "+/#") }) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.deep[x.id] = x
	}
}

// subscribers returns who has subscribed to a topic, by client id.
func (s *Server) subscribers(topic string) map[string]packets.Subscription {
	found := s.mq.Topics.Subscribers(topic).Subscriptions
	s.mu.Lock()
	deep := slices.Collect(maps.Values(s.deep))
	s.mu.Unlock()
	for _, x := range deep {
		x.mu.Lock()
		for filter, sub := range x.subs {
			if above, ok := strings.CutSuffix(filter, "/#"); !ok || !strings.HasSuffix(above, "+") || !Match(above, topic) {
				continue
			}
			had, ok := found[x.id]
			if !ok {
				had = sub
			}
			found[x.id] = had.Merge(sub)
		}
		x.mu.Unlock()
	}
	return found
}
