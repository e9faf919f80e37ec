package face

import (
	"math"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Answer is what became of a prompt to turn the head.
type Answer struct {
	Done     bool          // nothing will change it any more
	Why      string        // "" for a turn as asked for; else what was wrong
	Degrees  float64       // that it turned the way it was asked to, at most
	Relief   float64       // eye distances, the median in the looks at the turn; see Evidence
	Reaction time.Duration // from the prompt until the head had left its rest
}

// Why a turn is not the one that was asked for. The house knows the rest: too slow, lost, spoof.
const (
	WhyWrongWay = "wrong_way" // another way than asked for
	WhyTooEarly = "too_early" // it had begun before anybody could have read the prompt
	WhyLostFace = "lost"      // another face, or none, has taken its place
)

const (
	restWithin    = 8.0                    // degrees; farther, the head has left its rest
	restAnywhere  = 18.0                   // degrees from straight ahead that are still a rest
	wrongFrom     = 18.0                   // degrees; a turn that far another way is no hesitation
	wrongAcross   = 1.5                    // times as far across as along
	wrongLooks    = 3                      // in a row: one or two may be an error
	turnAsked     = 18.0                   // degrees from the rest; a look that shows a head has turned by 20 from the first view
	headLooks     = 2                      // in the turn, that show a head's relief
	reactionLeast = 150 * time.Millisecond // nobody reads a prompt and moves the head faster
	leaving       = 80 * time.Millisecond  // a turn takes at least that to leave the rest
)

// Prompt judges one turn that somebody is asked for. It is not safe for concurrent use.
type Prompt struct {
	way    door.Way
	asked  time.Time
	epoch  int
	begun  bool   // the first look has come
	before *point // where it was then, on its way back to a rest
	home   bool   // the head has been at rest since it was asked
	rest   point
	left   time.Time // when the head left its rest; zero: not yet
	relief []float64
	wrong  int // looks in a row at a turn another way
	answer Answer
}

// NewPrompt asks for a turn: way is as the person sees it, and the camera's picture is not
// mirrored.
func NewPrompt(way door.Way, asked time.Time) *Prompt { return &Prompt{way: way, asked: asked} }

// Look takes in what is known of the face in one frame. It says nothing of how much time is
// left: who asked knows that.
func (p *Prompt) Look(at time.Time, e Evidence) Answer {
	if p.answer.Done || at.Before(p.asked) {
		return p.answer
	}
	if !p.begun {
		p.begin(e)
	}
	if e.Epoch != p.epoch {
		return p.end(WhyLostFace)
	}
	if !e.Found {
		return p.answer
	}
	here := point{e.Yaw, e.Pitch}
	if !p.home && !p.arrive(here) {
		return p.answer // it is on its way back from the last turn
	}
	if here.length() < p.rest.length() { // and still was
		p.rest = here
	}
	d := here.sub(p.rest)
	if d.length() <= restWithin {
		p.left, p.relief, p.wrong = time.Time{}, nil, 0
		return p.answer
	}
	return p.judge(at, d, e)
}

// arrive takes for its rest where the head came nearest to straight ahead, once it goes away
// from there again.
func (p *Prompt) arrive(here point) bool {
	switch {
	case here.length() <= restWithin:
		p.home, p.rest = true, here
	case p.before != nil && here.length() >= p.before.length():
		p.home, p.rest = p.before.length() <= restAnywhere, *p.before
	}
	p.before = &here
	return p.home
}

// begin takes where the head is for its rest, if it is about straight ahead.
func (p *Prompt) begin(e Evidence) {
	p.begun, p.epoch = true, e.Epoch
	if here := (point{e.Yaw, e.Pitch}); e.Found && here.length() <= restAnywhere {
		p.rest, p.home = here, true
	}
}

func (p *Prompt) judge(at time.Time, d point, e Evidence) Answer {
	if p.left.IsZero() {
		p.left = at
		p.answer.Reaction = at.Sub(p.asked)
	}
	if p.left.Sub(p.asked) < reactionLeast+leaving {
		return p.end(WhyTooEarly)
	}
	along, across := p.direction(d)
	p.answer.Degrees = max(p.answer.Degrees, along)
	if p.wrong++; d.length() < wrongFrom || across < wrongAcross*along {
		p.wrong = 0
	}
	if p.wrong >= wrongLooks {
		return p.end(WhyWrongWay)
	}
	if e.HeadLook {
		p.relief = append(p.relief, e.LookRelief)
		p.answer.Relief = median(p.relief)
	}
	if along >= turnAsked && along >= across && p.showsHead(e) {
		return p.end("")
	}
	return p.answer
}

// showsHead reports whether the turn itself shows a head's relief. One look is enough where many
// others have told the same.
func (p *Prompt) showsHead(e Evidence) bool {
	return len(p.relief) >= headLooks || len(p.relief) > 0 && e.Liveness == door.Live
}

// direction returns how far d goes the way that was asked for, and across it.
func (p *Prompt) direction(d point) (along, across float64) {
	switch p.way {
	case door.Left: // the picture's right
		return d.x, math.Abs(d.y)
	case door.Right:
		return -d.x, math.Abs(d.y)
	case door.Up:
		return -d.y, math.Abs(d.x)
	case door.Down:
		return d.y, math.Abs(d.x)
	}
	return 0, d.length()
}

func (p *Prompt) end(why string) Answer {
	p.answer.Done, p.answer.Why = true, why
	return p.answer
}
