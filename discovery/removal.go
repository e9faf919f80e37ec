package discovery

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Remove returns the message that makes Home Assistant forget the device that DoorDevice,
// SensorDevice or PersonDevice names, with all its entities.
func Remove(device string, hub Hub) Message {
	return state(configTopic(hub.Prefix, device), []byte{})
}

// Removes reports whether a message is one of Remove.
func Removes(m Message) bool { return len(m.Payload) == 0 && IsConfig(m.Topic) }

// IsConfig reports whether a topic is one of discovery.
func IsConfig(topic string) bool {
	return strings.HasSuffix(topic, "/config") && !strings.HasPrefix(topic, "doorhub/")
}

// DeviceFilter is what the hub subscribes to for Orphan and Shrunk.
func DeviceFilter(hub Hub) string { return configTopic(hub.Prefix, "+") }

// DeviceOf returns the device that a discovery message is about; "" where its topic is none.
func DeviceOf(topic string, hub Hub) string {
	device, ok := strings.CutPrefix(topic, hub.Prefix+"/device/")
	device, isConfig := strings.CutSuffix(device, "/config")
	if !ok || !isConfig {
		return ""
	}
	return device
}

// kept is what the hub wants to know of a discovery message that the broker has kept.
type kept struct {
	Origin       origin                                `json:"o"`
	Availability []availability                        `json:"availability"`
	Components   map[string]map[string]json.RawMessage `json:"cmps"`
}

// ours reads a message from DeviceFilter, if it is one of this hub's own.
func ours(topic string, payload []byte, hub Hub) (device string, k kept, ok bool) {
	device = DeviceOf(topic, hub)
	if device == "" || json.Unmarshal(payload, &k) != nil || k.Origin.Name != maker {
		return device, k, false
	}
	return device, k, slices.ContainsFunc(k.Availability, func(a availability) bool { return a.Topic == statusTopic(hub.Instance) })
}

// Orphan reports whether a message from DeviceFilter, which the broker has kept, is this
// hub's own and yet for a device that it no longer has; keep lists the devices that it has. The
// message returned removes the device.
func Orphan(topic string, payload []byte, hub Hub, keep []string) (Message, bool) {
	device, _, ok := ours(topic, payload, hub)
	if !ok || slices.Contains(keep, device) {
		return Message{}, false
	}
	return Remove(device, hub), true
}

// Shrunk returns now, the present discovery message of a device, with the entities that the one
// of old had and now lacks: Home Assistant forgets an entity only when it is told to, once. It
// reports whether there are any.
func Shrunk(now Message, old []byte, hub Hub) (Message, bool) {
	_, was, ok := ours(now.Topic, old, hub)
	var whole map[string]json.RawMessage
	var parts map[string]any
	if !ok || json.Unmarshal(now.Payload, &whole) != nil || json.Unmarshal(whole["cmps"], &parts) != nil {
		return now, false
	}
	gone := false
	for _, id := range slices.Sorted(maps.Keys(was.Components)) {
		platform, _ := text(was.Components[id]["platform"])
		if _, there := parts[id]; !there && platform != "" {
			parts[id], gone = absent{Platform: platform}, true
		}
	}
	if !gone {
		return now, false
	}
	whole["cmps"] = encode(parts)
	return state(now.Topic, encode(whole)), true
}
