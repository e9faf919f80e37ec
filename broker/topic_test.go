package broker

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{ // from MQTT 5.0, 4.7.1 and 4.7.2
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/x", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"sport/tennis", "sport/tennis/x", false},
		{"sport/tennis", "sport/Tennis", false},
	} {
		if got := Match(c.filter, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %t", c.filter, c.topic, got)
		}
	}
}

func TestValidFilterAndTopic(t *testing.T) {
	long := strings.Repeat("a", maxTopic+1)
	for _, bad := range []string{"", "a#", "#/a", "a/#/b", "a+", "a/b+/c", "++", "a\x00", "\xff", "a/#b", long} {
		if ValidFilter(bad) == nil {
			t.Errorf("filter %.20q passes", bad)
		}
	}
	for _, good := range []string{"#", "+", "/", "a/+/b/#", "a//b", " ", "$SYS/#", "ä/#"} {
		if err := ValidFilter(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a/+", "#", "a#", "a+b", "\x00", "\xed\xa0\x80", long} {
		if ValidTopic(bad) == nil {
			t.Errorf("topic %.20q passes", bad)
		}
	}
}

// slowMatch is the standard's text turned into a regular expression.
func slowMatch(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	if filter == "#" {
		return true
	}
	re := regexp.QuoteMeta(filter)
	re = strings.ReplaceAll(re, `\+`, `[^/]*`)
	if rest, ok := strings.CutSuffix(re, "/#"); ok {
		re = rest + `(/.*)?`
	}
	return regexp.MustCompile(`(?s)^` + re + `$`).MatchString(topic)
}

// sequences returns all topics or filters of 1 to depth of the given levels.
func sequences(depth int, levels ...string) []string {
	all := []string{}
	last := []string{}
	for i := range depth {
		var next []string
		if i == 0 {
			next = levels
		}
		for _, l := range last {
			for _, level := range levels {
				next = append(next, l+"/"+level)
			}
		}
		last = next
		all = append(all, next...)
	}
	return all
}

// Every pair of filters up to three levels, against every topic up to four: what covers and
// overlaps say is what the topics say. Four levels and one name that is in no filter are
// enough to tell any two such filters apart.
func TestCoversAndOverlapsAgainstAllTopics(t *testing.T) {
	topics := sequences(4, "a", "", "$b", "other") // the empty one is in: /# overlaps + by it
	filters, matches := []string{}, map[string][]bool{}
	for _, f := range sequences(3, "a", "", "$b", "+", "#") {
		if ValidFilter(f) != nil {
			continue
		}
		filters = append(filters, f)
		for _, topic := range topics {
			matches[f] = append(matches[f], slowMatch(f, topic))
			if got := Match(f, topic); got != slowMatch(f, topic) {
				t.Fatalf("Match(%q, %q) = %t", f, topic, got)
			}
		}
	}
	for _, a := range filters {
		for _, b := range filters {
			covered, overlap := true, false
			for i, inB := range matches[b] {
				covered = covered && (!inB || matches[a][i])
				overlap = overlap || (inB && matches[a][i])
			}
			if covers(a, b) != covered || overlaps(a, b) != overlap {
				t.Fatalf("%q and %q: covers %t, want %t; overlaps %t, want %t", a, b, covers(a, b), covered, overlaps(a, b), overlap)
			}
		}
	}
	t.Logf("%d filters, %d topics", len(filters), len(topics))
}

// No filter that is allowed can receive a topic that is not, and no publication passes that
// the slow matcher would stop.
func FuzzRules(f *testing.F) {
	f.Add("doorhub/door/+/lock", "doorhub/door/front/lock", "$SYS/#")
	f.Add("#", "$share/g/doorhub/in/#", "doorhub/in/other/x")
	f.Add("+/+/other/#", "doorhub/in/sensor", "doorhub/in/sensor/../other")
	f.Fuzz(func(t *testing.T, filter, topic, second string) {
		for _, role := range []Role{RoleHub, RoleHomeAssistant, RoleSensor, RoleReader, RoleViewer} {
			rules := Rules("sensor", role)
			if ValidTopic(topic) != nil {
				if MayPublish(rules, topic, false) || MayPublish(rules, topic, true) {
					t.Fatalf("%s may publish on invalid topic %q", role, topic)
				}
				continue
			}
			if got, want := MayPublish(rules, topic, true), slowPublish(rules, topic, true); got != want {
				t.Fatalf("%s publishes retained on %q: %t, want %t", role, topic, got, want)
			}
			if got, want := MayPublish(rules, topic, false), slowPublish(rules, topic, false); got != want {
				t.Fatalf("%s publishes on %q: %t, want %t", role, topic, got, want)
			}
			if got, want := MaySubscribe(rules, topic), slowReceive(rules, topic) && !strings.HasPrefix(strings.ToLower(topic)+"/", "$share/"); isTopic(topic) && got != want {
				t.Fatalf("%s receives %q: %t, want %t", role, topic, got, want)
			}
			for _, sub := range []string{filter, second} {
				if MaySubscribe(rules, sub) && slowMatch(sub, topic) && !slowReceive(rules, topic) {
					t.Fatalf("%s may subscribe to %q and so receive %q", role, sub, topic)
				}
			}
		}
	})
}

func slowPublish(rules []Rule, topic string, retain bool) bool {
	for _, r := range rules {
		if r.Action == Publish && slowMatch(r.Filter, topic) {
			return r.Allow && (!retain || r.Retain)
		}
	}
	return false
}

func slowReceive(rules []Rule, topic string) bool {
	for _, r := range rules {
		if r.Action == Subscribe && slowMatch(r.Filter, topic) {
			return r.Allow
		}
	}
	return false
}
