package broker

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var roles = []Role{RoleHub, RoleHomeAssistant, RoleSensor, RoleReader, RoleViewer}

// matrix asks what each role may do, one line a question, and writes the answers beside it.
func matrix(publish, subscribe []string) string {
	var b strings.Builder
	for _, topic := range publish {
		for _, retain := range []bool{false, true} {
			fmt.Fprintf(&b, "publish %-36s retained %-5t", topic, retain)
			who(&b, func(rules []Rule) bool { return MayPublish(rules, topic, retain) })
		}
	}
	for _, filter := range subscribe {
		fmt.Fprintf(&b, "subscribe %-50s", filter)
		who(&b, func(rules []Rule) bool { return MaySubscribe(rules, filter) })
	}
	return b.String()
}

// who ends a line with the roles that may.
func who(b *strings.Builder, may func([]Rule) bool) {
	names := " nobody"
	for _, r := range roles {
		if may(Rules("me", r)) {
			names = strings.TrimSuffix(names, " nobody") + " " + string(r)
		}
	}
	b.WriteString(names + "\n")
}

// Who may do what, in full, is in testdata/rules.txt: read it as the specification.
func TestRulesMatrix(t *testing.T) {
	want, err := os.ReadFile("testdata/rules.txt")
	must(t, err)
	got := matrix([]string{
		"doorhub/door/front/lock", "doorhub/alarm/state", "doorhub/instance/main/status",
		"doorhub/cmd/door/front/lock", "doorhub/in/me/contact", "doorhub/in/me/replay", "doorhub/in/other/contact",
		"doorhub/in/me", "doorhub/out/me/event", "homeassistant/status", "homeassistant/device/x/config", "other", "$SYS/broker/version",
	}, []string{
		"doorhub/door/front/lock", "doorhub/door/front/image", "doorhub/door/+/lock", "doorhub/door/#", "doorhub/sensor/+/contact", "doorhub/house/event",
		"doorhub/alarm/state", "doorhub/instance/main/status", "homeassistant/+/+/config", "homeassistant/+/+/+/config",
		"homeassistant/device/+/config", "homeassistant/#", "doorhub/out/me/event", "doorhub/out/me/#", "doorhub/out/+/event",
		"doorhub/out/other/event", "doorhub/in/me/#", "doorhub/in/#", "doorhub/cmd/#", "doorhub/+/front/lock", "doorhub/#", "doorhub",
		"#", "+", "+/#", "+/door/#", "$SYS/#", "$SYS/broker/version", "$share/g/doorhub/door/#", "$SHARE/g/doorhub/door/#", "$share/g/#",
	})
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-testdata/rules.txt +got:\n%s", diff)
	}
}

func TestDenyBeforeAllow(t *testing.T) {
	rules := []Rule{
		{Action: Subscribe, Filter: "a/secret/#"},
		{Action: Publish, Filter: "a/secret/#"},
		read("a/#"), keep("a/#"),
	}
	for filter, want := range map[string]bool{"a/b": true, "a/b/#": true, "a/#": false, "a/+": false, "a/+/x": false, "a/secret": false, "a/secret/x": false} {
		if got := MaySubscribe(rules, filter); got != want {
			t.Errorf("subscribe %s: %t", filter, got)
		}
	}
	for topic, want := range map[string]bool{"a/b": true, "a/secret": false, "a/secret/x": false} {
		if got := MayPublish(rules, topic, true); got != want {
			t.Errorf("publish %s: %t", topic, got)
		}
	}
}

func TestUnknownRoleMayNothing(t *testing.T) {
	if rules := Rules("me", "guest"); rules != nil {
		t.Errorf("guest has rules: %v", rules)
	}
	if _, err := ParseRole("guest"); err == nil {
		t.Error("guest passes for a role")
	}
}
