//go:build vision

package camera

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"gocv.io/x/gocv"
)

// source is an opened camera, a matSource or a jpegSource. Its calls may block for ever; they
// are made from one goroutine.
type source interface {
	// still reports whether the same frame again and again is right, as with pictures.
	still() bool
	close()
}

// matSource decodes its frames.
type matSource interface {
	source
	// read waits for the next frame and puts it into m. It returns when ctx ends if it can.
	read(ctx context.Context, m *gocv.Mat) error
}

// jpegSource hands over what the camera sent, still to be decoded.
type jpegSource interface {
	source
	// readJPEG waits for the next frame, as read does. scan is where the picture's data
	// begins. The bytes are the receiver's.
	readJPEG(ctx context.Context) (data []byte, scan int, err error)
}

type opener func(ctx context.Context) (source, error)

const (
	// openPatience is how long a reader may take to its first frame: a stream is probed for
	// some seconds before it opens.
	openPatience = 15 * time.Second
	// maxReaders is how many readers may be alive, all but one hanging in a driver: each
	// holds a thread.
	maxReaders = 8
)

// Camera hands out the newest frame of one source, and opens it again when it is lost.
// Its methods may be called from any goroutine.
type Camera struct {
	cfg     Config
	open    opener
	report  func(reason, detail string)
	frames  chan Frame
	cancel  context.CancelFunc
	done    chan struct{}
	readers atomic.Int32 // alive, those given up included
	count   atomic.Uint64
}

// Open starts to read the source. Only settings that are wrong are an error: a camera that
// is not there, or goes away, is a problem to report, and is tried again after 0.5 s,
// doubling to 30 s.
//
// report is called first when the first frame has come (with reason "") or the first
// problem is known, and then whenever the reason changes; within 3 s after the camera was
// lost, black or frozen, and with the first frame after it is well again. detail is for
// people and never holds an address's password. report must not block: the camera waits.
func Open(cfg Config, report func(reason, detail string)) (*Camera, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("camera: %w", err)
	}
	return start(cfg, cfg.opener(), report), nil
}

func start(cfg Config, open opener, report func(reason, detail string)) *Camera {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Camera{cfg: cfg, open: open, report: report, cancel: cancel,
		frames: make(chan Frame, 1), done: make(chan struct{})}
	go c.run(ctx)
	return c
}

// Frames is where the newest frame waits. A frame that nobody took is dropped when the next
// one comes. The channel is closed after Close.
func (c *Camera) Frames() <-chan Frame { return c.frames }

// Count returns how many frames have come, taken or dropped.
func (c *Camera) Count() uint64 { return c.count.Load() }

// Close stops the camera. It does not wait for a driver that hangs.
func (c *Camera) Close() error {
	c.cancel()
	<-c.done
	return nil
}

// shot is one frame as a reader hands it over, or the error that ended the reader.
type shot struct {
	Frame
	hash uint64
	tone tone
	err  error
}

// run owns the health and the newest frame, and looks after the readers.
func (c *Camera) run(ctx context.Context) {
	defer close(c.done)
	defer close(c.frames)
	defer c.dropNewest()
	w := &watch{cam: c, began: time.Now(), last: "unknown"}
	w.health = newHealth(0, c.cfg.Black)
	defer w.giveUp()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		w.ensureReader(ctx)
		select {
		case <-ctx.Done():
			return
		case s := <-w.shots:
			w.take(s)
		case <-tick.C:
		}
		w.tell()
	}
}

// watch is what run knows of the present reader.
type watch struct {
	cam    *Camera
	began  time.Time
	health *health
	back   backoff
	shots  chan shot // of the present reader; nil when there is none
	stop   context.CancelFunc
	start  time.Duration // when the present reader was started
	flows  bool          // it has brought a frame
	retry  time.Duration // not before then is the next one
	cause  error         // why there are no frames
	last   string        // the reason last told
}

func (w *watch) now() time.Duration { return time.Since(w.began) }

// ensureReader starts a reader when it is time, and gives up one that hangs.
func (w *watch) ensureReader(ctx context.Context) {
	now := w.now()
	if w.shots != nil {
		if w.hung(now) {
			w.take(shot{err: errors.New("it hangs: no frame comes")})
		}
		return
	}
	if now < w.retry {
		return
	}
	if n := w.cam.readers.Load(); n >= maxReaders {
		w.cause = fmt.Errorf("%d readers hang in the camera's driver: unplug the camera, or start doorhub again", n)
		return
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.shots, w.start, w.flows = make(chan shot), now, false
	w.cam.readers.Add(1)
	go w.cam.pump(ctx, w.shots)
}

func (w *watch) hung(now time.Duration) bool {
	if w.flows {
		return now-w.health.seen >= patience
	}
	return now-w.start >= openPatience
}

// giveUp leaves the present reader to itself: it ends when its driver lets go of it.
func (w *watch) giveUp() {
	if w.shots != nil {
		w.stop()
		w.shots, w.stop = nil, nil
	}
}

func (w *watch) take(s shot) {
	now := w.now()
	if s.err != nil {
		w.cause = s.err
		w.giveUp()
		w.retry = now + w.back.wait()
		return
	}
	w.back.reset()
	w.cause, w.flows = nil, true
	w.health.frame(now, s.hash, s.tone)
	w.cam.count.Add(1)
	w.cam.put(s.Frame)
}

// tell reports the reason when it is another than before, or first known.
func (w *watch) tell() {
	reason, detail := w.health.judge(w.now())
	if reason == w.last || reason == "" && !w.health.any {
		return
	}
	w.last = reason
	log := slog.With("component", "camera", "source", w.cam.cfg.Where())
	if reason == "" {
		log.Info("camera well")
	} else {
		if reason == Lost && w.cause != nil {
			detail = w.cause.Error()
		}
		detail = w.cam.cfg.Where() + ": " + detail
		log.Warn("camera problem", "reason", reason, "detail", detail)
	}
	w.cam.report(reason, detail)
}

// put makes f the newest frame. Only run calls it, so the second send never blocks.
func (c *Camera) put(f Frame) {
	c.dropNewest()
	c.frames <- f
}

func (c *Camera) dropNewest() {
	select {
	case old := <-c.frames:
		old.Close()
	default:
	}
}

// pump opens the source and reads it until it fails or ctx ends. It alone waits for the
// driver.
func (c *Camera) pump(ctx context.Context, shots chan<- shot) {
	defer c.readers.Add(-1)
	src, err := c.open(ctx)
	if err != nil {
		send(ctx, shots, shot{err: err})
		return
	}
	defer src.close()
	r := reader{src: src, seed: maphash.MakeSeed(), rotate: c.cfg.Rotate}
	for n := uint64(1); ; n++ {
		s := r.shot(ctx)
		if src.still() {
			s.hash = n
		}
		if !send(ctx, shots, s) || s.err != nil {
			return
		}
	}
}

// reader makes shots of what a source reads.
type reader struct {
	src    source
	seed   maphash.Seed
	rotate int

	hash   uint64 // of the last frame
	tone   tone   // when it was last measured, at
	toneAt time.Time
}

// toneEvery is how often the tone of frames is measured: often enough to tell a black picture
// in time.
const toneEvery = 200 * time.Millisecond

func (r *reader) shot(ctx context.Context) shot {
	var s shot
	switch src := r.src.(type) {
	case jpegSource:
		s.err = r.undecoded(ctx, src, &s)
	case matSource:
		s.err = r.decoded(ctx, src, &s)
	}
	if s.err != nil && s.p != nil {
		s.Close()
	}
	return s
}

func (r *reader) decoded(ctx context.Context, src matSource, s *shot) error {
	m := gocv.NewMat()
	err := src.read(ctx, &m)
	if err == nil {
		err = toBGR(&m)
	}
	if err != nil {
		m.Close()
		return err
	}
	if s.hash, err = hashOf(r.seed, m); err != nil {
		m.Close()
		return err
	}
	s.Frame = decoded(m, r.rotate)
	return r.measure(s)
}

// undecoded leaves the decoding to who needs it, but for the brightness now and then.
func (r *reader) undecoded(ctx context.Context, src jpegSource, s *shot) error {
	data, scan, err := src.readJPEG(ctx)
	if err != nil {
		return err
	}
	if s.Frame, err = undecoded(data, r.rotate); err != nil {
		return err
	}
	s.hash = maphash.Bytes(r.seed, data[scan:])
	return r.measure(s)
}

// measure gives a shot its tone: measured anew now and then, and where a frame comes again,
// since a covered lens is to be told as black, not as frozen.
func (r *reader) measure(s *shot) error {
	again := s.hash == r.hash && !r.src.still()
	r.hash = s.hash
	if again || s.Time.Sub(r.toneAt) >= toneEvery {
		small := s.Small()
		pixels, err := small.DataPtrUint8()
		if err != nil || len(pixels) == 0 {
			return fmt.Errorf("%w: a damaged picture", ErrFrame)
		}
		r.tone, r.toneAt = toneOf(pixels, small.Cols()), s.Time
	}
	s.tone = r.tone
	return nil
}

// send hands s over, or drops it when nobody waits for it any more.
func send(ctx context.Context, shots chan<- shot, s shot) bool {
	select {
	case shots <- s:
		return true
	case <-ctx.Done():
		if s.err == nil {
			s.Close()
		}
		return false
	}
}
