package discovery

import (
	"fmt"
	"slices"
)

// Support is where an owner finds help; Home Assistant shows it beside the device.
const Support = "https://github.com/doorhub/doorhub"

// maker stands behind every device; Orphan knows the hub's own messages by it.
const maker = "doorhub"

// CodeFormat is what Home Assistant lets people type as a code. It matches nothing typed,
// too, or Home Assistant would ask for a code to lock as well.
const CodeFormat = `^(\d{8,})?$`

// CommandTemplate is the Jinja template by which Home Assistant words a command. Locking and
// unlocking without a code send an empty one.
const CommandTemplate = `{"action":{{ value | tojson }},"code":{{ code | default('', true) | tojson }},"at":{{ now().timestamp() }}}`

// Hub is what every device says of the hub that sends it.
type Hub struct {
	Prefix   string // discovery prefix, Config.Prefix
	Instance string // name in doorhub/instance/<name>/status
	Version  string // of doorhub
}

// Door is a door as Home Assistant shall show it.
type Door struct {
	ID      string // door.Portal.ID
	Name    string // for people, as "Front door"; "": the id
	Area    string // suggested area, as "Hall"; "": none
	Contact bool   // it has a contact
	Readers bool   // it has a keypad, a camera or the like, whose users are told what to do
	Faces   bool   // it has a camera, so that liveness means something
	Picture bool   // the picture of its last event is told, by Image
	Stills  bool   // what its camera sees is told while somebody is there, by Still
}

// House is what belongs to no single door.
type House struct {
	Inside  bool // how many are inside is told
	History bool // there is a database that the journal is sent to
}

// Resident is a person as Home Assistant shall show them.
type Resident struct {
	ID   string // door.Person.ID
	Name string // what they are called; "": the id
}

// Sensor is an intrusion sensor as Home Assistant shall show it.
type Sensor struct {
	ID    string `yaml:"id"`    // in topics and records; never change it
	Name  string `yaml:"name"`  // for people, as "Kitchen window"; "": the id
	Area  string `yaml:"area"`  // suggested area, as "Kitchen"; "": none
	Class Class  `yaml:"class"` // what it watches: window, door, garage_door or opening
}

// Class is what a sensor watches, in Home Assistant's words for a binary sensor.
type Class string

// The classes of sensors.
const (
	ClassWindow     Class = "window"
	ClassDoor       Class = "door"
	ClassGarageDoor Class = "garage_door"
	ClassOpening    Class = "opening" // anything else that opens
)

// Validate reports a class that Home Assistant would refuse.
func (c Class) Validate() error {
	if !slices.Contains([]Class{ClassWindow, ClassDoor, ClassGarageDoor, ClassOpening}, c) {
		return fmt.Errorf("class: %q: use window, door, garage_door or opening", string(c))
	}
	return nil
}

// DoorDevice returns the name under which a door's device is known to Home Assistant. It and
// all unique ids come from the door's id alone, so that a new name changes none of them.
func DoorDevice(id string) string { return "doorhub_door_" + id }

// SensorDevice is DoorDevice for a sensor.
func SensorDevice(id string) string { return "doorhub_sensor_" + id }

// PersonDevice is DoorDevice for a person.
func PersonDevice(id string) string { return "doorhub_person_" + id }

// HouseDevice is DoorDevice for what belongs to no single door. It does not name the hub, as the
// topics of the house do not.
const HouseDevice = "doorhub_house"

// Device returns the discovery message of a door: one device with all that the door has. To be
// sent at start, after every birth of Home Assistant, and when something of it changes.
func Device(d Door, hub Hub) Message {
	id := DoorDevice(d.ID)
	parts := map[string]any{
		"lock":    lockOf(d, id),
		"relock":  relockOf(d, id),
		"person":  personOf(d, id),
		"access":  accessOf(d, id),
		"problem": problemOf(id, slug(d.ID), doorTopic(d.ID, "problem")),
		"grant":   grantOf(d, id),
		"policy":  policyOf(d, id),
	}
	if d.Contact {
		parts["contact"] = contactOf(d, id)
	}
	if d.Readers {
		parts["prompt"] = promptOf(d, id)
	}
	if d.Faces {
		parts["liveness"] = livenessOf(d, id)
	}
	if d.Picture {
		parts["picture"] = pictureOf(d, id)
	}
	if d.Stills {
		parts["camera"] = cameraOf(d, id)
	}
	return config(id, hub, deviceInfo{Name: name(d.Name, d.ID), Model: "Door", SuggestedArea: name(d.Area, "")},
		parts, doorTopic(d.ID, "status"))
}

// Window returns the discovery message of an intrusion sensor. An unknown class counts as
// opening, since Home Assistant would refuse it.
func Window(s Sensor, hub Hub) Message {
	id, class := SensorDevice(s.ID), s.Class
	if class.Validate() != nil {
		class = ClassOpening
	}
	contact := opening(common{Platform: "binary_sensor", UniqueID: id + "_contact", EntityID: "binary_sensor." + slug(s.ID)},
		class, sensorTopic(s.ID, "contact"))
	return config(id, hub, deviceInfo{Name: name(s.Name, s.ID), Model: "Intrusion sensor", SuggestedArea: name(s.Area, "")},
		map[string]any{"contact": contact, "status": sensorStatusOf(s, id, hub), "seen": lastSeenOf(s, id, hub)},
		sensorTopic(s.ID, "status"))
}

// Home returns the discovery message of what belongs to no single door.
func Home(h House, hub Hub) Message {
	parts := map[string]any{
		"event":   houseEventOf(),
		"status":  hubStatusOf(hub),
		"problem": problemOf(HouseDevice, maker, houseTopic("problem")),
		"journal": journalOf(hub),
		"clock":   clockOf(hub),
	}
	if h.Inside {
		parts["inside"] = insideOf()
	}
	if h.History {
		parts["backlog"] = backlogOf(hub)
	}
	return config(HouseDevice, hub, deviceInfo{Name: maker, Model: "House"}, parts)
}

// Known returns the discovery message of a person, whose whereabouts Whereabouts tells. Home
// Assistant makes the entity's id of the first name that it hears, and keeps it.
func Known(r Resident, hub Hub) Message {
	id := PersonDevice(r.ID)
	return config(id, hub, deviceInfo{Name: name(r.Name, r.ID), Model: "Person"}, map[string]any{"inside": whereaboutsOf(r, id)})
}

func config(id string, hub Hub, dev deviceInfo, parts map[string]any, alive ...string) Message {
	dev.Identifiers, dev.Manufacturer, dev.SWVersion = []string{id}, maker, name(hub.Version, "")
	available := []availability{}
	for _, topic := range append([]string{statusTopic(hub.Instance)}, alive...) {
		available = append(available, availability{Topic: topic, Available: online, NotAvailable: offline})
	}
	return state(configTopic(hub.Prefix, id), encode(deviceConfig{
		Device:       dev,
		Origin:       origin{Name: maker, SWVersion: name(hub.Version, ""), SupportURL: Support},
		Availability: available,
		Mode:         "all",
		QoS:          atLeastOnce,
		Components:   parts,
	}))
}
