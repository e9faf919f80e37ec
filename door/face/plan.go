package face

import (
	"cmp"
	"image"
	"math"
	"slices"
	"time"
)

// Why says in one word what became of a face in one look.
type Why string

// The first five are why a face was described, the others why it was not.
const (
	Doubted   Why = "doubted"   // it may be another's than the track it stands at
	New       Why = "new"       // nobody has described it yet
	Unsettled Why = "unsettled" // the looks described were not good enough to go by
	Better    Why = "better"    // a better look than those described
	Due       Why = "due"       // the last was described long enough ago
	Known     Why = "known"     // described well enough already
	Waiting   Why = "waiting"   // too poor a look yet, or others came first
	NoneThere Why = "none"      // the describer saw no face
)

// candidate is one face that the detector found in a frame, on its way to become a sighting.
type candidate struct {
	spot
	landmarks []image.Point // none where they were not needed
	quality   Quality
	patch     patch

	track *track // which it seems to be; nil for a new one
	doubt bool   // it may be another's
	why   Why

	tried      bool // the describer looked at it, and described it if weight is above 0
	descriptor Descriptor
	weight     float64
}

const (
	poorLook     = 0.12                   // score below which a new face waits for a better look
	waitLongest  = 400 * time.Millisecond // for a better look
	betterBy     = 1.3                    // times the best score so far
	againAfter   = 120 * time.Millisecond // no sooner is the same face described once more
	lostFor      = 400 * time.Millisecond // a face that was not found for so long may be another's
	movedFar     = 0.5                    // widths from look to look, with which it may be
	ambiguous    = 0.6                    // widths by which the next best fit must be worse
	dueInOneLook = 2                      // faces described because they are due; the others wait
)

// guess tells by place and looks alone which track each face is, and doubts where it may
// be another's.
func (t *tracker) guess(now time.Time, faces []*candidate) {
	var seen []sighting
	for _, c := range faces {
		seen = append(seen, sighting{box: c.box})
	}
	taken := map[*track]*candidate{}
	pairs := t.pairs(seen)
	for _, p := range pairs {
		if c := faces[p.face]; c.track == nil && taken[p.track] == nil {
			c.track, taken[p.track] = p.track, c
			if p.cost > movedFar || now.Sub(p.track.seen) > lostFor || !p.track.patch.like(c.patch) ||
				contested(pairs, p) {
				c.doubt = true
			}
		}
	}
}

// contested reports whether another face fits the same track, or another track the same
// face, nearly as well.
func contested(pairs []pair, best pair) bool {
	return slices.ContainsFunc(pairs, func(p pair) bool {
		return p != best && (p.track == best.track || p.face == best.face) && p.cost < best.cost+ambiguous
	})
}

// decide sets why each face is described or not.
func (t *tracker) decide(now time.Time, faces []*candidate, refresh time.Duration) {
	for _, c := range faces {
		c.why = c.decide(now, refresh)
	}
}

func (c *candidate) decide(now time.Time, refresh time.Duration) Why {
	score := c.quality.Score()
	if c.track == nil {
		if score < poorLook {
			return Waiting
		}
		return New
	}
	if c.doubt {
		return Doubted
	}
	t, since := c.track, now.Sub(c.track.tried)
	switch described := len(t.template.glances) > 0; {
	case !described && score < poorLook && now.Sub(t.began) < waitLongest:
		return Waiting
	case since < againAfter:
		return Known
	case !described:
		return New
	case !t.template.settled():
		return Unsettled
	case score > betterBy*t.template.best():
		return Better
	case since >= refresh:
		return Due
	}
	return Known
}

// urgency is why a face is described, the most urgent first.
func urgency() []Why { return []Why{Doubted, New, Unsettled, Better, Due} }

func (w Why) describes() bool { return slices.Contains(urgency(), w) }

// chosen returns the faces to describe in this look, the most urgent first, of the same
// urgency the largest. The others wait.
func chosen(faces []*candidate, most int) []*candidate {
	var all []*candidate
	for _, c := range faces {
		if c.why.describes() {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(slices.Index(urgency(), a.why), slices.Index(urgency(), b.why)),
			oldest(a, b), cmp.Compare(area(b.box), area(a.box)))
	})
	due := 0
	all = slices.DeleteFunc(all, func(c *candidate) bool {
		if c.why == Due {
			due++
		}
		return c.why == Due && due > dueInOneLook
	})
	return all[:min(len(all), most)]
}

// oldest puts of two faces that are due first the one described longer ago.
func oldest(a, b *candidate) int {
	if a.why != Due || b.why != Due {
		return 0
	}
	return a.track.tried.Compare(b.track.tried)
}

// patchSide is the side of the small grey picture by which a face is held against that of the
// look before.
const patchSide = 12

// patch is a face in patchSide x patchSide grey pixels, by rows.
type patch []byte

// alike is the least correlation with which two patches may show the same face.
const alike = 0.4

// like reports whether p may show the same face as q a moment later: its correlation does not
// depend on light or contrast. Where there is nothing to compare it says so.
func (p patch) like(q patch) bool {
	if len(p) != len(q) || len(p) == 0 {
		return true
	}
	var mp, mq float64
	for i := range p {
		mp += float64(p[i])
		mq += float64(q[i])
	}
	mp, mq = mp/float64(len(p)), mq/float64(len(q))
	var pq, pp, qq float64
	for i := range p {
		a, b := float64(p[i])-mp, float64(q[i])-mq
		pq, pp, qq = pq+a*b, pp+a*a, qq+b*b
	}
	return pp == 0 || qq == 0 || pq/math.Sqrt(pp*qq) >= alike
}
