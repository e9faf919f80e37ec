package lock

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
)

var errLine = errors.New("no such device")

// failing starts a lock on recorded coils.
func failing(t *testing.T, c Config, fault error) (rig, *coils) {
	rec := &coils{t: t, open: true, fail: fault}
	r := start(t, c, rec.lines(c))
	r.opens = func() bool { return rec.opens(c) }
	t.Cleanup(func() { r.Close() })
	return r, rec
}

func TestLockTriesOnWhileItsLineFails(t *testing.T) {
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, rec := failing(t, c, nil)
				r.do(t, r.Unlock(5*time.Second))
				rec.failWith(errLine)
				if err := r.Lock(); !errors.Is(err, errLine) || r.State() != door.Jammed {
					t.Errorf("got %v, state %s", err, r.State())
				}
				before := rec.count()
				wait(10500 * ms)
				if n := rec.count() - before; n < 10 || n > 40 { // of one coil or two, once a second
					t.Errorf("%d tries in 10 s", n)
				}
				rec.failWith(nil)
				wait(2 * time.Second)
				r.locked(t, "once the line works again")
				want := []door.LockState{door.Locked, door.Unlocked, door.Jammed, door.Locked}
				if diff := cmp.Diff(want, r.told()); diff != "" {
					t.Errorf("states told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestUnlockThatFailsLocks(t *testing.T) {
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, rec := failing(t, c, nil)
				wait(time.Second)
				rec.failWith(errLine)
				if err := r.Unlock(5 * time.Second); !errors.Is(err, errLine) {
					t.Errorf("got %v", err)
				}
				wait(500 * ms)
				if r.State() != door.Jammed {
					t.Errorf("state %s", r.State())
				}
				rec.failWith(nil)
				wait(2 * time.Second)
				r.locked(t, "once the line works again")
			})
		})
	}
}

func TestStartWithADeadLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rec := failing(t, Defaults(), errLine)
		wait(3 * time.Second)
		if r.State() != door.Jammed {
			t.Errorf("state %s", r.State())
		}
		rec.failWith(nil)
		wait(2 * time.Second)
		r.locked(t, "once the line works")
	})
}

// A coil whose pulse cannot be ended keeps a strike open.
func TestPulseThatDoesNotEnd(t *testing.T) {
	c := Defaults()
	c.Mode = Pulse
	synctest.Test(t, func(t *testing.T) {
		r, rec := failing(t, c, nil)
		r.do(t, r.Unlock(time.Minute))
		rec.failWith(errLine)
		wait(3 * time.Second)
		if r.State() != door.Jammed {
			t.Errorf("state %s", r.State())
		}
		rec.failWith(nil)
		wait(2 * time.Second)
		if r.State() != door.Unlocked || r.opens() {
			t.Errorf("state %s, coil on: %v", r.State(), r.opens())
		}
	})
}

func TestCloseWithADeadLine(t *testing.T) {
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, rec := failing(t, c, nil)
				wait(time.Second)
				rec.failWith(errLine)
				if err := r.Close(); !errors.Is(err, errLine) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// sensed are the locks of which a bolt can jam.
func sensed(t *testing.T, check func(*testing.T, Config)) {
	for name, c := range configs() {
		if c.Kind == Bolt {
			t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { check(t, c) }) })
		}
	}
}

func TestJam(t *testing.T) {
	sensed(t, func(t *testing.T, c Config) {
		sim := NewSimulator(c, clock())
		r := start(t, c, sim.Lines())
		defer r.Close()
		r.do(t, r.Unlock(time.Hour))
		sim.Jam(true)
		if err := r.Lock(); err != nil {
			t.Fatal(err)
		}
		wait(c.Travel - ms)
		if s := r.State(); s != door.Unlocked {
			t.Errorf("%s while it may still come", s)
		}
		wait(time.Duration(c.Retries)*(c.Travel+c.Pulse) + 2*ms)
		if s := r.State(); s != door.Jammed {
			t.Errorf("%s after all tries", s)
		}
		sim.Jam(false)
		sim.Turn(true)
		wait(time.Second)
		if s := r.State(); s != door.Locked {
			t.Errorf("%s after a hand helped", s)
		}
		want := []door.LockState{door.Locked, door.Unlocked, door.Jammed, door.Locked}
		if diff := cmp.Diff(want, r.told()); diff != "" {
			t.Errorf("states told (-want +got):\n%s", diff)
		}
	})
}

// A bolt that comes free between two tries is moved by the next.
func TestTryAgainMovesAFreedBolt(t *testing.T) {
	for _, to := range []door.LockState{door.Locked, door.Unlocked} {
		sensed(t, func(t *testing.T, c Config) {
			sim := NewSimulator(c, clock())
			r := start(t, c, sim.Lines())
			defer r.Close()
			wait(time.Second)
			ask := func() error { return r.Unlock(time.Hour) }
			if to == door.Locked {
				r.do(t, r.Unlock(time.Hour))
				ask = r.Lock
			}
			sim.Jam(true)
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			wait(c.Travel - 100*ms) // a bistable coil is off by now
			sim.Jam(false)
			wait(2 * (c.Travel + c.Pulse))
			if s := r.State(); s != to {
				t.Errorf("%s, want %s", s, to)
			}
			for _, s := range r.told() {
				if s == door.Jammed {
					t.Errorf("told %v", r.told())
				}
			}
		})
	}
}

func TestStateFollowsTheKey(t *testing.T) {
	c := configs()["bistable bolt"]
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(c, clock())
		r := start(t, c, sim.Lines())
		defer r.Close()
		wait(time.Second)
		sim.Turn(false)
		wait(time.Second)
		sim.Turn(true)
		wait(time.Second)
		if diff := cmp.Diff([]door.LockState{door.Locked, door.Unlocked, door.Locked}, r.told()); diff != "" {
			t.Errorf("states told (-want +got):\n%s", diff)
		}
	})
}

func TestGuardWaitsForTheDoor(t *testing.T) {
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := NewSimulator(c, clock())
				contact, _ := watch(t, ContactDefaults(), sim.Contact())
				lines := sim.Lines()
				lines.Open = contact.Tripped
				r := start(t, c, lines)
				defer r.Close()
				r.do(t, r.Unlock(5*time.Second))
				if err := sim.Open(); err != nil {
					t.Fatal(err)
				}
				wait(time.Minute)
				if err := sim.Shut(); err != nil {
					t.Errorf("the guard threw the bolt of an open door: %v", err)
				}
				wait(2 * time.Second)
				if err := sim.Open(); !errors.Is(err, ErrLocked) || r.State() != door.Locked {
					t.Errorf("shut again it opens: %v, state %s", err, r.State())
				}
			})
		})
	}
}

func TestBoltStandsOutOfAnOpenDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(configs()["motor bolt"], clock())
		sim.Force()
		if err := sim.Shut(); !errors.Is(err, ErrBolt) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReportThatBlocksHoldsUpNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &coils{t: t}
		free := make(chan struct{})
		var last door.LockState
		l, err := New(Defaults(), rec.lines(Defaults()), func(s door.LockState) {
			<-free
			last = s
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := errors.Join(l.Unlock(time.Second), l.Lock()); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Unlock(time.Second); err != nil {
			t.Fatal(err)
		}
		close(free)
		synctest.Wait()
		if last != door.Unlocked {
			t.Errorf("the last state told is %s", last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdleLockDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rec := failing(t, Defaults(), nil)
		r.do(t, r.Unlock(time.Second))
		r.do(t, r.Lock())
		before := rec.count()
		wait(24 * time.Hour)
		if n := rec.count() - before; n != 0 {
			t.Errorf("%d times the line was set in a day of rest", n)
		}
	})
}

func TestValidate(t *testing.T) {
	for name, c := range configs() {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, change := range map[string]func(*Config){
		"kind: \"hook\"":       func(c *Config) { c.Kind = "hook" },
		"fail: \"\"":           func(c *Config) { c.Fail = "" },
		"mode: \"toggle\"":     func(c *Config) { c.Mode = "toggle" },
		"pulse: 1m0s: use":     func(c *Config) { c.Pulse = time.Minute },
		"travel: 0s: use":      func(c *Config) { c.Travel = 0 },
		"retries: -1: use":     func(c *Config) { c.Retries = -1 },
		"margin: 0s: use":      func(c *Config) { c.Margin = 0 },
		"fail: safe and mode":  func(c *Config) { c.Kind = Maglock },
		"use mode: hold":       func(c *Config) { c.Fail, c.Mode = Safe, Pulse },
		"use kind: bolt, not ": func(c *Config) { c.Mode = Bistable },
	} {
		c := Defaults()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestLinesMustFit(t *testing.T) {
	rec := &coils{t: t}
	one := recorded{rec, &rec.drive}
	bistable := configs()["bistable bolt"]
	for want, build := range map[string]func() (*Lock, error){
		"no line drives it":           func() (*Lock, error) { return New(Defaults(), Lines{}, nil) },
		"name the line that locks":    func() (*Lock, error) { return New(bistable, Lines{Drive: one}, nil) },
		"only a bistable lock has":    func() (*Lock, error) { return New(Defaults(), Lines{Drive: one, Relock: one}, nil) },
		"kind: \"\"":                  func() (*Lock, error) { return New(Config{}, Lines{Drive: one}, nil) },
		"bolt sensor: switch: no suc": func() (*Lock, error) { return New(Defaults(), Lines{Drive: one, Bolt: deadInput{errLine}}, nil) },
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if rec.count() != 0 {
		t.Error("a lock that could not be made moved its line")
	}
}

func TestLockedActive(t *testing.T) {
	want := map[string]bool{
		"strike": false, "fail-safe strike": true, "pulsed strike": false,
		"maglock": true, "motor bolt": false, "bistable bolt": false,
	}
	got := map[string]bool{}
	for name, c := range configs() {
		got[name] = c.LockedActive()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line active while locked (-want +got):\n%s", diff)
	}
}
