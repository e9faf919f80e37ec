package face

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known is a person with looks at places on a line.
func known(person string, places ...float32) References {
	r := References{Person: person}
	for _, p := range places {
		r.Faces = append(r.Faces, Reference{Descriptor: at(p)})
	}
	return r
}

// All distances are those on a line, to be checked by hand.
func TestCalibrate(t *testing.T) {
	ann, bob, cat := known("ann", 0, 0.25), known("bob", 1, 1.5, 1.625), known("cat", 2)
	c := Calibrate([]References{ann, bob, cat, known("dan")}, nil, 0.5)
	if c.People != 3 || c.Faces != 6 || c.Compared != 3 {
		t.Errorf("%d people with %d faces, %d compared", c.People, c.Faces, c.Compared)
	}
	// Ann's two are 0.25 apart; Bob's nearest others 0.5, 0.125, 0.125.
	want := Distances{[]float64{0.125, 0.125, 0.25, 0.25, 0.5}, 2}
	if d := cmp.Diff(want, c.Genuine, cmp.AllowUnexported(Distances{})); d != "" {
		t.Errorf("genuine (-want +got):\n%s", d)
	}
	// Ann to Bob: 1, 0.75; Bob to Ann: 0.75, 1.25, 1.375. Ann to Cat: 2, 1.75; Cat to Ann:
	// 1.75. Bob to Cat: 1, 0.5, 0.375; Cat to Bob: 0.375.
	want = Distances{[]float64{0.375, 0.375, 0.5, 0.75, 0.75, 1, 1, 1.25, 1.375, 1.75, 1.75, 2}, 3}
	if d := cmp.Diff(want, c.Impostor, cmp.AllowUnexported(Distances{})); d != "" {
		t.Errorf("impostors (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Alike{{[2]string{"bob", "cat"}, 0.375}}, c.Alike); d != "" {
		t.Errorf("alike (-want +got):\n%s", d)
	}
	if got := []float64{c.Impostor.Quantile(0), c.Impostor.Quantile(0.5), c.Impostor.Quantile(1)}; !cmp.Equal(got, []float64{0.375, 1, 2}) {
		t.Errorf("least, median and most: %v", got)
	}
	if d := cmp.Diff([]int{0, 3, 2, 7}, c.Impostor.Bins(4, 1.25)); d != "" {
		t.Errorf("bins (-want +got):\n%s", d)
	}
}

func TestCalibrateBySightings(t *testing.T) {
	people := []References{known("ann", 0), known("bob", 1, 2)}
	nan := at(float32(math.NaN()))
	c := Calibrate(people, []Seen{
		{Descriptor: at(0.125), Person: "ann"},           // 0.125 from Ann, 0.875 from Bob
		{Descriptor: at(1.25), Not: "bob"},               // 0.25 from Bob, and not his
		{Descriptor: at(1.5), Person: "ann", Not: "bob"}, // 1.5 from Ann, 0.5 twice from Bob
		{Descriptor: at(0.5)},                            // a stranger: says nothing
		{Descriptor: at(0.5), Person: "eve"},             // erased meanwhile
		{Descriptor: nan, Person: "ann"}, {Descriptor: nan, Not: "ann"},
	}, 0.5)
	if c.Seen != 2 || c.Refuted != 2 {
		t.Errorf("%d seen, %d refuted; want 2 of each", c.Seen, c.Refuted)
	}
	want := Distances{[]float64{0.125, 1, 1, 1.5}, 2}
	if d := cmp.Diff(want, c.Genuine, cmp.AllowUnexported(Distances{})); d != "" {
		t.Errorf("genuine (-want +got):\n%s", d)
	}
	want = Distances{[]float64{0.25, 0.5, 0.5, 0.875, 1, 1, 2}, 2} // Ann and Bob, a stranger and Bob
	if d := cmp.Diff(want, c.Impostor, cmp.AllowUnexported(Distances{})); d != "" {
		t.Errorf("impostors (-want +got):\n%s", d)
	}
}

func TestRates(t *testing.T) {
	d := newDistances([]float64{0.5, 0.25, 0.75, 0.5}, 10)
	below := d.Below(0.5) // a face at the threshold is not taken for the same
	if below.Events != 1 || below.Of != 4 || below.Units != 10 || below.Share != 0.25 {
		t.Errorf("below: %+v", below)
	}
	if want := clopperPearson(2.5, 10); below.Within != want {
		t.Errorf("within %v, want that of 2.5 of the 10 units, %v", below.Within, want)
	}
	if from := d.From(0.5); from.Events != 3 || from.Share != 0.75 {
		t.Errorf("from: %+v", from)
	}
	var none Distances
	if r := none.Below(0.5); r != (Rate{Within: Interval{0, 1}}) {
		t.Errorf("of nothing: %+v", r)
	}
}

// crowdOf are people whose looks are normally distributed about places far from one another.
func crowdOf(people, looks int, apart, spread float64) []References {
	random := rand.New(rand.NewPCG(7, 7))
	var all []References
	for n := range people {
		var centre Descriptor
		for i := range centre {
			centre[i] = float32(random.NormFloat64() * apart / 16) // about apart from one another
		}
		p := References{Person: fmt.Sprintf("p%d", n+1)}
		for range looks {
			look := centre
			for i := range look {
				look[i] += float32(random.NormFloat64() * spread / 16)
			}
			p.Faces = append(p.Faces, Reference{Descriptor: look})
		}
		all = append(all, p)
	}
	return all
}

func TestAdviceOfMany(t *testing.T) {
	c := Calibrate(crowdOf(80, 3, 0.8, 0.3), nil, 0.5) // 3160 pairs speak for 1 in 1053 and no less
	a := c.Advise(1e-3, 0.5)
	if a.Basis != Counted || a.Supported > 1e-3 || a.Threshold <= 0.3 || a.Threshold > Limit {
		t.Errorf("1 in 1000: %+v", a)
	}
	if a.FalseMatch.atMost() > 1e-3 {
		t.Errorf("at %.2f up to %v are taken for others", a.Threshold, a.FalseMatch.atMost())
	}
	if looser := c.Impostor.Below(a.Threshold + 0.01); a.Threshold < Limit && looser.atMost() <= 1e-3 {
		t.Errorf("%.2f would do as well", a.Threshold+0.01)
	}
	strict := c.Advise(1e-5, 0.5)
	if strict.Basis != Estimated || strict.Threshold > 0.5 || strict.Threshold > a.Threshold || strict.Supported < 9e-4 {
		t.Errorf("1 in 100000: %+v", strict)
	}
}

// What few people tell never loosens a threshold.
func TestAdviceOfFew(t *testing.T) {
	for name, tt := range map[string]struct {
		people    []References
		threshold float64
		basis     Basis
	}{
		"nobody":               {nil, 0.5, Kept},
		"one":                  {[]References{known("ann", 0, 0.25)}, 0.5, Kept},
		"two":                  {[]References{known("ann", 0), known("bob", 3)}, 0.5, Kept},
		"two who are alike":    {[]References{known("ann", 0), known("bob", 0.375)}, 0.37, Kept},
		"two who are the same": {[]References{known("ann", 0), known("bob", 0)}, 0, Kept},
		"five, far apart":      {[]References{known("ann", 0), known("bob", 3), known("cat", 6), known("dan", 9), known("eve", 12)}, 0, Estimated},
		"ten":                  {crowdOf(10, 3, 0.8, 0.1), 0.5, Estimated},
	} {
		a := Calibrate(tt.people, nil, 0.5).Advise(1e-4, 0.5)
		if a.Basis != tt.basis || a.Threshold != tt.threshold {
			t.Errorf("%s: %.2f, %s; want %.2f, %s", name, a.Threshold, a.Basis, tt.threshold, tt.basis)
		}
		if a.FalseMatch.Events != 0 {
			t.Errorf("%s: %+v were taken for others", name, a.FalseMatch)
		}
	}
	if a := Calibrate(crowdOf(10, 3, 2, 0.1), nil, 0.5).Advise(0.2, 0.9); a.Threshold > Limit {
		t.Errorf("looser than the model allows: %+v", a)
	}
}

func TestValidRate(t *testing.T) {
	for rate, fine := range map[float64]bool{1e-4: true, 0.5: true, 1e-9: true, 0: false, -1: false, 0.6: false, math.NaN(): false} {
		if err := ValidRate(rate); (err == nil) != fine || err != nil && !errors.Is(err, ErrRate) {
			t.Errorf("%v: %v", rate, err)
		}
	}
}

func TestWeakEnrolments(t *testing.T) {
	rated := func(r References, quality ...float64) References {
		for i, q := range quality {
			r.Faces[i].Quality = q
		}
		return r
	}
	people := []References{
		rated(known("one", 0), 0.9),
		rated(known("wide", 10, 10.125, 10.625), 0.9, 0.9, 0.9),
		rated(known("poor", 20, 20.125, 20.25), 0.25, 0.25, 0.9),
		rated(known("good", 30, 30.125, 30.25), 0.25, 0.5, 0.9),
		known("old", 40, 40.125, 40.25), // enrolled when nobody measured
		known("none"),
	}
	want := []Weak{
		{"one", 1, 0, 0.9, []Weakness{FewFaces}},
		{"wide", 3, 0.5, 0.9, []Weakness{WideSpread}},
		{"poor", 3, 0.125, 0.25, []Weakness{LowQuality}},
	}
	if d := cmp.Diff(want, Calibrate(people, nil, 0.5).Weak); d != "" {
		t.Errorf("weak (-want +got):\n%s", d)
	}
}

// A large site is compared in part, and the report can say so.
func TestCalibrateDrawsFromMany(t *testing.T) {
	c := Calibrate(crowdOf(mostCompared+50, 1, 0.8, 0.1), nil, 0.1)
	_, pairs := c.Impostor.Count()
	if c.People != mostCompared+50 || c.Compared != mostCompared || pairs != mostCompared*(mostCompared-1)/2 {
		t.Errorf("%d of %d people, %d pairs", c.Compared, c.People, pairs)
	}
}
