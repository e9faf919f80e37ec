package face

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

// posed is how a head is turned in one look.
type posed struct {
	yaw, pitch float64
	hidden     bool // its texture is not found
	another    bool // another face has taken its place
	flat       bool // no relief is seen however far it is turned
}

// The looks come ten times a second; the prompt before the first.
func TestPrompt(t *testing.T) {
	still := posed{}
	turn := func(yaw, pitch float64) []posed {
		return []posed{still, still, still, {yaw: yaw / 2, pitch: pitch / 2}, {yaw: yaw, pitch: pitch}, {yaw: yaw, pitch: pitch}, {yaw: yaw, pitch: pitch}, {yaw: yaw, pitch: pitch}}
	}
	for name, c := range map[string]struct {
		way   door.Way
		looks []posed
		done  bool
		why   string
	}{
		"left is the picture's right":    {door.Left, turn(30, 0), true, ""},
		"right":                          {door.Right, turn(-30, 0), true, ""},
		"up":                             {door.Up, turn(0, -30), true, ""},
		"down":                           {door.Down, turn(0, 30), true, ""},
		"slanting":                       {door.Left, turn(28, 18), true, ""},
		"the other way":                  {door.Left, turn(-30, 0), true, WhyWrongWay},
		"up for left":                    {door.Left, turn(5, -30), true, WhyWrongWay},
		"not far enough":                 {door.Left, turn(14, 0), false, ""},
		"a picture that is turned":       {door.Left, []posed{still, still, still, {yaw: 30, flat: true}, {yaw: 30, flat: true}, {yaw: 30, flat: true}}, false, ""},
		"before anybody could have read": {door.Left, []posed{still, {yaw: 15}, {yaw: 30}, {yaw: 30}}, true, WhyTooEarly},
		"another face":                   {door.Left, []posed{still, still, still, {another: true}}, true, WhyLostFace},
		"hidden for a moment":            {door.Left, []posed{still, still, still, {yaw: 15}, {hidden: true}, {yaw: 30}, {yaw: 30}}, true, ""},
		"one odd look":                   {door.Left, []posed{still, still, still, {yaw: 2, pitch: 25}, {yaw: 24}, {yaw: 30}, {yaw: 30}}, true, ""},
		"still turned from the last":     {door.Left, []posed{{yaw: 30}, {yaw: 30}, {yaw: 30}, {yaw: 30}, {yaw: 30}}, false, ""},
		"back from the last, and again":  {door.Left, []posed{{yaw: 30}, {yaw: 25}, {yaw: 12}, {yaw: 2}, {yaw: 15}, {yaw: 28}, {yaw: 30}}, true, ""},
		"straight on from the last":      {door.Left, []posed{{pitch: 30}, {yaw: 2, pitch: 20}, {yaw: 10, pitch: 8}, {yaw: 22, pitch: 2}, {yaw: 33}, {yaw: 34}}, true, ""},
		"never at rest":                  {door.Left, []posed{{yaw: -40}, {yaw: -30, pitch: 20}, {yaw: -10, pitch: 30}, {yaw: 20, pitch: 28}, {yaw: 30, pitch: 5}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := time.Unix(1e9, 0)
			p := NewPrompt(c.way, asked)
			var got Answer
			for i, l := range c.looks {
				got = p.Look(asked.Add(time.Duration(i)*100*time.Millisecond), l.evidence())
			}
			if diff := cmp.Diff([]any{c.done, c.why}, []any{got.Done, got.Why}); diff != "" {
				t.Errorf("done, why (-want +got):\n%s of %+v", diff, got)
			}
		})
	}
}

func (l posed) evidence() Evidence {
	e := Evidence{Liveness: door.Unjudged, Found: !l.hidden, Yaw: l.yaw, Pitch: l.pitch}
	if l.another {
		e.Epoch = 1
	}
	if e.HeadLook = !l.flat && math.Hypot(l.yaw, l.pitch) >= turnEnough; e.HeadLook {
		e.LookRelief = 2 * reliefLeast
	}
	return e
}

// Once a turn is judged, nothing changes it.
func TestPromptIsAnsweredOnce(t *testing.T) {
	asked := time.Unix(1e9, 0)
	p := NewPrompt(door.Left, asked)
	wrong := posed{yaw: -30}.evidence()
	p.Look(asked, posed{}.evidence())
	for i := range 10 {
		p.Look(asked.Add(time.Second+time.Duration(i)*100*time.Millisecond), wrong)
	}
	if got := p.Look(asked.Add(3*time.Second), posed{yaw: 30}.evidence()); got.Why != WhyWrongWay {
		t.Errorf("got %+v", got)
	}
	if got := NewPrompt(door.Left, asked).Look(asked.Add(-time.Second), wrong); got != (Answer{}) {
		t.Errorf("what was before the prompt counts: %+v", got)
	}
}
