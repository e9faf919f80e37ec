package face

import (
	"math"
	"slices"
)

// Distances are those of many comparisons of one kind. The comparisons of one unit (a person,
// or a pair of people) tell much the same again and again, so that intervals count each unit
// once, whatever the number of its comparisons: with the effective sample size of Korn and
// Graubard (1998) at its least. The zero value holds none.
type Distances struct {
	sorted []float64
	units  int
}

func newDistances(all []float64, units int) Distances {
	slices.Sort(all)
	return Distances{all, units}
}

// Count returns how many comparisons there are, and of how many units.
func (d Distances) Count() (comparisons, units int) { return len(d.sorted), d.units }

// Quantile returns the distance up to which the share p of all lies, 0 to 1; NaN without any.
func (d Distances) Quantile(p float64) float64 {
	if len(d.sorted) == 0 {
		return math.NaN()
	}
	return d.sorted[int(p*float64(len(d.sorted)-1)+0.5)]
}

// Rate is how many comparisons are on one side of a threshold.
type Rate struct {
	Events int      `json:"events"`
	Of     int      `json:"of"`
	Units  int      `json:"units"` // that the interval counts: people, or pairs of people
	Share  float64  `json:"share"` // 0 without any
	Within Interval `json:"within"`
}

// Below returns how many would be taken for the same face by a threshold: people are when they
// are nearer than it.
func (d Distances) Below(threshold float64) Rate {
	n, _ := slices.BinarySearch(d.sorted, threshold)
	return d.rate(n)
}

// From returns how many would not be.
func (d Distances) From(threshold float64) Rate {
	n, _ := slices.BinarySearch(d.sorted, threshold)
	return d.rate(len(d.sorted) - n)
}

func (d Distances) rate(events int) Rate {
	r := Rate{Events: events, Of: len(d.sorted), Units: d.units}
	if r.Of > 0 {
		r.Share = float64(events) / float64(r.Of)
	}
	r.Within = clopperPearson(r.effective(), float64(r.Units))
	return r
}

// effective is how many units had an event, if each had all or none.
func (r Rate) effective() float64 { return r.Share * float64(r.Units) }

// atMost is the rate that is not exceeded with Confidence.
func (r Rate) atMost() float64 { return atMost(r.effective(), float64(r.Units)) }

// Bins counts the distances from 0 to a most in equal parts; the last has those beyond, too.
func (d Distances) Bins(parts int, most float64) []int {
	counts := make([]int, parts)
	for _, v := range d.sorted {
		counts[min(parts-1, int(v/most*float64(parts)))]++
	}
	return counts
}

// spread returns mean and standard deviation.
func (d Distances) spread() (mean, deviation float64) {
	for _, v := range d.sorted {
		mean += v
	}
	mean /= float64(len(d.sorted))
	for _, v := range d.sorted {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(d.sorted)-1))
}
