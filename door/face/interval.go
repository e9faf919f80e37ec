package face

import "math"

// Confidence is that of all intervals here.
const Confidence = 0.95

// Interval is where a rate lies with Confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// clopperPearson returns the exact interval for events among trials (Clopper and Pearson,
// "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934).
// Neither need be whole: Korn and Graubard put an effective number of trials there
// ("Confidence intervals for proportions with small expected number of positive counts
// estimated from survey data", 1998). Without trials nothing is known: 0 to 1.
func clopperPearson(events, trials float64) Interval {
	if !(trials > 0) {
		return Interval{0, 1}
	}
	tail := (1 - Confidence) / 2
	return Interval{betaQuantile(tail, events, trials-events+1), betaQuantile(1-tail, events+1, trials-events)}
}

// atMost returns the rate that is not exceeded with Confidence: one side of the interval, with
// all that is left of certainty. Of no event among n trials it is a little under 3/n, the rule
// of three.
func atMost(events, trials float64) float64 {
	if !(trials > 0) {
		return 1
	}
	return betaQuantile(Confidence, events+1, trials-events)
}

// betaQuantile returns the x up to which the beta distribution of a and b has the share p. A
// parameter of 0 puts all of it at one end.
func betaQuantile(p, a, b float64) float64 {
	switch {
	case a <= 0:
		return 0
	case b <= 0:
		return 1
	}
	low, high := 0.0, 1.0
	for range 100 { // halves: beyond what a float64 can tell apart
		middle := (low + high) / 2
		if betaShare(middle, a, b) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// betaShare is the regularised incomplete beta function I_x(a, b), a and b above 0.
func betaShare(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2): // the fraction converges fast on the other side alone
		return 1 - betaShare(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	return front / (a * betaFraction(x, a, b))
}

// betaFraction is the continued fraction 1 + d1/(1 + d2/(1 + …)) of DLMF 8.17.22, evaluated
// from its front (Lentz, in Thompson and Barnett's form, 1986).
func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300 // in place of a zero denominator
	sum, c, d := 1.0, 1.0, 0.0
	for n := 1; n <= 10_000; n++ {
		m := float64(n / 2)
		term := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)) // d2m
		if n%2 == 1 {
			term = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)) // d2m+1
		}
		if d = 1 + term*d; d == 0 {
			d = tiny
		}
		if c = 1 + term/c; c == 0 {
			c = tiny
		}
		d = 1 / d
		sum *= c * d
		if math.Abs(c*d-1) < 1e-15 {
			break
		}
	}
	return sum
}

// normalQuantile returns how many standard deviations from the mean the share p ends.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
