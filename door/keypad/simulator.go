package keypad

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	active  [Size]bool // columns, as last told
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
func (w *Wires) Contact(key rune, closed bool) error {
	i := strings.IndexRune(w.layout, key)
	if i < 0 {
		return fmt.Errorf("keypad: no key %q: use one of %s", key, w.layout)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pressed[i/Size][i%Size] = closed
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
	rows := w.rows
	for range 2 * Size { // no path is longer
		for r := range Size {
			for c := range Size {
				if w.pressed[r][c] && (rows[r] || columns[c]) {
					rows[r], columns[c] = true, true
				}
			}
		}
	}
	return columns
}

type wireRow struct {
	w *Wires
	i int
}

func (r wireRow) Set(active bool) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
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
	down   = 90 * time.Millisecond
	up     = 70 * time.Millisecond
	bounce = time.Millisecond
)

// Simulator is a Matrix on Wires with a finger: Type presses its keys as a person does.
type Simulator struct {
	*Matrix
	*Wires
}

// NewSimulator returns a simulated keypad with no key down.
func NewSimulator(c Config, now func() time.Duration) (*Simulator, error) {
	wires := NewWires(c, now)
	m, err := NewMatrix(c, wires.Rows(), wires.Columns(), now)
	if err != nil {
		return nil, err
	}
	return &Simulator{Matrix: m, Wires: wires}, nil
}

// Type presses the keys one after the other, bouncing, and returns when the last is up: about
// 0.2 s a key. A key the layout lacks ends it with an error.
func (s *Simulator) Type(ctx context.Context, keys string) error {
	for _, key := range keys {
		for _, step := range []struct {
			closed bool
			last   time.Duration
		}{{true, bounce}, {false, bounce}, {true, down}, {false, bounce}, {true, bounce}, {false, up}} {
			if err := s.Contact(key, step.closed); err != nil {
				return err
			}
			if err := pause(ctx, step.last); err != nil {
				return errors.Join(err, s.Contact(key, false))
			}
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
