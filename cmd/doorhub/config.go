package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/camera"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/gpio"
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
	Broker        broker.Config    `yaml:"broker"`
	HomeAssistant discovery.Config `yaml:"home_assistant"`

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
		House: door.Defaults(), Store: store.Defaults(), Face: face.Defaults(),
		Broker: broker.Defaults(), HomeAssistant: discovery.Defaults(),
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
	d.Contact = Switch{lock.ContactDefaults(), inputDefaults()}
	d.REX = Switch{lock.REXDefaults(), inputDefaults()}
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
			return fmt.Errorf("line %d: %q: use none, or name a pin as in line: {pin: GPIO27}", n.Line, n.Value)
		}
		s.Line = inputDefaults()
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
		p.Contact = d.Hardware == simulated || d.Contact.Line.Wired()
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

// fault is one thing wrong with a config: where, by its path of keys, and what.
type fault struct {
	path []string
	err  error
}

// Validate reports all that is wrong, each with the path of its key.
func (c Config) validate() []fault {
	var fs faults
	fs.add(nil, c.top())
	fs.add([]string{"house"}, c.House.Validate())
	fs.add([]string{"store"}, c.Store.Validate())
	fs.add([]string{"face"}, c.Face.Validate())
	fs.add([]string{"broker"}, c.Broker.Validate())
	fs.add([]string{"home_assistant"}, c.HomeAssistant.Validate())
	ids := map[string]bool{}
	for i, d := range c.Doors {
		at := []string{"doors", strconv.Itoa(i)}
		fs.unique(ids, under(at, "id"), d.ID)
		d.validate(&fs, at)
	}
	for i, s := range c.Sensors {
		at := []string{"sensors", strconv.Itoa(i)}
		fs.unique(ids, under(at, "id"), s.ID)
		fs.add(at, door.ValidID(s.ID))
		fs.add(under(at, "kind"), s.Kind.Validate())
	}
	return fs
}

func (c Config) top() error {
	var errs []error
	if !filepath.IsAbs(c.Data) {
		errs = append(errs, fmt.Errorf("data: %q: use a full path, as /var/lib/doorhub", c.Data))
	}
	if err := door.ValidID(c.Name); err != nil {
		errs = append(errs, fmt.Errorf("name: %w", err))
	}
	if c.Clock != clockAuto && c.Clock != clockTrust {
		errs = append(errs, fmt.Errorf("clock: %q: use auto, or trust for a machine whose clock runs on a battery", c.Clock))
	}
	if len(c.Doors) == 0 {
		errs = append(errs, errors.New("doors: none: name at least one door, as in config.example.yaml"))
	}
	return errors.Join(errs...)
}

func (d Door) validate(fs *faults, at []string) {
	fs.add(at, d.Portal.Validate())
	fs.add(under(at, "lock"), d.Lock.Config.Validate())
	if d.Hardware != onGPIO && d.Hardware != simulated {
		fs.add(at, fmt.Errorf("hardware: %q: use gpio or simulated", d.Hardware))
	}
	if d.Hardware == onGPIO {
		d.validateLines(fs, at)
	}
	names := map[string]bool{}
	for i, k := range d.Keypads {
		kat := under(at, "keypads", strconv.Itoa(i))
		fs.add(kat, k.Config.Validate())
		fs.add(under(kat, "side"), validSide(k.Side))
		fs.unique(names, under(kat, "name"), k.Name)
		if n := len(k.Rows); d.Hardware == onGPIO && (n != keypad.Size || len(k.Columns) != keypad.Size) {
			fs.add(kat, fmt.Errorf("rows: %d rows and %d columns: name 4 pins each, as in [GPIO5, GPIO6, GPIO13, GPIO19]", n, len(k.Columns)))
		}
	}
	for i, c := range d.Cameras {
		cat := under(at, "cameras", strconv.Itoa(i))
		fs.add(cat, c.Config.Validate())
		fs.add(under(cat, "side"), validSide(c.Side))
	}
}

func (d Door) validateLines(fs *faults, at []string) {
	if !d.Lock.Line.Wired() {
		fs.add(under(at, "lock"), errors.New("line: the lock hangs on no pin: name one, as in {pin: GPIO17}"))
	}
	for _, s := range []struct {
		key string
		Switch
	}{{"contact", d.Contact}, {"rex", d.REX}} {
		if s.Line.Wired() {
			fs.add(under(at, s.key), s.SwitchConfig.Validate())
			fs.add(under(at, s.key, "line"), s.Line.Validate())
		}
	}
	for _, l := range []struct {
		key  string
		line gpio.Line
	}{{"line", d.Lock.Line}, {"relock_line", d.Lock.RelockLine}, {"bolt_line", d.Lock.BoltLine}} {
		if l.line.Wired() {
			fs.add(under(at, "lock", l.key), l.line.Validate())
		}
	}
}

// under returns the path of a key below another, sharing nothing with it.
func under(at []string, keys ...string) []string {
	return append(append([]string(nil), at...), keys...)
}

func validSide(s door.Side) error {
	if s != door.Entry && s != door.Exit {
		return fmt.Errorf("%q: use entry (outside) or exit (inside)", s)
	}
	return nil
}

type faults []fault

// add splits joined errors, so that each can be told with its own line.
func (fs *faults) add(path []string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range many.Unwrap() {
			fs.add(path, one)
		}
		return
	}
	*fs = append(*fs, fault{append([]string(nil), path...), err})
}

func (fs *faults) unique(seen map[string]bool, path []string, id string) {
	if seen[id] {
		fs.add(path, fmt.Errorf("%q is taken: doors, sensors and the keypads of a door each need a name of their own", id))
	}
	seen[id] = true
}

// loadConfig reads a file strictly. An empty name is the defaults.
func loadConfig(file string) (Config, error) {
	c := Defaults()
	if file == "" {
		return c, describe("the defaults", nil, c.validate())
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("%s: no such file: make one with doorhub init, or name yours with --config", file)
	}
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	return parseConfig(file, text)
}

func parseConfig(file string, text []byte) (Config, error) {
	c := Defaults()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return c, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind == 0 {
		return c, describe(file, nil, c.validate())
	}
	root := doc.Content[0]
	if err := checkKeys(file, root, c); err != nil {
		return c, err
	}
	if err := root.Decode(&c); err != nil {
		return c, typeErrors(file, err)
	}
	return c, describe(file, root, c.validate())
}
