package main

import (
	"fmt"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/camera"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/gpio"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/keypad"
	"github.com/doorhub/doorhub/door/lock"
	"github.com/doorhub/doorhub/door/store"
)

// Config is the whole of config.example.yaml.
type Config struct {
	Data    string `yaml:"data"`    // folder of the database, keys, certificates and bus users
	Name    string `yaml:"name"`    // of this hub, in doorhub/instance/<name>/status
	Clock   string `yaml:"clock"`   // auto: right once the kernel says it is synchronised; trust: always
	Control string `yaml:"control"` // unix socket for doorhub's commands; "": doorhub.sock in data

	House         door.Config      `yaml:"house"`
	Doors         []Door           `yaml:"doors"`
	Sensors       []Sensor         `yaml:"sensors"`
	Store         store.Config     `yaml:"store"`
	Face          face.Config      `yaml:"face"`
	Pictures      album.Config     `yaml:"pictures"`
	Broker        broker.Config    `yaml:"broker"`
	HomeAssistant discovery.Config `yaml:"home_assistant"`
	History       history.Config   `yaml:"history"`
	Metrics       Metrics          `yaml:"metrics"`

	demo bool // cameras play portraits
}

// Door is one door with its hardware.
type Door struct {
	door.Portal `yaml:",inline"`
	Name        string   `yaml:"name"`     // for people
	Area        string   `yaml:"area"`     // of the house, suggested to Home Assistant
	Hardware    string   `yaml:"hardware"` // gpio, or simulated: lock, contact, REX and keypads in memory
	Lock        Lock     `yaml:"lock"`
	Contact     Switch   `yaml:"contact"` // "none" where there is none
	REX         Switch   `yaml:"rex"`     // the inside button; "none" where there is none
	Keypads     []Keypad `yaml:"keypads"`
	Cameras     []Camera `yaml:"cameras"`
}

// Lock is a lock and the lines it hangs on.
type Lock struct {
	lock.Config `yaml:",inline"`
	Line        gpio.Line `yaml:"line"`        // drives the relay; of a bistable lock the one that unlocks
	RelockLine  gpio.Line `yaml:"relock_line"` // of a bistable lock: drives the one that locks
	BoltLine    gpio.Line `yaml:"bolt_line"`   // input, active while the bolt is thrown; not wired: not watched
}

// Switch is a contact or button on an input line.
type Switch struct {
	lock.SwitchConfig `yaml:",inline"`
	Line              gpio.Line `yaml:"line"`

	none bool // said so, which also goes for simulated hardware
}

// Keypad is a 4x4 keypad and its lines, named by pin.
type Keypad struct {
	keypad.Config `yaml:",inline"`
	Side          door.Side `yaml:"side"`    // entry or exit
	Name          string    `yaml:"name"`    // in records and lockouts; one name a keypad
	Chip          string    `yaml:"chip"`    // of all its lines
	Rows          []string  `yaml:"rows"`    // 4 pins, driven
	Columns       []string  `yaml:"columns"` // 4 pins, read
}

// Camera is a camera and the side of the door it looks at.
type Camera struct {
	camera.Config `yaml:",inline"`
	Side          door.Side `yaml:"side"` // entry or exit
}

// Sensor is an intrusion sensor that reports over the bus, as the bus user of the same id.
type Sensor struct {
	ID   string          `yaml:"id"`   // in topics and records; never change it
	Name string          `yaml:"name"` // for people
	Area string          `yaml:"area"` // of the house, suggested to Home Assistant
	Kind discovery.Class `yaml:"kind"` // window, door, garage_door or opening
	Door string          `yaml:"door"` // whose cameras look that way; "": all cameras
}

// Hardware a door can have.
const (
	onGPIO    = "gpio"
	simulated = "simulated"
)

// When the wall clock is believed.
const (
	clockAuto  = "auto"
	clockTrust = "trust"
)

// Defaults returns the settings of a file that says nothing: one front door, wired to a
// Raspberry Pi as the README draws it.
func Defaults() Config {
	c := Config{
		Data: "/var/lib/doorhub", Name: "hub", Clock: clockAuto,
		House: door.Defaults(), Store: store.Defaults(), Face: face.Defaults(), Pictures: album.Defaults(),
		Broker: broker.Defaults(), HomeAssistant: discovery.Defaults(),
		History: history.Defaults(),
	}
	front := doorDefaults()
	front.ID, front.Name = "front", "Front door"
	front.Lock.Line.Pin = "GPIO17"
	front.Contact.Line.Pin = "GPIO27"
	front.REX.Line.Pin = "GPIO22"
	pad := keypadDefaults()
	pad.Rows = []string{"GPIO5", "GPIO6", "GPIO13", "GPIO19"}
	pad.Columns = []string{"GPIO12", "GPIO16", "GPIO20", "GPIO21"}
	front.Keypads = []Keypad{pad}
	front.Cameras = []Camera{cameraDefaults()}
	c.Doors = []Door{front}
	c.Sensors = []Sensor{{ID: "kitchen", Name: "Kitchen window", Kind: discovery.ClassWindow}}
	return c
}

func doorDefaults() Door {
	d := Door{Portal: door.PortalDefaults(), Hardware: onGPIO, Keypads: []Keypad{}, Cameras: []Camera{}}
	d.Lock = Lock{Config: lock.Defaults(), Line: gpio.Defaults(), RelockLine: gpio.Defaults(), BoltLine: inputDefaults()}
	d.Contact = Switch{SwitchConfig: lock.ContactDefaults(), Line: inputDefaults()}
	d.REX = Switch{SwitchConfig: lock.REXDefaults(), Line: inputDefaults()}
	return d
}

// inputDefaults is a switch to ground on a line that is pulled up.
func inputDefaults() gpio.Line {
	l := gpio.Defaults()
	l.Pull, l.ActiveLow = "up", true
	return l
}

func keypadDefaults() Keypad {
	return Keypad{Config: keypad.Defaults(), Side: door.Entry, Name: "keypad", Chip: "gpiochip0"}
}

func cameraDefaults() Camera { return Camera{Config: camera.Defaults(), Side: door.Entry} }

// Items of lists begin with defaults, too.

// UnmarshalYAML reads a door over its defaults.
func (d *Door) UnmarshalYAML(n *yaml.Node) error {
	type plain Door
	*d = doorDefaults()
	return n.Decode((*plain)(d))
}

// UnmarshalYAML reads a switch over its defaults; "none" is no switch.
func (s *Switch) UnmarshalYAML(n *yaml.Node) error {
	type plain Switch
	if n.Kind == yaml.ScalarNode {
		if n.Value != "none" {
			return fmt.Errorf("%q: use none, or name a pin as in line: {pin: GPIO27}", n.Value)
		}
		s.Line, s.none = inputDefaults(), true
		return nil
	}
	return n.Decode((*plain)(s))
}

// UnmarshalYAML reads a keypad over its defaults.
func (k *Keypad) UnmarshalYAML(n *yaml.Node) error {
	type plain Keypad
	*k = keypadDefaults()
	return n.Decode((*plain)(k))
}

// UnmarshalYAML reads a sensor over its defaults.
func (s *Sensor) UnmarshalYAML(n *yaml.Node) error {
	type plain Sensor
	*s = Sensor{Kind: discovery.ClassWindow}
	return n.Decode((*plain)(s))
}

// UnmarshalYAML reads a camera over its defaults.
func (c *Camera) UnmarshalYAML(n *yaml.Node) error {
	type plain Camera
	*c = cameraDefaults()
	return n.Decode((*plain)(c))
}

// house returns what the domain needs to know of the config.
func (c Config) house() door.Config {
	h := c.House
	for _, d := range c.Doors {
		p := d.Portal
		p.Contact = d.has(d.Contact)
		p.Bolt = d.Lock.Kind == lock.Bolt
		p.Cameras = map[door.Side]int{}
		for _, cam := range d.Cameras {
			p.Cameras[cam.Side]++
		}
		h.Doors = append(h.Doors, p)
	}
	for _, s := range c.Sensors {
		h.Sensors = append(h.Sensors, s.ID)
	}
	return h
}

// watched reports whether a camera looks at whoever stands outside a door.
func (c Config) watched(doorID string) bool {
	for _, d := range c.Doors {
		for _, cam := range d.Cameras {
			if d.ID == doorID && cam.Side == door.Entry {
				return true
			}
		}
	}
	return false
}

// has reports whether the door has a contact or button.
func (d Door) has(s Switch) bool { return !s.none && (d.Hardware == simulated || s.Line.Wired()) }

// nthOnSide returns which of the cameras on its side the i-th camera is, from 0.
func (d Door) nthOnSide(i int) (n int) {
	for _, c := range d.Cameras[:i] {
		if c.Side == d.Cameras[i].Side {
			n++
		}
	}
	return n
}

func (c Config) socket() string {
	if c.Control != "" {
		return c.Control
	}
	return filepath.Join(c.Data, "doorhub.sock")
}
