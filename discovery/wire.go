package discovery

// The shapes below are what goes over the wire, key by key. Home Assistant refuses a whole
// device for one unknown key at its top, in dev or in o, and drops an unknown key inside a
// component without a word: nothing may be added here that its schema does not list.

type deviceConfig struct {
	Device       deviceInfo     `json:"dev"`
	Origin       origin         `json:"o"`
	Availability []availability `json:"availability"`
	Mode         string         `json:"availability_mode"`
	QoS          byte           `json:"qos"` // of Home Assistant's subscriptions and commands
	Components   map[string]any `json:"cmps"`
}

type deviceInfo struct {
	Identifiers   []string `json:"identifiers"`
	Name          string   `json:"name"`
	Manufacturer  string   `json:"manufacturer"`
	Model         string   `json:"model"`
	SWVersion     string   `json:"sw_version,omitempty"`
	SuggestedArea string   `json:"suggested_area,omitempty"`
}

type origin struct {
	Name       string `json:"name"`
	SWVersion  string `json:"sw_version,omitempty"`
	SupportURL string `json:"support_url"`
}

type availability struct {
	Topic        string `json:"topic"`
	Available    string `json:"payload_available"`
	NotAvailable string `json:"payload_not_available"`
}

// common is what every entity says. One with a null name is shown by the device's name alone.
// Availability, where it is not null, stands in place of the device's; empty: always there.
type common struct {
	Platform     string          `json:"platform"`
	UniqueID     string          `json:"unique_id"`
	EntityID     string          `json:"default_entity_id,omitempty"`
	Name         *string         `json:"name"`
	Icon         string          `json:"icon,omitempty"`
	Category     string          `json:"entity_category,omitempty"`
	Availability *[]availability `json:"availability,omitempty"`
}

type lockEntity struct {
	common
	StateTopic      string `json:"state_topic"`
	Locked          string `json:"state_locked"`
	Locking         string `json:"state_locking"`
	Unlocked        string `json:"state_unlocked"`
	Unlocking       string `json:"state_unlocking"`
	Jammed          string `json:"state_jammed"`
	CommandTopic    string `json:"command_topic"`
	CommandTemplate string `json:"command_template"`
	CodeFormat      string `json:"code_format"`
	Lock            string `json:"payload_lock"`
	Unlock          string `json:"payload_unlock"`
	Optimistic      bool   `json:"optimistic"` // false: the lock is as the hub says, not as it was told
	Retain          bool   `json:"retain"`     // false: a retained command is refused
}

type buttonEntity struct {
	common
	CommandTopic string `json:"command_topic"`
	Press        string `json:"payload_press"`
	Retain       bool   `json:"retain"`
}

type sensorEntity struct {
	common
	DeviceClass     string   `json:"device_class,omitempty"`
	Options         []string `json:"options,omitempty"`
	Unit            string   `json:"unit_of_measurement,omitempty"`
	StateClass      string   `json:"state_class,omitempty"`
	StateTopic      string   `json:"state_topic"`
	ValueTemplate   string   `json:"value_template,omitempty"`
	AttributesTopic string   `json:"json_attributes_topic,omitempty"`
}

type binaryEntity struct {
	common
	DeviceClass     string `json:"device_class"`
	StateTopic      string `json:"state_topic"`
	ValueTemplate   string `json:"value_template,omitempty"`
	On              string `json:"payload_on"`
	Off             string `json:"payload_off"`
	AttributesTopic string `json:"json_attributes_topic,omitempty"`
}

type eventEntity struct {
	common
	EventTypes    []string `json:"event_types"`
	StateTopic    string   `json:"state_topic"`
	ValueTemplate string   `json:"value_template"`
}

type imageEntity struct {
	common
	ImageTopic  string `json:"image_topic"`
	ContentType string `json:"content_type"`
}

type cameraEntity struct {
	common
	Topic string `json:"topic"`
}

// absent makes Home Assistant forget a component that an earlier message named.
type absent struct {
	Platform string `json:"platform"`
}

// personState is the last person recognised at a door; nulls when there is none.
type personState struct {
	ID      *string `json:"id"`
	Name    *string `json:"name"`
	Time    *string `json:"time"`
	Side    *string `json:"side"`
	Factors *string `json:"factors"`
	Kind    *string `json:"kind"`
}

// settings are those of a door that its owner may want to see; durations in seconds.
type settings struct {
	Policy     string            `json:"policy"`
	Fallback   string            `json:"fallback,omitempty"`
	Grant      float64           `json:"grant"`
	HeldOpen   float64           `json:"held_open"`
	Egress     string            `json:"egress"`
	Liveness   string            `json:"liveness"`
	LivenessOf map[string]string `json:"liveness_of,omitempty"`
}

// problems are what is wrong, by part and reason.
type problems struct {
	Problems []string `json:"problems"`
}

// sensorHealth is how a sensor fares; no seen where nothing was heard of it.
type sensorHealth struct {
	Status string  `json:"status"`
	Seen   *string `json:"seen"`
}

// insideState is who is inside; no names where these are not to be told.
type insideState struct {
	Count   int       `json:"count"`
	Certain bool      `json:"certain"`
	Names   *[]string `json:"names,omitempty"`
}

// whereabouts is where one person is.
type whereabouts struct {
	Inside  bool `json:"inside"`
	Certain bool `json:"certain"`
}

// journalState is the journal's end: whoever keeps heads finds out that it was cut off.
type journalState struct {
	Seq   uint64 `json:"seq"`
	Hash  string `json:"hash"`
	Clock string `json:"clock"`
}

// busHealth is how the embedded broker fares; what goes in and out is a second.
type busHealth struct {
	Mode            string   `json:"mode"`
	Since           string   `json:"since"`
	Connections     int      `json:"connections"`
	Sessions        int      `json:"sessions"`
	Users           int      `json:"users"`
	Retained        int      `json:"retained"`
	MessagesIn      float64  `json:"messages_in"`
	MessagesOut     float64  `json:"messages_out"`
	BytesIn         float64  `json:"bytes_in"`
	BytesOut        float64  `json:"bytes_out"`
	Queued          int      `json:"queued"`
	QueueBytes      int      `json:"queue_bytes"`
	Dropped         uint64   `json:"dropped"`
	RefusedLogins   uint64   `json:"refused_logins"`
	RefusedMessages uint64   `json:"refused_messages"`
	Floods          uint64   `json:"floods"`
	Problems        []string `json:"problems"`
}

// busLink is how the connection to a broker elsewhere fares.
type busLink struct {
	Mode       string   `json:"mode"`
	URL        string   `json:"url"`
	Up         bool     `json:"up"`
	Since      string   `json:"since"`
	Reconnects uint64   `json:"reconnects"`
	Backlog    uint64   `json:"backlog"`
	Problems   []string `json:"problems"`
}

// event is a journal record as the bus carries it. What is sealed stays in the journal, and
// so do its hashes, which prove nothing without their key.
type event struct {
	Seq     uint64            `json:"seq"`
	Time    string            `json:"time"`
	Synced  bool              `json:"synced"`
	Door    string            `json:"door,omitempty"`
	Kind    string            `json:"kind"`
	Side    string            `json:"side,omitempty"`
	Person  string            `json:"person,omitempty"`
	Name    string            `json:"name,omitempty"`
	Factors string            `json:"factors,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

// replayEnd and replayRefused follow or stand in place of replayed events, whose seq they lack.
type replayEnd struct {
	After    uint64 `json:"after"`
	Replayed uint64 `json:"replayed"`
	Head     uint64 `json:"head"`
}

type replayRefused struct {
	Refused string `json:"refused"`
	Head    uint64 `json:"head"`
}
