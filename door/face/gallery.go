package face

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/doorhub/doorhub/door"
)

// Descriptor stands for one face: the 128 numbers of dlib's face recognition ResNet.
type Descriptor = [128]float32

// Limit is the Euclidean distance up to which two descriptors may be of one person, after
// the model's own documentation (dlib, dnn_face_recognition_ex).
const Limit = 0.6

// Distance is Euclidean. It is NaN when a descriptor holds NaN.
func Distance(a, b Descriptor) float64 {
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// Enrolled is one person's descriptors.
type Enrolled struct {
	Person      string // id
	Descriptors []Descriptor
	Not         []Descriptor // of others who were taken for the person
}

// Gallery holds those enrolled, in memory. The zero value is empty. Its methods may be
// called from any goroutine; who asks while it is replaced sees all of the old or all of
// the new.
type Gallery struct{ index atomic.Pointer[index] }

// Replace puts people in place of all that was. It fails, and keeps what was, when a person
// has no id or stands there twice, or a descriptor holds something that is no number.
func (g *Gallery) Replace(people []Enrolled) error {
	var errs []error
	ids := map[string]bool{}
	kept := make([]Enrolled, 0, len(people))
	for _, p := range people {
		errs = append(errs, p.validate())
		if ids[p.Person] {
			errs = append(errs, fmt.Errorf("person %q stands twice in the gallery", p.Person))
		}
		ids[p.Person] = true
		kept = append(kept, Enrolled{p.Person, slices.Clone(p.Descriptors), slices.Clone(p.Not)})
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gallery kept as it was: %w", err)
	}
	g.index.Store(newIndex(kept))
	return nil
}

func (p Enrolled) validate() error {
	if p.Person == "" {
		return errors.New("a person in the gallery needs an id")
	}
	if slices.ContainsFunc(p.Descriptors, damaged) {
		return fmt.Errorf("person %q: a descriptor is damaged: enrol the face again", p.Person)
	}
	if slices.ContainsFunc(p.Not, damaged) {
		return fmt.Errorf("person %q: the descriptor of somebody taken for them is damaged: leave it out", p.Person)
	}
	return nil
}

func damaged(d Descriptor) bool { return !finite(d) }

func finite(d Descriptor) bool {
	for _, v := range d {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

// Near returns the distance of d to the nearest descriptor of each person, nearest first,
// people at the same distance by id: all within Limit, and at least the nearest two. A person
// is left out whole, however near, when d is as near or nearer to somebody who was taken for
// them (Not) than to all of their own descriptors. It returns nothing for a descriptor that
// holds something that is no number.
func (g *Gallery) Near(d Descriptor) []door.Match {
	x := g.index.Load()
	if x == nil || !finite(d) {
		return nil
	}
	matches := x.near(&d)
	slices.SortFunc(matches, func(a, b door.Match) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Person, b.Person))
	})
	n := min(2, len(matches))
	for n < len(matches) && matches[n].Distance <= Limit {
		n++
	}
	return matches[:n]
}

// distance returns that of d to the person's nearest descriptor; false when there is none.
func (g *Gallery) distance(person string, d Descriptor) (float64, bool) {
	x := g.index.Load()
	if x == nil {
		return 0, false
	}
	i, ok := x.at[person]
	if !ok {
		return 0, false
	}
	return nearest(x.people[i].Descriptors, d), true
}

// nearest returns the least distance of d to any of all; infinite for none.
func nearest(all []Descriptor, d Descriptor) float64 {
	least := math.Inf(1)
	for _, other := range all {
		least = min(least, Distance(other, d))
	}
	return least
}
