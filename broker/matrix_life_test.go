package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// settled waits until the broker has seen off all but those who listen.
func (x *rights) settled() {
	x.t.Helper()
	until(x.t, func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.conns) == len(x.ears)
	})
}

// How a connection with a will ends, and whether the will is told then.
var endings = map[string]bool{"lost": true, "goodbye": false, "goodbye with will": true, "broken packet": true}

func (p *peer) endsBy(ending string) {
	switch ending {
	case "goodbye":
		p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	case "goodbye with will":
		p.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: packets.CodeDisconnectWillMessage.Code})
	case "broken packet":
		_, _ = p.Write([]byte{0xf0, 0xff, 0xff, 0xff, 0xff, 0xff})
		p.closed()
	}
	_ = p.Close()
}

// dies has a member connect with a will, if it may, and go.
func (x *rights) dies(from member, topic string, retain bool, ending string) {
	x.t.Helper()
	payload := fmt.Sprintf("%swill of %s, %s", mine, from.name, ending)
	l := with(x.as(from, "dying"), &Message{Topic: topic, Payload: []byte(payload), Retain: retain, QoS: 1})
	p, ack := x.connect(x.t, l)
	if let, want := ack.ReasonCode == 0, from.writes(topic, retain); let != want {
		x.t.Errorf("version %d: %s with a will on %q (retain %t): let in %t, by the model %t", x.version, from.name, topic, retain, let, want)
	}
	if x.cells++; ack.ReasonCode == 0 {
		p.endsBy(ending)
		if endings[ending] {
			x.expect(from, topic, payload, retain)
		}
	}
	_ = p.Close()
	x.settled()
}

// Each role with a will on each topic, kept and not, by each end of a connection: who is let in,
// and whom the will reaches.
func TestMatrixOfWills(t *testing.T) {
	for _, version := range []byte{4, 5} {
		x := newRights(t, version)
		for _, from := range members {
			for ending := range endings {
				if version == 4 && ending == "goodbye with will" {
					continue
				}
				for _, topic := range somewhere() {
					x.dies(from, topic, false, ending)
					x.dies(from, topic, true, ending)
				}
			}
			x.compare("wills of "+from.name, 2*len(endings)*len(somewhere()))
		}
		t.Logf("version %d: %d cells", version, x.cells)
	}
}

// voice is a topic that a member may write; "" when there is none.
func (m member) voice() string {
	for _, topic := range somewhere() {
		if m.writes(topic, false) {
			return topic
		}
	}
	return ""
}

// ways in which what a user has at the broker becomes worthless. The second name is that under
// which it comes back.
var ways = map[string]func(x *rights, m member) (back member){
	"revoked, and made again": func(x *rights, m member) member { return x.remake(m, m.role) },
	"revoked, and made again as a sensor": func(x *rights, m member) member {
		return x.remake(m, RoleSensor)
	},
	"rotated": func(x *rights, m member) member {
		token, err := x.users.Rotate(m.name)
		must(x.t, err)
		x.tokens[m.name] = token
		return m
	},
}

func (x *rights) remake(m member, role Role) member {
	x.t.Helper()
	must(x.t, x.users.Revoke(m.name))
	token, err := x.users.Add(m.name, role)
	must(x.t, err)
	x.tokens[m.name] = token
	return member{m.name, role}
}

// keeping is a login whose session stays.
func (x *rights) keeping(m member, id string) login {
	l := x.as(m, id)
	l.keep = true
	if x.version == 5 {
		l.change = func(pk *packets.Packet) {
			pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 3600, true
		}
	}
	return l
}

// leaves has a member subscribe to all it may in a session that is kept, with a will that waits
// in version 5, and with messages queued: unacknowledged by one client, for another one away.
func (x *rights) leaves(m member, mouth *peer) (old [2]login, peers []*peer) {
	for i, id := range []string{"here", "away"} {
		old[i] = x.keeping(m, id)
		if topic := m.voice(); topic != "" {
			old[i].will = &Message{Topic: topic, Payload: []byte(mine + "will of the past"), QoS: 1}
			change := old[i].change
			old[i].change = func(pk *packets.Packet) {
				if change != nil {
					change(pk)
					pk.Connect.WillProperties.WillDelayInterval = uint32(3600 * i)
				}
			}
		}
		p := x.in(x.t, old[i])
		for _, f := range everything(m) {
			p.subscribe(f, 1)
		}
		if peers = append(peers, p); id == "away" && x.version == 5 { // version 4 knows no will that waits
			must(x.t, p.Close())
		}
	}
	for _, topic := range somewhere() {
		if members[0].writes(topic, false) {
			mouth.publish(topic, mine+"secret of the past", false)
		}
	}
	return old, peers
}

// What a user had at the broker is nobody's when the user is revoked or its token rotated: no
// connection, session, subscription, queued message, or will.
func TestMatrixAfterRevoke(t *testing.T) {
	for _, version := range []byte{4, 5} {
		cells := 0
		for way, change := range ways {
			for _, m := range members[1:] { // the hub tells and watches
				x := &rights{house: matrixHouse(t), t: t, version: version}
				mouth, watch := x.in(t, x.as(members[0], "mouth")), x.listener(members[0])
				old, peers := x.leaves(m, mouth)
				watch.drained()
				back := change(x, m)
				for i, p := range peers {
					p.closed()
					if _, ack := x.connect(t, old[i]); ack.ReasonCode == 0 {
						t.Errorf("%s, %s: the old token is taken", m.name, way)
					}
					l := x.keeping(back, []string{"here", "away"}[i])
					now, ack := x.connect(t, l)
					if ack.ReasonCode != 0 || ack.SessionPresent {
						t.Errorf("%s, %s: code %#x, session present %t", m.name, way, ack.ReasonCode, ack.SessionPresent)
					}
					mouth.publish("doorhub/alarm/state", mine+"news", false)
					mouth.publish("doorhub/out/"+m.name+"/event", mine+"news", false)
					if got := now.drained(); len(got) > 0 {
						t.Errorf("%s, %s: inherited %v", m.name, way, got)
					}
					cells += 4
				}
				if got := strings.Join(watch.drained(), "\n"); strings.Contains(got, "past") {
					t.Errorf("%s, %s: told after it: %s", m.name, way, got)
				}
				cells += 2 * len(somewhere())
				must(t, x.Close())
			}
		}
		t.Logf("version %d: %d cells", version, cells)
	}
}

// Two users with the same client id neither cut each other nor get what is the other's; two
// clients of one user take over.
func TestMatrixOfClientIDs(t *testing.T) {
	for _, version := range []byte{4, 5} {
		x := &rights{house: matrixHouse(t), t: t, version: version}
		mouth := x.in(t, x.as(members[0], "mouth"))
		cells := 0
		for _, a := range members {
			for _, b := range members {
				for _, id := range []string{"same", a.name + "/same", "../" + a.name + "/same", "/", "#", "\u00e9\u0301"} {
					first := x.in(t, x.keeping(a, id))
					for _, f := range everything(a) {
						first.subscribe(f, 1)
					}
					second, ack := x.connect(t, x.keeping(b, id))
					if ack.ReasonCode != 0 || ack.SessionPresent != (a == b) {
						t.Errorf("version %d: %s after %s as %q: code %#x, session present %t", version, b.name, a.name, id, ack.ReasonCode, ack.SessionPresent)
					}
					mouth.publish("doorhub/alarm/state", mine+"news", false)
					mouth.publish("doorhub/out/"+a.name+"/event", mine+"news", false)
					heir, other := first, second
					if a == b {
						first.closed()
						heir, other = second, nil
					}
					if got := heir.drained(); len(got) == 0 {
						t.Errorf("version %d: %s lost its session as %q to %s", version, a.name, id, b.name)
					}
					if other != nil && len(other.drained()) > 0 {
						t.Errorf("version %d: %s as %q hears what %s asked for", version, b.name, id, a.name)
					}
					cells += 4
					for _, p := range []*peer{first, second} {
						_ = p.Close()
					}
					for _, m := range []member{a, b} { // end what was kept
						_ = x.in(t, x.as(m, id)).Close()
					}
				}
			}
		}
		t.Logf("version %d: %d cells", version, cells)
	}
}
