//go:build vision

package face

import (
	"image"
	"math"
	"time"

	"github.com/doorhub/doorhub/door"
	"gocv.io/x/gocv"
)

// View is one look at the face of a track.
type View struct {
	Grey      gocv.Mat      // the whole frame, 8 bits
	Landmarks []image.Point // dlib's five, in pixels of the frame; none when nobody looked for them
	At        time.Time     // when the frame was taken
	Stream    Cause         // what Stream said of the frame
}

// Alive judges whether the face of one track is a head, by how its texture moves when it
// turns: that of a picture moves as a sheet does, however it is tilted, bent or shaken. It is
// not safe for concurrent use. Close it when the track is gone.
type Alive struct {
	texture  *faceTexture // nil: no view to begin with yet
	askew    float64      // how far the nose was from the middle in the first view, eye distances
	rest     point        // how far it was turned in that against the first of all: yaw and pitch
	jury     jury
	evidence Evidence
	began    time.Time // of the epoch
	looks    int       // in it
	found    time.Time // when the texture was last found
	missed   time.Time // when a face was first seen since that has not its texture; zero: none was
}

const (
	anotherAfter  = 600 * time.Millisecond  // a face seen for it that does not look like the first view is another
	turnedAfter   = 3 * time.Second         // ... if the face was turned when it was last found, and may still be
	lostAfter     = 4 * time.Second         // not found for it, nobody knows who comes then
	unsureFrom    = 2500 * time.Millisecond // watched for it, and nothing to tell by: it is unsure
	askewLooks    = 8                       // frames in which one is looked for
	askewMost     = 0.12                    // eye distances; a straighter first view is taken instead
	judgedLeast   = 0.4                     // share of the points that must be found for a look to count
	aboutStraight = 10.0                    // degrees; a first view is only taken anew of a face that is not turned
	nearer        = 1.4                     // times as large as in the first view, which is then taken anew
)

// Close gives the memory back.
func (a *Alive) Close() error {
	if a.texture == nil {
		return nil
	}
	return a.texture.close()
}

// Look takes in one frame and returns all that is known by now. Landmarks are needed in one
// frame in a few, and in every one as long as Landmarked says so.
func (a *Alive) Look(v View) Evidence {
	if a.began.IsZero() {
		a.began = v.At
	}
	a.looks++
	a.evidence.Found, a.evidence.HeadLook, a.evidence.LookRelief = false, false, 0
	eyes, askew, marked := eyesOf(v.Landmarks)
	if a.texture != nil {
		a.follow(v, eyes, marked)
	}
	if marked && a.startsWith(eyes, askew) {
		a.start(v, eyes, askew)
	}
	a.conclude(v)
	return a.evidence
}

// Landmarked reports whether the next frame should come with landmarks.
func (a *Alive) Landmarked() bool {
	return a.texture == nil || a.askew > askewMost && a.looks < askewLooks
}

// eyesOf returns the middles of the eyes, from left to right, and how far the nose's base is
// from the line between them.
func eyesOf(landmarks []image.Point) (eyes [2]point, askew float64, ok bool) {
	if len(landmarks) != 5 {
		return eyes, 0, false
	}
	middle := func(a, b image.Point) point { return point{float64(a.X+b.X) / 2, float64(a.Y+b.Y) / 2} }
	eyes = [2]point{middle(landmarks[0], landmarks[1]), middle(landmarks[2], landmarks[3])}
	if eyes[0].x > eyes[1].x {
		eyes[0], eyes[1] = eyes[1], eyes[0]
	}
	if eyes[1].sub(eyes[0]).length() < eyesLeast {
		return eyes, 0, false
	}
	nose := point{float64(landmarks[4].X), float64(landmarks[4].Y)}
	return eyes, math.Abs(similarity(eyes[0], eyes[1], point{-0.5, 0}, point{0.5, 0}).apply(nose).x), true
}

const eyesLeast = 12 // pixels; a face of 30 pixels

// follow looks for the texture and lets the jury hear how it has moved.
func (a *Alive) follow(v View, eyes [2]point, marked bool) {
	s, ok := a.texture.find(v.Grey)
	if marked && (!ok || !s.near(eyes)) {
		a.texture.guess(eyes)
		s, ok = a.texture.find(v.Grey)
	}
	if !ok {
		a.miss(v.At, marked)
		return
	}
	a.found, a.missed = v.At, time.Time{}
	t, ok := measure(s.matches, s.plane, s.noise)
	if !ok {
		return
	}
	e := &a.evidence
	if float64(t.points) >= judgedLeast*float64(len(a.texture.points)) {
		e.LookRelief, e.HeadLook = a.jury.hear(t)
		e.Found, e.Yaw, e.Pitch = true, a.rest.x+t.yaw, a.rest.y+t.pitch
	}
	e.Points = t.points
	e.Plane, e.Bend, e.Noise = t.plane*a.texture.eyes, t.bend*a.texture.eyes, t.noise*a.texture.eyes
}

// miss begins anew when there is another face where this one was, or none for long: what
// comes now may be another's.
func (a *Alive) miss(at time.Time, marked bool) {
	if marked && a.missed.IsZero() {
		a.missed = at
	}
	wait := anotherAfter
	if math.Hypot(a.evidence.Yaw, a.evidence.Pitch) > aboutStraight {
		wait = turnedAfter
	}
	another := marked && at.Sub(a.missed) >= wait
	if another || at.Sub(a.found) >= lostAfter {
		a.texture.close()
		*a = Alive{began: at, evidence: Evidence{Epoch: a.evidence.Epoch + 1}}
	}
}

// startsWith reports whether a view is to be the first, by which the others are measured: a
// straighter one is better, and so is one as large as the face is now. A face that is turned
// may seem straight.
func (a *Alive) startsWith(eyes [2]point, askew float64) bool {
	if a.texture == nil {
		return true
	}
	if e := a.evidence; !e.Found || math.Hypot(e.Yaw, e.Pitch) > aboutStraight {
		return false
	}
	grown := eyes[1].sub(eyes[0]).length() / a.texture.between
	return askew < a.askew-0.06 || askew <= askewMost && (grown > nearer || grown < 1/nearer)
}

func (a *Alive) start(v View, eyes [2]point, askew float64) {
	t := newFaceTexture(v.Grey, eyes)
	if len(t.points) < 2*leastPoints && a.texture != nil {
		t.close()
		return
	}
	if a.texture != nil {
		a.texture.close()
	}
	a.texture, a.askew, a.found = t, askew, v.At
	a.rest = point{a.evidence.Yaw, a.evidence.Pitch}
}

func (a *Alive) conclude(v View) {
	e := &a.evidence
	e.For, e.Against, e.Turned, e.Relief = len(a.jury.heads), len(a.jury.sheets), a.jury.farthest, a.jury.relief()
	e.Liveness, e.Reason = door.Unjudged, NotTurned
	switch {
	case v.Stream != "":
		e.Liveness, e.Reason = door.Spoof, v.Stream
		return
	case a.jury.verdict == door.Live && a.found.Equal(v.At):
		e.Liveness, e.Reason = door.Live, HeadShape
		return
	case a.jury.verdict == door.Live: // whose face that is now, nobody has seen
		e.Reason = OutOfSight
		return
	case a.jury.verdict == door.Spoof:
		e.Liveness, e.Reason = door.Spoof, FlatShape
		return
	case a.texture == nil || len(a.texture.points) < leastPoints:
		e.Reason = NoTexture
	}
	if v.At.Sub(a.began) >= unsureFrom {
		e.Liveness = door.Unsure
	}
}
