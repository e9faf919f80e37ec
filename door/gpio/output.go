package gpio

import (
	"fmt"
	"sync"

	"github.com/warthog618/go-gpiocdev"
)

// Output is a line that is driven. Its methods may be called by several goroutines.
type Output struct {
	name  Line
	line  line
	close func() error
}

func openOutput(h host, l Line, consumer string, active bool) (*Output, error) {
	if err := l.validOutput(); err != nil {
		return nil, fmt.Errorf("gpio: output %s: %w", consumer, err)
	}
	options := []gpiocdev.LineReqOption{gpiocdev.WithConsumer(consumer), level(l), gpiocdev.AsOutput(bit(active))}
	if l.OpenDrain {
		options = append(options, gpiocdev.AsOpenDrain)
	}
	got, err := request(h, l, options...)
	if err != nil {
		return nil, err
	}
	return &Output{name: l, line: got, close: sync.OnceValue(got.Close)}, nil
}

// Set makes the line active or not. When it fails the level is as it was.
func (o *Output) Set(active bool) error {
	if err := o.line.SetValue(bit(active)); err != nil {
		return wrap(o.name, "set", err)
	}
	return nil
}

// Active reads the level back from the chip: what the pin has, not what was asked for.
func (o *Output) Active() (bool, error) {
	v, err := o.line.Value()
	if err != nil {
		return false, wrap(o.name, "read back", err)
	}
	return v != 0, nil
}

// Close lets go of the line; what it does then is up to the chip and the wiring (see the
// package's comment), so set the level that is safe first. Closing again does nothing.
func (o *Output) Close() error { return o.close() }
