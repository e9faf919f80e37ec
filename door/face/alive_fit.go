package face

import "math"

// point is a place in a plane.
type point struct{ x, y float64 }

func (p point) sub(q point) point   { return point{p.x - q.x, p.y - q.y} }
func (p point) length() float64     { return math.Hypot(p.x, p.y) }
func (p point) dot(q point) float64 { return p.x*q.x + p.y*q.y }

// homography maps one view of a plane onto another, by rows; the last number is 1.
type homography [9]float64

func identity() homography { return homography{1, 0, 0, 0, 1, 0, 0, 0, 1} }

func (h homography) apply(p point) point {
	w := h[6]*p.x + h[7]*p.y + h[8]
	return point{(h[0]*p.x + h[1]*p.y + h[2]) / w, (h[3]*p.x + h[4]*p.y + h[5]) / w}
}

// times returns the map that applies g first, then h.
func (h homography) times(g homography) homography {
	var out homography
	for r := range 3 {
		for c := range 3 {
			for k := range 3 {
				out[3*r+c] += h[3*r+k] * g[3*k+c]
			}
		}
	}
	last := out[8]
	for i := range out {
		out[i] /= last
	}
	return out
}

// inverse returns the map the other way round.
func (h homography) inverse() homography {
	g := homography{
		h[4]*h[8] - h[5]*h[7], h[2]*h[7] - h[1]*h[8], h[1]*h[5] - h[2]*h[4],
		h[5]*h[6] - h[3]*h[8], h[0]*h[8] - h[2]*h[6], h[2]*h[3] - h[0]*h[5],
		h[3]*h[7] - h[4]*h[6], h[1]*h[6] - h[0]*h[7], h[0]*h[4] - h[1]*h[3],
	}
	last := g[8]
	for i := range g {
		g[i] /= last
	}
	return g
}

// similarity returns the map that takes a to a2 and b to b2 by turning, scaling and moving.
func similarity(a, b, a2, b2 point) homography {
	d, e := b.sub(a), b2.sub(a2)
	n := d.dot(d)
	c, s := d.dot(e)/n, (d.x*e.y-d.y*e.x)/n
	return homography{c, -s, a2.x - c*a.x + s*a.y, s, c, a2.y - s*a.x - c*a.y, 0, 0, 1}
}

// leastSquares gathers the normal equations of a weighted linear fit of n unknowns.
type leastSquares struct {
	n  int
	a  []float64 // n x n, the upper half
	b  []float64
	yy float64 // weighted sum of the squares of what is to be explained
}

func newLeastSquares(n int) *leastSquares {
	return &leastSquares{n: n, a: make([]float64, n*n), b: make([]float64, n)}
}

// add takes in one equation: row times the unknowns is y.
func (l *leastSquares) add(row []float64, y, weight float64) {
	for i, r := range row {
		wr := weight * r
		if wr == 0 {
			continue
		}
		for j := i; j < l.n; j++ {
			l.a[i*l.n+j] += wr * row[j]
		}
		l.b[i] += wr * y
	}
	l.yy += weight * y * y
}

// solution is the fit: the unknowns, and the weighted sum of squares that is left.
type solution struct {
	x    []float64
	left float64
}

// solve factors the normal equations (Cholesky). ok is false when they leave something open.
func (l *leastSquares) solve() (s solution, ok bool) {
	n := l.n
	c := make([]float64, n*n) // lower
	for i := range n {
		for j := range i + 1 {
			sum := l.a[j*n+i]
			for k := range j {
				sum -= c[i*n+k] * c[j*n+k]
			}
			if i != j {
				c[i*n+j] = sum / c[j*n+j]
				continue
			}
			if !(sum > 1e-9*(l.a[i*n+i]+1e-12)) {
				return solution{}, false
			}
			c[i*n+i] = math.Sqrt(sum)
		}
	}
	x := make([]float64, n)
	left := l.yy
	for i := range n {
		sum := l.b[i]
		for k := range i {
			sum -= c[i*n+k] * x[k]
		}
		x[i] = sum / c[i*n+i]
		left -= x[i] * x[i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			x[i] -= c[k*n+i] * x[k]
		}
		x[i] /= c[i*n+i]
	}
	return solution{x, max(left, 0)}, true
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// match is where one point of the first view was found in the second.
type match struct {
	from, to point
	weight   float64 // 0: not used
}

// fitHomography fits the weighted matches, from coordinates about 1 in size. ok is false when they
// do not determine it.
func fitHomography(ms []match, rounds int) (h homography, ok bool) {
	h = identity()
	for range rounds {
		l := newLeastSquares(8)
		for _, m := range ms {
			if m.weight == 0 {
				continue
			}
			p, q := m.from, m.to
			w := h[6]*p.x + h[7]*p.y + 1
			if w < 0.1 {
				return identity(), false
			}
			l.add([]float64{p.x, p.y, 1, 0, 0, 0, -q.x * p.x, -q.x * p.y}, q.x, m.weight/(w*w))
			l.add([]float64{0, 0, 0, p.x, p.y, 1, -q.y * p.x, -q.y * p.y}, q.y, m.weight/(w*w))
		}
		s, ok := l.solve()
		if !ok {
			return identity(), false
		}
		copy(h[:], s.x)
	}
	return h, true
}

// tukey is the weight of a residual, in units of scale (Beaton and Tukey's biweight, 1974).
func tukey(residual, scale float64) float64 {
	u := residual / (4.685 * scale)
	if u >= 1 {
		return 0
	}
	return (1 - u*u) * (1 - u*u)
}
