package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/gpio"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/keypad"
)

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
	fs.add([]string{"pictures"}, c.Pictures.Validate())
	fs.add([]string{"broker"}, c.Broker.Validate())
	fs.add([]string{"home_assistant"}, c.HomeAssistant.Validate())
	fs.add([]string{"history"}, c.History.Validate())
	fs.add([]string{"metrics"}, c.Metrics.Validate())
	fs.add([]string{"home_assistant"}, c.homePlaintext())
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
		fs.add(under(at, "kind"), validSensorKind(s.Kind))
		if s.Door != "" && !slices.ContainsFunc(c.Doors, func(d Door) bool { return d.ID == s.Door }) {
			fs.add(under(at, "door"), fmt.Errorf("there is no door %.40q: use one of %s, or leave it empty for all cameras", s.Door, doorIDs(c)))
		}
	}
	// The door opens without the broker's certificate, too: that is a problem of the running
	// hub, and doorhub broker cert must be able to mend it. So is a file of the history's.
	return slices.DeleteFunc(fs, func(f fault) bool {
		return errors.Is(f.err, broker.ErrCertificate) || errors.Is(f.err, history.ErrFile)
	})
}

func (c Config) top() error {
	var errs []error
	if !filepath.IsAbs(c.Data) {
		errs = append(errs, fmt.Errorf("data: %q: use a full path, as /var/lib/doorhub", c.Data))
	}
	if err := validName(c.Name); err != nil {
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

// homePlaintext asks for a word of the owner's before a password and codes cross a network in
// the clear.
func (c Config) homePlaintext() error {
	if c.homeBroker().Exposed() == "" || c.HomeAssistant.PlaintextAnywhere || c.HomeAssistant.Validate() != nil {
		return nil
	}
	return fmt.Errorf("broker: %s would carry passwords and remote codes in the clear: use mqtts://, or set plaintext_anywhere: true", c.HomeAssistant.Broker)
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
		fs.unique(names, under(kat, "name"), k.Name)
		k.validate(fs, kat)
		if d.Hardware == onGPIO {
			k.validateLines(fs, kat)
		}
	}
	for i, c := range d.Cameras {
		cat := under(at, "cameras", strconv.Itoa(i))
		fs.add(cat, c.Config.Validate())
		fs.add(under(cat, "side"), validSide(c.Side))
	}
}

func (k Keypad) validate(fs *faults, at []string) {
	fs.add(at, k.Config.Validate())
	fs.add(under(at, "side"), validSide(k.Side))
	fs.add(under(at, "name"), validName(k.Name))
}

func (k Keypad) validateLines(fs *faults, at []string) {
	if len(k.Rows) != keypad.Size || len(k.Columns) != keypad.Size {
		fs.add(at, fmt.Errorf("rows: %d rows and %d columns: name 4 pins each, as in [GPIO5, GPIO6, GPIO13, GPIO19]", len(k.Rows), len(k.Columns)))
	}
	for i, pin := range k.Rows {
		fs.add(under(at, "rows", strconv.Itoa(i)), validPin(pin))
	}
	for i, pin := range k.Columns {
		fs.add(under(at, "columns", strconv.Itoa(i)), validPin(pin))
	}
}

func validPin(pin string) error {
	l := gpio.Defaults()
	l.Pin = pin
	if l.Validate() != nil {
		return fmt.Errorf("%q: use the line's name, as GPIO17, or its number on the chip, as 17", pin)
	}
	return nil
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

// validName is door.ValidID for what is called by a name.
func validName(name string) error {
	if door.ValidID(name) != nil {
		return fmt.Errorf("%q: use 1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit", name)
	}
	return nil
}

func validSensorKind(k discovery.Class) error {
	if k.Validate() != nil {
		return fmt.Errorf("%q: use window, door, garage_door or opening", k)
	}
	return nil
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
	if seen[id] && id != "" {
		fs.add(path, fmt.Errorf("%q is taken: doors, sensors and the keypads of a door each need a name of their own", id))
	}
	seen[id] = true
}
