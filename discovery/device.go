package discovery

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	Picture bool   // the picture of its last event is told, by Image
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

// Device returns the discovery message of a door: one device with its lock, the last person
// recognised there and, where there are, its contact and last picture. To be sent at start,
// after every birth of Home Assistant, and when something of it changes.
func Device(d Door, hub Hub) Message {
	id := DoorDevice(d.ID)
	return config(id, hub, deviceInfo{
		Identifiers: []string{id}, Name: name(d.Name, d.ID), Manufacturer: maker, Model: "Door",
		SWVersion: name(hub.Version, ""), SuggestedArea: name(d.Area, ""),
	}, map[string]any{
		"lock":    lockOf(d, id),
		"person":  personOf(d, id),
		"contact": contactOf(d, id),
		"picture": pictureOf(d, id),
	})
}

// Window returns the discovery message of an intrusion sensor. An unknown class counts as
// opening, since Home Assistant would refuse it.
func Window(s Sensor, hub Hub) Message {
	id, class := SensorDevice(s.ID), s.Class
	if class.Validate() != nil {
		class = ClassOpening
	}
	return config(id, hub, deviceInfo{
		Identifiers: []string{id}, Name: name(s.Name, s.ID), Manufacturer: maker, Model: "Intrusion sensor",
		SWVersion: name(hub.Version, ""), SuggestedArea: name(s.Area, ""),
	}, map[string]any{
		"contact": opening(id+"_contact", "binary_sensor."+slug(s.ID), nil, class, sensorTopic(s.ID, "contact")),
	})
}

// Remove returns the message that makes Home Assistant forget the device that DoorDevice or
// SensorDevice names, with all its entities.
func Remove(device string, hub Hub) Message {
	return state(configTopic(hub.Prefix, device), []byte{})
}

// DeviceFilter is what the hub subscribes to for Orphan.
func DeviceFilter(hub Hub) string { return configTopic(hub.Prefix, "+") }

// Orphan reports whether a message from DeviceFilter, which the broker has kept, is this
// hub's own and yet for a door or sensor that it no longer has; keep lists the devices, by
// DoorDevice and SensorDevice, that it has. The message returned removes the device.
func Orphan(topic string, payload []byte, hub Hub, keep []string) (Message, bool) {
	device, ok := strings.CutPrefix(topic, hub.Prefix+"/device/")
	device, isConfig := strings.CutSuffix(device, "/config")
	if !ok || !isConfig || slices.Contains(keep, device) {
		return Message{}, false
	}
	var c struct {
		Origin       origin         `json:"o"`
		Availability []availability `json:"availability"`
	}
	if json.Unmarshal(payload, &c) != nil || c.Origin.Name != maker || len(c.Availability) != 1 ||
		c.Availability[0].Topic != statusTopic(hub.Instance) {
		return Message{}, false
	}
	return Remove(device, hub), true
}

func config(id string, hub Hub, dev deviceInfo, parts map[string]any) Message {
	return state(configTopic(hub.Prefix, id), encode(deviceConfig{
		Device:       dev,
		Origin:       origin{Name: maker, SWVersion: name(hub.Version, ""), SupportURL: Support},
		Availability: []availability{{Topic: statusTopic(hub.Instance), Available: online, NotAvailable: offline}},
		QoS:          atLeastOnce,
		Components:   parts,
	}))
}

func lockOf(d Door, id string) lockEntity {
	return lockEntity{
		Platform: "lock", UniqueID: id + "_lock", EntityID: "lock." + slug(d.ID),
		StateTopic: doorTopic(d.ID, "lock"), Locked: "LOCKED", Locking: "LOCKING",
		Unlocked: "UNLOCKED", Unlocking: "UNLOCKING", Jammed: "JAMMED",
		CommandTopic: commandTopic(d.ID), CommandTemplate: CommandTemplate, CodeFormat: CodeFormat,
		Lock: wordLock, Unlock: wordUnlock,
	}
}

func personOf(d Door, id string) personEntity {
	topic := doorTopic(d.ID, "person")
	return personEntity{
		Platform: "sensor", UniqueID: id + "_person", EntityID: "sensor." + slug(d.ID) + "_last_person",
		Name: "Last person", Icon: "mdi:account-clock",
		StateTopic: topic, ValueTemplate: "{{ value_json.name }}", AttributesTopic: topic,
	}
}

func pictureOf(d Door, id string) any {
	if !d.Picture {
		return absent{Platform: "image"}
	}
	return imageEntity{
		Platform: "image", UniqueID: id + "_picture", EntityID: "image." + slug(d.ID) + "_last_picture",
		Name: "Last picture", ImageTopic: doorTopic(d.ID, "image"), ContentType: "image/jpeg",
	}
}

func contactOf(d Door, id string) any {
	if !d.Contact {
		return absent{Platform: "binary_sensor"}
	}
	called := "Contact"
	return opening(id+"_contact", "binary_sensor."+slug(d.ID)+"_contact", &called, ClassDoor, doorTopic(d.ID, "contact"))
}

func opening(unique, entity string, called *string, class Class, topic string) contactEntity {
	return contactEntity{
		Platform: "binary_sensor", UniqueID: unique, EntityID: entity, Name: called,
		DeviceClass: class, StateTopic: topic, Open: wordOpen, Closed: wordClosed,
	}
}
