package lock

import (
	"errors"
	"sync"
	"time"
)

// What a simulated door answers to whoever pushes it.
var (
	ErrLocked = errors.New("the door is locked")
	ErrBolt   = errors.New("the bolt stands out: the door does not close")
)

// travel is how long a simulated bolt moves. Strikes and maglocks are quicker than a push.
const travel = 150 * time.Millisecond

// Simulator is a door as things: a leaf, a lock that moves by its coils, a reed contact, a
// bolt sensor and a button. It stands behind the lines, so that a real Lock drives it. Its
// methods may be called by several goroutines; whoever watches its inputs must not call it
// from there.
type Simulator struct {
	config Config
	now    func() time.Duration

	mu      sync.Mutex
	drive   bool // coils
	relock  bool
	thrown  bool
	open    bool
	jammed  bool
	move    *time.Timer
	contact wire // active: the door is closed
	bolt    wire // active: the bolt is thrown
	button  wire // active: pressed
}

// NewSimulator returns a closed door without power: unlocked when its lock is fail-safe, else
// locked. Edges carry the time that now tells.
func NewSimulator(c Config, now func() time.Duration) *Simulator {
	s := &Simulator{config: c, now: now, thrown: !c.LockedActive()}
	for _, w := range []*wire{&s.contact, &s.bolt, &s.button} {
		w.s = s
	}
	s.contact.active, s.bolt.active = true, s.thrown
	return s
}

// Lines returns the ends of the lock's wires. Open is left to a Switch on Contact.
func (s *Simulator) Lines() Lines {
	l := Lines{Drive: coil{s, &s.drive}, Bolt: &s.bolt}
	if s.config.Mode == Bistable {
		l.Relock = coil{s, &s.relock}
	}
	return l
}

// Contact returns a reed contact, closed while the door is.
func (s *Simulator) Contact() Input { return &s.contact }

// Button returns the REX button, closed while it is pressed.
func (s *Simulator) Button() Input { return &s.button }

// Press presses the REX button or lets it go.
func (s *Simulator) Press(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.button.set(down)
}

// Open pushes the door: ErrLocked while the lock holds it.
func (s *Simulator) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.thrown && !s.open {
		return ErrLocked
	}
	s.swing(true)
	return nil
}

// Force breaks the door open, whatever the lock does.
func (s *Simulator) Force() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swing(true)
}

// Shut closes the door: ErrBolt when a bolt was thrown while it was open. A latch and a magnet
// catch by themselves.
func (s *Simulator) Shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Kind == Bolt && s.thrown && s.open {
		return ErrBolt
	}
	s.swing(false)
	return nil
}

// Jam holds the bolt where it is, or lets it move again.
func (s *Simulator) Jam(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jammed = on
	s.pull()
}

// Turn moves the bolt by hand, as a key does.
func (s *Simulator) Turn(thrown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.thrown = thrown
	s.bolt.set(thrown)
}

// Energised reports whether the coil that unlocks, or that of a fail-safe lock, has current.
func (s *Simulator) Energised() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drive
}

func (s *Simulator) swing(open bool) {
	s.open = open
	s.contact.set(!open)
}

// pull lets the coils and springs move the bolt. A jammed one stays.
func (s *Simulator) pull() {
	stop(s.move)
	to := s.drive == s.config.LockedActive()
	if s.config.Mode == Bistable {
		to = s.relock
		if s.relock == s.drive {
			return // nothing pulls, or both
		}
	}
	if s.jammed || to == s.thrown {
		return
	}
	if s.config.Kind != Bolt {
		s.thrown = to
		s.bolt.set(to)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(travel, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.move == timer && !s.jammed {
			s.thrown = to
			s.bolt.set(to)
		}
	})
	s.move = timer
}

type coil struct {
	s  *Simulator
	on *bool
}

func (c coil) Set(active bool) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if *c.on != active {
		*c.on = active
		c.s.pull()
	}
	return nil
}

type wire struct {
	s      *Simulator
	active bool
	watch  func(bool, time.Duration)
}

func (w *wire) set(active bool) {
	if w.active == active {
		return
	}
	w.active = active
	if w.watch != nil {
		w.watch(active, w.s.now())
	}
}

func (w *wire) Active() (bool, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.active, nil
}

func (w *wire) Watch(f func(active bool, at time.Duration)) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.watch = f
}
