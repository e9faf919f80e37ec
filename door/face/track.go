package face

import (
	"cmp"
	"image"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Numbers gives every track of a hub a number of its own: all watchers of a hub share one.
// The zero value is ready and begins with 1.
type Numbers struct{ last atomic.Int64 }

func (n *Numbers) take() int { return int(n.last.Add(1)) }

// sighting is one face in one frame.
type sighting struct {
	box        image.Rectangle
	descriptor Descriptor
}

// tracker follows faces from look to look. A number stands for one face: when another face
// takes its place, that is another track. It is not safe for concurrent use.
type tracker struct {
	numbers *Numbers
	gone    time.Duration
	tracks  []track
}

type track struct {
	number int
	seen   time.Time
	sighting
}

// How far a face moves and changes from one look to the next.
const (
	overlapEnough = 0.3 // intersection over union
	nearEnough    = 1.0 // distance of the centres, in widths of the larger box
	sizeEnough    = 2.0 // ratio of the widths
)

// look takes in the faces of one frame and returns their numbers in the same order, and the
// numbers of tracks whose place another face has taken: they are gone.
func (t *tracker) look(now time.Time, faces []sighting) (numbers, replaced []int) {
	numbers = make([]int, len(faces))
	taken := map[int]bool{} // by index of the track
	for _, p := range t.pairs(faces) {
		if numbers[p.face] == 0 && !taken[p.track] {
			numbers[p.face], taken[p.track] = t.tracks[p.track].number, true
			t.tracks[p.track].sighting, t.tracks[p.track].seen = faces[p.face], now
		}
	}
	replaced = t.dropReplaced(faces, taken)
	for i, f := range faces {
		if numbers[i] == 0 {
			numbers[i] = t.numbers.take()
			t.tracks = append(t.tracks, track{numbers[i], now, f})
		}
	}
	return numbers, replaced
}

type pair struct {
	track, face int
	cost        float64
}

// pairs lists which face may be which track, the best first.
func (t *tracker) pairs(faces []sighting) []pair {
	var ps []pair
	for i := range t.tracks {
		for j, f := range faces {
			if cost, ok := continues(t.tracks[i].sighting, f); ok {
				ps = append(ps, pair{i, j, cost})
			}
		}
	}
	slices.SortStableFunc(ps, func(a, b pair) int { return cmp.Compare(a.cost, b.cost) })
	return ps
}

// continues reports whether b may be the face of a one look later, and how badly it fits.
func continues(a, b sighting) (cost float64, ok bool) {
	distance := Distance(a.descriptor, b.descriptor)
	if !(distance <= Limit) { // also refuses NaN
		return 0, false
	}
	wide, narrow := max(a.box.Dx(), b.box.Dx()), min(a.box.Dx(), b.box.Dx())
	if narrow <= 0 || float64(wide) > sizeEnough*float64(narrow) {
		return 0, false
	}
	apart := centresApart(a.box, b.box) / float64(wide)
	if apart > nearEnough && overlap(a.box, b.box) < overlapEnough {
		return 0, false
	}
	return apart + distance, true
}

// dropReplaced ends the tracks that have no face in this frame while another one stands
// where they were.
func (t *tracker) dropReplaced(faces []sighting, taken map[int]bool) (numbers []int) {
	kept := t.tracks[:0]
	for i, tr := range t.tracks {
		covered := slices.ContainsFunc(faces, func(f sighting) bool { return overlap(tr.box, f.box) >= overlapEnough })
		if covered && !taken[i] {
			numbers = append(numbers, tr.number)
			continue
		}
		kept = append(kept, tr)
	}
	t.tracks = kept
	return numbers
}

// expire ends the tracks not seen for the time after which a face has left, and returns
// their numbers.
func (t *tracker) expire(now time.Time) (numbers []int) {
	kept := t.tracks[:0]
	for _, tr := range t.tracks {
		if now.Sub(tr.seen) >= t.gone {
			numbers = append(numbers, tr.number)
			continue
		}
		kept = append(kept, tr)
	}
	t.tracks = kept
	return numbers
}

// overlap is intersection over union, 0 to 1.
func overlap(a, b image.Rectangle) float64 {
	both := area(a.Intersect(b))
	if both == 0 {
		return 0
	}
	return float64(both) / float64(area(a)+area(b)-both)
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }

func centresApart(a, b image.Rectangle) float64 {
	ca, cb := a.Min.Add(a.Max), b.Min.Add(b.Max)
	return math.Hypot(float64(ca.X-cb.X), float64(ca.Y-cb.Y)) / 2
}
