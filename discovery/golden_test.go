package discovery

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

var update = flag.Bool("update", false, "write the golden files anew")

var hub = Hub{Prefix: "homeassistant", Instance: "hub", Version: "0.1.0"}

var front = Door{ID: "front", Name: "Front door", Area: "Hall", Contact: true, Readers: true, Faces: true, Picture: true, Stills: true}

var record = door.Record{
	Seq:  42,
	Time: time.Date(2026, 11, 21, 6, 30, 0, 120000001, time.UTC),
	Clock: door.Clock{
		Synced: true, Boot: "5b0f3c9e", Mono: 90 * time.Second,
	},
	Door: "front", Kind: door.KindEntry, Side: door.Entry, Person: "p1",
	Factors: door.SetOf(door.PIN, door.FaceID),
	Reason:  "late",
	Details: map[string]string{"distance": "0.41", "liveness": "unjudged"},
	Sealed:  []byte("sealed bytes"), Prev: []byte("previous hash"), Hash: []byte("its own hash"),
}

var embeddedBus = BusHealth{
	Since: time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC), Connections: 4, Sessions: 5, Users: 3, Retained: 40,
	MessagesIn: 1.25, MessagesOut: 3.333333, BytesIn: 120.04, BytesOut: 512, Queued: 2, QueueBytes: 700,
	Dropped: 1, RefusedLogins: 2, RefusedMessages: 3, Floods: 4, Problems: []string{"bus_user/kitchen flooding"},
}

var externalBus = BusLink{
	URL: "mqtts://broker.lan:8883", Up: true, Since: time.Date(2026, 11, 21, 6, 0, 0, 5000, time.UTC), Reconnects: 3, Backlog: 12,
}

var plainHouse = door.Config{Policy: []door.Set{door.SetOf(door.PIN, door.FaceID)}, Liveness: door.LivenessOff}

var elaborate = door.Config{
	Policy: []door.Set{door.SetOf(door.PIN, door.FaceID), door.SetOf(door.PIN)}, Fallback: []door.Set{door.SetOf(door.PIN, door.Card)},
	Liveness: door.LivenessChallenge, LivenessOf: map[door.Set]door.LivenessMode{door.SetOf(door.FaceID): door.LivenessPassive},
}

// Every byte that goes over the bus, in files that show what a change would do to the
// dashboards and automations of others.
func TestGolden(t *testing.T) {
	nasty := "Ann \"the\nboss\" <script>alert('1')</script>\x00\xff\u202e {{ 7*7 }} " + strings.Repeat("x", 10<<10)
	window := door.Record{Seq: 43, Time: record.Time, Kind: door.KindIntrusion, Details: map[string]string{"sensor": "kitchen"}}
	prompt := door.Prompt{Door: "front", Side: door.Entry, Say: door.SayFace, Person: "p1"}
	tests := map[string][]Message{
		"door":            {Device(front, hub)},
		"door_bare":       {Device(Door{ID: "back-door_2"}, Hub{Prefix: "ha/discovery", Instance: "cellar"})},
		"door_nasty_name": {Device(Door{ID: "front", Name: nasty, Area: nasty, Contact: true}, hub)},
		"window":          {Window(Sensor{ID: "kitchen", Name: "Kitchen window", Area: "Kitchen", Class: ClassWindow}, hub)},
		"window_unknown":  {Window(Sensor{ID: "hatch"}, hub)},
		"remove":          {Remove(DoorDevice("front"), hub), Remove(SensorDevice("kitchen"), hub)},
		"states": append(append(DoorStates("front", door.DoorState{Lock: door.Locked, Open: true}, true),
			DoorStates("back", door.DoorState{Lock: door.Jammed}, false)...), DoorStates("shed", door.DoorState{}, false)...),
		"person":      {Person("front", record, "Ann"), Person("front", record, nasty), Person("front", record, ""), Nobody("front")},
		"person_none": {Person("front", door.Record{Kind: door.KindExit}, "")},
		"sensor":      {SensorState("kitchen", true), SensorState("kitchen", false)},
		"event":       {Event(record, "Ann"), Event(record, nasty)},
		"event_house": {Event(window, "")},
		"replay": {Replayed("ha", record, "Ann"), Replayed("ha", window, ""), ReplayEnd("ha", 41, 2, 43),
			ReplayRefused("ha", ErrAfter.Error(), 43)},
		"prompt": {Prompt(prompt)},
		"image":  {Image("front", []byte("a JPEG file")), Image("front", nil), Still("front", []byte("a JPEG file"))},
		"bus": {EmbeddedBus("hub", embeddedBus), EmbeddedBus("hub", BusHealth{}),
			ExternalBus("hub", externalBus), ExternalBus("hub", BusLink{})},
		"history": {History("hub", HistoryState{Backlog: 12, Refused: 1, Last: record.Time, Problem: "database_down"}),
			History("hub", HistoryState{}), NoHistory("hub")},
		"status":     {Status("hub", true), Status("hub", false), DoorStatus("front", true)},
		"house":      {Home(House{Inside: true, History: true}, hub)},
		"house_bare": {Home(House{}, hub)},
		"resident":   {Known(Resident{ID: "p1", Name: "Ann"}, hub), Known(Resident{ID: "p2", Name: nasty}, hub), Known(Resident{ID: "p3"}, hub)},
		"settings":   {DoorSettings(door.Portal{Egress: door.EgressHandle, Grant: 5 * time.Second, HeldOpen: time.Minute}, plainHouse), DoorSettings(door.Portal{ID: "front", Egress: door.EgressREX}, elaborate)},
		"problem":    {DoorProblems("front", []string{"lock/front jammed"}), DoorProblems("front", nil), HouseProblems([]string{"bus broker_down"})},
		"health":     append(SensorHealth("kitchen", SensorOK, record.Time), SensorHealth("hatch", SensorUnheard, time.Time{})...),
		"inside": {Inside(2, true, []string{nasty, "Ann"}), Inside(0, false, []string{}), Inside(3, true, nil), NobodyTold(),
			Whereabouts("p1", true, false), Unknown("p1")},
		"journal": {Journal("hub", 42, []byte{0x0b, 0xad}, true), Journal("hub", 0, nil, false)},
	}
	for name, messages := range tests {
		t.Run(name, func(t *testing.T) { golden(t, name, messages) })
	}
}

func golden(t *testing.T, name string, messages []Message) {
	t.Helper()
	var got bytes.Buffer
	for _, m := range messages {
		got.WriteString(inWords(t, m))
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test -update and read what it writes", err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// inWords shows a message as JSON: the payload in place when it is JSON itself, else as text.
func inWords(t *testing.T, m Message) string {
	t.Helper()
	payload := json.RawMessage(m.Payload)
	if len(payload) == 0 || payload[0] != '{' {
		payload = encode(string(m.Payload))
	}
	var out bytes.Buffer
	line := fmt.Sprintf(`{"topic":%s,"retain":%t,"qos":%d,"payload":%s}`, encode(m.Topic), m.Retain, m.QoS, payload)
	if err := json.Indent(&out, []byte(line), "", "  "); err != nil {
		t.Fatalf("%s: %v in %s", m.Topic, err, line)
	}
	return out.String() + "\n"
}
