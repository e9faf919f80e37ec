package door

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Config says what a house is made of and how it decides.
type Config struct {
	Policy   []Set         `yaml:"policy"`   // factors that open for a person without a policy of their own
	Fallback []Set         `yaml:"fallback"` // sets that count only while vision reports a problem
	Window   time.Duration `yaml:"window"`   // factors count together within it
	Identify float64       `yaml:"identify"` // 1:N face threshold, Euclidean
	Verify   float64       `yaml:"verify"`   // 1:1 face threshold, against the one who is claimed
	Quiet    time.Duration `yaml:"quiet"`    // the same face is logged as seen once in it

	Liveness   LivenessMode         `yaml:"liveness"`    // how sure to be that a face is a head
	LivenessOf map[Set]LivenessMode `yaml:"liveness_of"` // the same for single policies
	Turns      int                  `yaml:"turns"`       // of the head, in a challenge
	TurnTime   time.Duration        `yaml:"turn_time"`   // for each; twice as long for the first

	Doors   []Portal `yaml:"-"`
	Sensors []string `yaml:"-"` // ids
}

// Portal is one controlled door: its lock, contact, readers and cameras.
type Portal struct {
	ID       string        `yaml:"id"`        // in topics and records; never change it
	Egress   Egress        `yaml:"egress"`    // how people leave
	Contact  bool          `yaml:"-"`         // there is one; without, a grant counts as entry
	Cameras  map[Side]int  `yaml:"-"`         // how many look at each side; a side without is taken to have one
	Bolt     bool          `yaml:"-"`         // never thrown while the door is open
	Grant    time.Duration `yaml:"grant"`     // how long a grant keeps the door unlocked
	Late     time.Duration `yaml:"late"`      // after a grant, an opening within it is late, not forced
	HeldOpen time.Duration `yaml:"held_open"` // open longer is held open; 0: never
}

// Egress is how people leave through a door.
type Egress string

// By the inside handle any opening while not armed is an exit; by REX only one after the
// button; by a reader only one after a grant.
const (
	EgressHandle Egress = "handle"
	EgressREX    Egress = "rex"
	EgressReader Egress = "reader"
)

// Defaults returns the settings of a house whose owner has chosen none.
func Defaults() Config {
	return Config{
		Policy:   []Set{SetOf(PIN, FaceID)},
		Fallback: []Set{},
		Window:   20 * time.Second,
		Identify: 0.50,
		Verify:   0.55,
		Quiet:    30 * time.Second,

		Liveness:   LivenessPassive,
		LivenessOf: map[Set]LivenessMode{},
		Turns:      3,
		TurnTime:   4 * time.Second,
	}
}

// PortalDefaults returns the settings of a door whose owner has chosen none; it has no id.
func PortalDefaults() Portal {
	return Portal{Egress: EgressHandle, Contact: true, Grant: 5 * time.Second, Late: 2 * time.Second, HeldOpen: time.Minute}
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// ValidID reports whether id can stand in a topic, a record and a file name.
func ValidID(id string) error {
	if !validID.MatchString(id) {
		return fmt.Errorf("id %q: use 1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit", id)
	}
	return nil
}

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	errs := []error{validPolicies(c.Policy), validFallback(c.Fallback)}
	if len(c.Policy) == 0 {
		errs = append(errs, errors.New("policy: name at least one set of factors, as in [pin+face]"))
	}
	errs = append(errs,
		between("window", c.Window, time.Second, 5*time.Minute),
		between("quiet", c.Quiet, 0, time.Hour),
		threshold("identify", c.Identify), threshold("verify", c.Verify), c.validLiveness())
	ids := map[string]bool{}
	for _, p := range c.Doors {
		errs = append(errs, p.Validate())
		if ids[p.ID] {
			errs = append(errs, fmt.Errorf("two doors are called %q: ids must differ", p.ID))
		}
		ids[p.ID] = true
	}
	return errors.Join(errs...)
}

// Validate reports all that is wrong with a door's settings.
func (p Portal) Validate() error {
	errs := []error{ValidID(p.ID),
		between("grant", p.Grant, time.Second, time.Minute),
		between("late", p.Late, 0, 30*time.Second)}
	if p.HeldOpen != 0 {
		errs = append(errs, between("held_open", p.HeldOpen, 5*time.Second, 24*time.Hour))
	}
	switch p.Egress {
	case EgressHandle, EgressREX, EgressReader:
	default:
		errs = append(errs, fmt.Errorf("egress: %q: use handle, rex or reader", p.Egress))
	}
	return errors.Join(errs...)
}

func between(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}

func threshold(key string, v float64) error {
	if !(v > 0 && v <= 0.6) { // also refuses NaN
		return fmt.Errorf("%s: %v: use more than 0, at most 0.6 (above it, faces of different people match)", key, v)
	}
	return nil
}
