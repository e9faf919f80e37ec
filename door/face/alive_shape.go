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

// bowTerms are those of the sum that stands for any face: a bowl with an average face's relief.
const bowTerms = 7

// bow is how far a face's points are from where a plane would have them, seen from another
// side: the factors of the terms, in eye distances.
type bow struct{ x, y [bowTerms]float64 }

// terms are told apart no farther out than a face reaches.
func terms(p point) [bowTerms]float64 {
	x, y := min(max(p.x, -1.2), 1.2), min(max(p.y, -0.9), 2.1)
	return [bowTerms]float64{1, x, y, x * x, x * y, y * y, relief(point{x, y})}
}

func (b *bow) at(p point) point {
	row := terms(p)
	return point{dot(row[:], b.x[:]), dot(row[:], b.y[:])}
}

// fitBow fits the bow to matches, robustly, and gives those that no face explains no weight.
func fitBow(ms []match, noise float64) (b bow) {
	for i := range ms {
		ms[i].weight = 1
	}
	for range 3 {
		x, y := newLeastSquares(bowTerms), newLeastSquares(bowTerms)
		for _, m := range ms {
			row := terms(m.from)
			x.add(row[:], m.to.x-m.from.x, m.weight)
			y.add(row[:], m.to.y-m.from.y, m.weight)
		}
		for i := range bowTerms { // few matches pull it no farther than they must
			var row [bowTerms]float64
			row[i] = 1
			x.add(row[:], 0, bowRidge)
			y.add(row[:], 0, bowRidge)
		}
		sx, okx := x.solve()
		sy, oky := y.solve()
		if !okx || !oky {
			return bow{}
		}
		copy(b.x[:], sx.x)
		copy(b.y[:], sy.x)
		reweigh(ms, noise, func(m match) float64 { return m.to.sub(m.from).sub(b.at(m.from)).length() })
	}
	return b
}

const bowRidge = 0.5 // in matches

// reweigh gives matches less weight the more they err.
func reweigh(ms []match, noise float64, err func(match) float64) {
	errs := make([]float64, len(ms))
	for i, m := range ms {
		errs[i] = err(m)
	}
	scale := 1.5 * max(1.4826*median(errs), noise)
	for i := range ms {
		ms[i].weight = tukey(errs[i], scale)
	}
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

// measure fits the models to matches in eye distances. A plane's motion was undone in them:
// moved, from eye distances to anything. noise is the standard deviation of a match in one
// direction.
func measure(ms []match, moved homography, noise float64) (t turn, ok bool) {
	ms = slices.Clone(ms)
	h, ok := robustPlane(ms, noise)
	if !ok {
		return turn{}, false
	}
	undo := h.inverse()
	for i := range ms {
		ms[i].to = undo.apply(ms[i].to)
	}
	moved = moved.times(h)
	fitBow(ms, noise)
	t.noise = noise
	t.pose(ms, moved)
	t.compare(ms)
	return t, t.points >= leastPoints
}

// robustPlane fits a homography and gives the matches that no face explains no weight.
func robustPlane(ms []match, noise float64) (h homography, ok bool) {
	for range 4 {
		h, ok = fitHomography(ms, 2)
		if !ok {
			return h, false
		}
		reweigh(ms, noise, func(m match) float64 { return h.apply(m.from).sub(m.to).length() })
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

// pose fits what is left of a homography, and a relief seen from another side (a rigid body
// under weak perspective: Koenderink and van Doorn, "Affine structure from motion", 1991).
// moved is the homography that was undone.
func (t *turn) pose(ms []match, moved homography) {
	l := newLeastSquares(10)
	for _, m := range ms {
		x, y, z := m.from.x, m.from.y, relief(m.from)
		l.add([]float64{1, x, y, 0, 0, 0, x * x, x * y, z, 0}, m.to.x, m.weight)
		l.add([]float64{0, 0, 0, 1, x, y, x * y, y * y, 0, z}, m.to.y, m.weight)
	}
	s, ok := l.solve()
	if !ok {
		return
	}
	large, small := moved.stretch(point{0, 0.6}, s.x[1], s.x[2], s.x[4], s.x[5])
	t.tilt = degrees(math.Acos(min(small/large, 1)))
	e := point{s.x[8], s.x[9]}
	turned := degrees(math.Asin(clamp(e.length())))
	if t.tilt > turned { // the relief of this head may be less than the average
		turned = math.Sqrt(turned * min(t.tilt, 2*turned))
	}
	k := turned / max(e.length(), 1e-9)
	t.yaw, t.pitch = k*e.x, k*e.y
}

// stretch returns the singular values at p of the map that applies a matrix of two rows first,
// then h.
func (h homography) stretch(p point, a, b, c, d float64) (large, small float64) {
	const step = 0.01
	o := h.apply(p)
	x, y := h.apply(point{p.x + step, p.y}).sub(o), h.apply(point{p.x, p.y + step}).sub(o)
	return singular(x.x*a+y.x*c, x.x*b+y.x*d, x.y*a+y.y*c, x.y*b+y.y*d)
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
	bends     = 8  // directions across which a sheet may be bent
	bentTerms = 14 // of the sum that stands for its bend
)

// bent fills in what a bent sheet, a lens's distortion or a rolling shutter may do to a
// plane's picture at p: any quadratic, and any smooth or folded function of the distance from
// one line (a sheet that is bent and not stretched has straight rulings: do Carmo,
// "Differential geometry of curves and surfaces", section 3-5).
func bent(p point, direction float64, row *[bentTerms]float64) {
	sin, cos := math.Sincos(direction)
	x, y := p.x, p.y-0.6
	s, l := x*cos+y*sin, y*cos-x*sin
	*row = [bentTerms]float64{1, x, y, x * x, x * y, y * y, s * s * s, math.Abs(s),
		math.Abs(s - 0.35), math.Abs(s + 0.35), math.Abs(s - 0.7), math.Abs(s + 0.7), s * s * l, s * s * s * l}
}

// compare asks how much of the matches a plane and a bent sheet leave unexplained.
func (t *turn) compare(ms []match) {
	rest := make([]point, len(ms))
	sum, left := 0.0, 0.0
	for i, m := range ms {
		rest[i] = m.to.sub(m.from)
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
	left = min(left, bestBend(ms, rest))
	freedom := max(1-float64(bentTerms)/float64(t.points), 0.1)
	t.bend = math.Sqrt(left / sum / 2 / freedom)
}

// bestBend returns what the sheet leaves that is bent across the best direction.
func bestBend(ms []match, rest []point) float64 {
	left, best := math.Inf(1), 0.0
	try := func(direction float64) {
		if l, ok := bentLeft(ms, rest, direction); ok && l < left {
			left, best = l, direction
		}
	}
	for i := range bends {
		try(math.Pi * float64(i) / bends)
	}
	for step := math.Pi / bends / 2; step > 0.03; step /= 2 {
		from := best
		try(from - step)
		try(from + step)
	}
	return left
}

// bentLeft returns the weighted sum of squares that a sheet bent across one direction leaves.
func bentLeft(ms []match, rest []point, direction float64) (left float64, ok bool) {
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
