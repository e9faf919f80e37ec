//go:build vision

package face

import (
	"errors"
	"image"
	"image/color"
	"math"
	"slices"
	"sync"

	"gocv.io/x/gocv"
)

// A face is followed in a picture of its own of this size, the eyes this far apart or less:
// larger ones cost more and tell little more.
const (
	workSide = 256 // pixels
	workEyes = 52  // pixels
	mostPoints,
	pointsApart = 160, 4 // pixels
	flowWindow = 15 // pixels
)

// faceTexture follows the texture of one face from a first view of it. It is not safe for
// concurrent use.
type faceTexture struct {
	first   gocv.Mat // grey, workSide x workSide, contrast evened out
	toFace  homography
	points  []point    // in first
	moved   homography // from first to where that is seen in the frame
	eyes    float64    // pixels between the eyes in first
	between float64    // ... and in the frame then
	here    bool       // it was found in the last frame
	last    gocv.Mat   // the last frame, stabilised
	at      []point    // where the points were in it
}

// flowCriteria ends the search for a point. There is one: gocv cannot give it back.
var flowCriteria = sync.OnceValue(func() gocv.TermCriteria {
	return gocv.NewTermCriteria(gocv.Count|gocv.EPS, 20, 0.01)
})

// newFaceTexture takes the first view: grey is the whole frame, eyes the middles of the eyes in it,
// left in the picture first.
func newFaceTexture(grey gocv.Mat, eyes [2]point) *faceTexture {
	between := eyes[1].sub(eyes[0])
	work := min(between.length(), workEyes)
	s := between.length() / work
	// The middle of the face is 0.6 eye distances below the eyes.
	centre := point{(eyes[0].x+eyes[1].x)/2 - 0.6*between.y, (eyes[0].y+eyes[1].y)/2 + 0.6*between.x}
	const half = workSide / 2
	t := &faceTexture{first: gocv.NewMat(), last: gocv.NewMat(), eyes: work, between: between.length(), here: true,
		moved: homography{s, 0, centre.x - s*half, 0, s, centre.y - s*half, 0, 0, 1}}
	local := func(p point) point { return point{(p.x-centre.x)/s + half, (p.y-centre.y)/s + half} }
	t.toFace = similarity(local(eyes[0]), local(eyes[1]), point{-0.5, 0}, point{0.5, 0})
	stabilise(grey, t.moved, &t.first)
	t.findPoints()
	t.first.CopyTo(&t.last)
	t.at = slices.Clone(t.points)
	return t
}

// Close gives the memory back.
func (t *faceTexture) Close() error { return errors.Join(t.first.Close(), t.last.Close()) }

// stabilise draws into out what the frame shows where the map from out to the frame says.
func stabilise(grey gocv.Mat, to homography, out *gocv.Mat) {
	if k := math.Sqrt(math.Abs(to[0]*to[4] - to[1]*to[3])); k > 1.5 {
		small := gocv.NewMat()
		defer small.Close()
		to = shrink(grey, to, k, &small)
		grey = small
	}
	inverse := matrix(to)
	defer inverse.Close()
	gocv.WarpPerspectiveWithParams(grey, out, inverse, image.Pt(workSide, workSide),
		gocv.InterpolationLinear|gocv.WarpInverseMap, gocv.BorderReplicate, color.RGBA{})
	even(out)
}

// shrink draws the part of the frame that is looked at k times smaller, and returns the map
// into that: what is only picked out pixel by pixel flickers.
func shrink(grey gocv.Mat, to homography, k float64, small *gocv.Mat) homography {
	frame := image.Rect(0, 0, grey.Cols(), grey.Rows())
	var box image.Rectangle
	for _, corner := range []point{{0, 0}, {workSide, 0}, {0, workSide}, {workSide, workSide}} {
		p := to.apply(corner)
		at := image.Pt(int(p.x), int(p.y))
		box = box.Union(image.Rectangle{at.Sub(image.Pt(2, 2)), at.Add(image.Pt(3, 3))})
	}
	if box = box.Intersect(frame); box.Empty() {
		box = frame
	}
	part := grey.Region(box)
	defer part.Close()
	size := image.Pt(max(1, int(float64(box.Dx())/k)), max(1, int(float64(box.Dy())/k)))
	gocv.Resize(part, small, size, 0, 0, gocv.InterpolationArea)
	kx, ky := float64(size.X)/float64(box.Dx()), float64(size.Y)/float64(box.Dy())
	return homography{kx, 0, kx*(0.5-float64(box.Min.X)) - 0.5, 0, ky, ky*(0.5-float64(box.Min.Y)) - 0.5, 0, 0, 1}.times(to)
}

func matrix(h homography) gocv.Mat {
	m := gocv.NewMatWithSize(3, 3, gocv.MatTypeCV64F)
	for i, v := range h {
		m.SetDoubleAt(i/3, i%3, v)
	}
	return m
}

// even takes slow changes of brightness out of a picture and gives it a fixed contrast, so
// that exposure and shade matter less.
func even(img *gocv.Mat) {
	const blur, contrast = 10, 28
	slow, fast, mean, deviation := gocv.NewMat(), gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	defer slow.Close()
	defer fast.Close()
	defer mean.Close()
	defer deviation.Close()
	gocv.BoxFilter(*img, &slow, -1, image.Pt(2*blur+1, 2*blur+1))
	gocv.AddWeighted(*img, 0.5, slow, -0.5, 128, &fast)
	inner := fast.Region(image.Rect(workSide/4, workSide/4, workSide*3/4, workSide*3/4))
	defer inner.Close()
	gocv.MeanStdDev(inner, &mean, &deviation)
	k := contrast / max(deviation.GetDoubleAt(0, 0), 2)
	fast.ConvertToWithParams(img, gocv.MatTypeCV8U, float32(k), float32(128-128*k))
}

func (t *faceTexture) findPoints() {
	corners := gocv.NewMat()
	defer corners.Close()
	half := int(1.4 * t.eyes)
	box := image.Rect(workSide/2-half, workSide/2-half, workSide/2+half, workSide/2+half)
	inner := t.first.Region(box)
	defer inner.Close()
	gocv.GoodFeaturesToTrack(inner, &corners, 2*mostPoints, 0.005, pointsApart)
	for i := range corners.Rows() {
		v := corners.GetVecfAt(i, 0)
		p := point{float64(v[0]) + float64(box.Min.X), float64(v[1]) + float64(box.Min.Y)}
		if innerFace(t.toFace.apply(p)) && len(t.points) < mostPoints {
			t.points = append(t.points, p)
		}
	}
}

// flow finds points of one picture in another, by Lucas and Kanade's method in a pyramid
// (Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker", 2000). It
// begins at the guess.
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

// noiseLeast is what any point errs by, pixels.
const noiseLeast = 0.05

// sight is where the texture was found in a frame.
type sight struct {
	matches []match    // in eye distances; to is as seen when a plane's motion is undone
	moved   homography // ... which is this one, from face to face: eye distances of the first view
	noise   float64    // of a match, eye distances
}

// guess says where the eyes are now.
func (t *faceTexture) guess(eyes [2]point) {
	back := t.toFace.inverse()
	left, right := back.apply(point{-0.5, 0}), back.apply(point{0.5, 0})
	t.moved = similarity(left, right, eyes[0], eyes[1])
	t.first.CopyTo(&t.last)
	copy(t.at, t.points)
}

// near reports whether the texture was found where the eyes are.
func (s sight) near(eyes [2]point) bool {
	apart := 0.35 * eyes[1].sub(eyes[0]).length()
	return s.moved.apply(point{-0.5, 0}).sub(eyes[0]).length() < apart &&
		s.moved.apply(point{0.5, 0}).sub(eyes[1]).length() < apart
}

// find looks for the texture in a frame: from the last frame on for where it went, from the
// first view on for where each point is. ok is false when it does not look like the first view.
func (t *faceTexture) find(grey gocv.Mat) (s sight, ok bool) {
	t.here = false
	if len(t.points) < leastPoints {
		return sight{}, false
	}
	view := gocv.NewMat()
	defer view.Close()
	stabilise(grey, t.moved, &view)
	to, found := flow(t.last, view, t.at, t.at, 3)
	step, ok := t.step(to, found)
	if !ok {
		return sight{}, false
	}
	t.moved = t.moved.times(step)
	stabilise(grey, t.moved, &view)
	view.CopyTo(&t.last)
	back := step.inverse()
	for i := range to {
		if t.at[i] = back.apply(to[i]); !found[i] || t.at[i].sub(t.points[i]).length() > farthestApart*t.eyes {
			t.at[i] = t.points[i]
		}
	}
	return t.compare(view)
}

// compare finds each point of the first view in the stabilised one.
func (t *faceTexture) compare(view gocv.Mat) (s sight, ok bool) {
	to, there := flow(t.first, view, t.points, t.at, 1)
	back, again := flow(view, t.first, to, t.points, 1)
	s = t.matched(to, there, back, again)
	enough := max(leastPoints, int(foundLeast*float64(len(t.points))))
	t.here = len(s.matches) >= enough && t.alike(view) >= alikeLeast
	return s, t.here
}

// What is taken for the same texture. Of pairs of different people, one in 200 reaches either
// for a moment; the same person reaches both until turned by 30 to 40 degrees.
const (
	foundLeast    = 0.36 // share of the points that are found again
	textureLeast  = 0.45 // ... for a look to count
	alikeLeast    = 0.3  // correlation
	farthestApart = 0.35 // eye distances that a point may be from where a plane would have it
	backMost      = 0.6  // pixels that a point may be off when it is followed there and back
)

// alike compares the face in a stabilised view with the first.
func (t *faceTexture) alike(view gocv.Mat) float64 {
	half := int(0.9 * t.eyes)
	box := image.Rect(workSide/2-half, workSide/2-half, workSide/2+half, workSide/2+half)
	a, b := t.first.Region(box), view.Region(box)
	result, mask := gocv.NewMat(), gocv.NewMat()
	defer a.Close()
	defer b.Close()
	defer result.Close()
	defer mask.Close()
	gocv.MatchTemplate(a, b, &result, gocv.TmCcoeffNormed, mask)
	return float64(result.GetFloatAt(0, 0))
}

// step returns the motion since the last frame that most points tell.
func (t *faceTexture) step(to []point, found []bool) (homography, bool) {
	var ms []match
	for i, p := range t.at {
		if found[i] {
			ms = append(ms, match{t.toFace.apply(p), t.toFace.apply(to[i]), 1})
		}
	}
	if len(ms) < leastPoints {
		return homography{}, false
	}
	h, ok := robustPlane(ms, 1/t.eyes)
	return t.toFace.inverse().times(h).times(t.toFace), ok
}

func (t *faceTexture) matched(to []point, there []bool, back []point, again []bool) (s sight) {
	var apart []float64
	for i, p := range t.points {
		miss := back[i].sub(p).length()
		if !there[i] || !again[i] || miss > backMost || to[i].sub(p).length() > farthestApart*t.eyes {
			continue
		}
		t.at[i] = to[i]
		apart = append(apart, miss)
		s.matches = append(s.matches, match{t.toFace.apply(p), t.toFace.apply(to[i]), 1})
	}
	s.noise = max(median(apart), noiseLeast) / t.eyes
	s.moved = t.moved.times(t.toFace.inverse())
	return s
}
