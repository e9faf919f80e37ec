package door

import (
	"strconv"
	"time"
)

// What anybody could do without end, and what a loose wire does by itself, shall neither fill
// the journal nor wear out the disk. Of each such thing so many a minute are written down,
// then that there are too many, and no more until a minute had few enough.
const (
	floodMost  = 10
	floodEvery = time.Minute
)

// flood counts what happened within a minute.
type flood struct {
	door string
	n    int
	ends time.Duration // the minute
	over bool
	left int    // not written down
	redo func() // brings the records up to date with what was left out; nil: nothing to do
}

// flooded counts one more of something and reports whether it is too many to be written down.
// Where records tell a state, redo tells the newest again when the flood is over.
func (h *House) flooded(door, part string, redo func()) bool {
	f := h.floods[part]
	if f == nil {
		f = &flood{door: door, ends: h.now.Mono + floodEvery}
		h.floods[part] = f
	}
	f.n++
	f.redo = redo
	if f.n > floodMost && !f.over {
		f.over = true
		h.record(f.problem(KindProblem, part))
	}
	if f.over {
		f.left++
	}
	return f.over
}

// upToDate notes that the records tell the newest state of part.
func (h *House) upToDate(part string) {
	if f := h.floods[part]; f != nil {
		f.redo = nil
	}
}

// ebb ends a minute, and the flood if there were few enough in it.
func (h *House) ebb(part string) {
	f := h.floods[part]
	if f.over && f.n > floodMost {
		f.n, f.ends = 0, h.now.Mono+floodEvery
		return
	}
	delete(h.floods, part)
	if !f.over {
		return
	}
	gone := f.problem(KindProblemGone, part)
	gone.Details[DetailLeftOut] = strconv.Itoa(f.left)
	h.record(gone)
	if f.redo != nil {
		f.redo()
	}
}

func (f *flood) problem(k Kind, part string) Record {
	return Record{Door: f.door, Kind: k, Reason: ReasonTooMany, Details: map[string]string{DetailPart: part}}
}
