package lock

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/doorhub/doorhub/door"
)

func (l *Lock) unlock(now time.Time, hold time.Duration) error {
	if l.stopping {
		return fmt.Errorf("lock: %w", ErrClosed)
	}
	if until := now.Add(hold + l.config.Margin); until.After(l.relockAt) {
		l.relockAt = until
	}
	if err := l.move(now, door.Unlocked); err != nil {
		l.wanted, l.relockAt = door.Locked, now // what the line does is not known: make sure
		return err
	}
	return nil
}

func (l *Lock) lock(now time.Time) error {
	l.relockAt = time.Time{}
	if err := l.move(now, door.Locked); err != nil {
		l.relockAt = now.Add(again)
		return err
	}
	return nil
}

// relock is the last guard.
func (l *Lock) relock(now time.Time) {
	if l.config.Kind == Bolt && l.lines.Open != nil && l.lines.Open() {
		l.relockAt = now.Add(again)
		return
	}
	_ = l.lock(now) // an error is told, and tried again
}

func (l *Lock) move(now time.Time, to door.LockState) error {
	l.wanted, l.tries = to, l.config.Retries
	l.turnAt, l.checkAt = time.Time{}, time.Time{}
	if err := l.drive(now, to); err != nil {
		l.fail(err)
		return fmt.Errorf("lock: %w", err)
	}
	l.failed = false
	if l.bolt == nil {
		l.tell(to)
		return nil
	}
	if to == door.Unlocked {
		l.tell(to) // it can no longer be taken for locked
	}
	l.checkAt = now.Add(l.config.Travel)
	return nil
}

// drive energises what leads to a state, and begins a pulse where there is one.
func (l *Lock) drive(now time.Time, to door.LockState) error {
	unlock := to == door.Unlocked
	l.restAt = time.Time{}
	switch l.config.Mode {
	case Hold:
		return l.lines.Drive.Set(unlock != l.config.LockedActive())
	case Pulse:
		if unlock {
			l.restAt = now.Add(l.config.Pulse)
		}
		return l.lines.Drive.Set(unlock)
	default: // never both coils: the one that goes off goes first
		l.restAt = now.Add(l.config.Pulse)
		off, on := l.lines.Drive, l.lines.Relock
		if unlock {
			off, on = on, off
		}
		if err := off.Set(false); err != nil {
			return err
		}
		return on.Set(true)
	}
}

// rest ends a pulse. A coil that stays on may burn, and keeps a strike open.
func (l *Lock) rest(now time.Time) {
	err := l.lines.Drive.Set(false)
	if l.lines.Relock != nil {
		err = errors.Join(err, l.lines.Relock.Set(false))
	}
	switch {
	case err != nil:
		l.fail(err)
		if !l.stopping {
			l.restAt = now.Add(again)
		}
	case l.failed && (l.wanted == door.Unlocked || l.relockAt.IsZero()): // no try to lock is due
		l.failed = false
		if l.bolt == nil {
			l.tell(l.wanted)
		}
	}
}

// fail tells that a line was not set. It is logged once, not at every further try.
func (l *Lock) fail(err error) {
	if !l.failed {
		slog.Error("lock's line fails; trying on", "component", "lock", "err", err)
	}
	l.failed = true
	l.tell(door.Jammed)
}

// check comes when the bolt should have followed: a bolt under pressure often comes free when
// it is driven back for a moment.
func (l *Lock) check(now time.Time) {
	if l.followed() {
		return
	}
	if l.tries == 0 {
		l.tell(door.Jammed)
		return
	}
	l.tries--
	l.checkAt = now.Add(l.config.Pulse + l.config.Travel)
	l.turnAt = now.Add(l.config.Pulse)
	if l.config.Mode == Hold {
		l.redrive(now, opposite(l.wanted))
	}
}

func (l *Lock) turn(now time.Time) { l.redrive(now, l.wanted) }

func (l *Lock) redrive(now time.Time, to door.LockState) {
	if err := l.drive(now, to); err != nil {
		l.turnAt, l.checkAt = time.Time{}, time.Time{}
		l.wanted, l.relockAt = door.Locked, now.Add(again)
		l.fail(err)
	}
}

// follow takes the state from the bolt: it has come where it should, or a key moved it.
func (l *Lock) follow() {
	switch {
	case l.bolt == nil, l.failed:
	case l.followed():
		if l.turnAt.IsZero() {
			l.checkAt = time.Time{}
			l.tell(l.wanted)
		}
	case l.checkAt.IsZero() && l.State() != door.Jammed:
		l.tell(opposite(l.wanted))
	}
}

func (l *Lock) followed() bool { return l.bolt.Tripped() == (l.wanted == door.Unlocked) }

func opposite(s door.LockState) door.LockState {
	if s == door.Locked {
		return door.Unlocked
	}
	return door.Locked
}
