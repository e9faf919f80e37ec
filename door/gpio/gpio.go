// Package gpio opens single lines of the kernel's GPIO chips: outputs that start at the level
// asked for, and inputs that tell each edge with the time at which the kernel saw it.
//
// # What a line does when nobody holds it
//
// A requested line keeps its level until it is closed, or until the process ends in any way:
// the kernel closes it then. From there on "the state of the line becomes uncontrolled from the
// userspace perspective, and may revert to its default state" (Linux,
// userspace-api/gpio/gpio-v2-get-line-ioctl). It depends on the chip's driver:
//
//   - mainline pinctrl-bcm2835 makes the line an input again, so the board's or the wiring's
//     pull decides;
//   - Raspberry Pi OS keeps the last level, unless config.txt has dtparam=strict_gpiod or the
//     kernel command line pinctrl_bcm2835.persist_gpio_outputs=n. A process killed while it
//     holds a door open leaves it open.
//
// Hence the wiring: a resistor (10 kΩ) from the line to the level at which the lock is locked,
// and strict_gpiod on Raspberry Pi OS. The same resistor decides from power-on to the moment
// the line is requested, when the line is an input, too.
package gpio

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Line names one line of a GPIO chip and says how it is wired.
type Line struct {
	Chip      string        `yaml:"chip"`       // as gpiochip0, which is meant when empty
	Pin       string        `yaml:"pin"`        // offset on the chip, as 17, or the line's name, as GPIO17; empty: not wired
	ActiveLow bool          `yaml:"active_low"` // active is 0 V
	Pull      string        `yaml:"pull"`       // inputs: up, down or none; empty is none
	Debounce  time.Duration `yaml:"debounce"`   // inputs: the kernel passes on a level only once it has lasted so long; 0: at once
	OpenDrain bool          `yaml:"open_drain"` // outputs: driven low, let go instead of driven high
}

// MaxDebounce is the longest debounce a line takes.
const MaxDebounce = time.Second

// Defaults returns a line on the first chip that is not wired to anything yet.
func Defaults() Line { return Line{Chip: "gpiochip0", Pull: "none"} }

// Wired reports whether a pin is named.
func (l Line) Wired() bool { return l.Pin != "" }

// Validate reports all that is wrong, each with what would be right. Whether the machine has
// the line shows when it is opened.
func (l Line) Validate() error {
	var errs []error
	if n, err := strconv.Atoi(l.Pin); l.Pin == "" || err == nil && n < 0 {
		errs = append(errs, fmt.Errorf("pin: %q: use the line's offset on the chip, as 17, or its name, as GPIO17", l.Pin))
	}
	switch l.Pull {
	case "", "none", "up", "down":
	default:
		errs = append(errs, fmt.Errorf("pull: %q: use up, down or none", l.Pull))
	}
	if l.Debounce < 0 || l.Debounce > MaxDebounce {
		errs = append(errs, fmt.Errorf("debounce: %s: use 0s to %s", l.Debounce, MaxDebounce))
	}
	return errors.Join(errs...)
}

func (l Line) validOutput() error {
	errs := []error{l.Validate()}
	if l.Pull != "" && l.Pull != "none" {
		errs = append(errs, fmt.Errorf("pull: %q: an output has none; solder the pull that holds it while nobody drives it", l.Pull))
	}
	if l.Debounce != 0 {
		errs = append(errs, errors.New("debounce: only an input has one: take it out"))
	}
	return errors.Join(errs...)
}

func (l Line) validInput() error {
	err := l.Validate()
	if l.OpenDrain {
		err = errors.Join(err, errors.New("open_drain: only an output has it: take it out"))
	}
	return err
}

func (l Line) chip() string {
	if l.Chip == "" {
		return Defaults().Chip
	}
	return l.Chip
}

// String names the line as in "gpiochip0 17".
func (l Line) String() string { return l.chip() + " " + l.Pin }

// Now returns the kernel's CLOCK_MONOTONIC, the clock of every edge's time. It counts from
// boot, is never set, and stands still while the machine sleeps.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // every Linux has this clock: it cannot fail with a valid pointer
	}
	return time.Duration(ts.Nano())
}
