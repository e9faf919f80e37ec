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
	faces  map[int]*watched

	mu    sync.Mutex
	asked map[int]*question // by track
}

// watched is one face, and what was known of it when it was looked at last.
type watched struct {
	Alive
	last Evidence
	at   time.Time
}

// A look takes about 5 ms here. All faces together are looked at no more often than this, so that
// a crowd leaves the processor to others; who is asked to turn always is.
const (
	lookPace    = 15 * time.Millisecond  // from one look at any face to the next
	judgedAgain = 500 * time.Millisecond // from look to look at a face that is judged
)

// due reports whether it is time to look at the face again, among so many.
func (w *watched) due(now time.Time, faces int) bool {
	wait := time.Duration(faces) * lookPace
	if w.last.Liveness == door.Live || w.last.Liveness == door.Spoof {
		wait = judgedAgain
	}
	return now.Sub(w.at) >= wait
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
	return &AttackDetector{send: send, seed: maphash.MakeSeed(), faces: map[int]*watched{}, asked: map[int]*question{}}
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

// Judge looks at the faces of a scene that it is time for, and tells of the others what it knew.
func (d *AttackDetector) Judge(s Scene) map[int]Evidence {
	cause := d.stream.Frame(d.hash(s.Grey), s.Taken)
	found := map[int]Evidence{}
	for _, f := range s.Faces {
		w := d.faces[f.Track]
		if w == nil {
			w = &watched{}
			d.faces[f.Track] = w
		}
		q := d.question(f.Track)
		if q == nil && cause == "" && w.last.Reason.ofFace() && !w.due(s.Taken, len(s.Faces)) {
			w.last.Found = false // in this frame nobody knows
			found[f.Track] = w.last
			continue
		}
		w.last, w.at = w.Look(View{Grey: s.Grey, Landmarks: f.Landmarks, At: s.Taken, Stream: cause}), s.Taken
		found[f.Track] = w.last
		if q != nil {
			d.answer(q, s.Taken, w.last)
		}
	}
	return found
}

func (d *AttackDetector) question(track int) *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[track]
}

// answer tells the house of a turn that is done.
func (d *AttackDetector) answer(q *question, at time.Time, e Evidence) {
	a := q.prompt.Look(at, e)
	if !a.Done {
		return
	}
	w := q.watch
	d.mu.Lock()
	if d.asked[w.Track] == q {
		delete(d.asked, w.Track)
	}
	d.mu.Unlock()
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
