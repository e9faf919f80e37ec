package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"syscall"

	"github.com/warthog618/go-gpiocdev"
)

// What opening a line can fail with. A missing permission is fs.ErrPermission, the use of a
// closed line fs.ErrClosed.
var (
	ErrNoChip = errors.New("no such GPIO chip")
	ErrNoLine = errors.New("no such GPIO line")
	ErrBusy   = errors.New("GPIO line in use")
	ErrEdges  = errors.New("GPIO line cannot tell edges")
)

var errClosed = fs.ErrClosed

func devPath(chip string) string {
	if strings.HasPrefix(chip, "/dev/") {
		return chip
	}
	return "/dev/" + chip
}

func noChip(h host, l Line, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return forbidden(l, err)
	}
	return fmt.Errorf("gpio: %s: %w (%w): %s", devPath(l.chip()), ErrNoChip, err, seen(h))
}

func seen(h host) string {
	chips := h.chips()
	if len(chips) == 0 {
		return "this machine shows none; on a Raspberry Pi update the kernel, in a container pass the device in"
	}
	return "set chip to one of those here: " + strings.Join(chips, ", ")
}

func forbidden(l Line, err error) error {
	return fmt.Errorf("gpio: %s: %w: add the user to group gpio: sudo usermod -aG gpio %s, then log in again",
		devPath(l.chip()), err, userName())
}

func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "USER"
}

func noLine(h host, l Line, c chip, err error) error {
	if !errors.Is(err, gpiocdev.ErrNotFound) {
		return refused(h, l, c, 0, err)
	}
	hint := "gpioinfo lists the names; or use the offset"
	if other := whoHas(h, l); other != "" {
		hint = other + " has it: set chip: " + other
	}
	return fmt.Errorf("gpio: %s: %w of that name: %s", l, ErrNoLine, hint)
}

func whoHas(h host, l Line) string {
	for _, name := range h.chips() {
		c, err := h.open(name)
		if err != nil {
			continue
		}
		_, err = c.FindLine(l.Pin)
		c.Close()
		if err == nil {
			return name
		}
	}
	return ""
}

func refused(h host, l Line, c chip, offset int, err error) error {
	switch {
	case errors.Is(err, gpiocdev.ErrInvalidOffset):
		return fmt.Errorf("gpio: %s: %w: the chip has lines 0 to %d", l, ErrNoLine, c.Lines()-1)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("gpio: %s: %w by %s (%w): stop that, or choose another pin", l, ErrBusy, consumer(c, offset), err)
	case errors.Is(err, fs.ErrPermission):
		return forbidden(l, err)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("gpio: %s: %w (%w): the chip has gone; %s", l, ErrNoChip, err, seen(h))
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("gpio: %s: %w (%w): choose a pin with interrupts", l, ErrEdges, err)
	}
	return wrap(l, "request", err)
}

func consumer(c chip, offset int) string {
	info, err := c.LineInfo(offset)
	if err != nil || info.Consumer == "" {
		return "something that gives no name"
	}
	return fmt.Sprintf("%q", info.Consumer)
}
