package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
)

// The rules are printed for the users that doorhub has, and the hub's own.
func TestBrokerACL(t *testing.T) {
	h := newCLIHouse(t)
	h.ok("broker", "user", "add", "cellar", "--role", "sensor")
	for target, want := range map[string][]string{
		broker.Mosquitto: {"# sensor\nuser cellar\ntopic write doorhub/in/cellar/#\n", "# hub\nuser hub\n", "# homeassistant\nuser homeassistant\n"},
		broker.NATS:      {"user: \"cellar\"", "user: \"hub\"", "\"doorhub.in.cellar.>\""},
	} {
		got := h.ok("broker", "acl", "--for", target)
		for _, text := range want {
			if !strings.Contains(got, text) {
				t.Errorf("for %s it does not say %q:\n%s", target, text, got)
			}
		}
	}
	got := h.ok("broker", "acl", "--for", "mosquitto", "--user", "shed=reader")
	if !strings.Contains(got, "# reader\nuser shed\n") || strings.Contains(got, "user cellar") {
		t.Errorf("for the named user alone:\n%s", got)
	}
	for _, args := range [][]string{{}, {"--for", "emqx"}, {"--for", "nats", "--user", "shed=guest"}, {"--for", "nats", "--user", "Sh ed=sensor"}} {
		if got := h.do("", append([]string{"broker", "acl"}, args...)...); got.code != exitUsage || got.out != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// topicsElsewhere are what the users try to say and to hear.
func topicsElsewhere() []string {
	return []string{
		"doorhub/door/front/lock", "doorhub/door", "doorhub/house/event", "doorhub/sensor/kitchen/contact", "doorhub/alarm/state",
		"doorhub/instance/hub/status", "doorhub/cmd/door/front/lock", "doorhub/in/kitchen/contact", "doorhub/in/kitchen",
		"doorhub/in/keypad/key", "doorhub/in/cellar/contact", "doorhub/in/homeassistant/replay", "doorhub/out/kitchen/event",
		"doorhub/out/cellar/event", "doorhub/out/homeassistant/event", "homeassistant/status", "homeassistant/device/x/config", "other",
	}
}

// TestRulesElsewhere holds what a broker that is not ours lets each role do against the rules
// of the embedded one: the same, but that any message may be retained.
func TestRulesElsewhere(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *elsewhere{
		"mosquitto": func(t *testing.T) *elsewhere { return mosquittoElsewhere(t) },
		"nats":      func(t *testing.T) *elsewhere { return natsElsewhere(t) },
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			t.Run("publish", func(t *testing.T) { publishElsewhere(t, e) })
			t.Run("will", func(t *testing.T) { willsElsewhere(t, e) })
			t.Run("subscribe", func(t *testing.T) { subscribeElsewhere(t, e) })
			t.Run("client id", func(t *testing.T) { takeoverElsewhere(t, e) })
			if e.plain != "" {
				t.Run("own protocol", func(t *testing.T) { plainElsewhere(t, e) })
			}
			t.Run("revoked", func(t *testing.T) { revokedElsewhere(t, e) })
		})
	}
}

// games are topics that a broker may take for others.
func games() []string {
	return []string{
		"$SYS/broker/version", "$MQTT/msgs/doorhub/in/cellar/contact", "$MQTT/rmsgs/doorhub/door/front/lock", "$MQTT/sub/x",
		"$JS/API/STREAM/DELETE/$MQTT_msgs", "doorhub/in/cellar.contact", "doorhub.in.cellar.contact", "doorhub//in/cellar/contact",
		"/doorhub/in/cellar/contact", "doorhub/in/kitchen/../cellar/contact", "doorhub/in/*/contact", "doorhub/in/>",
		"$share/g/doorhub/in/cellar/contact",
	}
}

// publishElsewhere has everybody say everything, and compares with what was told.
func publishElsewhere(t *testing.T, e *elsewhere) {
	told := newFlow[string]()
	all := e.client(t, observer)
	for _, filter := range []string{"#", "$SYS/broker/version"} {
		subscribed(t, all, filter, 1, func(m broker.Message) {
			if m.Topic == "fence" || strings.HasPrefix(string(m.Payload), "said by ") {
				told.add(m.Topic + " " + string(m.Payload))
			}
		})
	}
	var want []string
	for _, user := range sortedKeys(usersElsewhere()) {
		c := e.client(t, user)
		rules := broker.Rules(user, usersElsewhere()[user])
		for _, topic := range slices.Concat(games(), topicsElsewhere()) {
			for _, retain := range []bool{false, true} {
				text := fmt.Sprintf("said by %s, retained %t", user, retain)
				_ = c.Publish(soon(t), broker.Message{Topic: topic, Payload: []byte(text), QoS: 1, Retain: retain}) // an end of the connection is an answer, too
				must(t, c.Ready(soon(t)))
				if broker.MayPublish(rules, topic, false) {
					want = append(want, topic+" "+text)
				}
			}
		}
	}
	wantTold(t, e, told, want)
}

// wantTold waits for the observer's own message, behind all others, and compares.
func wantTold(t *testing.T, e *elsewhere, told *flow[string], want []string) {
	t.Helper()
	must(t, e.client(t, observer, id("fence")).Publish(soon(t), broker.Message{Topic: "fence", QoS: 1}))
	told.next(t, "the fence", func(s string) bool { return s == "fence " })
	got := told.seen()
	slices.Sort(got)
	slices.Sort(want)
	got = slices.DeleteFunc(got, func(s string) bool { return s == "fence " })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told, but not as the rules are (-want +got):\n%s", diff)
	}
}

// willsElsewhere has everybody die with a last will.
func willsElsewhere(t *testing.T, e *elsewhere) {
	told := newFlow[string]()
	all := e.client(t, observer)
	subscribed(t, all, "#", 1, func(m broker.Message) {
		if !m.Retain {
			told.add(m.Topic + " " + string(m.Payload))
		}
	})
	var want []string
	for _, user := range sortedKeys(usersElsewhere()) {
		rules := broker.Rules(user, usersElsewhere()[user])
		for i, topic := range topicsElsewhere() {
			m := broker.Message{Topic: topic, Payload: []byte("will of " + user), QoS: 1, Retain: i%2 == 0}
			e.dies(t, user, m)
			if broker.MayPublish(rules, topic, false) {
				want = append(want, m.Topic+" "+string(m.Payload))
			}
		}
	}
	until(t, "all wills that are allowed", func() bool { return len(told.seen()) >= len(want) })
	wantTold(t, e, told, want)
}

// subscribeElsewhere has everybody ask for everything, with all of it retained before and said
// once more after.
func subscribeElsewhere(t *testing.T, e *elsewhere) {
	say := e.client(t, observer)
	tell := func(text string, retain bool) {
		for _, topic := range topicsElsewhere() {
			must(t, say.Publish(soon(t), broker.Message{Topic: topic, Payload: []byte(text), QoS: 1, Retain: retain}))
		}
	}
	tell("kept", true)
	var asks []*ask
	for _, user := range sortedKeys(usersElsewhere()) {
		var clients []*broker.Client
		for i, filter := range filtersElsewhere(user) {
			a := &ask{user: user, filter: filter, told: newFlow[broker.Message]()}
			asks = append(asks, a)
			clients = append(clients, e.dial(t, user, id(fmt.Sprintf("%s-%d", user, i))))
			qos := byte(0)
			if i < atLeastOnce {
				qos = 1
			}
			for _, f := range []string{a.fence(), filter} {
				subscribed(t, clients[i], f, qos, func(m broker.Message) { a.told.add(m) })
			}
		}
		for _, c := range clients {
			must(t, c.Ready(soon(t)))
		}
	}
	tell("new", false)
	for _, last := range []string{"fence", "last"} { // what came on another subscription may be a little behind
		for _, a := range asks {
			must(t, say.Publish(soon(t), broker.Message{Topic: a.fence(), Payload: []byte(last), QoS: 1}))
		}
	}
	for _, a := range asks {
		a.told.next(t, a.user+" to be told the last", func(m broker.Message) bool { return string(m.Payload) == "last" })
		a.judge(t)
	}
}

// takeoverElsewhere has a viewer connect by the client id under which readings wait for the hub,
// and again while the hub's user is there. It may cut that one off, and hears nothing of it.
func takeoverElsewhere(t *testing.T, e *elsewhere) {
	victim := func(f *flow[heard]) *broker.Client {
		return e.client(t, "hub", id("victim"), func(cc *broker.ClientConfig) {
			cc.Keep = []broker.Keep{{Filter: "doorhub/in/#", Handle: keepInto(f)}}
		})
	}
	victim(newFlow[heard]()).Close()
	kitchen, say := e.client(t, "kitchen"), e.client(t, observer)
	tell(t, kitchen, kitchenIn, "waits")
	stolen := newFlow[heard]()
	thief := e.client(t, "viewer", id("victim"), func(cc *broker.ClientConfig) {
		cc.Keep = []broker.Keep{{Filter: "doorhub/door/fence", Handle: keepInto(stolen)}}
	})
	fence := func(text string) { // a cluster may be late to know of a new subscription
		until(t, "the fence", func() bool {
			tell(t, say, "doorhub/door/fence", text)
			return lastOf(stolen, "doorhub/door/fence") == text
		})
	}
	tell(t, kitchen, kitchenIn, "new")
	fence("first")
	victim(newFlow[heard]()).Close()
	tell(t, kitchen, kitchenIn, "later")
	must(t, thief.Ready(soon(t)))
	fence("last")
	for _, m := range stolen.seen() {
		if m.topic != "doorhub/door/fence" {
			t.Errorf("the viewer was told %v", m)
		}
	}
}

// plainElsewhere has a user of the house log in by NATS's own protocol, where nobody asks what
// it hears.
func plainElsewhere(t *testing.T, e *elsewhere) {
	for user, want := range map[string]string{observer: "PONG", "viewer": "Authorization Violation", "hub": "Authorization Violation"} {
		c, err := net.Dial("tcp", e.plain)
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(soonEnough)))
		_, err = fmt.Fprintf(c, "CONNECT {\"user\":%q,\"pass\":%q,\"verbose\":false}\r\nPING\r\n", user, tokenOf(user))
		must(t, err)
		lines := bufio.NewScanner(c)
		lines.Scan() // what the server says of itself
		if lines.Scan(); !strings.Contains(lines.Text(), want) {
			t.Errorf("%s: %q, want %s", user, lines.Text(), want)
		}
		must(t, c.Close())
	}
}

// revokedElsewhere takes a user out of the rules: its connection ends, and no other.
func revokedElsewhere(t *testing.T, e *elsewhere) {
	cellar, kitchen := e.client(t, "cellar"), e.client(t, "kitchen")
	users := usersElsewhere()
	delete(users, "cellar")
	e.reload(t, users)
	until(t, "the connection to end", func() bool { return !cellar.Up() })
	if err := kitchen.Publish(soon(t), broker.Message{Topic: kitchenIn, QoS: 1}); err != nil {
		t.Errorf("the other's: %v", err)
	}
	told := make(chan error, 1)
	e.dial(t, "cellar", id("again"), func(cc *broker.ClientConfig) { cc.Problem = func(err error) { told <- err } })
	select {
	case err := <-told:
		if !errors.Is(err, broker.ErrDown) {
			t.Errorf("told %v", err)
		}
	case <-soon(t).Done():
		t.Error("it was let in again")
	}
}

// ask is one filter that one user asks for.
type ask struct {
	user, filter string
	told         *flow[broker.Message]
}

// fence is a topic that this user may read.
func (a *ask) fence() string {
	if usersElsewhere()[a.user] == broker.RoleViewer {
		return "doorhub/door/fence"
	}
	return "doorhub/out/" + a.user + "/fence"
}

// judge fails where the user was told what it may not hear, or not told what it asked for and may.
func (a *ask) judge(t *testing.T) {
	t.Helper()
	rules := broker.Rules(a.user, usersElsewhere()[a.user])
	got := map[string]bool{}
	for _, m := range a.told.seen() {
		if !broker.MaySubscribe(rules, m.Topic) {
			t.Errorf("%s asked for %s and was told %s: %q", a.user, a.filter, m.Topic, m.Payload)
		}
		got[m.Topic+" "+string(m.Payload)] = true
	}
	for _, topic := range topicsElsewhere() {
		if !broker.MaySubscribe(rules, a.filter) || !broker.Match(a.filter, topic) {
			continue
		}
		for _, text := range []string{" kept", " new"} {
			if !got[topic+text] {
				t.Errorf("%s asked for %s and was not told %s%s", a.user, a.filter, topic, text)
			}
		}
	}
}

// atLeastOnce is how many of filtersElsewhere are asked for at QoS 1: to NATS each of those is
// some work.
const atLeastOnce = 4

// filtersElsewhere are each role's own, those of others, all that is wild, and what a broker
// may take for something else.
func filtersElsewhere(user string) []string {
	return []string{
		"doorhub/out/" + user + "/#", "doorhub/out/cellar/event", "doorhub/#", "$MQTT/msgs/doorhub/out/cellar/event",
		"doorhub/door/front/lock", "doorhub/door/+/lock", "doorhub/door/#", "doorhub/sensor/+/contact", "doorhub/+/front/lock",
		"doorhub/house/event", "homeassistant/+/+/config", "homeassistant/#", "doorhub/out/+/event",
		"doorhub/in/" + user + "/#", "doorhub/in/#", "doorhub/cmd/#", "#", "+/#", "+/+/#", "+",
		"$share/g/doorhub/#", "$share/g/doorhub/out/cellar/event", "doorhub/out/*/event", "doorhub/>", ">", "doorhub.out.cellar.event",
		"$SYS/#", "$MQTT/#", "$MQTT/sub/#", "$MQTT/msgs/#", "$MQTT/deliver/pubrel/#", "$JS/#",
	}
}
