//go:build vision

package face

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/doorhub/doorhub/door"
)

// presentations is how many of each kind are shown: a few, or 300 in the soak, or as many as
// DOORHUB_PRESENTATIONS says.
func presentations() int {
	if n, err := strconv.Atoi(os.Getenv("DOORHUB_PRESENTATIONS")); err == nil && n > 0 {
		return n
	}
	if os.Getenv("DOORHUB_SOAK") == "1" {
		return 300
	}
	return 10
}

func everySitter(t testing.TB, r *Recogniser) []*sitter {
	t.Helper()
	files, err := portraitFiles()
	if err != nil {
		t.Fatal(err)
	}
	var all []*sitter
	for _, f := range files {
		if s, ok := sit(t, r, f); ok {
			all = append(all, &s)
		}
	}
	if len(all) == 0 {
		t.Skip("SKIPPED, liveness is untested here: no sample portraits: get them with deploy/models/fetch.sh")
	}
	t.Logf("%d portraits; DOORHUB_FACES=%q", len(all), os.Getenv("DOORHUB_FACES"))
	return all
}

// scene makes a presentation of one kind.
func sceneOf(kind string, r *rand.Rand, sitters []*sitter) *clip {
	s := sitters[r.IntN(len(sitters))]
	switch kind {
	case "genuine":
		return genuine(r, s)
	case "standing still":
		return waiting(r, s)
	case "eye holes":
		return mask(r, s, sitters[r.IntN(len(sitters))])
	case "frozen", "looped":
		return repeated(r, s, kind)
	case "replay":
		return replay(r, s)
	}
	return flatPhoto(r, s, kind)
}

// rate is a share with the bounds that hold in 95 of 100 cases.
func rate(k, n int) string {
	in := clopperPearson(float64(k), float64(n))
	return fmt.Sprintf("%d/%d = %.1f %% (95 %%: %.1f to %.1f)", k, n, 100*float64(k)/float64(n), 100*in.Low, 100*in.High)
}

// presentation is a kind of what a camera may be shown.
type presentation struct {
	kind   string
	extra  bool // a third as many are shown
	attack bool
	open   bool // it is known to pass without a challenge, so that it is only counted there
}

func presented() []presentation {
	return []presentation{
		{kind: "genuine"}, {kind: "standing still", extra: true},
		{kind: "flat", attack: true}, {kind: "bent", attack: true}, {kind: "tilted", attack: true},
		{kind: "shaken", attack: true}, {kind: "close", attack: true}, {kind: "cut-out", attack: true},
		{kind: "eye holes", attack: true, extra: true, open: true}, {kind: "talking", attack: true, extra: true},
		{kind: "frozen", attack: true, extra: true}, {kind: "looped", attack: true, extra: true},
		{kind: "replay", attack: true, extra: true, open: true},
	}
}

// outcome counts what became of the presentations of one kind.
type outcome struct {
	n, opened, turned int // turned: asked to turn, and let in
	judged            map[door.Liveness]int
	refused           map[string]int // by reason
	took              []float64      // seconds from the PIN, of those let in
}

func (c *outcome) add(v visit) {
	c.n++
	c.judged[v.judged]++
	if v.opened {
		c.opened++
		c.took = append(c.took, v.duration.Seconds())
		if v.asked {
			c.turned++
		}
		return
	}
	c.refused[v.reason+" "+v.why]++
}

// TestSoakLiveness shows pictures and heads to a door, which opens for a PIN and a face. By
// default ten of each kind; the rates that are published come from 300.
func TestSoakLiveness(t *testing.T) {
	r := recogniser(t)
	sitters := everySitter(t, r)
	modes := []door.LivenessMode{door.LivenessPassive, door.LivenessChallenge}
	rows := make([]string, len(presented())*len(modes))
	t.Run("shown", func(t *testing.T) {
		for k, p := range presented() {
			for m, mode := range modes {
				t.Run(string(mode)+" "+p.kind, func(t *testing.T) {
					t.Parallel()
					c := p.showTo(t, r, mode, sitters, uint64(1000*m+k))
					rows[k*len(modes)+m] = c.row(p.kind, mode)
					t.Log(c.row(p.kind, mode))
					p.check(t, mode, c)
				})
			}
		}
	})
	t.Log("\n| shown | mode | head | picture | not sure | let in | median time from the PIN | of them asked to turn | not let in |\n|---|---|--:|--:|--:|--:|--:|--:|---|\n" +
		strings.Join(rows, "\n"))
}

// showTo shows many of a kind, each at a door of its own.
func (p presentation) showTo(t *testing.T, r *Recogniser, mode door.LivenessMode, sitters []*sitter, stream uint64) *outcome {
	t.Helper()
	n := presentations()
	if p.extra {
		n = (n + 2) / 3
	}
	kind := p.kind
	if kind == "genuine" && mode == door.LivenessChallenge { // they wait to be asked
		kind = "standing still"
	}
	c := &outcome{judged: map[door.Liveness]int{}, refused: map[string]int{}}
	for i := range n {
		random := rand.New(rand.NewPCG(uint64(i), stream))
		v := visitDoor(t, r, mode, random, obedient(random, sceneOf(kind, random, sitters)))
		if v.opened == p.attack {
			t.Logf("%d: %+v", i, v)
		}
		c.add(v)
	}
	return c
}

func (c *outcome) row(kind string, mode door.LivenessMode) string {
	took := "-"
	if len(c.took) > 0 {
		took = fmt.Sprintf("%.1f s", median(c.took))
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %s | %s | %d | %v |", kind, mode, c.judged[door.Live], c.judged[door.Spoof],
		c.judged[door.Unsure], rate(c.opened, c.n), took, c.turned, c.refused)
}

func (p presentation) check(t *testing.T, mode door.LivenessMode, c *outcome) {
	t.Helper()
	switch {
	case p.attack && c.opened > 0 && !(p.open && mode == door.LivenessPassive):
		t.Errorf("%s: the door opened to %s", p.kind, rate(c.opened, c.n))
	case !p.attack && c.n-c.opened > max(1, c.n/20):
		t.Errorf("%s: the door stayed shut to %s: %v", p.kind, rate(c.n-c.opened, c.n), c.refused)
	}
}
