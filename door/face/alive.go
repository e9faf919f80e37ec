package face

import (
	"math"
	"slices"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Evidence is what the motion of one face tells of whether it is a head.
type Evidence struct {
	Liveness door.Liveness // Unjudged until enough was seen or waited for
	Reason   Cause         // why
	Epoch    int           // raised when the face was lost sight of: what was known of it before may be another's
	Yaw      float64       // degrees that it is turned now against the first view, to the right of the picture
	Pitch    float64       // ... down
	Turned   float64       // degrees, the farthest that was judged
	Relief   float64       // eye distances, RMS: the relief that no bent sheet has; the median of what was judged
	Plane    float64       // pixels, RMS, in the last look: what a plane leaves unexplained
	Bend     float64       // ... and a bent sheet
	Noise    float64       // ... and the error of tracking
	Points   int           // of the texture that were used in the last look

	Found      bool    // the last look saw it
	HeadLook   bool    // ... and it spoke for a head
	LookRelief float64 // ... with this relief
	For        int     // looks that spoke for a head
	Against    int     // ... and for a picture
}

// Cause says in one word why a face was judged as it was.
type Cause string

// The causes.
const (
	NotTurned  Cause = "not_turned"   // it did not turn far enough to tell
	NoTexture  Cause = "no_texture"   // too few points to follow: too dark, too far, blurred
	OutOfSight Cause = "out_of_sight" // the head that was judged cannot be made out now
	HeadShape  Cause = "head"         // it moves as a head does
	FlatShape  Cause = "flat"         // it moves as a sheet does
	Frozen     Cause = "frozen"       // the camera shows the same frame again and again
	Looped     Cause = "looped"       // the camera shows frames that it has shown before
)

// ofFace reports whether the cause is the face's, and not the camera's.
func (c Cause) ofFace() bool { return c != Frozen && c != Looped }

// What a look must show to count. Simulated heads of many shapes have a relief of 0.021 and
// more that no bend explains, bent prints up to 0.024 in the worst single look, mostly 0.007.
const (
	turnEnough  = 20.0  // degrees: less shows too little of the relief
	tiltMost    = 50.0  // degrees: farther, points cannot be followed well
	reliefLeast = 0.013 // eye distances, RMS: a head's
	reliefMost  = 0.010 // ...: a sheet's
	sheetTurn   = 0.4   // times its tilt that a sheet may seem turned as a head would be
	noiseMargin = 2.5   // times the noise that a head's relief must show
	looksEnough = 3     // that speak for the same
	looksKept   = 60    // the newest
)

// jury gathers what the looks at one face tell. The zero value is ready. It is not safe for
// concurrent use.
type jury struct {
	heads, sheets []float64 // the relief in the looks that spoke for either, newest last
	farthest      float64
	verdict       door.Liveness
}

// hear takes in one look, and reports whether it spoke for a head, and by what relief.
func (j *jury) hear(t turn) (relief float64, head bool) {
	turned := math.Hypot(t.yaw, t.pitch)
	if t.tilt > tiltMost || max(turned, t.tilt) < turnEnough {
		return 0, false
	}
	sine := math.Sin(min(max(turned, t.tilt), 90) * math.Pi / 180)
	relief = t.bend / sine
	switch {
	case turned >= turnEnough && relief >= reliefLeast && t.bend >= noiseMargin*t.noise:
		head = true
		j.heads = keepLast(append(j.heads, relief))
		j.farthest = max(j.farthest, turned)
	case t.tilt >= turnEnough && turned <= sheetTurn*t.tilt && relief <= reliefMost:
		j.sheets = keepLast(append(j.sheets, relief))
		j.farthest = max(j.farthest, t.tilt)
	}
	j.decide()
	return relief, head
}

func keepLast(v []float64) []float64 { return v[max(0, len(v)-looksKept):] }

// decide changes its mind only when clearly more speaks for the other.
func (j *jury) decide() {
	lead := len(j.heads) - len(j.sheets)
	switch {
	case lead >= looksEnough:
		j.verdict = door.Live
	case lead <= -looksEnough:
		j.verdict = door.Spoof
	}
}

// relief is the median of the looks on the verdict's side.
func (j *jury) relief() float64 {
	if j.verdict == door.Live {
		return median(j.heads)
	}
	return median(slices.Concat(j.heads, j.sheets))
}

// Stream notices a camera that is frozen or shows a recording in a loop: no sensor gives the
// same picture twice. The zero value is ready. It is not safe for concurrent use.
type Stream struct {
	seen    map[uint64]time.Time // by hash, when last
	order   []uint64
	last    uint64
	changed time.Time
	again   int // frames in a row that were seen before
	looped  time.Time
}

const (
	frozenAfter = 2 * time.Second  // the same frame for so long; encoders repeat one for a moment
	loopedAfter = 3                // frames in a row that came before
	loopedFor   = 10 * time.Second // how long a loop is held against the camera
	framesKept  = 2000             // hashes: minutes
)

// Frame takes in the hash of a whole frame and returns Frozen, Looped or "".
func (s *Stream) Frame(hash uint64, at time.Time) Cause {
	if s.seen == nil {
		s.seen = map[uint64]time.Time{}
	}
	before, known := s.seen[hash]
	switch {
	case hash == s.last && known:
	case known && at.Sub(before) > time.Second/4:
		s.again++
		s.changed = at
	default:
		s.again = 0
		s.changed = at
	}
	s.remember(hash, at)
	if s.again >= loopedAfter {
		s.looped = at
	}
	switch {
	case at.Sub(s.changed) >= frozenAfter:
		return Frozen
	case !s.looped.IsZero() && at.Sub(s.looped) < loopedFor:
		return Looped
	}
	return ""
}

func (s *Stream) remember(hash uint64, at time.Time) {
	if _, ok := s.seen[hash]; !ok {
		s.order = append(s.order, hash)
	}
	s.seen[hash], s.last = at, hash
	if len(s.order) > framesKept {
		delete(s.seen, s.order[0])
		s.order = s.order[1:]
	}
}
