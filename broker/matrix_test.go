package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

// mine begins the payload of a message of a test; the broker's own figures on $SYS lack it.
const mine = "cell "

// matrixHouse is a house that does not slow down who asks much.
func matrixHouse(t *testing.T) *house {
	return start(t, func(c *Config) { c.UserRate, c.MaxClients, c.MaxUserClients, c.MaxLogins = 0, 10_000, 10_000, 1000 })
}

// attempt sends a packet and returns when the broker has dealt with it, which may end the
// connection.
func (p *peer) attempt(pk packets.Packet) {
	p.t.Helper()
	if p.try(pk) != nil || p.try(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}) != nil {
		return
	}
	for {
		got, err := p.read()
		if err != nil || got.FixedHeader.Type == packets.Pingresp {
			return
		}
		if got.FixedHeader.Type == packets.Pubrec && got.ReasonCode < 0x80 {
			_ = p.try(answer(packets.Pubrel, got.PacketID, 0))
		}
	}
}

// drained acknowledges and returns all that has been sent to the peer, and is one of ours, as
// sorted lines.
func (p *peer) drained() []string {
	p.t.Helper()
	lines := []string{}
	for {
		p.ping()
		if len(p.held) == 0 {
			slices.Sort(lines)
			return lines
		}
		for _, pk := range p.held {
			if pk.FixedHeader.Qos > 0 {
				p.send(answer(packets.Puback, pk.PacketID, 0))
			}
			if strings.HasPrefix(string(pk.Payload), mine) {
				lines = append(lines, fmt.Sprintf("%s: %s (kept %t)", pk.TopicName, pk.Payload, pk.FixedHeader.Retain))
			}
		}
		p.held = nil
	}
}

// everything are filters by which a member receives all that it may.
func everything(m member) []string {
	own := "doorhub/out/" + m.name + "/#"
	states := []string{"doorhub/door/#", "doorhub/house/#", "doorhub/sensor/#", "doorhub/alarm/#", "doorhub/instance/#"}
	switch m.role {
	case RoleHub:
		return []string{"doorhub/#", "homeassistant/#", "$SYS/#"}
	case RoleHomeAssistant:
		return append(states, "homeassistant/#", own)
	case RoleViewer:
		return states
	}
	return []string{own}
}

// rights compares what one member does, in one version of the protocol, with what reaches all.
type rights struct {
	*house
	t       *testing.T
	version byte
	cells   int
	ears    map[member]*peer    // each receives all that it may
	want    map[member][]string // what is to reach it, by the model
	kept    map[string]string   // by topic
}

func newRights(t *testing.T, version byte) *rights {
	x := &rights{house: matrixHouse(t), t: t, version: version, ears: map[member]*peer{}, want: map[member][]string{}, kept: map[string]string{}}
	for _, m := range members {
		x.ears[m] = x.listener(m)
	}
	return x
}

func (x *rights) as(m member, id string) login {
	return login{user: m.name, token: x.tokens[m.name], id: id, version: x.version}
}

func (x *rights) listener(m member) *peer {
	x.t.Helper()
	p := x.in(x.t, x.as(m, "ears"))
	for _, f := range everything(m) {
		if code := p.subscribe(f, 1); code != 1 {
			x.t.Fatalf("%s subscribes to %s: code %#x", m.name, f, code)
		}
	}
	return p
}

// expect notes what the model says of a message.
func (x *rights) expect(from member, topic, payload string, retain bool) {
	if !from.writes(topic, retain) {
		return
	}
	if retain {
		x.kept[topic] = payload
	}
	for _, to := range members {
		if to.reads(topic) && payload != "" {
			x.want[to] = append(x.want[to], fmt.Sprintf("%s: %s (kept false)", topic, payload))
		}
	}
}

// compare compares, and shows what is kept to somebody who comes only now.
func (x *rights) compare(what string, n int) {
	x.t.Helper()
	for _, to := range members {
		to2 := fmt.Sprintf("%s, to %s, version %d", what, to.name, x.version)
		x.differ(to2, n, x.want[to], x.ears[to].drained())
		shown := []string{}
		for topic, payload := range x.kept {
			if payload != "" && to.reads(topic) {
				shown = append(shown, fmt.Sprintf("%s: %s (kept true)", topic, payload))
			}
		}
		x.ears[to] = x.listener(to)
		x.differ(to2+" and late", len(somewhere()), shown, x.ears[to].drained())
	}
	clear(x.want)
}

// differ tells where what came is not what the model says, and counts the cells looked at.
func (x *rights) differ(what string, n int, want, got []string) {
	x.t.Helper()
	x.cells += n
	want = append([]string{}, want...)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		x.t.Errorf("%s (-model +wire):\n%.2000s", what, diff)
	}
}

// says has a member publish in each way: to be kept or not, and to clear what is kept.
func (x *rights) says(from member, topic string) {
	for _, qos := range []byte{0, 1, 2} {
		for _, word := range []string{"set", "keep", ""} {
			payload := ""
			if word != "" {
				payload = fmt.Sprintf("%s%s by %s at QoS %d", mine, word, from.name, qos)
			}
			p := x.in(x.t, x.as(from, "mouth"))
			p.attempt(publication(topic, payload, qos, word != "set"))
			_ = p.Close()
			x.expect(from, topic, payload, word != "set")
		}
	}
}

// keeps has the hub keep a state for others to overwrite.
func (x *rights) keeps(topic string) {
	hub := members[0]
	if !hub.writes(topic, true) {
		return
	}
	x.in(x.t, x.as(hub, "state")).publish(topic, mine+"state", true)
	x.expect(hub, topic, mine+"state", true)
}

// Each role on each topic, at each QoS, kept and not, in both versions of the protocol: what
// reaches each other role, and what is kept and shown to who comes later, is what the model says.
func TestMatrixOfPublications(t *testing.T) {
	for _, version := range []byte{4, 5} {
		x := newRights(t, version)
		for _, from := range members {
			for _, topic := range somewhere() {
				x.says(from, topic)
				x.keeps(topic)
			}
			x.compare("from "+from.name, 9*len(somewhere()))
		}
		t.Logf("version %d: %d cells", version, x.cells)
	}
}

// asks subscribes to one filter on a connection of its own, which is returned if it was granted.
func (x *rights) asks(m member, filter, id string) (p *peer, granted bool) {
	x.t.Helper()
	p = x.in(x.t, x.as(m, id))
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 7,
		Filters: packets.Subscriptions{{Filter: filter, Qos: 1}},
	})
	for {
		pk, err := p.read()
		switch {
		case err != nil: // a filter that is none ends the connection
			return p, false
		case pk.FixedHeader.Type == packets.Publish:
			p.held = append(p.held, pk)
		case pk.FixedHeader.Type == packets.Suback:
			return p, pk.ReasonCodes[0] < 0x80
		}
	}
}

// hears is what a member with one filter is to receive of what the hub tells on all topics that
// it may write, kept or as it happens.
func hears(m member, filter, payload string, kept bool) []string {
	lines := []string{}
	for _, topic := range somewhere() {
		if members[0].writes(topic, kept) && m.reads(topic) && slowMatch(filter, topic) {
			lines = append(lines, fmt.Sprintf("%s: %s (kept %t)", topic, mine+payload, kept))
		}
	}
	return lines
}

// Each role with each filter, in both versions of the protocol: whether it is granted, what that
// shows of what is kept, and what it brings of all that is said.
func TestMatrixOfSubscriptions(t *testing.T) {
	for _, version := range []byte{4, 5} {
		x := newRights(t, version)
		hub := x.in(t, x.as(members[0], "mouth"))
		for _, topic := range somewhere() {
			if members[0].writes(topic, true) {
				hub.publish(topic, mine+"state", true)
			}
		}
		for _, m := range members {
			ears := map[string]*peer{}
			for i, filter := range sieves() {
				p, granted := x.asks(m, filter, fmt.Sprint(i))
				if want := m.subscribes(filter, somewhere()); granted != want {
					t.Errorf("version %d: %s subscribes to %q: %t, by the model %t", version, m.name, filter, granted, want)
				}
				if x.cells++; !granted {
					_ = p.Close()
					continue
				}
				ears[filter] = p
				x.differ(fmt.Sprintf("version %d: %s finds by %q", version, m.name, filter), len(somewhere()), hears(m, filter, "state", true), p.drained())
			}
			for _, topic := range somewhere() {
				if members[0].writes(topic, false) {
					hub.publish(topic, mine+"news", false)
				}
			}
			for filter, p := range ears {
				x.differ(fmt.Sprintf("version %d: %s hears by %q", version, m.name, filter), len(somewhere()), hears(m, filter, "news", false), p.drained())
				_ = p.Close()
			}
		}
		t.Logf("version %d: %d cells, %d filters", version, x.cells, len(sieves()))
	}
}
