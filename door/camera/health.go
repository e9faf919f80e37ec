package camera

import (
	"fmt"
	"time"
)

// The problems of a camera, as one word each; "" is a camera that is well.
const (
	Lost   = "camera_lost"   // no frames come
	Black  = "camera_black"  // the lens is covered, or there is no light at all
	Frozen = "camera_frozen" // the same frame again and again
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
	hash  uint64
	any   bool
}

func newHealth(now time.Duration, black float64) *health { return &health{black: black, seen: now} }

// frame takes in one frame: a hash of its pixels and its mean brightness, 0 to 255. After a
// gap it judges afresh: what was before says nothing of the camera now.
func (h *health) frame(now time.Duration, hash uint64, mean float64) {
	fresh := !h.any || now-h.seen >= patience
	if fresh || mean >= h.black {
		h.lit = now
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
	case now-h.moved >= patience:
		return Frozen, "the camera sends the same frame again and again: switch it off and on"
	}
	return "", ""
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
