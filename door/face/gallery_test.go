package face

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// at returns a descriptor at distance x from at(0).
func at(x float32) Descriptor {
	var d Descriptor
	d[0] = x
	return d
}

func one(person string, xs ...float32) Enrolled {
	e := Enrolled{Person: person}
	for _, x := range xs {
		e.Descriptors = append(e.Descriptors, at(x))
	}
	return e
}

func gallery(t *testing.T, people ...Enrolled) *Gallery {
	t.Helper()
	var g Gallery
	if err := g.Replace(people); err != nil {
		t.Fatal(err)
	}
	return &g
}

func TestNear(t *testing.T) {
	near := func(ms ...door.Match) []door.Match { return ms }
	tests := map[string]struct {
		people []Enrolled
		want   []door.Match
	}{
		"nobody enrolled":         {nil, nil},
		"one, far":                {[]Enrolled{one("ann", 2)}, near(door.Match{Person: "ann", Distance: 2})},
		"the nearest of a person": {[]Enrolled{one("ann", 2, -0.5, 1)}, near(door.Match{Person: "ann", Distance: 0.5})},
		"at least two": {[]Enrolled{one("ann", 3), one("bob", 2), one("cat", 1)},
			near(door.Match{Person: "cat", Distance: 1}, door.Match{Person: "bob", Distance: 2})},
		"all within the limit": {[]Enrolled{one("ann", 0.5), one("bob", 0.25), one("cat", 0.125), one("dan", 0.75)},
			near(door.Match{Person: "cat", Distance: 0.125}, door.Match{Person: "bob", Distance: 0.25}, door.Match{Person: "ann", Distance: 0.5})},
		"a tie goes by id": {[]Enrolled{one("bob", 0.25), one("ann", 0.25)},
			near(door.Match{Person: "ann", Distance: 0.25}, door.Match{Person: "bob", Distance: 0.25})},
		"a person without a face": {[]Enrolled{one("ann"), one("bob", 0)}, near(door.Match{Person: "bob"})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, gallery(t, tt.people...).Near(at(0)), cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

// What was taken for a person and is not them keeps all that is as near to it from being them.
func TestNotThisPerson(t *testing.T) {
	not := func(e Enrolled, xs ...float32) Enrolled { e.Not = one("", xs...).Descriptors; return e }
	ann, bob := not(one("ann", 0, 0.5), -0.5, 2), one("bob", 1)
	for name, c := range map[string]struct {
		look float32
		want []string
	}{
		"her face":                     {0, []string{"ann", "bob"}},
		"her other face":               {0.5, []string{"ann", "bob"}},
		"a little nearer to hers":      {-0.125, []string{"ann", "bob"}},
		"as near to the wrong one":     {-0.25, []string{"bob"}},
		"nearer to the wrong one":      {-0.375, []string{"bob"}},
		"the wrong one":                {-0.5, []string{"bob"}},
		"beyond the wrong one":         {-1, []string{"bob"}},
		"nearer to another wrong one":  {1.375, []string{"bob"}},
		"between hers and another's":   {0.75, []string{"ann", "bob"}},
		"nearest to somebody else yet": {1, []string{"bob", "ann"}},
	} {
		var got []string
		for _, m := range gallery(t, ann, bob).Near(at(c.look)) {
			got = append(got, m.Person)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
	if got := gallery(t, ann).Near(at(-0.5)); len(got) != 0 {
		t.Errorf("the only one enrolled is still near: %v", got)
	}
}

func TestNearIsNobodyForNoNumber(t *testing.T) {
	g := gallery(t, one("ann", 0), one("bob", 1))
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := g.Near(at(float32(v))); len(got) != 0 {
			t.Errorf("%v matches %v", v, got)
		}
	}
	if got := (&Gallery{}).Near(at(0)); len(got) != 0 {
		t.Errorf("an empty gallery matches %v", got)
	}
}

func TestReplaceKeepsWhatWasWhenItFails(t *testing.T) {
	g := gallery(t, one("ann", 0.5))
	want := g.Near(at(0))
	for name, people := range map[string][]Enrolled{
		"NaN":   {one("bob", float32(math.NaN()))},
		"inf":   {one("bob", 0, float32(math.Inf(1)))},
		"no id": {one("", 0)},
		"not":   {{Person: "bob", Descriptors: one("bob", 0).Descriptors, Not: one("", float32(math.NaN())).Descriptors}},
		"twice": {one("bob", 0), one("bob", 1)},
	} {
		if err := g.Replace(people); err == nil {
			t.Errorf("%s: taken", name)
		}
		if d := cmp.Diff(want, g.Near(at(0))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestReplaceTakesACopy(t *testing.T) {
	people := []Enrolled{one("ann", 0.5)}
	g := gallery(t, people...)
	people[0].Descriptors[0][0] = 9
	if got := g.Near(at(0))[0].Distance; got != 0.5 {
		t.Errorf("the gallery changed with its input: %v", got)
	}
}

func TestReplaceIsWhole(t *testing.T) {
	var g Gallery
	generation := func(n int) []Enrolled {
		var people []Enrolled
		for i := range 8 {
			people = append(people, one(fmt.Sprintf("p%d", i), float32(n)/64))
		}
		return people
	}
	if err := g.Replace(generation(0)); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := range 32 {
			if err := g.Replace(generation(n)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		got := g.Near(at(0))
		for _, m := range got {
			if m.Distance != got[0].Distance {
				t.Fatalf("two generations at once: %v", got)
			}
		}
	}
	wait.Wait()
}

func TestDistance(t *testing.T) {
	a, b := at(3), at(0)
	b[1] = 4
	if got := Distance(a, b); got != 5 {
		t.Errorf("got %v, want 5", got)
	}
	if got := Distance(at(float32(math.NaN())), b); !math.IsNaN(got) {
		t.Errorf("got %v, want NaN", got)
	}
}
