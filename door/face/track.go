package face

import (
	"cmp"
	"image"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Numbers gives every track of a hub a number of its own: all watchers of a hub share one.
// The zero value is ready and begins with 1.
type Numbers struct{ last atomic.Int64 }

func (n *Numbers) take() int { return int(n.last.Add(1)) }

// sighting is one face in one frame. Weight is how good the look at it was, above 0 to 1; 0
// where it was seen without being described.
type sighting struct {
	box        image.Rectangle
	descriptor Descriptor
	weight     float64
	doubt      bool // by its place or its looks it may be another's than the track it stands at
}

// tracker follows faces from look to look. A number stands for one face: when another face
// takes its place, that is another track. It is not safe for concurrent use.
type tracker struct {
	numbers *Numbers
	gone    time.Duration
	tracks  []*track
}

// track is one face that is followed.
type track struct {
	number   int
	began    time.Time
	seen     time.Time
	box      image.Rectangle // where it was seen last
	template template
	patch    patch // what it looked like there

	tried  time.Time // a look was described, or the describer saw no face
	told   bool      // to the house
	near   []door.Match
	nearOf nearKey // what near was looked up for
}

// How far a face moves and changes from one look to the next.
const (
	overlapEnough = 0.3 // intersection over union
	nearEnough    = 1.0 // distance of the centres, in widths of the larger box
	sizeEnough    = 2.0 // ratio of the widths

	// surelySame is the distance up to which a doubtful look still is one at the same face. Looks
	// at one face within seconds are nearer, and people of one family not always farther than
	// Limit: who takes a resident's place must not have the resident's looks counted for them.
	surelySame = 0.5
)

// look takes in the faces of one frame and returns the tracks they belong to in the same
// order, and the tracks whose place another face has taken: they are gone.
func (t *tracker) look(now time.Time, faces []sighting) (followed, replaced []*track) {
	followed = make([]*track, len(faces))
	taken := map[*track]bool{}
	for _, p := range t.pairs(faces) {
		if followed[p.face] == nil && !taken[p.track] {
			followed[p.face], taken[p.track] = p.track, true
		}
	}
	replaced = t.dropReplaced(faces, taken)
	for i, f := range faces {
		if followed[i] == nil {
			followed[i] = &track{number: t.numbers.take(), began: now}
			t.tracks = append(t.tracks, followed[i])
		}
		followed[i].take(now, f)
	}
	return followed, replaced
}

func (t *track) take(now time.Time, f sighting) {
	t.seen, t.box = now, f.box
	if f.weight > 0 {
		t.template.add(glance{now, f.descriptor, f.weight})
	}
}

type pair struct {
	track *track
	face  int
	cost  float64
}

// pairs lists which face may be which track, the best first.
func (t *tracker) pairs(faces []sighting) []pair {
	var ps []pair
	for _, tr := range t.tracks {
		for j, f := range faces {
			if cost, ok := tr.continues(f); ok {
				ps = append(ps, pair{tr, j, cost})
			}
		}
	}
	slices.SortStableFunc(ps, func(a, b pair) int { return cmp.Compare(a.cost, b.cost) })
	return ps
}

// continues reports whether f may be the face of the track one look later, and how badly it
// fits.
func (t *track) continues(f sighting) (cost float64, ok bool) {
	var distance float64
	if f.weight > 0 && len(t.template.glances) > 0 {
		distance = Distance(t.template.mean(), f.descriptor)
	}
	most := Limit
	if f.doubt {
		most = surelySame
	}
	if !(distance <= most) { // also refuses NaN
		return 0, false
	}
	apart, ok := moved(t.box, f.box)
	return apart + distance, ok
}

// moved returns how far a face has moved between two looks, in widths of the larger box;
// false when it is too far for one face, or the sizes differ too much.
func moved(a, b image.Rectangle) (apart float64, ok bool) {
	wide, narrow := max(a.Dx(), b.Dx()), min(a.Dx(), b.Dx())
	if narrow <= 0 || float64(wide) > sizeEnough*float64(narrow) {
		return 0, false
	}
	apart = centresApart(a, b) / float64(wide)
	return apart, apart <= nearEnough || overlap(a, b) >= overlapEnough
}

// dropReplaced ends the tracks that have no face in this frame while another one stands
// where they were.
func (t *tracker) dropReplaced(faces []sighting, taken map[*track]bool) []*track {
	return t.drop(func(tr *track) bool {
		covered := slices.ContainsFunc(faces, func(f sighting) bool { return overlap(tr.box, f.box) >= overlapEnough })
		return covered && !taken[tr]
	})
}

// expire ends the tracks not seen for the time after which a face has left.
func (t *tracker) expire(now time.Time) []*track {
	return t.drop(func(tr *track) bool { return now.Sub(tr.seen) >= t.gone })
}

// drop ends the tracks for which over is true, and returns them.
func (t *tracker) drop(over func(*track) bool) (dropped []*track) {
	kept := t.tracks[:0]
	for _, tr := range t.tracks {
		if over(tr) {
			dropped = append(dropped, tr)
			continue
		}
		kept = append(kept, tr)
	}
	clear(t.tracks[len(kept):])
	t.tracks = kept
	return dropped
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
