package face

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Pose is how somebody who is enrolled before a camera is asked to hold the head, as they see
// it themselves.
type Pose string

// The poses.
const (
	PoseStraight Pose = "straight" // looking at the camera
	PoseLeft     Pose = "left"     // turned a little to their left
	PoseRight    Pose = "right"    //
)

// Poses are all of them, in the order in which they are asked for.
func Poses() []Pose { return []Pose{PoseStraight, PoseLeft, PoseRight} }

// Hint says in one word what a look lacks to be kept.
type Hint string

// The hints, in the order in which they are looked for.
const (
	HintGood      Hint = "good"          // nothing: hold still
	HintNoPicture Hint = "no_picture"    // the camera delivers none
	HintNobody    Hint = "nobody"        //
	HintSeveral   Hint = "several_faces" //
	HintEdge      Hint = "at_edge"       // not all of the face is in the picture
	HintFar       Hint = "too_far"       // under min_face
	HintDark      Hint = "too_dark"      //
	HintBright    Hint = "too_bright"    //
	HintBlurred   Hint = "blurred"       //
	HintAway      Hint = "turned_away"   // straight is wanted
	HintOther     Hint = "other_way"     // turned to the wrong side
	HintMore      Hint = "turn_more"     //
	HintLess      Hint = "turn_less"     //
	HintAnother   Hint = "another_face"  // than in the pose before
	HintAgain     Hint = "again"         // the looks could not be described
)

// Words say to people what a look at a pose lacks, and what to do.
func (h Hint) Words(p Pose) string {
	switch h {
	case HintGood:
		return "good: hold still"
	case HintNoPicture:
		return "the camera shows nothing: is it plugged in, and not covered?"
	case HintNobody:
		return "nobody in view: stand before the camera"
	case HintSeveral:
		return "several faces: stand there alone"
	case HintEdge:
		return "at the edge of the picture: move to its middle"
	case HintFar:
		return "too far away: come closer"
	case HintDark:
		return "too dark: turn on a light, or turn towards it"
	case HintBright:
		return "too bright: turn away from the light"
	case HintBlurred:
		return "blurred: hold still; if it stays so, wipe the lens"
	case HintAway:
		return "turned away: look straight at the camera"
	case HintOther:
		return fmt.Sprintf("turned the other way: to your own %s, please", p)
	case HintMore:
		return fmt.Sprintf("turn your head a little more to your %s", p)
	case HintLess:
		return fmt.Sprintf("turned too far to your %s: a little back", p)
	case HintAnother:
		return "this is not the face of the pose before: one person at a time"
	}
	return "no good picture of it could be had: once more"
}

// Glimpse is one look at whoever is enrolled.
type Glimpse struct {
	At      time.Time
	Measure         // of the largest face; Faces is 0 without one
	Room    float64 // mean grey level of the whole frame, 0 to 255
	Edge    bool    // the face is not whole in the frame
}

// Guided is how a guided enrolment stands after one look.
type Guided struct {
	Pose  Pose    `json:"pose"` // that is asked for
	Hint  Hint    `json:"hint"`
	Taken bool    `json:"taken,omitempty"` // the pose was seen well enough, and described
	Seen  Measure `json:"seen"`            // of the look, or of the best when it was taken
}

// What makes a turn of the head a little one, against how the face looks straight ahead. One
// placing of the landmarks errs by up to 0.1, so the middle of several counts.
const (
	turnLeast    = 0.10 // eye distances that the nose moves: 12 to 20 degrees
	turnFarthest = 0.32 // beyond about 40 degrees a face is not found again
	turnLooks    = 3
	darkRoom     = 35.0 // mean grey level of a frame in which faces are not even found
)

// When a pose has been seen often enough to choose the best look.
const (
	goodLooks = 4
	goodTime  = 600 * time.Millisecond
)

// Guide tells somebody before a camera what to do, look by look, until each pose was seen well
// enough. It is not safe for concurrent use.
type Guide struct {
	cfg      Config
	poses    []Pose // still wanted; the first is asked for
	patience time.Duration

	began time.Time // asked for the pose
	rest  float64   // the turn of looking straight
	turns []float64 // newest, in this pose
	good  int
	first time.Time // of the good looks
	hints map[Hint]int
}

// NewGuide asks for poses, each for so long.
func NewGuide(cfg Config, poses []Pose, patience time.Duration, now time.Time) *Guide {
	return &Guide{cfg: cfg, poses: slices.Clone(poses), patience: patience, began: now, hints: map[Hint]int{}}
}

// Pose is the one that is asked for; "" when all were seen.
func (g *Guide) Pose() Pose {
	if len(g.poses) == 0 {
		return ""
	}
	return g.poses[0]
}

// Look tells what a look lacks, and whether the good ones are enough to choose from.
func (g *Guide) Look(v Glimpse) (h Hint, enough bool) {
	h = g.hint(v)
	g.hints[h]++
	if h != HintGood {
		return h, false
	}
	if g.good++; g.good == 1 {
		g.first = v.At
	}
	return h, g.good >= goodLooks && v.At.Sub(g.first) >= goodTime
}

// Blind tells that the camera shows nothing.
func (g *Guide) Blind() Hint {
	g.hints[HintNoPicture]++
	return HintNoPicture
}

// Taken tells that the pose was seen and described, and asks for the next.
func (g *Guide) Taken(now time.Time) {
	if g.Pose() == PoseStraight {
		g.rest = median(g.turns)
	}
	g.poses = g.poses[1:]
	g.began = now
	g.again()
	g.hints = map[Hint]int{}
}

// Again tells why none of the good looks could be used: the pose is asked for once more,
// within its time.
func (g *Guide) Again(why Hint) {
	g.hints[why]++
	g.again()
}

func (g *Guide) again() { g.turns, g.good = nil, 0 }

// ErrPatience is a pose that was not seen well enough in time.
var ErrPatience = errors.New("no good look")

// Late returns ErrPatience, with what was wrong most, once the time for a pose is over.
func (g *Guide) Late(now time.Time) error {
	if now.Sub(g.began) < g.patience {
		return nil
	}
	e := &LateError{Pose: g.Pose(), Within: g.patience, Most: HintNoPicture}
	for _, h := range slices.Sorted(maps.Keys(g.hints)) {
		e.Looks += g.hints[h]
		if h != HintGood && g.hints[h] > e.Times {
			e.Most, e.Times = h, g.hints[h]
		}
	}
	return e
}

// LateError tells what was wrong with most looks at a pose.
type LateError struct {
	Pose         Pose
	Within       time.Duration
	Most         Hint
	Times, Looks int // how often it was, of how many
}

// Error says what to do about most looks.
func (e *LateError) Error() string {
	if e.Looks == 0 {
		return fmt.Sprintf("%s: %v within %s: the camera showed nothing", e.Pose, ErrPatience, e.Within)
	}
	return fmt.Sprintf("%s: %v within %s; %d of %d looks: %s", e.Pose, ErrPatience, e.Within, e.Times, e.Looks, e.Most.Words(e.Pose))
}

// Unwrap returns ErrPatience.
func (e *LateError) Unwrap() error { return ErrPatience }

func (g *Guide) hint(v Glimpse) Hint {
	switch {
	case v.Faces == 0 && v.Room < darkRoom:
		return HintDark
	case v.Faces == 0:
		return HintNobody
	case v.Faces > 1:
		return HintSeveral
	case v.Edge:
		return HintEdge
	}
	switch g.cfg.flaw(v.Measure) {
	case SmallFace:
		return HintFar
	case TooDark:
		return HintDark
	case TooBright:
		return HintBright
	case Blurred:
		return HintBlurred
	}
	g.turns = append(g.turns[max(0, len(g.turns)-turnLooks+1):], v.Turn)
	return g.turned(median(g.turns))
}

// turned tells what a turn of the head lacks. The picture's right is the person's left.
func (g *Guide) turned(turn float64) Hint {
	by := turn - g.rest
	switch g.Pose() {
	case PoseStraight:
		if turn < -straight || turn > straight {
			return HintAway
		}
		return HintGood
	case PoseRight:
		by = -by
	}
	switch {
	case by <= -turnLeast:
		return HintOther
	case by < turnLeast:
		return HintMore
	case by > turnFarthest:
		return HintLess
	}
	return HintGood
}
