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

// Frame is one picture of a camera, to be closed by who received it.
type Frame interface {
	Image() gocv.Mat  // BGR, 8 bits a channel
	Taken() time.Time // with a monotonic reading
	Close() error
}

// Watcher follows the faces before one camera and tells the house of them.
type Watcher struct {
	cfg    Config
	rec    *Recogniser
	send   func(door.Input)
	follow follower // Watch alone uses it
	failed bool
	looks  atomic.Uint64

	mu   sync.Mutex
	last []byte
}

// NewWatcher makes a watcher for the camera at place. All watchers of a hub share numbers.
// send gets a door.Face for each face in each look, and a door.Gone when one has left; it is
// called from the goroutine of Watch, in order.
func NewWatcher(cfg Config, place Place, rec *Recogniser, g *Gallery, numbers *Numbers, send func(door.Input)) *Watcher {
	return &Watcher{cfg: cfg, rec: rec, send: send,
		follow: follower{place: place, gallery: g, tracker: tracker{numbers: numbers, gone: cfg.Gone}}}
}

// expiryBeat is how often Watch looks who has left, and whether the next look is due.
const expiryBeat = 50 * time.Millisecond

// Watch looks at frames until ctx ends or the channel is closed, and then tells that all are
// gone. It takes a frame when the next look is due and leaves the others to the camera, which
// keeps the newest. When frames stop to come, faces are gone all the same.
func Watch[F Frame](ctx context.Context, w *Watcher, frames <-chan F) {
	defer func() { w.tell(w.follow.leave()) }()
	tick := time.NewTicker(expiryBeat)
	defer tick.Stop()
	var due time.Time
	for {
		in := frames
		if time.Now().Before(due) {
			in = nil
		}
		select {
		case <-ctx.Done():
			return
		case f, ok := <-in:
			if !ok {
				return
			}
			due = w.look(f)
		case <-tick.C:
			w.tell(w.follow.expire(time.Now()))
		}
	}
}

// look returns when the next look is due.
func (w *Watcher) look(f Frame) time.Time {
	began := time.Now()
	defer f.Close()
	w.looks.Add(1)
	faces, err := w.rec.Find(f.Image())
	w.log(err)
	if len(faces) > 0 {
		w.keep(f.Image())
	}
	sightings := make([]sighting, len(faces))
	for i, f := range faces {
		sightings[i] = sighting{f.Box, f.Descriptor}
	}
	w.tell(w.follow.look(f.Taken(), sightings))
	if w.follow.watching() {
		return began.Add(w.cfg.Every)
	}
	return began.Add(w.cfg.Idle)
}

// log writes when looking begins to fail, and when it works again, not each frame between.
func (w *Watcher) log(err error) {
	log := slog.With("component", "face", "door", w.follow.place.Door)
	switch {
	case err != nil && !w.failed:
		log.Error("frames cannot be looked at", "error", err)
	case err == nil && w.failed:
		log.Info("frames can be looked at again")
	}
	w.failed = err != nil
}

func (w *Watcher) tell(inputs []door.Input) {
	for _, in := range inputs {
		w.send(in)
	}
}

func (w *Watcher) keep(img gocv.Mat) {
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, img, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return
	}
	defer buf.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = append([]byte(nil), buf.GetBytes()...)
}

// Looks returns in how many frames faces were looked for.
func (w *Watcher) Looks() uint64 { return w.looks.Load() }

// Snapshot returns the last picture with a face in it, as JPEG; nil when there was none. It
// may be called from any goroutine; the bytes are not to be changed.
func (w *Watcher) Snapshot() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}
