//go:build vision

package face

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
)

const recordings = 1000

// TestSoakRecording plays recordings of somebody who turns the head at random to a door that
// asks for three random turns of four. Rendering a thousand takes too long: how the head turns
// goes straight to the challenge and the house; a few go through the pixels, too.
func TestSoakRecording(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	passed := 0
	for range recordings {
		if turnsAtDoor(t, random, recording(random, onlooker(random))) {
			passed++
		}
	}
	t.Logf("recordings that pass, by how they turn: %s", rate(passed, recordings))
	if most := clopperPearson(float64(passed), recordings).High; most > 0.03 {
		t.Errorf("a recording may pass in more than 3 %%: %s", rate(passed, recordings))
	}
	passed = 0
	for range recordings {
		if turnsAtDoor(t, random, obedient(random, onlooker(random))) {
			passed++
		}
	}
	t.Logf("people who do as asked that pass, by how they turn: %s", rate(passed, recordings))
	if clopperPearson(float64(passed), recordings).Low < 0.95 {
		t.Errorf("of those who do as asked only these pass: %s", rate(passed, recordings))
	}
}

// TestSoakRecordingSeen has recordings rendered and shown to the camera.
func TestSoakRecordingSeen(t *testing.T) {
	r := recogniser(t)
	sitters := everySitter(t, r)
	n, passed := presentations()/3, 0
	for i := range n {
		random := rand.New(rand.NewPCG(uint64(i), 6))
		v := visitDoor(t, r, door.LivenessChallenge, random, recording(random, waiting(random, sitters[random.IntN(len(sitters))])))
		if v.opened {
			passed++
			t.Logf("%d: %+v", i, v)
		}
	}
	t.Logf("recordings that pass, through the pixels: %s", rate(passed, n))
	if clopperPearson(float64(passed), float64(n)).Low > 0.03 {
		t.Errorf("recordings surely pass in more than 3 %%: %s", rate(passed, n))
	}
}

// onlooker stands there; nobody draws it.
func onlooker(r *rand.Rand) *clip {
	c := newClip(r, "onlooker")
	still := func(float64) float64 { return 0 }
	c.walk(r, c.stand(60, eyeDistance), still, still, 0.3)
	return c
}

// turnsAtDoor reports whether the door opens to one of whom only the turns are known, as the
// judge would measure them.
func turnsAtDoor(t *testing.T, random *rand.Rand, a answerer) (opened bool) {
	t.Helper()
	began := time.Unix(1e9, 0)
	p := &porch{began: began}
	h := p.house(t, door.LivenessChallenge, random)
	var prompt *Prompt
	var watch door.Watch
	over := false
	step := func(at time.Duration, in door.Input) {
		effects, _ := h.Step(door.Instant{Wall: began.Add(at), Mono: time.Hour + at, Synced: true}, in)
		for _, e := range effects {
			switch e := e.(type) {
			case door.Watch:
				if prompt, watch = nil, e; e.Way != "" {
					prompt = NewPrompt(e.Way, began.Add(at))
					if a.ask != nil {
						a.ask(e.Way, at.Seconds())
					}
				}
			case door.Unlock:
				opened, over = true, true
			case door.Write:
				over = over || e.Record.Kind == door.KindDenied
			}
		}
	}
	step(0, door.Claim{Door: "front", Side: door.Entry, Reader: "keypad", Factor: door.PIN, Person: someone})
	first := a.clip.truth(0)
	for at := time.Second / 2; !over && at < mostPatience; at += a.clip.every {
		step(at, door.Face{Door: "front", Side: door.Entry, Track: 1, Near: []door.Match{{Person: someone, Distance: 0.4}}, Liveness: door.Live})
		if prompt == nil || over {
			continue
		}
		if got := prompt.Look(began.Add(at), asMeasured(random, first, a.clip.truth(at.Seconds()))); got.Done {
			step(at, door.Turned{Door: "front", Side: door.Entry, Track: 1, Way: watch.Way, Why: got.Why})
		}
	}
	return opened
}

// asMeasured is what the judge measures of a head that is turned against the first view: it errs
// by a tenth and a degree.
func asMeasured(r *rand.Rand, first, now stance) Evidence {
	k := 1 + 0.1*r.NormFloat64()
	e := Evidence{Liveness: door.Live, Found: true, Yaw: k*(now.yaw-first.yaw) + r.NormFloat64(), Pitch: k*(now.pitch-first.pitch) + r.NormFloat64()}
	e.HeadLook = math.Hypot(e.Yaw, e.Pitch) >= turnEnough
	return e
}
