package face

import (
	"math"
	"slices"

	"github.com/doorhub/doorhub/door"
)

// index finds the nearest of many descriptors exactly, without comparing most of them to the
// end. Descriptors are laid out by chunks: the first numbers of all of them, then the next.
// A sum of squares only grows, so that a descriptor that is too far after some chunks is left
// (Bei and Gray, "An improvement of the minimum distortion encoding algorithm for vector
// quantization", 1985). It never changes.
type index struct {
	people []Enrolled // as given, those without a face left out
	first  []int      // of each person, the number of the first descriptor; and the end
	at     map[string]int
	order  [dims]int           // of the numbers, those that vary most first
	chunks [chunkCount][]chunk // by chunk, by descriptor
}

const (
	dims       = len(Descriptor{})
	chunkSize  = 16 // a cache line of float32
	chunkCount = dims / chunkSize
)

type chunk = [chunkSize]float32

func newIndex(people []Enrolled) *index {
	x := &index{at: map[string]int{}}
	n := 0
	for _, p := range people {
		if len(p.Descriptors) > 0 {
			x.at[p.Person] = len(x.people)
			x.people = append(x.people, p)
			x.first = append(x.first, n)
			n += len(p.Descriptors)
		}
	}
	x.first = append(x.first, n)
	x.order = varying(x.people)
	for c := range x.chunks {
		x.chunks[c] = make([]chunk, 0, n)
		for _, p := range x.people {
			for i := range p.Descriptors {
				x.chunks[c] = append(x.chunks[c], x.chunk(&p.Descriptors[i], c))
			}
		}
	}
	return x
}

func (x *index) chunk(d *Descriptor, c int) (out chunk) {
	for i := range out {
		out[i] = d[x.order[c*chunkSize+i]]
	}
	return out
}

// varying returns the numbers of a descriptor in the order of their variance, the most first.
func varying(people []Enrolled) (order [dims]int) {
	var n float64
	var sum, squares, variance [dims]float64
	for _, p := range people {
		for _, d := range p.Descriptors {
			n++
			for i, v := range d {
				sum[i] += float64(v)
				squares[i] += float64(v) * float64(v)
			}
		}
	}
	for i := range order {
		order[i] = i
		variance[i] = squares[i]/n - sum[i]/n*sum[i]/n
	}
	slices.SortStableFunc(order[:], func(a, b int) int {
		switch {
		case variance[a] > variance[b]:
			return -1
		case variance[a] < variance[b]:
			return 1
		}
		return 0
	})
	return order
}

// block is how many descriptors are compared at a time: their sums stay in the cache.
const block = 256

// near returns the people within Limit, and at least the nearest two, in no order; others
// may be among them.
func (x *index) near(d *Descriptor) []door.Match {
	s := searching{index: x, d: d, best: math.Inf(1), second: math.Inf(1), least: math.Inf(1)}
	for c := range s.q {
		s.q[c] = x.chunk(d, c)
	}
	for from := 0; from < x.first[len(x.people)]; from += block {
		for _, i := range s.within(from, min(block, x.first[len(x.people)]-from)) {
			s.compare(from + int(i))
		}
	}
	s.close()
	return s.found
}

// searching is one search; descriptors come in their order, so that those of a person come
// one after the other.
type searching struct {
	*index
	d      *Descriptor
	q      [chunkCount]chunk // d, laid out as the index
	sums   [block]float32
	left   [block]uint8 // descriptors of the block that are still within reach
	person int          // of the last descriptor that was compared
	least  float64      // her distance, infinite when none of hers was within reach
	best   float64      // the nearest person's, and
	second float64      // the second nearest's
	found  []door.Match
}

// reach is the square of the distance up to which somebody counts, with room for the
// rounding of sums of float32.
func (s *searching) reach() float32 {
	far := max(Limit, s.second)
	return float32(far * far * (1 + 1e-4))
}

// within returns which of n descriptors from a number on may be within reach.
func (s *searching) within(from, n int) []uint8 {
	reach := s.reach()
	left := s.left[:n]
	for i := range left {
		left[i], s.sums[i] = uint8(i), 0
	}
	for c := range s.q {
		addSquares(&s.sums, left, s.chunks[c][from:from+n], &s.q[c])
		kept := 0
		for _, i := range left {
			left[kept] = i
			if s.sums[i] <= reach {
				kept++
			}
		}
		left = left[:kept]
	}
	return left
}

// addSquares adds to the sums of those left the square of the distance in one chunk. It is
// written out: a loop takes twice the time.
func addSquares(sums *[block]float32, left []uint8, rows []chunk, q *chunk) {
	for _, i := range left {
		a := &rows[i]
		d0, d1, d2, d3 := a[0]-q[0], a[1]-q[1], a[2]-q[2], a[3]-q[3]
		d4, d5, d6, d7 := a[4]-q[4], a[5]-q[5], a[6]-q[6], a[7]-q[7]
		d8, d9, d10, d11 := a[8]-q[8], a[9]-q[9], a[10]-q[10], a[11]-q[11]
		d12, d13, d14, d15 := a[12]-q[12], a[13]-q[13], a[14]-q[14], a[15]-q[15]
		sums[i] += (d0*d0 + d1*d1 + d2*d2 + d3*d3) + (d4*d4 + d5*d5 + d6*d6 + d7*d7) +
			(d8*d8 + d9*d9 + d10*d10 + d11*d11) + (d12*d12 + d13*d13 + d14*d14 + d15*d15)
	}
}

// compare compares exactly.
func (s *searching) compare(i int) {
	for i >= s.first[s.person+1] {
		s.close()
		s.person++
	}
	s.least = min(s.least, Distance(*s.d, s.people[s.person].Descriptors[i-s.first[s.person]]))
}

// close ends a person.
func (s *searching) close() {
	if math.IsInf(s.least, 1) {
		return
	}
	least, p := s.least, s.people[s.person]
	s.least = math.Inf(1)
	if least >= nearest(p.Not, *s.d) {
		return
	}
	s.found = append(s.found, door.Match{Person: p.Person, Distance: least})
	s.best, s.second = min(s.best, least), min(s.second, max(s.best, least))
}
