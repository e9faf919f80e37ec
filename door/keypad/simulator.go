package keypad

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Wires is a 4x4 matrix without diodes, as wires: a column is active while pressed keys join
// it, over however many rows and columns, to an active row. Its methods may be called by
// several goroutines; watchers are called with the change done and must not call back.
type Wires struct {
	layout string
	now    func() time.Duration

	mu      sync.Mutex
	rows    [Size]bool
	pressed Contacts
	bounces [Size][Size]int // readings for which a contact still bounces
	active  [Size]bool      // columns, as last told
	watch   [Size]func(bool, time.Duration)
}

// NewWires returns a matrix with no key down.
func NewWires(c Config, now func() time.Duration) *Wires {
	return &Wires{layout: c.Layout, now: now}
}

// Rows returns the ends to drive.
func (w *Wires) Rows() (rows [Size]Row) {
	for i := range rows {
		rows[i] = wireRow{w, i}
	}
	return rows
}

// Columns returns the ends to read.
func (w *Wires) Columns() (columns [Size]Column) {
	for i := range columns {
		columns[i] = wireColumn{w, i}
	}
	return columns
}

// Contact closes or opens the contact under a key. A key the layout lacks is an error.
func (w *Wires) Contact(key rune, closed bool) error { return w.move(key, closed, 0) }

// move closes or opens a contact that bounces for so many readings of its row, every other of
// which finds it as it was before. Readings and not milliseconds: those a busy machine stretches
// until a bounce is a press.
func (w *Wires) move(key rune, closed bool, bounces int) error {
	i := strings.IndexRune(w.layout, key)
	if i < 0 {
		return fmt.Errorf("keypad: no key %q: use one of %s", key, w.layout)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pressed[i/Size][i%Size], w.bounces[i/Size][i%Size] = closed, bounces
	w.settle()
	return nil
}

func (w *Wires) settle() {
	now := w.joined()
	for c, active := range now {
		if was := w.active[c]; was != active {
			w.active[c] = active
			if w.watch[c] != nil {
				w.watch[c](active, w.now())
			}
		}
	}
}

// joined spreads from the active rows over pressed keys until nothing more is reached.
func (w *Wires) joined() (columns [Size]bool) {
	rows, pressed := w.rows, w.conducting()
	for range 2 * Size { // no path is longer
		for r := range Size {
			for c := range Size {
				if pressed[r][c] && (rows[r] || columns[c]) {
					rows[r], columns[c] = true, true
				}
			}
		}
	}
	return columns
}

// conducting returns which contacts conduct now. A bounce shows in readings alone, while one row
// is active: the edges of all rows would come and go without anybody's finger moving.
func (w *Wires) conducting() Contacts {
	now, alone := w.pressed, 0
	for _, active := range w.rows {
		if active {
			alone++
		}
	}
	if alone != 1 {
		return now
	}
	for r := range Size {
		for c := range Size {
			now[r][c] = now[r][c] != (w.bounces[r][c]%2 == 1)
		}
	}
	return now
}

type wireRow struct {
	w *Wires
	i int
}

func (r wireRow) Set(active bool) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if active && !r.w.rows[r.i] {
		for c, n := range r.w.bounces[r.i] {
			r.w.bounces[r.i][c] = max(0, n-1)
		}
	}
	r.w.rows[r.i] = active
	r.w.settle()
	return nil
}

type wireColumn struct {
	w *Wires
	i int
}

func (c wireColumn) Active() (bool, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.w.active[c.i], nil
}

func (c wireColumn) Watch(f func(active bool, at time.Duration)) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.watch[c.i] = f
}

// How a practised finger types, and how its key bounces: assumed, not measured; 160 ms a key is
// brisk typing.
const (
	down    = 90 * time.Millisecond
	up      = 70 * time.Millisecond
	bounces = 4 // readings
)

// Simulator is a Matrix on Wires with a finger: Type presses its keys as a person does.
type Simulator struct {
	*Matrix
	*Wires
	finger sync.Mutex    // there is one
	held   atomic.Bool   // the matrix counts a key as pressed
	told   chan struct{} // held may have changed
}

// NewSimulator returns a simulated keypad with no key down.
func NewSimulator(c Config, now func() time.Duration) (*Simulator, error) {
	wires := NewWires(c, now)
	m, err := NewMatrix(c, wires.Rows(), wires.Columns(), now)
	if err != nil {
		return nil, err
	}
	s := &Simulator{Matrix: m, Wires: wires, told: make(chan struct{}, 1)}
	m.counts = func(pressed bool) {
		s.held.Store(pressed)
		select {
		case s.told <- struct{}{}:
		default: // the finger has yet to look
		}
	}
	return s, nil
}

// Type presses the keys one after the other, bouncing, each until Run has read it, and returns
// when the last was read as up: about 0.2 s a key, longer where the machine is busy. A key the
// layout lacks, or the context's end, ends it with an error.
func (s *Simulator) Type(ctx context.Context, keys string) error {
	s.finger.Lock()
	defer s.finger.Unlock()
	for _, key := range keys {
		if err := s.stroke(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (s *Simulator) stroke(ctx context.Context, key rune) error {
	if err := s.move(key, true, bounces); err != nil {
		return err
	}
	err := s.feel(ctx, true, down)
	if err = errors.Join(err, s.move(key, false, bounces)); err != nil {
		return err
	}
	return s.feel(ctx, false, up)
}

// feel waits until a key was read as pressed, or as up, and at least so long.
func (s *Simulator) feel(ctx context.Context, pressed bool, least time.Duration) error {
	if err := pause(ctx, least); err != nil {
		return err
	}
	for s.held.Load() != pressed {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.told:
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
