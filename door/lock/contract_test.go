package lock

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
)

type driven interface {
	Unlock(hold time.Duration) error
	Lock() error
	State() door.LockState
	Close() error
}

// rig is a lock and somebody who pushes the door.
type rig struct {
	driven
	config Config
	opens  func() bool
	told   func() []door.LockState
}

func configs() map[string]Config {
	all := map[string]Config{
		"strike": Defaults(), "fail-safe strike": Defaults(), "pulsed strike": Defaults(),
		"maglock": Defaults(), "motor bolt": Defaults(), "bistable bolt": Defaults(),
	}
	for name, c := range all {
		switch name {
		case "fail-safe strike":
			c.Fail = Safe
		case "pulsed strike":
			c.Mode = Pulse
		case "maglock":
			c.Kind, c.Fail = Maglock, Safe
		case "motor bolt":
			c.Kind = Bolt
		case "bistable bolt":
			c.Kind, c.Mode = Bolt, Bistable
		}
		all[name] = c
	}
	return all
}

// TestContract is what a lock promises, whatever its kind: on bare outputs, and on a door.
func TestContract(t *testing.T) {
	for name, c := range configs() {
		for on, build := range map[string]func(*testing.T, Config) rig{"outputs": onOutputs, "door": onDoor} {
			for what, check := range map[string]func(*testing.T, rig){
				"starts locked": startsLocked, "unlocks and locks": unlocksAndLocks,
				"locks by itself": locksByItself, "longest hold counts": longestHoldCounts,
				"lock ends every hold": lockEndsHold, "close locks": closeLocks,
				"many at once": manyAtOnce, "no time is no time": refusesNoTime,
			} {
				t.Run(name+" on "+on+"/"+what, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := build(t, c)
						t.Cleanup(func() { r.Close() })
						wait(time.Second)
						check(t, r)
					})
				})
			}
		}
	}
}

func start(t *testing.T, c Config, lines Lines) rig {
	t.Helper()
	var mu sync.Mutex
	var told []door.LockState
	l, err := New(c, lines, func(s door.LockState) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rig{driven: l, config: c, told: func() []door.LockState {
		mu.Lock()
		defer mu.Unlock()
		return append([]door.LockState(nil), told...)
	}}
}

// coils record their levels, and fail when both have current.
type coils struct {
	t             *testing.T
	mu            sync.Mutex
	drive, relock bool
	sets          int
	open          bool // a bistable bolt, where its coils last left it
	fail          error
}

type recorded struct {
	c    *coils
	coil *bool
}

func (r recorded) Set(active bool) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.sets++
	if r.c.fail != nil {
		return r.c.fail
	}
	*r.coil = active
	if r.c.drive && r.c.relock {
		r.c.t.Error("both coils have current")
	}
	if r.c.drive != r.c.relock {
		r.c.open = r.c.drive
	}
	return nil
}

func (c *coils) opens(config Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if config.Mode == Bistable {
		return c.open
	}
	return c.drive != (config.Fail == Safe)
}

func (c *coils) failWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func (c *coils) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets
}

func (c *coils) lines(config Config) Lines {
	l := Lines{Drive: recorded{c, &c.drive}}
	if config.Mode == Bistable {
		l.Relock = recorded{c, &c.relock}
	}
	return l
}

func onOutputs(t *testing.T, c Config) rig {
	rec := &coils{t: t, open: true}
	r := start(t, c, rec.lines(c))
	r.opens = func() bool { return rec.opens(c) }
	return r
}

func onDoor(t *testing.T, c Config) rig {
	sim := NewSimulator(c, clock())
	r := start(t, c, sim.Lines())
	r.opens = func() bool {
		opened := sim.Open() == nil
		if opened {
			if err := sim.Shut(); err != nil {
				t.Error(err)
			}
		}
		return opened
	}
	return r
}

func is(t *testing.T, r rig, what string, state door.LockState, opens bool) {
	t.Helper()
	if r.State() != state || r.opens() != opens {
		t.Errorf("%s: state %s, door opens %v; want %s, %v", what, r.State(), r.opens(), state, opens)
	}
}

func (r rig) unlocked(t *testing.T, what string) {
	t.Helper()
	is(t, r, what, door.Unlocked, true)
}

func (r rig) locked(t *testing.T, what string) {
	t.Helper()
	is(t, r, what, door.Locked, false)
}

func (r rig) do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	wait(250 * ms) // a bolt travels and a sensor settles; a pulse lasts
}

func startsLocked(t *testing.T, r rig) {
	r.locked(t, "at start")
	if told := r.told(); len(told) == 0 || told[len(told)-1] != door.Locked {
		t.Errorf("told %v", told)
	}
}

func unlocksAndLocks(t *testing.T, r rig) {
	before := len(r.told())
	for range 2 {
		err := r.Unlock(5 * time.Second)
		if s := r.State(); s != door.Unlocked {
			t.Errorf("%s as soon as Unlock returns", s)
		}
		r.do(t, err)
		r.unlocked(t, "after Unlock")
		r.do(t, r.Lock())
		r.locked(t, "after Lock")
	}
	want := []door.LockState{door.Unlocked, door.Locked, door.Unlocked, door.Locked}
	if diff := cmp.Diff(want, r.told()[before:]); diff != "" {
		t.Errorf("states told (-want +got):\n%s", diff)
	}
}

func locksByItself(t *testing.T, r rig) {
	r.do(t, r.Unlock(5*time.Second))
	r.unlocked(t, "after Unlock")
	if r.config.Mode != Pulse { // which is over, and locks again by nature
		wait(5 * time.Second)
		r.unlocked(t, "inside the margin")
	}
	wait(5*time.Second + r.config.Margin)
	r.locked(t, "after hold and margin")
}

func longestHoldCounts(t *testing.T, r rig) {
	for _, hold := range []time.Duration{time.Second, 10 * time.Second, 2 * time.Second} {
		r.do(t, r.Unlock(hold))
	}
	wait(8 * time.Second)
	if r.config.Mode != Pulse {
		r.unlocked(t, "after 8 of 10 s")
	}
	wait(4 * time.Second)
	r.locked(t, "after all")
}

func lockEndsHold(t *testing.T, r rig) {
	r.do(t, r.Unlock(10*time.Second))
	r.do(t, r.Lock())
	r.do(t, r.Unlock(30*time.Second))
	wait(15 * time.Second)
	if r.State() != door.Unlocked && r.config.Mode != Pulse {
		t.Error("the guard of an ended hold ended the next one")
	}
}

func closeLocks(t *testing.T, r rig) {
	r.do(t, r.Unlock(time.Hour))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wait(time.Second)
	if r.opens() {
		t.Error("a closed lock is open")
	}
	for what, err := range map[string]error{"Unlock": r.Unlock(time.Second), "Lock": r.Lock(), "Close": r.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if told := r.told(); len(told) < 2 {
		t.Errorf("told only %v", told)
	}
}

func manyAtOnce(t *testing.T, r rig) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := r.Unlock(time.Duration(i+1) * time.Second)
			if i%3 == 0 {
				err = errors.Join(err, r.Lock())
			}
			if s := r.State(); err != nil || s == "" {
				t.Errorf("state %q, %v", s, err)
			}
		})
	}
	wg.Wait()
	r.do(t, r.Lock())
	r.locked(t, "after the last Lock")
	wait(time.Minute)
	r.locked(t, "a minute later")
}

func refusesNoTime(t *testing.T, r rig) {
	for _, hold := range []time.Duration{0, -time.Second} {
		if err := r.Unlock(hold); !errors.Is(err, ErrTime) {
			t.Errorf("Unlock(%s): %v", hold, err)
		}
	}
	r.locked(t, "after holds of no time")
}

func ExampleSimulator() {
	sim := NewSimulator(Defaults(), clock())
	fmt.Println(sim.Open())
	sim.Force()
	fmt.Println(sim.Shut())
	// Output:
	// the door is locked
	// <nil>
}
