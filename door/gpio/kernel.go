package gpio

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/warthog618/go-gpiocdev"
)

// host is what hands out chips: the kernel, or a simulator.
type host interface {
	chips() []string
	open(name string) (chip, error)
}

// chip is the part of *gpiocdev.Chip this package uses.
type chip interface {
	Lines() int
	FindLine(name string) (int, error)
	LineInfo(offset int) (gpiocdev.LineInfo, error)
	RequestLine(offset int, options ...gpiocdev.LineReqOption) (line, error)
	Close() error
}

// line is the part of *gpiocdev.Line this package uses.
type line interface {
	Value() (int, error)
	SetValue(value int) error
	Close() error
}

// Kernel opens the lines of this machine's GPIO chips.
type Kernel struct{}

// OpenOutput requests the line as an output that is active or not from its first moment: the
// kernel sets direction and level as one. The consumer is what gpioinfo shows as its user.
func (Kernel) OpenOutput(l Line, consumer string, active bool) (*Output, error) {
	return openOutput(cdev{}, l, consumer, active)
}

// OpenInput requests the line as an input with its pull and debounce, watching both edges.
func (Kernel) OpenInput(l Line, consumer string) (*Input, error) {
	return openInput(cdev{}, l, consumer)
}

// Chips names the GPIO chips of this machine, as gpiochip0; nil when it has none.
func Chips() []string { return gpiocdev.Chips() }

type cdev struct{}

func (cdev) chips() []string { return gpiocdev.Chips() }

func (cdev) open(name string) (chip, error) {
	c, err := gpiocdev.NewChip(name)
	if err != nil {
		return nil, err
	}
	return cdevChip{c}, nil
}

type cdevChip struct{ *gpiocdev.Chip }

func (c cdevChip) RequestLine(offset int, options ...gpiocdev.LineReqOption) (line, error) {
	l, err := c.Chip.RequestLine(offset, options...)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// request asks for the line. The chip is closed again: that "has no effect on existing line
// requests" (Linux, userspace-api/gpio/gpio-v2-get-line-ioctl).
func request(h host, l Line, options ...gpiocdev.LineReqOption) (line, error) {
	c, err := h.open(l.chip())
	if err != nil {
		return nil, noChip(h, l, err)
	}
	defer c.Close()
	offset, err := l.offset(c)
	if err != nil {
		return nil, noLine(h, l, c, err)
	}
	got, err := c.RequestLine(offset, options...)
	if err != nil {
		return nil, refused(h, l, c, offset, err)
	}
	return got, nil
}

func (l Line) offset(c chip) (int, error) {
	if n, err := strconv.Atoi(l.Pin); err == nil {
		return n, nil
	}
	return c.FindLine(l.Pin)
}

func level(l Line) gpiocdev.LineReqOption {
	if l.ActiveLow {
		return gpiocdev.AsActiveLow
	}
	return gpiocdev.AsActiveHigh
}

func bias(l Line) gpiocdev.LineReqOption {
	switch l.Pull {
	case "up":
		return gpiocdev.WithPullUp
	case "down":
		return gpiocdev.WithPullDown
	default:
		return gpiocdev.WithBiasDisabled
	}
}

func bit(active bool) int {
	if active {
		return 1
	}
	return 0
}

// cannotDebounce reports whether the kernel is too old (before 5.10) to debounce.
func cannotDebounce(err error) bool {
	var old gpiocdev.ErrUapiIncompatibility
	return errors.As(err, &old)
}

func wrap(l Line, doing string, err error) error {
	if errors.Is(err, gpiocdev.ErrClosed) {
		return fmt.Errorf("gpio: %s %s: %w", doing, l, errClosed)
	}
	return fmt.Errorf("gpio: %s %s: %w", doing, l, err)
}
