// Package lock moves the lock of one door, and senses its contact, its bolt and its REX button.
//
// # Wiring, and what it does when nobody drives it
//
// The lock's coil is switched by a relay (or a transistor with a flyback diode) on one output,
// "active" meaning energised. A fail-secure lock is unlocked by current, a fail-safe one by its
// absence; whoever may be locked in by a power cut needs a fail-safe lock or a handle.
//
//   - At start: request the output with Config.LockedActive as its first level, so that the
//     door is never unlocked for a moment; New then drives it locked once more. From power-on
//     to then the line is an input and the wiring's resistor decides: pull it to the level
//     LockedActive names.
//   - At exit: Close leaves the lock locked, and a fail-safe one energised until the line is
//     let go. After that the chip decides.
//   - On a crash, or SIGKILL, the line is let go as it is. The kernel calls its state
//     "uncontrolled": it "may revert to its default state" (Linux, userspace-api/gpio/
//     gpio-v2-get-line-ioctl). Where the chip makes it an input again the resistor locks;
//     Raspberry Pi OS keeps the last level instead, open if it was open, unless config.txt has
//     dtparam=strict_gpiod. A motor or bistable lock stays where it stood.
//
// # The last guard
//
// The house says when to lock again. Should it not, the lock does so by itself once the time
// of Unlock and a margin have passed, and it keeps trying while its line fails. This holds
// against a hung hub; against a dead one only the wiring does.
package lock

import (
	"errors"
	"fmt"
	"time"
)

// Config says what kind of lock is on the door and how it is driven.
type Config struct {
	Kind    Kind          `yaml:"kind"`    // strike, bolt or maglock
	Fail    Fail          `yaml:"fail"`    // without current it is secure (locked) or safe (unlocked)
	Mode    Mode          `yaml:"mode"`    // hold: energised as long as needed; pulse: for a moment to unlock; bistable: for a moment on one line to unlock, on another to lock
	Pulse   time.Duration `yaml:"pulse"`   // how long a pulse energises
	Travel  time.Duration `yaml:"travel"`  // with a bolt sensor: within it the bolt must follow
	Retries int           `yaml:"retries"` // with a bolt sensor: so often is a bolt that did not follow driven again
	Margin  time.Duration `yaml:"margin"`  // so long after its time an unlocked door is locked, if nobody did
}

// Kind is the kind of a lock.
type Kind string

// A strike or a maglock may lock while the door is open; a bolt would keep it from closing, so
// that the last guard waits for the door.
const (
	Strike  Kind = "strike"
	Bolt    Kind = "bolt"
	Maglock Kind = "maglock"
)

// Fail says what a lock is without current. A bistable lock stays as it was, whatever it says.
type Fail string

// The two ways to fail.
const (
	Secure Fail = "secure"
	Safe   Fail = "safe"
)

// Mode says how a lock is driven.
type Mode string

// Pulse is for locks that lock again by themselves, as a latch or a motor lock with a control
// of its own: without a bolt sensor nobody can tell whether they did.
const (
	Hold     Mode = "hold"
	Pulse    Mode = "pulse"
	Bistable Mode = "bistable"
)

// Defaults returns the settings of a fail-secure strike.
func Defaults() Config {
	return Config{
		Kind:    Strike,
		Fail:    Secure,
		Mode:    Hold,
		Pulse:   500 * time.Millisecond,
		Travel:  2 * time.Second,
		Retries: 2,
		Margin:  2 * time.Second,
	}
}

// LockedActive reports whether the drive line is active while the door is locked: the level
// with which it must be requested.
func (c Config) LockedActive() bool { return c.Mode == Hold && c.Fail == Safe }

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	errs := []error{
		oneOf("kind", c.Kind, Strike, Bolt, Maglock),
		oneOf("fail", c.Fail, Secure, Safe),
		oneOf("mode", c.Mode, Hold, Pulse, Bistable),
		between("pulse", c.Pulse, 20*time.Millisecond, 10*time.Second),
		between("travel", c.Travel, 100*time.Millisecond, 30*time.Second),
		between("margin", c.Margin, 100*time.Millisecond, time.Minute),
	}
	if c.Retries < 0 || c.Retries > 10 {
		errs = append(errs, fmt.Errorf("retries: %d: use 0 to 10", c.Retries))
	}
	if c.Kind == Maglock && (c.Fail != Safe || c.Mode != Hold) {
		errs = append(errs, errors.New("kind: a maglock holds by its current: use fail: safe and mode: hold"))
	}
	if c.Kind != Maglock && c.Fail == Safe && c.Mode != Hold {
		errs = append(errs, fmt.Errorf("mode: %s: a fail-safe lock is locked by lasting current: use mode: hold", c.Mode))
	}
	if c.Mode == Bistable && c.Kind != Bolt {
		errs = append(errs, fmt.Errorf("mode: bistable: only a bolt has two coils: use kind: bolt, not %s", c.Kind))
	}
	return errors.Join(errs...)
}

func oneOf[T ~string](key string, v T, allowed ...T) error {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return fmt.Errorf("%s: %q: use one of %v", key, v, allowed)
}

func between(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}
