package lock

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Input is a wired line that is active while its switch is closed. Watch has f called for every
// edge, in order, with the time of it; f returns at once.
type Input interface {
	Active() (bool, error)
	Watch(f func(active bool, at time.Duration))
}

// SwitchConfig says how a contact or button is wired.
type SwitchConfig struct {
	Normally Normally      `yaml:"normally"` // closed: its switch is closed while the door is, or the button is not pressed; open: the reverse
	Debounce time.Duration `yaml:"debounce"` // a change counts once it has lasted so long
	Stuck    time.Duration `yaml:"stuck"`    // tripped for so long, it is told as stuck; 0: never
}

// Normally is the position of a switch at rest.
type Normally string

// A normally closed contact also trips when its wire is cut.
const (
	Closed Normally = "closed"
	Open   Normally = "open"
)

// ContactDefaults returns the settings of a reed contact whose magnet is on the door.
func ContactDefaults() SwitchConfig {
	return SwitchConfig{Normally: Closed, Debounce: 50 * time.Millisecond}
}

// REXDefaults returns the settings of a push button.
func REXDefaults() SwitchConfig {
	return SwitchConfig{Normally: Open, Debounce: 20 * time.Millisecond, Stuck: 30 * time.Second}
}

// Validate reports all that is wrong, each with what would be right.
func (c SwitchConfig) Validate() error {
	errs := []error{
		oneOf("normally", c.Normally, Closed, Open),
		between("debounce", c.Debounce, time.Millisecond, time.Second),
	}
	if c.Stuck != 0 {
		errs = append(errs, between("stuck", c.Stuck, time.Second, time.Hour))
	}
	return errors.Join(errs...)
}

// Change is what a Switch tells.
type Change struct {
	Tripped bool          // away from its position at rest: the door is open, the button pressed
	Stuck   bool          // it has been tripped for longer than it should; told once
	At      time.Duration // when, by the input's clock; zero with Stuck
}

// Switch is a debounced contact or button.
type Switch struct {
	config SwitchConfig
	input  Input
	on     func(Change)

	mu       sync.Mutex
	debounce debouncer
	known    bool // there is a level to debounce from
	closed   bool
	settle   *time.Timer
	stuck    *time.Timer
	edge     int // counts edges, so that a timer that comes too late does nothing
}

// NewSwitch watches the input. Each change from the present position is handed to on, one
// after the other; on must return soon and not call the switch.
func NewSwitch(c SwitchConfig, in Input, on func(Change)) (*Switch, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	s := &Switch{config: c, input: in, on: on, debounce: debouncer{hold: c.Debounce}}
	in.Watch(s.take)
	active, err := in.Active()
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("switch: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(active)
	return s, nil
}

// Tripped reports the debounced position.
func (s *Switch) Tripped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tripped()
}

// Close ends it: nothing is told any more. The input stays open.
func (s *Switch) Close() {
	s.input.Watch(func(bool, time.Duration) {})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	stop(s.settle)
	stop(s.stuck)
}

func (s *Switch) tripped() bool { return s.debounce.stable == (s.config.Normally == Open) }

func (s *Switch) begin(active bool) {
	if s.known || s.closed {
		return
	}
	s.known, s.debounce.stable, s.debounce.raw = true, active, active
	s.watchStuck()
}

func (s *Switch) take(active bool, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(!active) // an edge before the first reading tells what was before
	if s.closed {
		return
	}
	s.edge++
	s.tell(s.debounce.edge(at, active))
	stop(s.settle)
	if s.debounce.pending() {
		edge := s.edge
		s.settle = time.AfterFunc(s.config.Debounce, func() { s.settled(edge) })
	}
}

func (s *Switch) settled(edge int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if edge == s.edge && !s.closed {
		s.tell(s.debounce.settle(s.debounce.since + s.config.Debounce))
	}
}

func (s *Switch) tell(at time.Duration, changed bool) {
	if !changed {
		return
	}
	s.watchStuck()
	s.on(Change{Tripped: s.tripped(), At: at})
}

func (s *Switch) watchStuck() {
	stop(s.stuck)
	if s.config.Stuck == 0 || !s.tripped() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(s.config.Stuck, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stuck == timer && s.tripped() && !s.closed {
			s.on(Change{Tripped: true, Stuck: true})
		}
	})
	s.stuck = timer
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// debouncer takes edges and tells a level once it has lasted for hold. It knows no time but
// what it is given.
type debouncer struct {
	hold   time.Duration
	stable bool
	raw    bool
	since  time.Duration // when raw was reached
}

// edge takes a level reached at a time. It first settles the one before, so that a level which
// lasted is told even when the next edge is quicker than a timer.
func (d *debouncer) edge(at time.Duration, level bool) (since time.Duration, changed bool) {
	since, changed = d.settle(at)
	if level != d.raw {
		d.raw, d.since = level, at
	}
	return since, changed
}

// settle reports whether the level has changed for good by now, and since when.
func (d *debouncer) settle(now time.Duration) (since time.Duration, changed bool) {
	if !d.pending() || now-d.since < d.hold {
		return 0, false
	}
	d.stable = d.raw
	return d.since, true
}

func (d *debouncer) pending() bool { return d.raw != d.stable }
