package face

import (
	"image"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Decision is what became of one face in one look, with the numbers it was decided by.
type Decision struct {
	Taken    time.Time // the frame
	Place    Place
	Track    int             // 0: none, since it was no face
	Box      image.Rectangle // pixels of the frame
	Score    float64         // of the detector: 0 is its usual threshold, 1 a clear face
	Quality  Quality
	Why      Why          // it was described, or not
	Looks    int          // described that count for the track
	Settled  bool         // they are enough to tell who it is
	Near     []door.Match // best, runner-up and all others within Limit, by the mean of the looks
	Liveness door.Liveness
	Alive    Evidence // what liveness was judged by, where it is judged
	Faces    int      // in the frame
	Over     int      // faces in the frame beyond the most that are looked at
	Took     Stages
}

// Best returns who is nearest, and by how much nearer than the next; ok is false with nobody
// to compare. Margin is to Limit where there is no runner-up.
func (d Decision) Best() (best door.Match, margin float64, ok bool) {
	switch len(d.Near) {
	case 0:
		return door.Match{}, 0, false
	case 1:
		return d.Near[0], Limit - d.Near[0].Distance, true
	}
	return d.Near[0], d.Near[1].Distance - d.Near[0].Distance, true
}

// Stages is how long the stages of one look took; all faces of it share them.
type Stages struct {
	Gate     time.Duration // decoding the frame, and what moves in it
	Find     time.Duration // the detector
	Measure  time.Duration // tracks, landmarks, quality
	Describe time.Duration
	Match    time.Duration // liveness and who it is
}

// Explanation is what a door's camera would make of one picture.
type Explanation struct {
	Size  image.Point // pixels of the picture as it was looked at, to which boxes refer
	Faces []Decision  // the largest first
	Over  int         // faces beyond the most that are looked at
	Took  Stages
}

// decisions keeps the newest. It may be used from any goroutine.
type decisions struct {
	most int

	mu   sync.Mutex
	kept []Decision // a ring once it is full
	next int
}

func (d *decisions) add(made ...Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range made {
		if len(d.kept) < d.most {
			d.kept = append(d.kept, m)
			continue
		}
		if d.most > 0 {
			d.kept[d.next] = m
			d.next = (d.next + 1) % d.most
		}
	}
}

// newest returns up to n, the newest last.
func (d *decisions) newest(n int) []Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := append(append([]Decision(nil), d.kept[d.next:]...), d.kept[:d.next]...)
	return all[max(0, len(all)-max(0, n)):]
}
