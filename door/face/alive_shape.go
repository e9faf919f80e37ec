package face

import (
	"math"
	"slices"
)

// Places on a face are given in eye distances (between the middles of the eyes) from the
// middle between the eyes, x to the right of the picture, y down.

// innerFace reports whether p lies on the face itself: neither hair nor the outline nor what
// is behind it.
func innerFace(p point) bool {
	x, y := p.x/1.0, (p.y-0.6)/1.3
	return x*x+y*y < 1
}

// relief is how far an average face stands out at p, in eye distances. Only what is no bend
// matters: mostly the nose.
func relief(p point) float64 {
	profile := []point{{-0.8, 0.05}, {-0.35, 0.08}, {-0.05, 0.08}, {0.3, 0.22}, {0.6, 0.38}, {0.72, 0.34}, {0.85, 0.14},
		{1.15, 0.12}, {1.4, 0.03}, {1.75, 0.08}, {2.1, 0}}
	ridge := 0.0
	for i := 1; i < len(profile); i++ {
		if a, b := profile[i-1], profile[i]; p.y >= a.x && p.y < b.x {
			ridge = a.y + (b.y-a.y)*(p.y-a.x)/(b.x-a.x)
		}
	}
	wide := 0.2
	if p.y > 0.85 || p.y < -0.1 {
		wide = 0.45 // lips and chin, brow
	}
	z := ridge * math.Exp(-p.x*p.x/(2*wide*wide))
	return z - 0.42*p.x*p.x - 0.16*(p.y-0.5)*(p.y-0.5)
}

// turn is how one view of a face differs from another, from the motion of its texture.
type turn struct {
	points int     // used
	yaw    float64 // degrees, to the right of the picture, if it is a head
	pitch  float64 // degrees, down, if it is a head
	tilt   float64 // degrees by which a plane would have to be tilted
	plane  float64 // eye distances, RMS in one direction: what a plane leaves unexplained
	bend   float64 // ... and what a bent sheet does
	noise  float64 // ... and what the tracking of a point errs by
}

const leastPoints = 30 // matches below which nothing is judged

// measure fits the models to matches in eye distances; noise is the standard deviation of a
// match in one direction,
// moved is the plane's motion that was undone, from eye distances to anything.
func measure(ms []match, moved homography, noise float64) (t turn, ok bool) {
	ms = slices.Clone(ms)
	h, ok := robustPlane(ms, noise)
	if !ok {
		return turn{}, false
	}
	t.noise = noise
	t.pose(ms, moved)
	t.compare(ms, h)
	return t, t.points >= leastPoints
}

// robustPlane fits a homography and gives the matches that no face explains no weight.
func robustPlane(ms []match, noise float64) (h homography, ok bool) {
	for range 4 {
		h, ok = fitHomography(ms, 2)
		if !ok {
			return h, false
		}
		residuals := make([]float64, len(ms))
		for i, m := range ms {
			residuals[i] = h.apply(m.from).sub(m.to).length()
		}
		scale := max(1.4826*median(residuals), noise)
		for i := range ms {
			ms[i].weight = tukey(residuals[i], 1.5*scale)
		}
	}
	return h, true
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

// pose fits an affine map and a relief seen from another side (a rigid body under weak
// perspective: Koenderink and van Doorn, "Affine structure from motion", 1991).
func (t *turn) pose(ms []match, moved homography) {
	var s [2]solution
	for axis := range s {
		l := newLeastSquares(4)
		for _, m := range ms {
			l.add([]float64{1, m.from.x, m.from.y, relief(m.from)}, pick(moved.apply(m.to), axis), m.weight)
		}
		var ok bool
		if s[axis], ok = l.solve(); !ok {
			return
		}
	}
	a, b, c, d := s[0].x[1], s[0].x[2], s[1].x[1], s[1].x[2]
	large, small := singular(a, b, c, d)
	t.tilt = degrees(math.Acos(min(small/large, 1)))
	angle := math.Atan2(c-b, a+d) // how far it rolled
	sin, cos := math.Sincos(angle)
	ex, ey := s[0].x[3], s[1].x[3]
	t.yaw = degrees(math.Asin(clamp((cos*ex + sin*ey) / large)))
	t.pitch = degrees(math.Asin(clamp((cos*ey - sin*ex) / large)))
}

func pick(p point, axis int) float64 {
	if axis == 0 {
		return p.x
	}
	return p.y
}

func degrees(radians float64) float64 { return radians * 180 / math.Pi }
func clamp(v float64) float64         { return min(max(v, -1), 1) }

// singular returns the singular values of a matrix of two rows.
func singular(a, b, c, d float64) (large, small float64) {
	s := a*a + b*b + c*c + d*d
	det := a*d - b*c
	root := math.Sqrt(max(s*s-4*det*det, 0))
	return math.Sqrt((s + root) / 2), math.Sqrt(max(s-root, 0) / 2)
}

const (
	bends     = 12 // directions across which a sheet may be bent
	bentTerms = 14 // of the sum that stands for its bend
)

// bent fills in what a bent sheet, a lens's distortion or a rolling shutter may do to a
// plane's picture at p: any quadratic, and any smooth or folded function of the distance from
// one line (a sheet that is bent and not stretched has straight rulings: do Carmo,
// "Differential geometry of curves and surfaces", section 3-5).
func bent(p point, direction int, row *[bentTerms]float64) {
	sin, cos := math.Sincos(float64(direction) * math.Pi / bends)
	x, y := p.x, p.y-0.6
	s, l := x*cos+y*sin, y*cos-x*sin
	*row = [bentTerms]float64{1, x, y, x * x, x * y, y * y, s * s * s, math.Abs(s),
		math.Abs(s - 0.35), math.Abs(s + 0.35), math.Abs(s - 0.7), math.Abs(s + 0.7), s * s * l, s * s * s * l}
}

// compare asks how much of the matches a plane and a bent sheet leave unexplained.
func (t *turn) compare(ms []match, h homography) {
	rest := make([]point, len(ms))
	sum, left := 0.0, 0.0
	for i, m := range ms {
		rest[i] = m.to.sub(h.apply(m.from))
		if m.weight > 0 {
			t.points++
			sum += m.weight
			left += m.weight * rest[i].dot(rest[i])
		}
	}
	if t.points < leastPoints {
		return
	}
	t.plane = math.Sqrt(left / sum / 2)
	for direction := range bends {
		if l, ok := bentLeft(ms, rest, direction); ok {
			left = min(left, l)
		}
	}
	freedom := max(1-float64(bentTerms)/float64(t.points), 0.1)
	t.bend = math.Sqrt(left / sum / 2 / freedom)
}

// bentLeft returns the weighted sum of squares that a sheet bent across one direction leaves.
func bentLeft(ms []match, rest []point, direction int) (left float64, ok bool) {
	var row [bentTerms]float64
	x, y := newLeastSquares(bentTerms), newLeastSquares(bentTerms)
	for i, m := range ms {
		if m.weight > 0 {
			bent(m.from, direction, &row)
			x.add(row[:], rest[i].x, m.weight)
			y.add(row[:], rest[i].y, m.weight)
		}
	}
	sx, okx := x.solve()
	sy, oky := y.solve()
	return sx.left + sy.left, okx && oky
}
