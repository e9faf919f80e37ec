package keypad

import "time"

// Contacts is one reading of the matrix, by row and column: which crossings conduct.
type Contacts [Size][Size]bool

// Decoder turns readings into keys: contacts are debounced, keys that may be ghosts are not
// told, and while one key is held every other is ignored. It does no I/O; time comes with the
// reading.
//
// A matrix without diodes conducts at the fourth corner of a rectangle when three are pressed,
// and nothing tells which corner is the ghost. So no corner of a conducting rectangle is told.
type Decoder struct {
	debounce time.Duration
	layout   []rune
	raw      Contacts                  // as read last
	since    [Size][Size]time.Duration // when raw changed
	stable   Contacts                  // what has lasted
	state    state
	row, col int // of the held key
}

type state int

const (
	released state = iota // no key is down
	held                  // one key was told and is still down
	blocked               // keys are down that cannot be told: wait until none is
)

// NewDecoder returns a decoder that has seen no key down. The config must be valid.
func NewDecoder(c Config) *Decoder {
	return &Decoder{debounce: c.Debounce, layout: []rune(c.Layout)}
}

// Scan takes one reading. It returns a key in the moment it counts as pressed, else 0.
// Readings must come in the order of their times.
func (d *Decoder) Scan(at time.Duration, now Contacts) rune {
	d.settle(at, now)
	switch d.state {
	case held:
		if d.stable[d.row][d.col] {
			return 0
		}
		d.state = blocked // until the others are up, too
	case blocked:
	case released:
		return d.press()
	}
	if d.stable == (Contacts{}) {
		d.state = released
	}
	return 0
}

// Idle reports whether no key is down or bouncing, so that there is nothing to read until the
// next edge.
func (d *Decoder) Idle() bool {
	none := Contacts{}
	return d.state == released && d.raw == none && d.stable == none
}

func (d *Decoder) settle(at time.Duration, now Contacts) {
	for r := range Size {
		for c := range Size {
			if now[r][c] != d.raw[r][c] {
				d.raw[r][c], d.since[r][c] = now[r][c], at
			}
			if at-d.since[r][c] >= d.debounce {
				d.stable[r][c] = d.raw[r][c]
			}
		}
	}
}

func (d *Decoder) press() rune {
	if d.stable == (Contacts{}) {
		return 0
	}
	d.state = blocked
	row, col, ok := d.stable.only()
	if !ok || d.either().corner(row, col) {
		return 0
	}
	d.state, d.row, d.col = held, row, col
	return d.layout[row*Size+col]
}

// either joins what has lasted and what was read last: a ghost may still be settling.
func (d *Decoder) either() Contacts {
	all := d.stable
	for r := range Size {
		for c := range Size {
			all[r][c] = all[r][c] || d.raw[r][c]
		}
	}
	return all
}

// only returns the one contact that conducts; false when none or several do.
func (c Contacts) only() (row, col int, ok bool) {
	n := 0
	for r := range Size {
		for k := range Size {
			if c[r][k] {
				row, col, n = r, k, n+1
			}
		}
	}
	return row, col, n == 1
}

// corner reports whether a contact is a corner of a rectangle that conducts at all four.
func (c Contacts) corner(row, col int) bool {
	for r := range Size {
		for k := range Size {
			if r != row && k != col && c[r][k] && c[row][k] && c[r][col] {
				return true
			}
		}
	}
	return false
}
