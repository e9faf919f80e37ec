package face

import (
	"math"
	"testing"
)

// Some values can be checked by hand: without an event the ends are powers, 1-0.025^(1/n). The
// others are those that tables of exact binomial limits print (Documenta Geigy; Zar,
// "Biostatistical Analysis", table B.12) and R's binom.test gives.
func TestClopperPearson(t *testing.T) {
	for _, tt := range []struct {
		events, trials float64
		want           Interval
	}{
		{0, 1, Interval{0, 0.975}},
		{1, 1, Interval{0.025, 1}},
		{0, 10, Interval{0, 0.3084971}},
		{0, 100, Interval{0, 0.0362167}},
		{1, 10, Interval{0.0025286, 0.4450161}},
		{5, 10, Interval{0.1870860, 0.8129140}},
		{10, 10, Interval{0.6915029, 1}},
		{8, 20, Interval{0.1911901, 0.6394574}},
		{3, 1000, Interval{0.0006191, 0.0087420}},
		{0, 0, Interval{0, 1}},
	} {
		got := clopperPearson(tt.events, tt.trials)
		if math.Abs(got.Low-tt.want.Low) > 1e-7 || math.Abs(got.High-tt.want.High) > 1e-7 {
			t.Errorf("%v of %v: %.7f, want %.7f", tt.events, tt.trials, got, tt.want)
		}
	}
}

// The ends of the interval are where the binomial tails hold a fortieth each: summed here term
// by term, by no beta function.
func TestTheTailsBeyondTheIntervalHoldAFortieth(t *testing.T) {
	for trials := 1.0; trials <= 60; trials += 7 {
		for events := 0.0; events <= trials; events++ {
			i := clopperPearson(events, trials)
			if above := binomial(i.Low, events, trials, trials); events > 0 && math.Abs(above-0.025) > 1e-9 {
				t.Errorf("%v of %v: %v or more have the share %v at the low end", events, trials, events, above)
			}
			if below := binomial(i.High, 0, events, trials); events < trials && math.Abs(below-0.025) > 1e-9 {
				t.Errorf("%v of %v: %v or fewer have the share %v at the high end", events, trials, events, below)
			}
		}
	}
}

// binomial is the chance of from to to events in so many trials.
func binomial(rate, from, to, trials float64) float64 {
	var sum float64
	for k := from; k <= to; k++ {
		ways := 1.0
		for i := range int(k) {
			ways *= (trials - float64(i)) / (float64(i) + 1)
		}
		sum += ways * math.Pow(rate, k) * math.Pow(1-rate, trials-k)
	}
	return sum
}

func TestRuleOfThree(t *testing.T) {
	for _, n := range []float64{30, 100, 3000, 29_956} {
		got := atMost(0, n)
		if math.Abs(got-(1-math.Pow(0.05, 1/n))) > 1e-9 {
			t.Errorf("none of %v: at most %v", n, got)
		}
		if rule := 3 / n; got > rule || got < 0.95*rule {
			t.Errorf("none of %v: at most %v, the rule of three says %v", n, got, rule)
		}
	}
	if got := atMost(0, 29_956); got > 1e-4 { // so many comparisons without an error speak for 1 in 10000
		t.Errorf("at most %v", got)
	}
	if atMost(0, 0) != 1 || atMost(7, 7) != 1 {
		t.Error("nothing known, or all of them: any rate may be")
	}
}

// Larger parameters than any house has people must neither hang nor give nonsense.
func TestIntervalOfMany(t *testing.T) {
	const trials = 5e7
	i := clopperPearson(5000, trials)
	// So many events are nearly normally distributed.
	if spread := 1.96 * math.Sqrt(5000) / trials; math.Abs(i.Low-(1e-4-spread)) > 1e-7 || math.Abs(i.High-(1e-4+spread)) > 1e-7 {
		t.Errorf("%v", i)
	}
}

func TestNormalQuantile(t *testing.T) {
	for p, want := range map[float64]float64{0.5: 0, 0.975: 1.959964, 0.0001: -3.719016} {
		if got := normalQuantile(p); math.Abs(got-want) > 1e-6 {
			t.Errorf("%v: %v, want %v", p, got, want)
		}
	}
}
