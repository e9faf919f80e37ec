//go:build vision

package face

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
	"gocv.io/x/gocv"
)

// visit is what became of one presentation at a door that opens for a PIN and a face.
type visit struct {
	opened   bool
	seen     bool          // the face was found and described
	judged   door.Liveness // the first that was more than unjudged, before anybody was asked to turn
	asked    bool          // to turn
	turns    int           // done as asked
	reason   string        // of a refusal; "" for one that was neither let in nor refused in time
	why      string        // ... of a challenge
	duration time.Duration // from the PIN
}

// porch is a house with one door whose camera shows a clip. Watcher, judge and house are those
// of a hub, and time stands still while they work.
type porch struct {
	inputs  chan door.Input
	judge   *AttackDetector
	began   time.Time
	claimed time.Time

	mu     sync.Mutex // of what follows
	visit  visit
	wanted door.Way // "" once the clip has been told
	asking bool     // a challenge runs
	over   bool
}

const someone = "someone"

// visitDoor shows a clip to a door's camera, whoever is in it, with the PIN of the one of whom
// the portrait is. random draws the turns.
func visitDoor(t *testing.T, r *Recogniser, mode door.LivenessMode, random *rand.Rand, a answerer) (v visit) {
	t.Helper()
	var g Gallery
	if err := g.Replace([]Enrolled{{Person: someone, Descriptors: []Descriptor{a.clip.of}}}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := &porch{inputs: make(chan door.Input, 64), began: time.Now()}
		send := func(in door.Input) { p.heard(in); p.inputs <- in }
		p.judge = NewAttackDetector(send)
		w := NewWatcher(Defaults(), Place{Door: "front", Side: door.Entry}, r, &g, &Numbers{}, send)
		w.JudgeBy(p.judge)
		ctx, cancel := context.WithCancel(t.Context())
		frames := make(chan rendered, 1)
		go door.Run(ctx, p.house(t, mode, random), p.inputs, p.now, p.do)
		go Watch(ctx, w, frames)
		p.show(t, a, frames)
		cancel()
		synctest.Wait()
		close(frames)
		for f := range frames { // nobody has taken it any more
			f.Close()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		v = p.visit
	})
	return v
}

func (p *porch) house(t *testing.T, mode door.LivenessMode, random *rand.Rand) *door.House {
	t.Helper()
	cfg := door.Defaults()
	cfg.Liveness = mode
	portal := door.PortalDefaults()
	portal.ID = "front"
	cfg.Doors = []door.Portal{portal}
	kept := door.Kept{People: []door.Person{{ID: someone}}}
	for i := range kept.Seed {
		kept.Seed[i] = byte(random.Uint32())
	}
	h, err := door.New(cfg, kept, p.now())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (p *porch) now() door.Instant {
	now := time.Now()
	return door.Instant{Wall: now, Mono: time.Hour + now.Sub(p.began), Synced: true}
}

// mostPatience is after what a visit is over that has come to no end.
const mostPatience = 40 * time.Second

// mostUnjudged is for how long somebody stays whom nobody has judged.
const mostUnjudged = 8 * time.Second

// show hands over the frames as a camera does, the newest only, until somebody is let in or
// refused, or the clip is over and nobody is asked to turn.
func (p *porch) show(t *testing.T, a answerer, frames chan rendered) {
	length := a.clip.length
	a.clip.length = mostPatience
	tick := time.NewTicker(a.clip.every)
	defer tick.Stop()
	a.clip.frames(t, func(at time.Duration, frame gocv.Mat) bool {
		if p.claimed.IsZero() && at >= a.clip.judged {
			p.mu.Lock()
			p.claimed = time.Now()
			p.mu.Unlock()
			p.inputs <- door.Claim{Door: "front", Side: door.Entry, Reader: "keypad", Factor: door.PIN, Person: someone}
		}
		select {
		case old := <-frames:
			old.Close()
		default:
		}
		frames <- rendered{frame.Clone(), time.Now()}
		synctest.Wait()
		<-tick.C
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wanted != "" && a.ask != nil {
			a.ask(p.wanted, (at + a.clip.every).Seconds())
			p.wanted = ""
		}
		return !p.over && (p.asking || at < length || p.visit.judged == "" && at < mostUnjudged)
	})
}

// heard takes in what the pipeline tells the house.
func (p *porch) heard(in door.Input) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch in := in.(type) {
	case door.Face:
		p.visit.seen = true
		if p.visit.judged == "" && in.Liveness != door.Unjudged {
			p.visit.judged = in.Liveness
		}
	case door.Turned:
		if in.Why == "" {
			p.visit.turns++
		}
	}
}

// do takes in what the house does.
func (p *porch) do(_ door.Input, effects []door.Effect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range effects {
		switch e := e.(type) {
		case door.Watch:
			p.judge.Ask(e)
			p.wanted, p.asking = e.Way, e.Way != ""
			p.visit.asked = p.visit.asked || p.asking
		case door.Unlock:
			p.visit.opened, p.over = true, true
		case door.Write:
			if e.Record.Kind == door.KindDenied {
				p.visit.reason, p.visit.why, p.over = e.Record.Reason, e.Record.Details[door.DetailWhy], true
			}
		}
		if p.over && p.visit.duration == 0 {
			p.visit.duration = time.Since(p.claimed)
		}
	}
}

// rendered is a frame of a clip.
type rendered struct {
	img   gocv.Mat
	taken time.Time
}

func (f rendered) Image() gocv.Mat  { return f.img }
func (f rendered) Taken() time.Time { return f.taken }
func (f rendered) Close() error     { return f.img.Close() }
