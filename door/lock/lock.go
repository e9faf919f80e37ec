package lock

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// ErrClosed is what a closed lock answers.
var ErrClosed = errors.New("lock closed")

// ErrTime is what Unlock answers to a time that is not positive.
var ErrTime = errors.New("unlock for more than 0 s")

// again is how long a line that failed, or an open door, is waited for.
const again = time.Second

// Output is a line that energises a coil while active.
type Output interface {
	Set(active bool) error
}

// Lines are what a lock is wired to. The lock uses them until it is closed and does not close
// them.
type Lines struct {
	Drive  Output      // the coil; of a bistable lock the one that unlocks
	Relock Output      // the coil of a bistable lock that locks; else nil
	Bolt   Input       // active while the bolt is thrown; nil: no sensor
	Open   func() bool // reports whether the door stands open; nil: not known
}

// Lock is the lock of one door. Its methods may be called by several goroutines at once; one
// goroutine of its own does what they ask, in their order, and all that is due by time.
type Lock struct {
	config   Config
	lines    Lines
	bolt     *Switch // tripped while the bolt is not thrown; nil: no sensor
	requests chan request
	moved    chan struct{} // the bolt did
	states   chan door.LockState
	done     chan struct{} // the goroutine has ended
	told     chan struct{} // and the last state was told

	mu    sync.Mutex
	state door.LockState

	// Only its goroutine uses what follows. A zero time is never due.
	wanted   door.LockState // Locked or Unlocked
	relockAt time.Time      // lock by itself
	restAt   time.Time      // end a pulse
	turnAt   time.Time      // end driving the other way
	checkAt  time.Time      // the bolt must have followed
	tries    int            // left
	failed   bool           // the line was not set as it should be
	stopping bool
}

type request struct {
	do     func(now time.Time) error
	answer chan error
}

// New drives the lock locked and returns it. Every change of its state is handed to report, in
// order, from a goroutine of its own; a report that blocks holds up no lock, and when it falls
// far behind it is told the newest states only. A drive line that fails does not keep the lock
// from coming up, jammed and trying on: a hub with a broken lock still has doors to watch.
func New(c Config, lines Lines, report func(door.LockState)) (*Lock, error) {
	if err := errors.Join(c.Validate(), lines.fit(c)); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	l := &Lock{
		config: c, lines: lines, requests: make(chan request), moved: make(chan struct{}, 1),
		states: make(chan door.LockState, 16), done: make(chan struct{}), told: make(chan struct{}),
		wanted: door.Locked,
	}
	if err := l.sense(); err != nil {
		return nil, fmt.Errorf("lock: bolt sensor: %w", err)
	}
	_ = l.lock(time.Now()) // it is logged, told as jammed, and tried again
	l.follow()
	go l.run()
	go func() {
		defer close(l.told)
		for s := range l.states {
			report(s)
		}
	}()
	return l, nil
}

func (l Lines) fit(c Config) error {
	switch {
	case l.Drive == nil:
		return errors.New("no line drives it: name one")
	case c.Mode == Bistable && l.Relock == nil:
		return errors.New("mode: bistable: name the line that locks as well")
	case c.Mode != Bistable && l.Relock != nil:
		return fmt.Errorf("mode: %s: only a bistable lock has a line that locks", c.Mode)
	}
	return nil
}

func (l *Lock) sense() (err error) {
	if l.lines.Bolt == nil {
		return nil
	}
	c := SwitchConfig{Normally: Closed, Debounce: 20 * time.Millisecond}
	l.bolt, err = NewSwitch(c, l.lines.Bolt, func(Change) {
		select {
		case l.moved <- struct{}{}:
		default:
		}
	})
	if err == nil && l.bolt.Tripped() {
		l.tell(door.Unlocked)
	}
	return err
}

// State returns what is known of the lock. Without a bolt sensor that is what it was last told.
// With one, Locked means that the bolt is thrown.
func (l *Lock) State() door.LockState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Unlock unlocks and returns when the line is set. Whoever called is expected to call Lock
// after the hold; if nobody does, the lock locks itself a margin later. Of holds that overlap
// the one that ends last counts. When the line fails, the lock goes back to locked.
func (l *Lock) Unlock(hold time.Duration) error {
	if hold <= 0 {
		return fmt.Errorf("lock: %w, not %s", ErrTime, hold)
	}
	return l.ask(func(now time.Time) error { return l.unlock(now, hold) })
}

// Lock locks at once and returns when the line is set. When the line fails, the lock keeps
// trying.
func (l *Lock) Lock() error { return l.ask(l.lock) }

// Close locks, waits for a pulse to end, and ends the lock. All further calls answer ErrClosed,
// also a further Close.
func (l *Lock) Close() error {
	err := l.ask(func(now time.Time) error {
		l.stopping = true
		return l.lock(now)
	})
	<-l.done
	<-l.told
	return err
}

func (l *Lock) ask(do func(time.Time) error) error {
	r := request{do: do, answer: make(chan error, 1)}
	select {
	case l.requests <- r:
		return <-r.answer
	case <-l.done:
		return fmt.Errorf("lock: %w", ErrClosed)
	}
}

func (l *Lock) run() {
	defer close(l.done)
	defer close(l.states)
	if l.bolt != nil {
		defer l.bolt.Close()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !l.stopping || !l.restAt.IsZero() {
		select {
		case r := <-l.requests:
			r.answer <- r.do(time.Now())
		case <-l.moved:
		case <-timer.C:
		}
		timer.Reset(l.tick(time.Now()))
	}
}

// tick does what is due and returns how long nothing will be.
func (l *Lock) tick(now time.Time) time.Duration {
	for _, d := range []struct {
		at *time.Time
		do func(time.Time)
	}{{&l.restAt, l.rest}, {&l.turnAt, l.turn}, {&l.relockAt, l.relock}, {&l.checkAt, l.check}} {
		if !d.at.IsZero() && !d.at.After(now) {
			*d.at = time.Time{}
			d.do(now)
		}
	}
	l.follow()
	wait := time.Hour
	for _, at := range []time.Time{l.restAt, l.turnAt, l.relockAt, l.checkAt} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return wait
}

func (l *Lock) tell(s door.LockState) {
	l.mu.Lock()
	same := l.state == s
	l.state = s
	l.mu.Unlock()
	for !same {
		select {
		case l.states <- s:
			return
		default:
		}
		select {
		case <-l.states: // the oldest; the newest is what counts
		default:
		}
	}
}
