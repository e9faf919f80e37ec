package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/doorhub/doorhub/discovery"
)

const deployHome = "../../deploy/homeassistant"

// Automations as an owner makes them of the blueprints, and a way of notification that reaches
// nobody.
const (
	deployConfig = `
notify:
  - platform: group
    name: phone
    services: []
lovelace:
  dashboards:
    doorhub-house:
      mode: yaml
      title: House
      icon: mdi:door
      filename: dashboard.yaml
`
	deployAutomations = `
- id: tell
  alias: Tell
  use_blueprint:
    path: doorhub/notify.yaml
    input:
      events: [event.front_access, event.doorhub]
      notify_action: notify.phone
      picture: image.front_last_picture
      lock: lock.front
- id: welcome
  alias: Welcome
  use_blueprint:
    path: doorhub/welcome.yaml
    input:
      access: event.front_access
      person: Ann
      welcome:
        - action: notify.phone
          data:
            message: "Hello {{ name }}"
- id: open
  alias: Open
  use_blueprint:
    path: doorhub/left_open.yaml
    input:
      contacts: [binary_sensor.front_contact, binary_sensor.kitchen]
      after: {seconds: 1}
      again: {seconds: 1}
      times: 2
      notify_action: notify.phone
`
)

// notice is what somebody would have read on their phone.
type notice struct {
	Message string
	Data    struct {
		Tag, Image string
		Actions    []struct{ Action, Title string }
	}
}

// TestHomeAssistantCoreDeploy takes what an owner takes from deploy/homeassistant.
func TestHomeAssistantCoreDeploy(t *testing.T) {
	files := map[string]string{"configuration.yaml": deployConfig, "automations.yaml": deployAutomations, "dashboard.yaml": readFile(t, deployHome+"/dashboard.yaml")}
	blueprints, err := filepath.Glob(deployHome + "/blueprints/*.yaml")
	must(t, err)
	for _, path := range blueprints {
		files["blueprints/automation/doorhub/"+filepath.Base(path)] = readFile(t, path)
	}
	c := startCore(t, files)
	day := &coreDay{core: c, whole: t, said: &saying{}, house: newTestHouse(t)}
	day.at = func() login { return day.hub.as("homeassistant") }
	day.begin(t)
	c.join(day.at())
	day.live(t, []part{
		{"blueprints load", func(t *testing.T) { day.blueprintsLoad(t, len(blueprints)) }},
		{"who is denied is told of with a picture", day.denialIsTold},
		{"a new name is no news", day.newNameIsNoNews},
		{"an intrusion is told of", day.intrusionIsTold},
		{"the notification locks", day.noticeLocks},
		{"Ann is welcomed", day.annIsWelcomed},
		{"a door left open is told of", day.leftOpenIsTold},
		{"the dashboard has what it shows", day.dashboardIsWhole},
		{"the dashboard is drawn", day.dashboardIsDrawn},
		{"no complaints", day.noComplaints},
	})
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// notices are what was sent to the phone from now on.
func (d *coreDay) notices() *flow[notice] {
	d.tb.Helper()
	all := newFlow[notice]()
	d.listen("call_service", func(data json.RawMessage) {
		var call struct {
			Domain, Service string
			Data            notice `json:"service_data"`
		}
		if json.Unmarshal(data, &call) == nil && call.Domain == "notify" && call.Service == "phone" {
			all.add(call.Data)
		}
	})
	return all
}

// notifies waits for a notice with these words.
func notifies(t *testing.T, all *flow[notice], words string) notice {
	t.Helper()
	return all.next(t, words, func(n notice) bool { return strings.Contains(n.Message, words) })
}

func (d *coreDay) blueprintsLoad(t *testing.T, want int) {
	_, err := pub(t, d.hub.as("kitchen"), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	d.shows("binary_sensor.kitchen", "off")
	var all map[string]struct {
		Error    string
		Metadata json.RawMessage
	}
	d.command(&all, "blueprint/list", map[string]any{"domain": "automation"})
	for path, b := range all {
		if b.Error != "" || len(b.Metadata) == 0 {
			t.Errorf("%s: %s", path, b.Error)
		}
	}
	if len(all) < want || want == 0 {
		t.Errorf("%d of %d blueprints", len(all), want)
	}
	for _, id := range []string{"automation.tell", "automation.welcome", "automation.open"} {
		d.shows(id, "on")
	}
}

func (d *coreDay) denialIsTold(t *testing.T) {
	d.picture(t)
	phone := d.notices()
	d.hub.enters(noPIN)
	n := notifies(t, phone, "was denied at front (wrong_pin)")
	if !strings.HasPrefix(n.Data.Image, "/api/image_proxy/image.front_last_picture") || n.Data.Tag != "doorhub_denied_front" ||
		len(n.Data.Actions) != 2 || n.Data.Actions[0].Title != "Lock" {
		t.Errorf("%+v", n)
	}
}

// newNameIsNoNews gives an entity another name and back, which Home Assistant tells automations as
// a change like any other.
func (d *coreDay) newNameIsNoNews(t *testing.T) {
	phone := d.notices()
	for _, name := range []any{"Another", nil} {
		d.command(nil, "config/entity_registry/update", map[string]any{"entity_id": "event.front_access", "name": name})
	}
	d.hub.enters(noPIN)
	notifies(t, phone, "was denied at front (wrong_pin)")
	if all := phone.seen(); len(all) != 1 {
		t.Errorf("%d notices of one event: %+v", len(all), all)
	}
}

// picture has a picture of nobody be the door's last, also where no camera can be.
func (d *coreDay) picture(t *testing.T) {
	t.Helper()
	d.until("its birth", func() bool { return !d.hub.panel.hears.deaf.Load() })
	front := d.hub.shownDoor(d.house.cfg.Doors[0])
	front.Picture, front.Faces = true, true
	d.hub.panel.show(discovery.Device(front, d.hub.hubInfo()))
	d.shows("image.front_last_picture", "unknown")
	d.hub.panel.show(discovery.Image("front", emptyDoorway(t)))
	d.until("the picture", func() bool { return d.state("image.front_last_picture").State != "unknown" })
}

func (d *coreDay) intrusionIsTold(t *testing.T) {
	phone := d.notices()
	for _, word := range []string{"open", "closed"} {
		_, err := pub(t, d.hub.as("kitchen"), "-t", kitchenIn, "-m", word)
		must(t, err)
	}
	notifies(t, phone, "Intrusion: kitchen was opened")
}

func (d *coreDay) noticeLocks(t *testing.T) {
	phone := d.notices()
	must(t, d.service("lock", "unlock", map[string]any{"entity_id": "lock.front", "code": annRemote}))
	d.shows("lock.front", "unlocked")
	d.hub.enters(noPIN)
	n := notifies(t, phone, "denied")
	must(t, d.call("POST", "/api/events/mobile_app_notification_action", map[string]string{"action": n.Data.Actions[0].Action}, nil))
	d.shows("lock.front", "locked")
}

func (d *coreDay) annIsWelcomed(t *testing.T) {
	phone := d.notices()
	d.comesIn(t)
	notifies(t, phone, "Hello Ann")
}

func (d *coreDay) leftOpenIsTold(t *testing.T) {
	phone, leaf := d.notices(), d.hub.doors["front"].sim
	leaf.Force()
	notifies(t, phone, "front was opened by force")
	for range 2 {
		notifies(t, phone, "Front door Contact is still open")
	}
	must(t, leaf.Shut())
	d.shows("binary_sensor.front_contact", "off")
}

// dashboardIsWhole: its cards are Home Assistant's own, and each entity is there or hides where it
// is not.
func (d *coreDay) dashboardIsWhole(t *testing.T) {
	var got any
	d.command(&got, "lovelace/config", map[string]any{"url_path": "doorhub-house"})
	var want any
	must(t, yaml.Unmarshal([]byte(readFile(t, deployHome+"/dashboard.yaml")), &want))
	if string(mustJSON(t, got)) != string(mustJSON(t, want)) {
		t.Error("Home Assistant has another dashboard")
	}
	there := d.entities()
	optional := []string{"camera.front", "sensor.doorhub_database_backlog"}
	named := 0
	walk(got, func(key string, value any) {
		text, _ := value.(string)
		switch {
		case key == "type" && strings.HasPrefix(text, "custom:"):
			t.Errorf("a card that is not Home Assistant's own: %s", text)
		case key == "entity" || key == "camera_image":
			named++
			if _, ok := there[text]; !ok && !slices.Contains(optional, text) {
				t.Errorf("nobody announced %s", text)
			}
		}
	})
	if named < 20 {
		t.Errorf("%d entities only", named)
	}
}

// walk visits all values of all objects.
func walk(v any, visit func(key string, value any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			visit(key, value)
			walk(value, visit)
		}
	case []any:
		for _, value := range v {
			walk(value, visit)
		}
	}
}
