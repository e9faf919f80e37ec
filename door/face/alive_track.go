//go:build vision

package face

import (
	"errors"
	"image"
	"sync"

	"gocv.io/x/gocv"
)

// faceTexture follows the texture of one face from a first view of it. It is not safe for
// concurrent use.
type faceTexture struct {
	first   gocv.Mat   // the first view
	toFace  homography // from its pixels to places on the face
	points  []point    // in it
	eyes    float64    // pixels between the eyes in it
	between float64    // ... and in the frame it was taken of

	aspect aspect   // in the last frame
	last   gocv.Mat // that, as a view
	at     []point  // where the points were in the view
}

const (
	mostPoints  = 160
	pointsApart = 4     // pixels
	pointsLeast = 0.005 // of the strongest corner's strength (Shi and Tomasi, "Good features to track", 1994)
	flowWindow  = 15    // pixels
	noiseLeast  = 0.05  // pixels that any point errs by
)

// What is taken for the same texture. Of pairs of different people one in 200 is taken for the
// same for a moment; one and the same person is until turned by 30 to 40 degrees.
const (
	foundLeast    = 0.36 // share of the points that are found again
	alikeLeast    = 0.3  // correlation
	farthestApart = 0.35 // eye distances that a point may be from where a plane would have it
	backMost      = 0.6  // pixels that a point may be off when it is followed there and back
)

// newFaceTexture takes the first view: grey is the whole frame, eyes the middles of the eyes
// in it, left in the picture first.
func newFaceTexture(grey gocv.Mat, eyes [2]point) *faceTexture {
	between := eyes[1].sub(eyes[0])
	work := min(between.length(), workEyes)
	s := between.length() / work
	// The middle of the face is 0.6 eye distances below the eyes.
	centre := point{(eyes[0].x+eyes[1].x)/2 - 0.6*between.y, (eyes[0].y+eyes[1].y)/2 + 0.6*between.x}
	const half = workSide / 2
	local := func(p point) point { return point{(p.x-centre.x)/s + half, (p.y-centre.y)/s + half} }
	t := &faceTexture{eyes: work, between: between.length(),
		toFace: similarity(local(eyes[0]), local(eyes[1]), point{-0.5, 0}, point{0.5, 0}),
		aspect: aspect{plane: homography{s, 0, centre.x - s*half, 0, s, centre.y - s*half, 0, 0, 1}}}
	v := newFaceView(grey, t.aspect, t.toFace)
	defer v.close()
	t.first, t.last = v.img.Clone(), v.img.Clone()
	t.findPoints()
	t.at = append(t.at, t.points...)
	return t
}

func (t *faceTexture) close() error { return errors.Join(t.first.Close(), t.last.Close()) }

func (t *faceTexture) findPoints() {
	corners := gocv.NewMat()
	defer corners.Close()
	half := int(1.4 * t.eyes)
	box := image.Rect(workSide/2-half, workSide/2-half, workSide/2+half, workSide/2+half)
	inner := t.first.Region(box)
	defer inner.Close()
	gocv.GoodFeaturesToTrack(inner, &corners, 2*mostPoints, pointsLeast, pointsApart)
	for i := range corners.Rows() {
		v := corners.GetVecfAt(i, 0)
		p := point{float64(v[0]) + float64(box.Min.X), float64(v[1]) + float64(box.Min.Y)}
		if innerFace(t.toFace.apply(p)) && len(t.points) < mostPoints {
			t.points = append(t.points, p)
		}
	}
}

// sight is where the texture was found in a frame.
type sight struct {
	matches []match    // in eye distances; to is as seen when a plane's motion is undone
	plane   homography // ... which is this one, from eye distances in the first view to pixels of the frame
	noise   float64    // of a match, eye distances
}

// guess says where the eyes are now.
func (t *faceTexture) guess(eyes [2]point) {
	back := t.toFace.inverse()
	t.aspect = aspect{plane: similarity(back.apply(point{-0.5, 0}), back.apply(point{0.5, 0}), eyes[0], eyes[1])}
	t.first.CopyTo(&t.last)
	copy(t.at, t.points)
}

// near reports whether the texture was found where the eyes are.
func (s sight) near(eyes [2]point) bool {
	apart := 0.35 * eyes[1].sub(eyes[0]).length()
	return s.plane.apply(point{-0.5, 0}).sub(eyes[0]).length() < apart &&
		s.plane.apply(point{0.5, 0}).sub(eyes[1]).length() < apart
}

// find looks for the texture in a frame: from the last frame on for where it went, from the
// first view on for where each point is. ok is false when it does not look like the first view.
func (t *faceTexture) find(grey gocv.Mat) (s sight, ok bool) {
	if len(t.points) < leastPoints {
		return sight{}, false
	}
	if !t.step(grey) {
		return sight{}, false
	}
	v := newFaceView(grey, t.aspect, t.toFace)
	defer v.close()
	to, there := flow(t.first, v.img, t.points, t.points, 1)
	back, again := flow(v.img, t.first, to, t.points, 1)
	for i := range there {
		there[i] = there[i] && again[i] && back[i].sub(t.points[i]).length() <= backMost
	}
	s = t.sight(v, to, there, back)
	enough := max(leastPoints, int(foundLeast*float64(len(t.points))))
	ok = len(s.matches) >= enough && v.alike(t.first, t.eyes) >= alikeLeast
	v.img.CopyTo(&t.last)
	for i, p := range t.points {
		if t.at[i] = p; ok && there[i] {
			t.at[i] = to[i]
		}
	}
	if ok {
		t.adopt(s)
	}
	return s, ok
}

// step follows the texture from the last frame on. ok is false when it went nowhere in
// particular.
func (t *faceTexture) step(grey gocv.Mat) (ok bool) {
	v := newFaceView(grey, t.aspect, t.toFace)
	defer v.close()
	to, found := flow(t.last, v.img, t.at, t.points, 3)
	var ms []match
	for i, p := range t.points {
		if found[i] {
			ms = append(ms, match{t.toFace.apply(p), t.toFace.apply(to[i]), 1})
		}
	}
	if len(ms) < leastPoints {
		return false
	}
	h, ok := robustPlane(ms, 1/t.eyes)
	if ok {
		t.aspect.plane = t.aspect.plane.times(t.toFace.inverse().times(h).times(t.toFace))
	}
	return ok
}

func (t *faceTexture) sight(v *faceView, to []point, there []bool, back []point) (s sight) {
	var apart []float64
	for i, p := range t.points {
		if !there[i] {
			continue
		}
		q := v.plane(to[i])
		if q.sub(p).length() > farthestApart*t.eyes {
			there[i] = false
			continue
		}
		apart = append(apart, back[i].sub(p).length())
		s.matches = append(s.matches, match{t.toFace.apply(p), t.toFace.apply(q), 1})
	}
	s.noise = max(median(apart), noiseLeast) / t.eyes
	s.plane = t.aspect.plane.times(t.toFace.inverse())
	return s
}

// adopt takes what was found for how the face is seen now.
func (t *faceTexture) adopt(s sight) {
	ms := append([]match(nil), s.matches...)
	h, ok := robustPlane(ms, s.noise)
	if !ok {
		return
	}
	t.aspect.plane = t.aspect.plane.times(t.toFace.inverse().times(h).times(t.toFace))
	undo := h.inverse()
	for i := range ms {
		ms[i].to = undo.apply(ms[i].to)
	}
	t.aspect.bow = fitBow(ms, s.noise)
}

// flowCriteria ends the search for a point. There is one: gocv cannot give it back.
var flowCriteria = sync.OnceValue(func() gocv.TermCriteria {
	return gocv.NewTermCriteria(gocv.Count|gocv.EPS, 20, 0.01)
})

// flow finds points of one picture in another, by Lucas and Kanade's method in a pyramid
// (Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker", 2000). It begins
// at the guess.
func flow(a, b gocv.Mat, from, guess []point, levels int) (to []point, found []bool) {
	src, dst, status, err := pointMat(from), pointMat(guess), gocv.NewMat(), gocv.NewMat()
	defer src.Close()
	defer dst.Close()
	defer status.Close()
	defer err.Close()
	gocv.CalcOpticalFlowPyrLKWithParams(a, b, src, dst, &status, &err, image.Pt(flowWindow, flowWindow), levels,
		flowCriteria(), gocv.OptflowUseInitialFlow, 0.0005)
	to, found = make([]point, len(from)), make([]bool, len(from))
	for i := range to {
		v := dst.GetVecfAt(i, 0)
		to[i], found[i] = point{float64(v[0]), float64(v[1])}, status.GetUCharAt(i, 0) != 0
	}
	return to, found
}

func pointMat(ps []point) gocv.Mat {
	m := gocv.NewMatWithSize(len(ps), 1, gocv.MatTypeCV32FC2)
	if data, err := m.DataPtrFloat32(); err == nil {
		for i, p := range ps {
			data[2*i], data[2*i+1] = float32(p.x), float32(p.y)
		}
	}
	return m
}
