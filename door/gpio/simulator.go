package gpio

import (
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
)

// Op is a step at which a Simulator can be told to fail.
type Op string

// Where the kernel can refuse: opening the chip, requesting a line, reading it, setting it.
const (
	OpOpen    Op = "open"
	OpRequest Op = "request"
	OpGet     Op = "get"
	OpSet     Op = "set"
)

// Simulator is a GPIO chip, "gpiochip0" with lines named GPIO0 and so on, that exists only in
// memory. Its lines are opened as the kernel's are, and its other methods are the hands and
// the meter at the pins. They may be called by several goroutines.
//
// A released line is an input again, as on a mainline kernel; a line that nothing drives or
// pulls reads low.
type Simulator struct {
	mu   sync.Mutex
	now  func() time.Duration
	pins []pin
	fail map[Op]error
}

type pin struct {
	held  *simLine // nil: free
	hand  *bool    // level put on the pin from outside; nil: none
	level bool     // as last told
}

// NewSimulator returns a chip with that many lines, all free and undriven. Edges carry the
// time that now tells; Now is the clock of real ones.
func NewSimulator(lines int, now func() time.Duration) *Simulator {
	return &Simulator{now: now, pins: make([]pin, lines), fail: map[Op]error{}}
}

// OpenOutput is Kernel.OpenOutput on the simulated chip.
func (s *Simulator) OpenOutput(l Line, consumer string, active bool) (*Output, error) {
	return openOutput(s, l, consumer, active)
}

// OpenInput is Kernel.OpenInput on the simulated chip.
func (s *Simulator) OpenInput(l Line, consumer string) (*Input, error) {
	return openInput(s, l, consumer)
}

// Drive puts a level on a pin from outside. An output that drives it is stronger.
func (s *Simulator) Drive(offset int, high bool) { s.change(offset, &high) }

// Float takes away what Drive put on a pin: its pull decides.
func (s *Simulator) Float(offset int) { s.change(offset, nil) }

// High reports the voltage at a pin, whatever the line counts as active.
func (s *Simulator) High(offset int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.voltage(offset)
}

// Fail makes every later op fail with err, as EBUSY; nil makes it well again.
func (s *Simulator) Fail(op Op, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[op] = err
}

func (s *Simulator) change(offset int, hand *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[offset].hand = hand
	s.settle(offset)
}

func (s *Simulator) voltage(offset int) bool {
	p := &s.pins[offset]
	switch l := p.held; {
	case l != nil && l.output && !(l.openDrain && l.high()):
		return l.high()
	case p.hand != nil:
		return *p.hand
	default:
		return l != nil && (l.bias == gpiocdev.LineBiasPullUp || l.openDrain)
	}
}

// settle tells the line's holder of a new level, at once or once it has lasted.
func (s *Simulator) settle(offset int) {
	p := &s.pins[offset]
	l := p.held
	if l == nil || l.handler == nil {
		p.level = s.voltage(offset)
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.debounce == 0 {
		s.tell(l)
		return
	}
	l.timer = time.AfterFunc(l.debounce, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tell(l)
	})
}

func (s *Simulator) tell(l *simLine) {
	p := &s.pins[l.offset]
	now := s.voltage(l.offset)
	if p.held != l || p.level == now {
		return
	}
	p.level = now
	l.seq++
	kind := gpiocdev.LineEventFallingEdge
	if now != l.activeLow {
		kind = gpiocdev.LineEventRisingEdge
	}
	l.handler(gpiocdev.LineEvent{Offset: l.offset, Timestamp: s.now(), Type: kind, Seqno: l.seq, LineSeqno: l.seq})
}

func (s *Simulator) chips() []string { return []string{Defaults().Chip} }

func (s *Simulator) open(name string) (chip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail[OpOpen]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: devPath(name), Err: err}
	}
	if devPath(name) != devPath(Defaults().Chip) {
		return nil, &fs.PathError{Op: "lstat", Path: devPath(name), Err: unix.ENOENT}
	}
	return simChip{s}, nil
}

// simChip and simLine have the surface of gpiocdev's Chip and Line.
type simChip struct{ s *Simulator }

func (c simChip) Lines() int   { return len(c.s.pins) }
func (c simChip) Close() error { return nil }

func (c simChip) FindLine(name string) (int, error) {
	for o := range c.s.pins {
		if name == fmt.Sprintf("GPIO%d", o) {
			return o, nil
		}
	}
	return 0, gpiocdev.ErrNotFound
}

func (c simChip) LineInfo(offset int) (gpiocdev.LineInfo, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	info := gpiocdev.LineInfo{Offset: offset, Name: fmt.Sprintf("GPIO%d", offset)}
	if l := c.s.pins[offset].held; l != nil {
		info.Used, info.Consumer = true, l.consumer
	}
	return info, nil
}

func (c simChip) RequestLine(offset int, options ...gpiocdev.LineReqOption) (line, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if offset < 0 || offset >= len(c.s.pins) {
		return nil, gpiocdev.ErrInvalidOffset
	}
	if err := c.s.fail[OpRequest]; err != nil {
		return nil, err
	}
	if c.s.pins[offset].held != nil {
		return nil, unix.EBUSY
	}
	l := &simLine{s: c.s, offset: offset}
	for _, o := range options {
		if err := l.apply(o); err != nil {
			return nil, err
		}
	}
	c.s.pins[offset].held = l
	c.s.pins[offset].level = c.s.voltage(offset)
	return l, nil
}

type simLine struct {
	s         *Simulator
	offset    int
	consumer  string
	output    bool
	value     int
	activeLow bool
	openDrain bool
	bias      gpiocdev.LineBias
	debounce  time.Duration
	handler   func(gpiocdev.LineEvent)
	seq       uint32
	timer     *time.Timer
}

func (l *simLine) apply(option gpiocdev.LineReqOption) error {
	switch o := option.(type) {
	case gpiocdev.ConsumerOption:
		l.consumer = string(o)
	case gpiocdev.LevelOption:
		l.activeLow = bool(o)
	case gpiocdev.OutputOption:
		l.output, l.value = true, o[0]
	case gpiocdev.LineDrive:
		l.openDrain = o == gpiocdev.LineDriveOpenDrain
	case gpiocdev.LineBias:
		l.bias = o
	case gpiocdev.DebounceOption:
		l.debounce = time.Duration(o)
	case gpiocdev.EventHandler:
		l.handler = o
	case gpiocdev.InputOption, gpiocdev.LineEdge:
	default:
		return fmt.Errorf("simulated line: no option %T: %w", option, unix.EINVAL)
	}
	return nil
}

func (l *simLine) high() bool { return (l.value != 0) != l.activeLow }

func (l *simLine) Value() (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if err := l.usable(OpGet); err != nil {
		return 0, err
	}
	level := l.s.pins[l.offset].level // what debouncing has let through
	if l.output {
		level = l.s.voltage(l.offset)
	}
	return bit(level != l.activeLow), nil
}

func (l *simLine) SetValue(value int) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if err := l.usable(OpSet); err != nil {
		return err
	}
	l.value = value
	l.s.settle(l.offset)
	return nil
}

func (l *simLine) usable(op Op) error {
	if l.s.pins[l.offset].held != l {
		return gpiocdev.ErrClosed
	}
	return l.s.fail[op]
}

func (l *simLine) Close() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.s.pins[l.offset].held = nil
	l.s.settle(l.offset)
	return nil
}
