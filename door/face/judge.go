//go:build vision

package face

import (
	"image"
	"math"
	"slices"
	"time"

	"gocv.io/x/gocv"
)

// Judge tells of the faces before one camera whether they are heads. Watch calls it, from one
// goroutine.
type Judge interface {
	// Judge takes in one frame and returns what is known by now of each track by its number;
	// a track that is missing is unjudged.
	Judge(Scene) map[int]Evidence
	// Forget tells that a track is gone.
	Forget(track int)
}

// Scene is one frame with the faces that are followed in it. With a judge there is one for
// each frame that the camera delivers while somebody is in view, up to judgePace.
type Scene struct {
	Grey  gocv.Mat // the whole frame, 8 bits, no larger than 1280 pixels; it lives until Judge returns
	Taken time.Time
	Faces []Followed
}

// Followed is one track in a frame.
type Followed struct {
	Track     int
	Box       image.Rectangle // where it is, or was when the detector last looked
	Landmarks []image.Point   // dlib's five; none in frames in which the detector did not look
}

// judgePace is the least time from frame to frame for a judge.
const judgePace = time.Second / 15

// JudgeBy has liveness judged; it must be called before Watch.
func (w *Watcher) JudgeBy(j Judge) { w.judge, w.follow.forget = j, j.Forget }

// judged has the followed faces of a frame judged. One whose texture is found is there, even
// where it is turned so far that no detector sees it.
func (w *Watcher) judged(grey gocv.Mat, taken time.Time, seen []Followed) map[int]Evidence {
	tracks := w.follow.tracker.tracks
	if w.judge == nil || len(tracks) == 0 {
		return nil
	}
	for _, t := range tracks {
		if !slices.ContainsFunc(seen, func(f Followed) bool { return f.Track == t.number }) {
			seen = append(seen, Followed{Track: t.number, Box: t.box})
		}
	}
	live := w.judge.Judge(Scene{grey, taken, seen})
	for _, t := range tracks {
		if live[t.number].Found {
			t.seen = taken
		}
	}
	return live
}

// turned reports whether a face is turned away, as the judge saw it last: what it looks like then
// tells little of whose it is, and its texture tells that it is still the same.
func (w *Watcher) turned(t *track) bool {
	e := w.live[t.number]
	return e.Found && math.Hypot(e.Yaw, e.Pitch) > aboutStraight
}

// between shows the judge a frame in which nobody looks for faces.
func (w *Watcher) between(f Frame) {
	view, err := fit(f.Image())
	if err != nil {
		return // the next look tells of it
	}
	defer view.close()
	w.live = w.judged(view.grey, f.Taken(), nil)
}
