//go:build vision

package face

import (
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
	"gocv.io/x/gocv"
)

// AttackDetector judges the faces before one camera by presentation attack detection
// (ISO/IEC 30107): whether each is a head, and whether it turns as the house asks.
type AttackDetector struct {
	send func(door.Input)
	seed maphash.Seed

	// Only the goroutine of Watch uses these.
	stream Stream
	faces  map[int]*Alive

	mu    sync.Mutex
	asked map[int]*question // by track
}

// question is a turn that the house asks for.
type question struct {
	watch  door.Watch
	prompt *Prompt
}

// NewAttackDetector makes a detector for one camera. send gets a door.Turned for each turn
// that was asked for, once it is done, whether well or badly; it is called from the goroutine
// of Watch.
func NewAttackDetector(send func(door.Input)) *AttackDetector {
	return &AttackDetector{send: send, seed: maphash.MakeSeed(), faces: map[int]*Alive{}, asked: map[int]*question{}}
}

// Ask has a face watched for a turn, from now on; a Watch without a way ends that. It may be
// called from any goroutine. A track that is before another camera is never answered for.
func (d *AttackDetector) Ask(w door.Watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.asked, w.Track)
	if w.Way != "" {
		d.asked[w.Track] = &question{w, NewPrompt(w.Way, time.Now())}
	}
}

// Judge looks at every face of a scene.
func (d *AttackDetector) Judge(s Scene) map[int]Evidence {
	cause := d.stream.Frame(d.hash(s.Grey), s.Taken)
	found := map[int]Evidence{}
	for _, f := range s.Faces {
		a := d.faces[f.Track]
		if a == nil {
			a = &Alive{}
			d.faces[f.Track] = a
		}
		e := a.Look(View{Grey: s.Grey, Landmarks: f.Landmarks, At: s.Taken, Stream: cause})
		found[f.Track] = e
		d.answer(f.Track, s.Taken, e)
	}
	return found
}

// answer tells the house of a turn that is done.
func (d *AttackDetector) answer(track int, at time.Time, e Evidence) {
	d.mu.Lock()
	q := d.asked[track]
	d.mu.Unlock()
	if q == nil {
		return
	}
	a := q.prompt.Look(at, e)
	if !a.Done {
		return
	}
	d.mu.Lock()
	if d.asked[track] == q {
		delete(d.asked, track)
	}
	d.mu.Unlock()
	w := q.watch
	d.send(door.Turned{Door: w.Door, Side: w.Side, Track: w.Track, Way: w.Way, Why: a.Why})
}

// hash is of every pixel: only a frame that is shown again has the same.
func (d *AttackDetector) hash(grey gocv.Mat) uint64 {
	pixels, err := grey.DataPtrUint8()
	if err != nil {
		pixels = grey.ToBytes()
	}
	return maphash.Bytes(d.seed, pixels)
}

// Forget gives back what was kept of a track.
func (d *AttackDetector) Forget(track int) {
	if a := d.faces[track]; a != nil {
		if err := a.Close(); err != nil {
			slog.Warn("memory of a face is not given back", "component", "face", "error", err)
		}
		delete(d.faces, track)
	}
}
