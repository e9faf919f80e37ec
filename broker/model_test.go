package broker

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A model of who may do what, as slow and plain as can be. It shares nothing with the rules and
// their matching: what it says is compared with what comes over the wire.

// member is a user of the house of a test.
type member struct {
	name string
	role Role
}

var members = []member{
	{"hub", RoleHub}, {"homeassistant", RoleHomeAssistant}, {"sensor", RoleSensor},
	{"window", RoleSensor}, {"reader", RoleReader}, {"viewer", RoleViewer},
}

// below reports whether a topic is one of the roots or lies below one.
func below(topic string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return topic == root || strings.HasPrefix(topic, root+"/")
	})
}

// plain is what may stand between the slashes of a topic.
const plain = `[^+#\x00/]*`

var (
	plainTopic = regexp.MustCompile(`^` + plain + `(/` + plain + `)*$`)
	rightSieve = regexp.MustCompile(`^(#|(\+|` + plain + `)(/(\+|` + plain + `))*(/#)?)$`)
)

func isTopic(s string) bool {
	return s != "" && strings.ToValidUTF8(s, "") == s && plainTopic.MatchString(s)
}

func isFilter(s string) bool {
	return s != "" && strings.ToValidUTF8(s, "") == s && rightSieve.MatchString(s)
}

func (m member) writes(topic string, retain bool) bool {
	switch {
	case !isTopic(topic):
		return false
	case m.role == RoleHub:
		return below(topic, "homeassistant", "doorhub") && !(retain && below(topic, "doorhub/in", "doorhub/out", "doorhub/cmd"))
	case m.role == RoleHomeAssistant && topic == "homeassistant/status":
		return true
	case m.role == RoleHomeAssistant:
		return !retain && (below(topic, "doorhub/cmd") || topic == "doorhub/in/homeassistant/replay")
	case m.role == RoleSensor || m.role == RoleReader:
		return !retain && below(topic, "doorhub/in/"+m.name)
	}
	return false
}

func (m member) reads(topic string) bool {
	switch m.role {
	case RoleHub:
		return below(topic, "doorhub", "homeassistant", "$SYS")
	case RoleHomeAssistant:
		return below(topic, "doorhub/door", "doorhub/house", "doorhub/sensor", "doorhub/alarm", "doorhub/instance",
			"homeassistant", "doorhub/out/homeassistant")
	case RoleViewer:
		return below(topic, "doorhub/door", "doorhub/house", "doorhub/sensor", "doorhub/alarm", "doorhub/instance")
	}
	return below(topic, "doorhub/out/"+m.name)
}

// subscribes reports whether the member may subscribe to a filter: it may read all that the
// filter matches of the topics there are, and of those one can make of the filter itself.
func (m member) subscribes(filter string, topics []string) bool {
	if !isFilter(filter) || strings.HasPrefix(strings.ToLower(filter), "$share/") || strings.ToLower(filter) == "$share" {
		return false
	}
	for _, topic := range append(topicsOf(filter), topics...) {
		if isTopic(topic) && slowMatch(filter, topic) && !m.reads(topic) {
			return false
		}
	}
	return true
}

// topicsOf are topics that a filter matches.
func topicsOf(filter string) []string {
	var all []string
	for _, word := range []string{"zz", "", "front", "other"} {
		topic := strings.ReplaceAll(filter, "+", word)
		for _, rest := range []string{"", "zz", "zz/zz"} {
			all = append(all, strings.ReplaceAll(topic, "#", rest))
		}
		all = append(all, strings.TrimSuffix(topic, "/#"))
	}
	return all
}

// somewhere are topics of all kinds, right ones and odd ones.
func somewhere() []string {
	all := []string{
		"doorhub/door/front/lock", "doorhub/door/front/event", "doorhub/house/event", "doorhub/sensor/w/contact",
		"doorhub/alarm/state", "doorhub/instance/main/status", "doorhub/cmd/door/front/lock", "doorhub/cmd/alarm", "doorhub/cmd",
		"homeassistant/status", "homeassistant/device/x/config", "homeassistant", "homeassistant/status/x", "homeassistants/status",
		"doorhub", "doorhub/", "doorhub//x", "doorhub/door", "doorhub/doors/x", "doorhub/door/front/lock/", "/doorhub/door/front/lock", "DOORHUB/door/front/lock",
		"doorhub/in", "doorhub/in/", "doorhub/in//contact", "doorhub/in/senso/contact", "doorhub/in/sensors/contact", "doorhub/in/sensor/../window/contact",
		"doorhub/out", "doorhub/out/event", "other", "/", "//", " ", "front", "$", "$x/y", "$SYS", "$SYS/broker/version", "$SYS/doorhub",
		"$share/g/doorhub/door/front/lock", "$SHARE/g/doorhub/door/front/lock", "$share", "$doorhub/door/front/lock",
		"+", "#", "doorhub/+/front/lock", "doorhub/#", "doorhub/in/sensor/#", "doorhub/in/+/contact", "",
		"doorhub/in/sensor/\xff", "doorhub/in/sensor/\x00", "doorhub/in/sensor/\xed\xa0\x80", "doorhub/in/sensor/\xc0\xaf", "doorhub/in/sensor/\u00e9\u0301\u202e",
	}
	for _, m := range members {
		all = append(all, "doorhub/in/"+m.name, "doorhub/in/"+m.name+"/contact", "doorhub/in/"+m.name+"/replay",
			"doorhub/out/"+m.name, "doorhub/out/"+m.name+"/event")
	}
	return all
}

// sieves are filters of all kinds: each topic, each topic with a wildcard at each level, shared
// ones, and odd ones.
func sieves() []string {
	seen := map[string]bool{}
	for _, topic := range somewhere() {
		seen[topic] = true
		levels := strings.Split(topic, "/")
		for i := range levels {
			with := slices.Clone(levels)
			with[i] = "+"
			seen[strings.Join(with, "/")] = true
			seen[strings.Join(append(slices.Clone(levels[:i]), "#"), "/")] = true
		}
	}
	for _, f := range []string{
		"#", "+", "+/#", "+/+", "+/+/+/#", "#/", "/#", "/+", "//#", "doorhub/+/#", "doorhub/door/+/+", "doorhub/door/#/lock", "doorhub/door/a#", "doorhub/door/+a", "doorhub/door/++",
		"$share/g/#", "$share/g/doorhub/#", "$SHARE/g/doorhub/door/#", "$ShArE/g/doorhub/door/#", "$share//doorhub/door/#", "$share/+/doorhub/door/#", "$share/g", "$share/", "$share/g/",
		"$SYS/#", "$SYS/+", "$+/#", "$/#", "doorhub/out/+/event", "doorhub/out/sensor/#", "doorhub/out/sensor/+/x", "doorhub/door/\xff/#", "doorhub/door/\x00", "doorhub/door/\xed\xa0\x80/+",
	} {
		seen[f] = true
	}
	var all []string
	for f := range seen {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// The model itself on what the design says, in the words of the design.
func TestModel(t *testing.T) {
	ha, sensor, viewer := members[1], members[2], members[5]
	for what, wrong := range map[string]bool{
		"a sensor speaks for another":      sensor.writes("doorhub/in/window/contact", false),
		"a sensor keeps its input":         sensor.writes("doorhub/in/sensor/contact", true),
		"a sensor cannot speak":            !sensor.writes("doorhub/in/sensor/contact", false),
		"a sensor reads states":            sensor.reads("doorhub/door/front/lock"),
		"a viewer writes":                  viewer.writes("doorhub/door/front/lock", false),
		"a viewer reads secrets":           viewer.reads("doorhub/in/sensor/key"),
		"Home Assistant keeps a command":   ha.writes("doorhub/cmd/door/front/lock", true),
		"Home Assistant reads secrets":     ha.subscribes("doorhub/#", somewhere()),
		"Home Assistant reads no event":    !ha.subscribes("doorhub/door/+/event", somewhere()),
		"a share takes others' messages":   ha.subscribes("$share/g/doorhub/door/#", somewhere()),
		"an unknown role reads":            member{"x", "x"}.reads("doorhub/door/front/lock"),
		"a filter of nothing there passes": viewer.subscribes("nowhere/x", nil),
	} {
		if wrong {
			t.Error(what)
		}
	}
}
