package face

import "time"

// template is what the looks at the face of one track tell of whose it is: a mean of their
// descriptors in which the better looks weigh more, so that one bad look names nobody.
type template struct{ glances []glance }

// glance is one look that was described.
type glance struct {
	at         time.Time
	descriptor Descriptor
	weight     float64
}

const (
	glancesKept   = 8   // newest looks that count
	goodGlance    = 0.4 // the weight with which one look settles who it is
	glancesSettle = 3   // looks that do, however poor
	leastWeight   = 0.05
)

func (t *template) add(g glance) {
	g.weight = max(g.weight, leastWeight)
	t.glances = append(t.glances, g)
	if len(t.glances) > glancesKept {
		t.glances = t.glances[len(t.glances)-glancesKept:]
	}
}

// settled reports whether the looks are enough to tell who it is.
func (t *template) settled() bool {
	var sum float64
	for _, g := range t.glances {
		sum += g.weight
	}
	return sum >= goodGlance || len(t.glances) >= glancesSettle
}

// mean returns the weighted mean of the descriptors; there must be a look.
func (t *template) mean() Descriptor {
	if len(t.glances) == 1 {
		return t.glances[0].descriptor
	}
	var sum [len(Descriptor{})]float64
	var weight float64
	for _, g := range t.glances {
		weight += g.weight
		for i, v := range g.descriptor {
			sum[i] += g.weight * float64(v)
		}
	}
	var d Descriptor
	for i, v := range sum {
		d[i] = float32(v / weight)
	}
	return d
}

// best is the weight of the best look that counts.
func (t *template) best() float64 {
	var best float64
	for _, g := range t.glances {
		best = max(best, g.weight)
	}
	return best
}

// last is when the newest look was; the zero time without one.
func (t *template) last() time.Time {
	if len(t.glances) == 0 {
		return time.Time{}
	}
	return t.glances[len(t.glances)-1].at
}
