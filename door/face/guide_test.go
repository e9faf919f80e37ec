package face

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// guided is a guide with a clock that goes on with each look.
type guided struct {
	*Guide
	t   *testing.T
	now time.Time
}

func newGuided(t *testing.T, poses ...Pose) *guided {
	begin := time.Unix(0, 0)
	return &guided{NewGuide(Defaults(), poses, 30*time.Second, begin), t, begin}
}

// sees shows a face so far turned, with what a test spoils of it, and wants a hint.
func (g *guided) sees(want Hint, turn float64, spoil ...func(*Glimpse)) (enough bool) {
	g.t.Helper()
	g.now = g.now.Add(200 * time.Millisecond)
	v := Glimpse{At: g.now, Measure: flawless(), Room: 110}
	v.Turn = turn
	for _, s := range spoil {
		s(&v)
	}
	got, enough := g.Look(v)
	if got != want {
		g.t.Errorf("%s, turn %.2f: %s, want %s", g.Pose(), turn, got, want)
	}
	return enough
}

// holds shows the turn until it is enough.
func (g *guided) holds(turn float64) {
	g.t.Helper()
	for n := 1; ; n++ {
		if g.sees(HintGood, turn) {
			if n < goodLooks {
				g.t.Errorf("%d looks were enough", n)
			}
			break
		}
		if n > goodLooks {
			g.t.Fatalf("%d looks are not enough", n)
		}
	}
	g.Taken(g.now)
}

func TestGuideThroughAllPoses(t *testing.T) {
	g := newGuided(t, Poses()...)
	for _, pose := range Poses() {
		if g.Pose() != pose {
			t.Fatalf("%q is asked for, want %s", g.Pose(), pose)
		}
		g.holds(map[Pose]float64{PoseStraight: 0.05, PoseLeft: 0.2, PoseRight: -0.1}[pose])
	}
	if g.Pose() != "" {
		t.Errorf("still %s", g.Pose())
	}
}

func TestHints(t *testing.T) {
	for hint, spoil := range map[Hint]func(*Glimpse){
		HintNobody:  func(v *Glimpse) { v.Measure = Measure{} },
		HintDark:    func(v *Glimpse) { v.Measure, v.Room = Measure{}, 20 }, // too dark to find anybody
		HintSeveral: func(v *Glimpse) { v.Faces = 2 },
		HintEdge:    func(v *Glimpse) { v.Edge = true },
		HintFar:     func(v *Glimpse) { v.Width = 79 },
		HintBright:  func(v *Glimpse) { v.Light = 230 },
		HintBlurred: func(v *Glimpse) { v.Sharpness = 39 },
		HintAway:    func(v *Glimpse) { v.Turn = 0.3 },
	} {
		newGuided(t, PoseStraight).sees(hint, 0, spoil)
	}
	newGuided(t, PoseStraight).sees(HintDark, 0, func(v *Glimpse) { v.Light = 30 })
	newGuided(t, PoseStraight).sees(HintAway, -0.3)
}

// A turn counts against how the face looks straight ahead: nobody's nose is quite in the middle.
func TestTurns(t *testing.T) {
	for turn, want := range map[float64]Hint{0.2: HintGood, 0.1: HintMore, 0.14: HintMore, 0: HintMore, -0.1: HintOther, 0.4: HintLess} {
		g := newGuided(t, Poses()...)
		g.holds(0.06)
		g.sees(want, turn)
		g = newGuided(t, PoseStraight, PoseRight)
		g.holds(-0.06)
		g.sees(want, -turn)
	}
	newGuided(t, PoseLeft).sees(HintGood, 0.2) // alone it counts against the middle
}

// One wrong placing of the landmarks neither takes a pose nor loses it.
func TestTurnsAreSmoothed(t *testing.T) {
	g := newGuided(t, PoseLeft)
	for _, turn := range []float64{0, 0, 0.3, 0} {
		g.sees(HintMore, turn)
	}
	g = newGuided(t, PoseLeft)
	for _, turn := range []float64{0.2, 0.2, 0, 0.2} {
		g.sees(HintGood, turn)
	}
}

// Looks that cannot be described do not count.
func TestAgain(t *testing.T) {
	g := newGuided(t, PoseStraight, PoseLeft)
	for !g.sees(HintGood, 0) {
	}
	g.Again(HintAgain)
	g.holds(0)
	if g.Pose() != PoseLeft {
		t.Errorf("%q is asked for", g.Pose())
	}
}

func TestPatience(t *testing.T) {
	g := newGuided(t, Poses()...)
	g.holds(0)
	begun := g.now
	g.sees(HintMore, 0)
	g.sees(HintBlurred, 0, func(v *Glimpse) { v.Sharpness = 1 })
	g.sees(HintMore, 0)
	g.sees(HintMore, 0.3)
	if err := g.Late(begun.Add(30*time.Second - 1)); err != nil {
		t.Errorf("too early: %v", err)
	}
	err := g.Late(begun.Add(30 * time.Second))
	var late *LateError
	if !errors.Is(err, ErrPatience) || !errors.As(err, &late) || late.Pose != PoseLeft || late.Most != HintMore || late.Looks != 4 {
		t.Errorf("got %+v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "left: no good look within 30s") {
		t.Errorf("got %v", err)
	}
	nothing := newGuided(t, PoseStraight)
	nothing.Blind()
	if err := nothing.Late(nothing.now.Add(time.Minute)); !errors.As(err, &late) || late.Most != HintNoPicture {
		t.Errorf("got %+v", err)
	}
}
