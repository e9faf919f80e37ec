//go:build vision

package face

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/door"
	"gocv.io/x/gocv"
)

// Frame is one picture of a camera, to be closed by who received it. One that can also give
// itself grey and small (SmallFrame) is decoded in full only where something moves.
type Frame interface {
	Image() gocv.Mat  // BGR, 8 bits a channel
	Taken() time.Time // with a monotonic reading
	Close() error
}

// SmallFrame is a Frame that need not be decoded in full.
type SmallFrame interface {
	Frame
	Small() gocv.Mat // grey, 8 bits, at least 160 pixels wide unless the frame is smaller
}

// Watcher follows the faces before one camera and tells the house of them.
type Watcher struct {
	cfg  Config
	rec  *Recogniser
	send func(door.Input)

	// Watch alone uses these.
	follow  follower
	search  search
	judge   Judge
	live    map[int]Evidence // by track, as last judged
	failed  bool
	crowded bool

	decided decisions
	looks   atomic.Uint64

	witness *Witness             // may be nil
	width   int                  // of pictures, in pixels
	asked   chan chan<- *Picture // pictures of the next look

	mu   sync.Mutex
	last Frame  // the newest with a face in it
	jpeg []byte // made of it when it was asked for
}

// NewWatcher makes a watcher for the camera at place. All watchers of a hub share numbers.
// send gets a door.Face for each face in each look, once the looks at it are good enough to
// tell who it is, and a door.Gone when it has left; it is called from the goroutine of Watch,
// in order.
func NewWatcher(cfg Config, place Place, rec *Recogniser, g *Gallery, numbers *Numbers, send func(door.Input)) *Watcher {
	return &Watcher{cfg: cfg, rec: rec, send: send, width: lookSide, asked: make(chan chan<- *Picture, 4),
		search: search{cfg: cfg, rec: rec}, decided: decisions{most: cfg.Decisions},
		follow: follower{place: place, gallery: g, tracker: tracker{numbers: numbers, gone: cfg.Gone}}}
}

// expiryBeat is how often Watch looks who has left, and whether the next look is due.
const expiryBeat = 50 * time.Millisecond

// Watch looks at frames until ctx ends or the channel is closed, and then tells that all are
// gone. It takes a frame when the next look is due and leaves the others to the camera, which
// keeps the newest; a judge gets those between, too. When frames stop to come, faces are gone
// all the same.
func Watch[F Frame](ctx context.Context, w *Watcher, frames <-chan F) {
	defer w.leave()
	tick := time.NewTicker(expiryBeat)
	defer tick.Stop()
	var due, frameDue time.Time
	for {
		in := frames
		if now := time.Now(); now.Before(due) && (!w.judging() || now.Before(frameDue)) {
			in = nil
		}
		select {
		case <-ctx.Done():
			return
		case f, ok := <-in:
			if !ok {
				return
			}
			frameDue = time.Now().Add(judgePace)
			if time.Now().Before(due) {
				w.between(f)
				f.Close()
			} else {
				due = w.look(f)
			}
		case <-tick.C:
			w.tell(w.follow.expire(time.Now()))
		}
	}
}

func (w *Watcher) judging() bool { return w.judge != nil && w.follow.watching() }

func (w *Watcher) leave() {
	w.tell(w.follow.leave())
	w.Snapshot() // what is left is a JPEG
}

// look takes one frame, to close it, and returns when the next look is due.
func (w *Watcher) look(f Frame) time.Time {
	began := time.Now()
	w.looks.Add(1)
	l := &look{w: w, now: f.Taken(), frame: f}
	defer l.close()
	err := l.run()
	w.log(err, l.over)
	switch {
	case err != nil:
		w.tell(w.follow.expire(l.now))
		f.Close()
	case len(l.faces) == 0:
		w.conclude(l)
		f.Close()
	default:
		w.conclude(l)
		w.keep(f)
	}
	if w.follow.watching() {
		return began.Add(w.cfg.Every)
	}
	return began.Add(w.cfg.Idle)
}

// conclude has the faces of a look followed, judged and told.
func (w *Watcher) conclude(l *look) {
	began := time.Now()
	faces, seen := l.sightings()
	followed, inputs := w.follow.look(l.now, seen, func(tracks []*track) map[int]door.Liveness {
		var scene []Followed
		for i, t := range tracks {
			scene = append(scene, Followed{t.number, t.box, faces[i].landmarks})
		}
		w.live = w.judged(l.view.grey, l.now, scene)
		live := map[int]door.Liveness{}
		for track, e := range w.live {
			live[track] = e.Liveness
		}
		return live
	})
	for i, t := range followed {
		t.patch = faces[i].patch
		if faces[i].tried {
			t.tried = l.now
		}
	}
	l.took.Match = time.Since(began)
	w.decided.add(l.decisions(faces, followed)...)
	pic := w.notes(l, faces, followed)
	w.tell(inputs)
	pic.take(l.view.img, w.width) // the door waits for no picture
}

// decisions are those of the faces that were described, or should have been.
func (l *look) decisions(faces []*candidate, followed []*track) []Decision {
	place := l.w.follow.place
	var all []Decision
	for _, c := range l.faces {
		if c.why == Known {
			continue
		}
		d := Decision{Taken: l.now, Place: place, Box: c.box, Score: c.score, Quality: c.quality, Why: c.why,
			Faces: len(l.faces), Over: l.over, Took: l.took, Liveness: door.Unjudged}
		for i := range faces {
			if faces[i] != c {
				continue
			}
			t := followed[i]
			d.Track, d.Looks, d.Settled, d.Near = t.number, len(t.template.glances), t.template.settled(), t.near
			if e, ok := l.w.live[t.number]; ok {
				d.Liveness, d.Alive = e.Liveness, e
			}
		}
		all = append(all, d)
	}
	return all
}

// Decisions returns up to n of the newest decisions, the newest last. It may be called from
// any goroutine.
func (w *Watcher) Decisions(n int) []Decision { return w.decided.newest(n) }

// log writes when looking begins to fail, and when it works again, not each frame between;
// and when more faces are in view than are looked at.
func (w *Watcher) log(err error, over int) {
	log := slog.With("component", "face", "door", w.follow.place.Door)
	switch {
	case err != nil && !w.failed:
		log.Error("frames cannot be looked at", "error", err)
	case err == nil && w.failed:
		log.Info("frames can be looked at again")
	}
	w.failed = err != nil
	if over > 0 && !w.crowded {
		log.Warn("more faces than are looked at: the smallest are left out", "looked_at", w.cfg.Faces, "left_out", over)
	}
	w.crowded = over > 0
}

func (w *Watcher) tell(inputs []door.Input) {
	for _, in := range inputs {
		w.send(in)
	}
}

func (w *Watcher) keep(f Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != nil {
		w.last.Close()
	}
	w.last, w.jpeg = f, nil
}

// Looks returns in how many frames faces were looked for.
func (w *Watcher) Looks() uint64 { return w.looks.Load() }

// Snapshot returns the last picture with a face in it, as JPEG; nil when there was none. It
// may be called from any goroutine; the bytes are not to be changed.
func (w *Watcher) Snapshot() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return w.jpeg
	}
	defer func() { w.last.Close(); w.last = nil }()
	view, err := fit(w.last.Image())
	if err != nil {
		return nil
	}
	defer view.close()
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, view.img, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return nil
	}
	defer buf.Close()
	w.jpeg = append([]byte(nil), buf.GetBytes()...)
	return w.jpeg
}
