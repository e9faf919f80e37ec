package face

import (
	"errors"
	"fmt"
	"math"
)

// Basis says what a threshold is advised by.
type Basis string

// The bases.
const (
	Counted   Basis = "counted"   // enough comparisons: with Confidence, no more than the rate were wrong
	Estimated Basis = "estimated" // too few: by a normal distribution through the distances there are
	Kept      Basis = "kept"      // far too few: no looser than what is set, and than the nearest two people
)

// Advice is a threshold for a false-match rate, and what it would do.
type Advice struct {
	Rate        float64 // asked for
	Threshold   float64 // in steps of 0.01, at most Limit; 0: none keeps people apart
	Basis       Basis
	Supported   float64 // least rate that so many comparisons without any error would speak for
	FalseMatch  Rate    // at the threshold
	FalseReject Rate    // as
}

// ErrRate is a false-match rate that is none.
var ErrRate = errors.New("no such false-match rate")

// ValidRate refuses what is no rate to ask for.
func ValidRate(rate float64) error {
	if !(rate >= 1e-9 && rate <= 0.5) { // also refuses NaN
		return fmt.Errorf("%w: %v: use 1e-9 to 0.5, as 1e-4 for one in ten thousand", ErrRate, rate)
	}
	return nil
}

const (
	step        = 100 // thresholds in 1
	normalUnits = 10  // pairs of people, fewer of which do not show a distribution
)

// Advise returns the loosest threshold at which looks are taken for somebody else's at the
// rate. Unless enough comparisons say so it is no looser than the present one.
func (c Calibration) Advise(rate, present float64) Advice {
	_, units := c.Impostor.Count()
	a := Advice{Rate: rate, Basis: Counted, Supported: atMost(0, float64(units)), Threshold: c.counted(rate)}
	if a.Threshold == 0 {
		a.Basis, a.Threshold = c.estimated(rate, present)
	}
	a.FalseMatch, a.FalseReject = c.Impostor.Below(a.Threshold), c.Genuine.From(a.Threshold)
	return a
}

// counted returns the loosest threshold whose errors speak for the rate; 0 for none.
func (c Calibration) counted(rate float64) float64 {
	for n := int(Limit * step); n > 0; n-- {
		if t := float64(n) / step; c.Impostor.Below(t).atMost() <= rate {
			return t
		}
	}
	return 0
}

func (c Calibration) estimated(rate, present float64) (Basis, float64) {
	_, units := c.Impostor.Count()
	if units == 0 {
		return Kept, min(present, Limit)
	}
	threshold := min(present, Limit, stepDown(c.Impostor.Quantile(0)))
	if units < normalUnits {
		return Kept, threshold
	}
	mean, deviation := c.Impostor.spread()
	return Estimated, max(0, min(threshold, stepDown(mean+deviation*normalQuantile(rate))))
}

// stepDown returns the step at or below a distance: what is below it is farther off than d.
func stepDown(d float64) float64 { return math.Floor(d*step) / step }
