package face

import (
	gocmp "cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorhub/doorhub/door"
)

// population is people at about the distances of real ones: spread sets how far apart they
// are, blur how far the descriptors of one are. The variance of real descriptors falls from
// number to number once they are turned; here it does not, which is harder.
func population(rng *rand.Rand, people, each int, spread, blur float64) []Enrolled {
	var all []Enrolled
	for p := range people {
		centre := scatter(rng, Descriptor{}, spread/math.Sqrt2)
		e := Enrolled{Person: fmt.Sprintf("p%05d", p)}
		for range each {
			e.Descriptors = append(e.Descriptors, scatter(rng, centre, blur/math.Sqrt2))
		}
		if p%3 == 0 {
			e.Not = append(e.Not, scatter(rng, centre, spread/2))
		}
		all = append(all, e)
	}
	return all
}

// scatter returns a descriptor at about a distance from another.
func scatter(rng *rand.Rand, d Descriptor, distance float64) Descriptor {
	for i := range d {
		d[i] += float32(rng.NormFloat64() * distance / math.Sqrt(float64(dims)))
	}
	return d
}

// everybody compares with everybody: what the index must equal.
func everybody(people []Enrolled, d Descriptor) []door.Match {
	var all []door.Match
	for _, p := range people {
		if own := nearest(p.Descriptors, d); len(p.Descriptors) > 0 && own < nearest(p.Not, d) {
			all = append(all, door.Match{Person: p.Person, Distance: own})
		}
	}
	slices.SortFunc(all, func(a, b door.Match) int {
		return gocmp.Or(gocmp.Compare(a.Distance, b.Distance), gocmp.Compare(a.Person, b.Person))
	})
	n := min(2, len(all))
	for n < len(all) && all[n].Distance <= Limit {
		n++
	}
	return all[:n]
}

func TestNearEqualsComparingWithEverybody(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	huge := Enrolled{Person: "huge", Descriptors: []Descriptor{at(3e38), at(-3e38)}}
	far := Enrolled{Person: "far", Descriptors: []Descriptor{at(1e30)}}
	none := Enrolled{Person: "none"}
	for name, people := range map[string][]Enrolled{
		"nobody": nil, "one": population(rng, 1, 1, 0.8, 0.4), "far apart": population(rng, 300, 5, 0.8, 0.4),
		"all look alike": population(rng, 300, 5, 0.3, 0.2), "the same": population(rng, 50, 3, 0, 0),
		"huge": {huge, far, none}, "huge among others": append(population(rng, 20, 2, 0.8, 0.4), huge, far, none),
	} {
		t.Run(name, func(t *testing.T) {
			g := gallery(t, people...)
			for n := range 300 {
				d := scatter(rng, Descriptor{}, rng.Float64())
				if len(people) > 0 && n%2 == 0 {
					p := people[rng.IntN(len(people))]
					if len(p.Descriptors) > 0 {
						d = scatter(rng, p.Descriptors[0], rng.Float64()*0.8)
					}
				}
				if !finite(d) {
					continue
				}
				if diff := cmp.Diff(everybody(people, d), g.Near(d), cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}

// BenchmarkNear looks for one face among 10,000 people with five descriptors each: for
// somebody who is enrolled, and for a stranger.
func BenchmarkNear(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	people := population(rng, 10_000, 5, 0.8, 0.4)
	var g Gallery
	if err := g.Replace(people); err != nil {
		b.Fatal(err)
	}
	probes := map[string]func() Descriptor{
		"enrolled": func() Descriptor { return scatter(rng, people[rng.IntN(len(people))].Descriptors[0], 0.3) },
		"stranger": func() Descriptor { return scatter(rng, Descriptor{}, 0.57) },
	}
	for _, name := range []string{"enrolled", "stranger"} {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var took, used []time.Duration
			for b.Loop() {
				d := probes[name]()
				began, cpu := time.Now(), threadTime(b)
				g.Near(d)
				used = append(used, threadTime(b)-cpu)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			slices.Sort(used)
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
			b.ReportMetric(float64(used[len(used)*99/100])/1e6, "p99-cpu-ms")
		})
	}
}

// threadTime returns the CPU time that this thread has used: what else the machine does is
// not in it.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
