package broker

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is written for brokers elsewhere is in testdata; tests of cmd/doorhub start them with it.
func TestExportRules(t *testing.T) {
	users := []User{{Name: "hub", Role: RoleHub}, {Name: "homeassistant", Role: RoleHomeAssistant}, {Name: "kitchen", Role: RoleSensor},
		{Name: "front-keypad", Role: RoleReader}, {Name: "viewer", Role: RoleViewer}}
	for target, file := range map[string]string{Mosquitto: "testdata/mosquitto.acl", NATS: "testdata/nats-users.conf"} {
		want, err := os.ReadFile(file)
		must(t, err)
		got, err := ExportRules(target, users)
		must(t, err)
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("-%s +got:\n%s", file, diff)
		}
	}
}

func TestExportRefusals(t *testing.T) {
	for _, c := range []struct {
		target string
		users  []User
		want   string
	}{
		{"emqx", nil, "use mosquitto or nats"},
		{NATS, []User{{Name: "Kitchen\" }", Role: RoleSensor}}, "use 1 to 32 of a-z"},
		{Mosquitto, []User{{Name: "kitchen\ntopic #", Role: RoleSensor}}, "use 1 to 32 of a-z"},
		{Mosquitto, []User{{Name: "kitchen", Role: "guest"}}, "role"},
		{NATS, []User{{Name: "kitchen", Role: RoleSensor}, {Name: "kitchen", Role: RoleViewer}}, "twice"},
	} {
		got, err := ExportRules(c.target, c.users)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != "" {
			t.Errorf("%s %v: %q, %v; want an error with %q", c.target, c.users, got, err, c.want)
		}
	}
}

func TestSubjects(t *testing.T) {
	got := subjects([]string{"doorhub/in/a/#", "a.b/+/c", "$SYS/#", "#"})
	want := []string{"doorhub.in.a", "doorhub.in.a.>", "a//b.*.c", ">"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
