package discovery

// The shapes below are what goes over the wire, key by key. Home Assistant refuses a whole
// device for one unknown key at its top, in dev or in o, and drops an unknown key inside a
// component without a word: nothing may be added here that its schema does not list.

type deviceConfig struct {
	Device       deviceInfo     `json:"dev"`
	Origin       origin         `json:"o"`
	Availability []availability `json:"availability"`
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

// lockEntity has a null name: Home Assistant then shows it by the device's name alone.
type lockEntity struct {
	Platform        string  `json:"platform"`
	UniqueID        string  `json:"unique_id"`
	EntityID        string  `json:"default_entity_id"`
	Name            *string `json:"name"`
	StateTopic      string  `json:"state_topic"`
	Locked          string  `json:"state_locked"`
	Locking         string  `json:"state_locking"`
	Unlocked        string  `json:"state_unlocked"`
	Unlocking       string  `json:"state_unlocking"`
	Jammed          string  `json:"state_jammed"`
	CommandTopic    string  `json:"command_topic"`
	CommandTemplate string  `json:"command_template"`
	CodeFormat      string  `json:"code_format"`
	Lock            string  `json:"payload_lock"`
	Unlock          string  `json:"payload_unlock"`
	Optimistic      bool    `json:"optimistic"` // false: the lock is as the hub says, not as it was told
	Retain          bool    `json:"retain"`     // false: a retained command is refused
}

type personEntity struct {
	Platform        string `json:"platform"`
	UniqueID        string `json:"unique_id"`
	EntityID        string `json:"default_entity_id"`
	Name            string `json:"name"`
	Icon            string `json:"icon"`
	StateTopic      string `json:"state_topic"`
	ValueTemplate   string `json:"value_template"`
	AttributesTopic string `json:"json_attributes_topic"`
}

type contactEntity struct {
	Platform    string  `json:"platform"`
	UniqueID    string  `json:"unique_id"`
	EntityID    string  `json:"default_entity_id"`
	Name        *string `json:"name"`
	DeviceClass Class   `json:"device_class"`
	StateTopic  string  `json:"state_topic"`
	Open        string  `json:"payload_on"`
	Closed      string  `json:"payload_off"`
}

type imageEntity struct {
	Platform    string `json:"platform"`
	UniqueID    string `json:"unique_id"`
	EntityID    string `json:"default_entity_id"`
	Name        string `json:"name"`
	ImageTopic  string `json:"image_topic"`
	ContentType string `json:"content_type"`
}

// absent makes Home Assistant forget a component that an earlier message may have named.
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
