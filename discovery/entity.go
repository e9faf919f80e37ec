package discovery

import (
	"encoding/json"
	"fmt"

	"github.com/doorhub/doorhub/door"
)

// diagnostic keeps an entity out of the dashboards that Home Assistant makes.
const diagnostic = "diagnostic"

// remembered is how many events an event entity knows again.
const remembered = 16

// EventTemplate has an event entity take records of these kinds, and no other: of those Home
// Assistant would warn. It also keeps the numbers of the last events, and takes none twice: an
// event is told again to who may have been deaf. What has the number 0 is not in the journal yet.
func EventTemplate(kinds []string) string {
	list, _ := json.Marshal(kinds) // words: they always encode
	return fmt.Sprintf(`{%% set seen = this.attributes.recent | default([], true) %%}`+
		`{%% if value_json.kind in %s and (value_json.seq == 0 or value_json.seq not in seen) %%}`+
		`{{ dict(value_json, event_type=value_json.kind, recent=(seen + [value_json.seq])[-%d:]) | tojson }}{%% endif %%}`, list, remembered)
}

// AccessKinds are the kinds of records that a door's event entity tells.
func AccessKinds() []string {
	return words([]door.Kind{door.KindGranted, door.KindDenied, door.KindEntry, door.KindExit, door.KindNotEntered,
		door.KindForced, door.KindHeldOpen, door.KindLockout, door.KindREX})
}

// HouseKinds are the kinds of records that the house's event entity tells. Sensors that fail or
// are tampered with are not told yet, but automations may be written for them.
func HouseKinds() []string {
	return words([]door.Kind{door.KindIntrusion, "sensor_lost", "tamper", door.KindProblem})
}

func words[T ~string](from []T) []string {
	to := make([]string, len(from))
	for i, w := range from {
		to[i] = string(w)
	}
	return to
}

// entity is what an entity of a device says; key is of its unique id, never to be changed.
func entity(platform, device, key, entityID, called string) common {
	return common{Platform: platform, UniqueID: device + "_" + key, EntityID: platform + "." + entityID, Name: &called}
}

func (c common) icon(of string) common { c.Icon = of; return c }

func (c common) diagnostic() common { c.Category = diagnostic; return c }

// whenHub has an entity there as long as the hub is, also where its device is not.
func (c common) whenHub(hub Hub) common {
	c.Availability = &[]availability{{Topic: statusTopic(hub.Instance), Available: online, NotAvailable: offline}}
	return c
}

func lockOf(d Door, id string) lockEntity {
	c := entity("lock", id, "lock", slug(d.ID), "")
	c.Name = nil
	return lockEntity{
		common: c, StateTopic: doorTopic(d.ID, "lock"), Locked: "LOCKED", Locking: "LOCKING",
		Unlocked: "UNLOCKED", Unlocking: "UNLOCKING", Jammed: "JAMMED",
		CommandTopic: commandTopic(d.ID), CommandTemplate: CommandTemplate, CodeFormat: CodeFormat,
		Lock: wordLock, Unlock: wordUnlock,
	}
}

func relockOf(d Door, id string) buttonEntity {
	return buttonEntity{common: entity("button", id, "relock", slug(d.ID)+"_relock", "Relock").icon("mdi:lock-reset"),
		CommandTopic: commandTopic(d.ID), Press: wordLock}
}

func personOf(d Door, id string) sensorEntity {
	topic := doorTopic(d.ID, "person")
	return sensorEntity{common: entity("sensor", id, "person", slug(d.ID)+"_last_person", "Last person").icon("mdi:account-clock"),
		StateTopic: topic, ValueTemplate: "{{ value_json.name }}", AttributesTopic: topic}
}

func accessOf(d Door, id string) eventEntity {
	return eventEntity{common: entity("event", id, "access", slug(d.ID)+"_access", "Access").icon("mdi:door"),
		EventTypes: AccessKinds(), StateTopic: doorTopic(d.ID, "event"), ValueTemplate: EventTemplate(AccessKinds())}
}

func pictureOf(d Door, id string) imageEntity {
	return imageEntity{common: entity("image", id, "picture", slug(d.ID)+"_last_picture", "Last picture"),
		ImageTopic: doorTopic(d.ID, "image"), ContentType: "image/jpeg"}
}

func cameraOf(d Door, id string) cameraEntity {
	return cameraEntity{common: entity("camera", id, "camera", slug(d.ID), "Camera"), Topic: doorTopic(d.ID, "camera")}
}

func contactOf(d Door, id string) binaryEntity {
	return opening(entity("binary_sensor", id, "contact", slug(d.ID)+"_contact", "Contact"), ClassDoor, doorTopic(d.ID, "contact"))
}

func opening(c common, class Class, topic string) binaryEntity {
	return binaryEntity{common: c, DeviceClass: string(class), StateTopic: topic, On: wordOpen, Off: wordClosed}
}

func promptOf(d Door, id string) sensorEntity {
	return sensorEntity{common: entity("sensor", id, "prompt", slug(d.ID)+"_prompt", "Prompt"),
		DeviceClass: "enum", Options: words(door.Sayings()), StateTopic: doorTopic(d.ID, "prompt")}
}

func problemOf(device, slug, topic string) binaryEntity {
	return binaryEntity{common: entity("binary_sensor", device, "problem", slug+"_problem", "Problem").diagnostic(), DeviceClass: "problem",
		StateTopic: topic, ValueTemplate: "{{ 'ON' if value_json.problems else 'OFF' }}", On: "ON", Off: "OFF", AttributesTopic: topic}
}

func grantOf(d Door, id string) sensorEntity {
	topic := doorTopic(d.ID, "settings")
	return sensorEntity{common: entity("sensor", id, "grant", slug(d.ID)+"_relock_time", "Relock time").diagnostic(),
		DeviceClass: "duration", Unit: "s", StateTopic: topic, ValueTemplate: "{{ value_json.grant }}"}
}

func policyOf(d Door, id string) sensorEntity {
	topic := doorTopic(d.ID, "settings")
	return sensorEntity{common: entity("sensor", id, "policy", slug(d.ID)+"_policy", "Policy").diagnostic().icon("mdi:shield-key"),
		StateTopic: topic, ValueTemplate: "{{ value_json.policy }}", AttributesTopic: topic}
}

func livenessOf(d Door, id string) sensorEntity {
	return sensorEntity{common: entity("sensor", id, "liveness", slug(d.ID)+"_liveness", "Liveness mode").diagnostic(), DeviceClass: "enum",
		Options: words(door.LivenessModes()), StateTopic: doorTopic(d.ID, "settings"), ValueTemplate: "{{ value_json.liveness }}"}
}

func sensorStatusOf(s Sensor, id string, hub Hub) sensorEntity {
	return sensorEntity{common: entity("sensor", id, "status", slug(s.ID)+"_status", "Status").diagnostic().whenHub(hub), DeviceClass: "enum",
		Options: words(SensorStatuses()), StateTopic: sensorTopic(s.ID, "health"), ValueTemplate: "{{ value_json.status }}"}
}

func lastSeenOf(s Sensor, id string, hub Hub) sensorEntity {
	return sensorEntity{common: entity("sensor", id, "seen", slug(s.ID)+"_last_seen", "Last seen").diagnostic().whenHub(hub), DeviceClass: "timestamp",
		StateTopic: sensorTopic(s.ID, "health"), ValueTemplate: "{{ value_json.seen }}"}
}

func houseEventOf() eventEntity {
	return eventEntity{common: entity("event", HouseDevice, "event", maker, "Event").icon("mdi:home-alert"),
		EventTypes: HouseKinds(), StateTopic: HouseEventTopic, ValueTemplate: EventTemplate(HouseKinds())}
}

// hubStatusOf is always there: what it tells is whether all else is.
func hubStatusOf(hub Hub) binaryEntity {
	c := entity("binary_sensor", HouseDevice, "status", maker+"_status", "Status").diagnostic()
	c.Availability = &[]availability{}
	return binaryEntity{common: c, DeviceClass: "connectivity", StateTopic: statusTopic(hub.Instance), On: online, Off: offline}
}

func journalOf(hub Hub) sensorEntity {
	topic := hubTopic(hub.Instance, "journal")
	return sensorEntity{common: entity("sensor", HouseDevice, "journal", maker+"_journal_head", "Journal head").diagnostic().icon("mdi:book-lock"),
		StateTopic: topic, ValueTemplate: "{{ value_json.seq }}", AttributesTopic: topic}
}

func clockOf(hub Hub) sensorEntity {
	return sensorEntity{common: entity("sensor", HouseDevice, "clock", maker+"_clock", "Clock").diagnostic(), DeviceClass: "enum",
		Options: []string{clockSynced, clockUnsynced}, StateTopic: hubTopic(hub.Instance, "journal"), ValueTemplate: "{{ value_json.clock }}"}
}

func insideOf() sensorEntity {
	topic := houseTopic("inside")
	return sensorEntity{common: entity("sensor", HouseDevice, "inside", maker+"_people_inside", "People inside").icon("mdi:account-group"),
		StateClass: "measurement", StateTopic: topic, ValueTemplate: "{{ value_json.count }}", AttributesTopic: topic}
}

func backlogOf(hub Hub) sensorEntity {
	topic := hubTopic(hub.Instance, "history")
	return sensorEntity{common: entity("sensor", HouseDevice, "backlog", maker+"_database_backlog", "Database backlog").diagnostic().icon("mdi:database-clock"),
		StateClass: "measurement", StateTopic: topic, ValueTemplate: "{{ value_json.backlog }}", AttributesTopic: topic}
}

// whereaboutsOf has no entity id of its own: it would hold a name or a number.
func whereaboutsOf(r Resident, id string) binaryEntity {
	called := "Inside"
	topic := personTopic(r.ID)
	return binaryEntity{common: common{Platform: "binary_sensor", UniqueID: id + "_inside", Name: &called}, DeviceClass: "presence",
		StateTopic: topic, ValueTemplate: "{{ 'ON' if value_json.inside else 'OFF' }}", On: "ON", Off: "OFF", AttributesTopic: topic}
}
