package lock

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
)

// diary notes when a coil changes.
type diary struct {
	name  string
	now   func() time.Duration
	lines *[]string
	on    *bool
}

func (d diary) Set(active bool) error {
	if *d.on != active {
		*d.on = active
		*d.lines = append(*d.lines, fmt.Sprintf("%s %s %s", d.now(), d.name, level(active)))
	}
	return nil
}

// still is a bolt that never moves.
type still bool

func (s still) Active() (bool, error)                   { return bool(s), nil }
func (still) Watch(func(active bool, at time.Duration)) {}

// How the coils go when a bolt does not follow: Unlock at 0 s with 2 s of travel and a pulse of
// 0.5 s, tried twice more, and at 10 s Lock, which the thrown bolt satisfies at once.
func TestCoilsWhenTheBoltDoesNotFollow(t *testing.T) {
	for name, want := range map[string][]string{
		"motor bolt": {
			"1m0s drive 1",
			"1m2s drive 0", "1m2.5s drive 1",
			"1m4.5s drive 0", "1m5s drive 1",
			"1m10s drive 0",
		},
		"bistable bolt": {
			"0s relock 1", "500ms relock 0",
			"1m0s drive 1", "1m0.5s drive 0",
			"1m2.5s drive 1", "1m3s drive 0",
			"1m5s drive 1", "1m5.5s drive 0",
			"1m10s relock 1", "1m10.5s relock 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				now := clock()
				c := configs()[name]
				lines := Lines{Drive: diary{"drive", now, &got, new(bool)}, Bolt: still(true)}
				if c.Mode == Bistable {
					lines.Relock = diary{"relock", now, &got, new(bool)}
				}
				r := start(t, c, lines)
				wait(time.Minute)
				if err := r.Unlock(time.Hour); err != nil {
					t.Fatal(err)
				}
				wait(10 * time.Second)
				if s := r.State(); s != door.Jammed {
					t.Errorf("state %s", s)
				}
				if err := r.Lock(); err != nil {
					t.Fatal(err)
				}
				wait(time.Minute)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("coils (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]door.LockState{door.Locked, door.Unlocked, door.Jammed, door.Locked}, r.told()); diff != "" {
					t.Errorf("states told (-want +got):\n%s", diff)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A command in the middle of a retry ends the retry.
func TestCommandEndsRetry(t *testing.T) {
	for name, want := range map[string][]string{
		"motor bolt":    {"2s drive 1", "2.2s drive 0"}, // driven back, told to, and locked
		"bistable bolt": {"0s relock 1", "500ms relock 0", "2.1s drive 1", "2.2s drive 0", "2.2s relock 1", "2.7s relock 0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				now := clock()
				c := configs()[name]
				lines := Lines{Drive: diary{"drive", now, &got, new(bool)}, Bolt: still(false)}
				if c.Mode == Bistable {
					lines.Relock = diary{"relock", now, &got, new(bool)}
				}
				r := start(t, c, lines)
				wait(2*time.Second + 100*ms) // it did not lock: tried again, or about to be
				if err := r.Unlock(time.Hour); err != nil {
					t.Fatal(err)
				}
				wait(100 * ms)
				if err := r.Lock(); err != nil {
					t.Fatal(err)
				}
				wait(time.Second)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("coils (-want +got):\n%s", diff)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestDeadLineIsNotWellForAThrownBolt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &coils{t: t}
		lines := rec.lines(Defaults())
		lines.Bolt = still(true)
		r := start(t, Defaults(), lines)
		wait(time.Second)
		rec.failWith(errLine)
		if err := r.Lock(); !errors.Is(err, errLine) {
			t.Errorf("got %v", err)
		}
		wait(10 * time.Second)
		if diff := cmp.Diff([]door.LockState{door.Locked, door.Jammed}, r.told()); diff != "" {
			t.Errorf("states told (-want +got):\n%s", diff)
		}
		if err := r.Close(); !errors.Is(err, errLine) {
			t.Errorf("closed with %v", err)
		}
	})
}

func TestCloseLeavesNoCoilOfABistableLockOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, rec := failing(t, configs()["bistable bolt"], nil)
		r.do(t, r.Unlock(time.Hour))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if rec.drive || rec.relock || rec.open {
			t.Errorf("drive %v, relock %v, open %v", rec.drive, rec.relock, rec.open)
		}
	})
}
