package keypad

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Row is an output that pulls its row to the level at which a column reads active.
type Row interface {
	Set(active bool) error
}

// Column is an input, active while a pressed key joins it to an active row.
type Column interface {
	Active() (bool, error)
	Watch(f func(active bool, at time.Duration))
}

// Matrix reads real keys. While none is down all rows are active and it sleeps until a column
// tells an edge; then it reads row by row until all keys are up.
type Matrix struct {
	config  Config
	rows    [Size]Row
	columns [Size]Column
	now     func() time.Duration
	wake    chan struct{}
	decoder *Decoder
	entry   *Entry
	counts  func(pressed bool) // told after each reading whether a key counts as pressed; nil: nobody asks
}

// NewMatrix returns a keypad on these lines. Events carry the time that now tells, which must
// never go back.
func NewMatrix(c Config, rows [Size]Row, columns [Size]Column, now func() time.Duration) (*Matrix, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("keypad: %w", err)
	}
	return &Matrix{config: c, rows: rows, columns: columns, now: now, wake: make(chan struct{}, 1)}, nil
}

// Run reads the keys until the context ends or a line fails; it may be called again after
// that, and then knows nothing of what was typed before. It leaves all rows inactive.
func (m *Matrix) Run(ctx context.Context, emit func(Event)) (err error) {
	m.decoder, m.entry = NewDecoder(m.config), NewEntry(m.config)
	defer func() { err = errors.Join(err, m.drive(false)) }()
	m.count()
	for _, c := range m.columns {
		c.Watch(func(bool, time.Duration) { m.rouse() })
	}
	for ctx.Err() == nil && err == nil {
		if err = m.sleep(ctx, emit); err == nil && ctx.Err() == nil {
			err = m.read(ctx, emit)
		}
	}
	return err
}

func (m *Matrix) count() {
	if m.counts != nil {
		m.counts(m.decoder.state != released)
	}
}

func (m *Matrix) rouse() {
	select {
	case m.wake <- struct{}{}:
	default: // it is awake already
	}
}

// sleep returns when a key may be down. Activating the rows comes before looking at the
// columns, so that a key pressed in between is seen by one or told by the other.
func (m *Matrix) sleep(ctx context.Context, emit func(Event)) error {
	if err := m.drive(true); err != nil {
		return err
	}
	if down, err := m.anyColumn(); down || err != nil {
		return err
	}
	expire := m.expiry()
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
			return nil
		case <-expire.C:
			tell(emit, m.entry.Expire(m.now()))
		}
	}
}

// expiry ticks once when the digits typed so far are to be dropped, if there are any.
func (m *Matrix) expiry() *time.Timer {
	due, pending := m.entry.Deadline()
	if pending {
		return time.NewTimer(max(0, due-m.now()))
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (m *Matrix) read(ctx context.Context, emit func(Event)) error {
	tick := time.NewTicker(m.config.Scan)
	defer tick.Stop()
	for {
		contacts, err := m.scan()
		if err != nil {
			return err
		}
		now := m.now()
		tell(emit, m.entry.Expire(now))
		if key := m.decoder.Scan(now, contacts); key != 0 {
			tell(emit, m.entry.Key(now, key))
		}
		m.count()
		if m.decoder.Idle() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// scan reads one row after the other, each alone active.
func (m *Matrix) scan() (Contacts, error) {
	var got Contacts
	if err := m.drive(false); err != nil {
		return got, err
	}
	for r := range m.rows {
		if err := m.scanRow(r, &got); err != nil {
			return got, err
		}
	}
	return got, nil
}

func (m *Matrix) scanRow(r int, got *Contacts) error {
	if err := m.set(r, true); err != nil {
		return err
	}
	time.Sleep(m.config.Settle) // the pull-up charges the cable: 50 kΩ and 1 nF take 50 µs
	for c, column := range m.columns {
		active, err := column.Active()
		if err != nil {
			return wrapColumn(c, err)
		}
		got[r][c] = active
	}
	return m.set(r, false)
}

func (m *Matrix) anyColumn() (bool, error) {
	for c, column := range m.columns {
		active, err := column.Active()
		if active || err != nil {
			return active, wrapColumn(c, err)
		}
	}
	return false, nil
}

func (m *Matrix) drive(active bool) error {
	var errs []error
	for r := range m.rows {
		errs = append(errs, m.set(r, active))
	}
	return errors.Join(errs...)
}

func (m *Matrix) set(r int, active bool) error {
	if err := m.rows[r].Set(active); err != nil {
		return fmt.Errorf("keypad: drive row %d: %w", r+1, err)
	}
	return nil
}

func wrapColumn(c int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("keypad: read column %d: %w", c+1, err)
}

func tell(emit func(Event), events []Event) {
	for _, e := range events {
		emit(e)
	}
}
