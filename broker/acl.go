package broker

import (
	"fmt"
	"strings"
)

// Role says what a bus user is, and so what it may do.
type Role string

// The roles.
const (
	RoleHub           Role = "hub"           // doorhub itself
	RoleHomeAssistant Role = "homeassistant" // reads states and discovery, sends commands
	RoleSensor        Role = "sensor"        // sends its own raw input
	RoleReader        Role = "reader"        // as a sensor: a keypad or card reader on the bus
	RoleViewer        Role = "viewer"        // reads states
)

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	switch r := Role(name); r {
	case RoleHub, RoleHomeAssistant, RoleSensor, RoleReader, RoleViewer:
		return r, nil
	}
	return "", fmt.Errorf("role %q: use hub, homeassistant, sensor, reader or viewer", name)
}

// Action is what a rule is about.
type Action string

// The actions. Receiving is checked with Subscribe, once more for each message.
const (
	Publish   Action = "publish"
	Subscribe Action = "subscribe"
)

// Rule allows or denies one action on the topics of one filter.
type Rule struct {
	Action Action
	Filter string
	Allow  bool
	Retain bool // an allowed publication may be retained; nothing else
}

// Rules returns the ordered rules of a user. The first that fits decides; what none fits is
// denied. No role may share a subscription ($share): it would take messages from others.
func Rules(user string, role Role) []Rule {
	in, out := "doorhub/in/"+user, "doorhub/out/"+user+"/#"
	switch role {
	case RoleHub:
		return []Rule{
			send("doorhub/in/#"), send("doorhub/cmd/#"), send("doorhub/out/#"), // never retained
			keep("doorhub/#"), keep("homeassistant/#"),
			read("doorhub/#"), read("homeassistant/#"), read("$SYS/#"),
		}
	case RoleHomeAssistant:
		return append(states(),
			read("homeassistant/#"), read(out),
			keep("homeassistant/status"), send("doorhub/cmd/#"), send(in+"/replay"))
	case RoleSensor, RoleReader:
		return []Rule{send(in + "/#"), read(out)}
	case RoleViewer:
		return states()
	}
	return nil
}

func states() []Rule {
	return []Rule{
		read("doorhub/door/#"), read("doorhub/house/#"), read("doorhub/sensor/#"),
		read("doorhub/alarm/#"), read("doorhub/instance/#"),
	}
}

func send(filter string) Rule { return Rule{Action: Publish, Filter: filter, Allow: true} }
func keep(filter string) Rule {
	return Rule{Action: Publish, Filter: filter, Allow: true, Retain: true}
}
func read(filter string) Rule { return Rule{Action: Subscribe, Filter: filter, Allow: true} }

// MayPublish reports whether rules allow a publication or will on topic.
func MayPublish(rules []Rule, topic string, retain bool) bool {
	if ValidTopic(topic) != nil {
		return false
	}
	for _, r := range rules {
		if r.Action == Publish && Match(r.Filter, topic) {
			return r.Allow && (r.Retain || !retain)
		}
	}
	return false
}

// MaySubscribe reports whether rules allow to subscribe to filter, that is: to receive every
// message it can match. With a topic for a filter it tells whether that topic may be received.
func MaySubscribe(rules []Rule, filter string) bool {
	if ValidFilter(filter) != nil || shared(filter) {
		return false
	}
	for _, r := range rules {
		switch {
		case r.Action != Subscribe:
		case r.Allow && covers(r.Filter, filter):
			return true
		case !r.Allow && overlaps(r.Filter, filter):
			return false
		}
	}
	return false
}

// The broker takes $SHARE for $share.
func shared(filter string) bool {
	first, _, _ := strings.Cut(filter, "/")
	return strings.EqualFold(first, "$share")
}
