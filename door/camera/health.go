package camera

import (
	"fmt"
	"math"
	"time"
)

// The problems of a camera, as one word each; "" is a camera that is well.
const (
	Lost   = "camera_lost"   // no frames come
	Black  = "camera_black"  // the lens is covered, or there is no light at all
	Frozen = "camera_frozen" // the same frame again and again
	Noise  = "camera_noise"  // nothing but noise, as with a bad cable
)

// patience is how long a camera may show nothing, black, or the same before that is a
// problem. With the check every beat it is told within 3 s.
const (
	patience = 2500 * time.Millisecond
	beat     = 100 * time.Millisecond
)

// health judges a camera by when its frames came and what they were. Times are those of
// any one clock that never goes back. It is not safe for concurrent use.
type health struct {
	black float64 // mean brightness below which a frame is black

	seen  time.Duration // when the last frame came, or the start
	lit   time.Duration // when the last frame that is not black came
	moved time.Duration // when the last frame that differs from the one before came
	clear time.Duration // when the last frame that is more than noise came
	hash  uint64
	any   bool
}

func newHealth(now time.Duration, black float64) *health { return &health{black: black, seen: now} }

// frame takes in one frame: a hash of its pixels and its tone. After a gap it judges afresh:
// what was before says nothing of the camera now.
func (h *health) frame(now time.Duration, hash uint64, t tone) {
	fresh := !h.any || now-h.seen >= patience
	if fresh || t.mean >= h.black {
		h.lit = now
	}
	if fresh || t.grain < noiseGrain {
		h.clear = now
	}
	if fresh || hash != h.hash {
		h.moved = now
	}
	h.seen, h.hash, h.any = now, hash, true
}

// judge returns the problem at now, "" for none. Black goes before frozen: a covered lens
// is both.
func (h *health) judge(now time.Duration) (reason, detail string) {
	switch {
	case now-h.seen >= patience:
		return Lost, "no frames come"
	case !h.any:
		return "", ""
	case now-h.lit >= patience:
		return Black, fmt.Sprintf("the picture is black (mean brightness under %v of 255): is the lens covered?", h.black)
	case now-h.clear >= patience:
		return Noise, "the picture is nothing but noise: check the camera's cable and its format"
	case now-h.moved >= patience:
		return Frozen, "the camera sends the same frame again and again: switch it off and on"
	}
	return "", ""
}

// tone is what a small grey picture is like at large.
type tone struct {
	mean  float64 // brightness, 0 to 255
	grain float64 // mean difference of neighbouring pixels, in standard deviations of all
}

const (
	// noiseGrain is the grain from which there is nothing but noise: that of white noise is
	// 2/sqrt(pi) = 1.13, that of pictures under 0.5.
	noiseGrain = 0.8
	// flat is the standard deviation below which a picture has no grain: a wall, or the dark.
	flat = 3
)

// toneOf measures a picture by rows of grey pixels.
func toneOf(grey []byte, width int) (t tone) {
	var sum, squares, steps int
	for i, v := range grey {
		sum += int(v)
		squares += int(v) * int(v)
		if i%width > 0 {
			steps += max(int(v)-int(grey[i-1]), int(grey[i-1])-int(v))
		}
	}
	n, rows := float64(len(grey)), float64(len(grey)/max(1, width))
	t.mean = float64(sum) / max(1, n)
	deviation := math.Sqrt(max(0, float64(squares)/max(1, n)-t.mean*t.mean))
	if width > 1 && deviation >= flat {
		t.grain = float64(steps) / (n - rows) / deviation
	}
	return t
}

// backoff is the wait before the next try to open a camera: half a second, doubling with
// each try that brought no frame, to half a minute.
type backoff struct{ next time.Duration }

const (
	backoffFirst = 500 * time.Millisecond
	backoffCap   = 30 * time.Second
)

func (b *backoff) wait() time.Duration {
	w := max(b.next, backoffFirst)
	b.next = min(2*w, backoffCap)
	return w
}

func (b *backoff) reset() { b.next = 0 }
