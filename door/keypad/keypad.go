// Package keypad turns a 4x4 matrix of keys into typed secrets.
//
// # Wiring
//
// A row is an output, a column an input; a pressed key joins its row to its column. Rows must
// be open drain and active low, columns active low with a pull-up: an idle row then floats, so
// that two keys held in one column join no driven outputs. Swapping rows and columns only
// turns the layout over.
//
// Nothing here stops somebody from reading the wires: the keypad's cable must end inside.
package keypad

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Size is the number of rows and of columns.
const Size = 4

// Config says how a keypad is laid out and read.
type Config struct {
	Layout    string        `yaml:"layout"`     // the 16 keys, row by row: 0-9, A-D, * clears, # enters
	Debounce  time.Duration `yaml:"debounce"`   // a contact counts once it has lasted so long
	Scan      time.Duration `yaml:"scan"`       // from one reading of all keys to the next while a key is down
	Settle    time.Duration `yaml:"settle"`     // from driving a row to reading it; more for a long cable
	Timeout   time.Duration `yaml:"timeout"`    // without a key for so long, the digits typed so far are dropped
	MaxDigits int           `yaml:"max_digits"` // a longer secret is dropped whole
}

// Defaults returns the settings of the usual 4x4 membrane keypad.
func Defaults() Config {
	return Config{
		Layout:    "123A456B789C*0#D",
		Debounce:  20 * time.Millisecond,
		Scan:      5 * time.Millisecond,
		Settle:    50 * time.Microsecond,
		Timeout:   10 * time.Second,
		MaxDigits: 12,
	}
}

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	errs := []error{
		validLayout(c.Layout),
		between("debounce", c.Debounce, time.Millisecond, 200*time.Millisecond),
		between("scan", c.Scan, time.Millisecond, 50*time.Millisecond),
		between("settle", c.Settle, 0, time.Millisecond),
		between("timeout", c.Timeout, time.Second, 5*time.Minute),
	}
	if c.MaxDigits < 4 || c.MaxDigits > 64 {
		errs = append(errs, fmt.Errorf("max_digits: %d: use 4 to 64", c.MaxDigits))
	}
	return errors.Join(errs...)
}

const keys = "0123456789ABCD*#"

func validLayout(layout string) error {
	ok := len(layout) == Size*Size && strings.Contains(layout, "#")
	for _, k := range layout {
		ok = ok && strings.ContainsRune(keys, k) && strings.Count(layout, string(k)) == 1
	}
	if !ok {
		return fmt.Errorf("layout: %q: name each of %s once, row by row, as in %s", layout, keys, Defaults().Layout)
	}
	return nil
}

func between(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}

// Pad is any keypad. Run reads it until the context ends (then it returns nil) or the keypad
// can no longer be read, and hands each event to emit, in order, from one goroutine. No key is
// read while emit runs, so emit should only pass the event on.
type Pad interface {
	Run(ctx context.Context, emit func(Event)) error
}

// Event is something a keypad has to say.
type Event struct {
	Kind     Kind
	Secret   Secret        // of Entered
	Function rune          // of Function: 'A' to 'D'
	At       time.Duration // by the clock the keypad was given
}

// Kind says what an Event tells.
type Kind string

// What a keypad tells. Digit does not say which: it is for the beep and the dots on a display.
const (
	Digit    Kind = "digit"    // a digit was typed
	Cleared  Kind = "cleared"  // the digits typed so far were dropped, by * or for want of the next
	TooLong  Kind = "too_long" // # was typed, and the secret was dropped for its length
	Entered  Kind = "entered"  // # was typed: here is the secret
	Function Kind = "function" // a key from A to D was typed
)
