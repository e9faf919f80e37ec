package face

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

func good(who float32) portrait { return portrait{faces: []portrayed{{flawless(), at(who)}}} }

// flawless is a face with no flaw.
func flawless() Measure {
	return Measure{Faces: 1, Width: 200, Sharpness: 300, Light: 120, Contrast: 40, Score: 1}
}

func TestJudge(t *testing.T) {
	enrolled := gallery(t, one("ann", 0), one("bob", 5), one("dan", 8, 9), Enrolled{Person: "eve"})
	spoilt := func(spoil func(*Measure)) portrait {
		m := flawless()
		spoil(&m)
		return portrait{faces: []portrayed{{m, at(0)}}}
	}
	wide := func(width int, sharp float64) portrait {
		return spoilt(func(m *Measure) { m.Width, m.Sharpness = width, sharp })
	}
	two := portrait{faces: []portrayed{{flawless(), at(0)}, {flawless(), at(2)}}}
	tests := map[string]struct {
		person    string
		portraits []portrait
		accepted  int
		refused   []Reason // of each refused picture
		detail    string   // in the first refusal
	}{
		"one good":         {"ann", []portrait{good(0.25)}, 1, nil, ""},
		"no face yet":      {"eve", []portrait{good(2)}, 1, nil, ""},
		"a new person":     {"cat", []portrait{good(2), good(2.5)}, 2, nil, ""},
		"unreadable":       {"ann", []portrait{{err: errors.New("cut off")}}, 0, []Reason{Unreadable}, "picture 1: cut off"},
		"no face":          {"ann", []portrait{{}}, 0, []Reason{NoFace}, "no face of at least 80"},
		"two faces":        {"ann", []portrait{two}, 0, []Reason{SeveralFaces}, "2 faces: use a picture of one person"},
		"small":            {"ann", []portrait{wide(79, 300)}, 0, []Reason{SmallFace}, "79 pixels wide: use one of at least 80"},
		"just large":       {"ann", []portrait{wide(80, 300)}, 1, nil, ""},
		"blurred":          {"ann", []portrait{wide(200, 39)}, 0, []Reason{Blurred}, "blurred (sharpness 39): use one of at least 40"},
		"dark":             {"ann", []portrait{spoilt(func(m *Measure) { m.Light = 39 })}, 0, []Reason{TooDark}, "too dark (39 of 255): use one of at least 40"},
		"bright":           {"ann", []portrait{spoilt(func(m *Measure) { m.Light = 226 })}, 0, []Reason{TooBright}, "too bright (226 of 255): use one of at most 225"},
		"turned left":      {"ann", []portrait{spoilt(func(m *Measure) { m.Turn = 0.46 })}, 0, []Reason{TurnedAway}, "turned too far"},
		"turned right":     {"ann", []portrait{spoilt(func(m *Measure) { m.Turn = -0.46 })}, 0, []Reason{TurnedAway}, "turned too far"},
		"a little turned":  {"ann", []portrait{spoilt(func(m *Measure) { m.Turn = 0.45 })}, 1, nil, ""},
		"somebody else":    {"cat", []portrait{good(0.49)}, 0, []Reason{MatchesOther}, "that of ann"},
		"just not another": {"cat", []portrait{good(0.5)}, 1, nil, ""},
		"just the same":    {"ann", []portrait{good(0.59375)}, 1, nil, ""},
		"not who is enrolled": {"ann", []portrait{good(0.625), good(0.25)}, 1, []Reason{TwoPeople},
			"picture 1: the face is not the one that ann has enrolled (distance 0.62, at most 0.60): if the person really changed, take the old face away first: doorhub people forget ann --faces"},
		"near one of her own":     {"dan", []portrait{good(9.5)}, 1, nil, ""},
		"another who is enrolled": {"ann", []portrait{good(5)}, 0, []Reason{MatchesOther}, "that of bob"},
		"no number":               {"cat", []portrait{good(float32(math.NaN()))}, 0, []Reason{NoFace}, "cannot be described"},
		"some of many": {"ann", []portrait{good(0.25), {}, wide(200, 1), good(0.375)}, 2,
			[]Reason{NoFace, Blurred}, "picture 2: no face"},
		"two people": {"cat", []portrait{good(2), {}, good(3)}, 0,
			[]Reason{TwoPeople, NoFace, TwoPeople}, "pictures 1 and 3 show two different people (distance 1.00)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := Defaults().judge(tt.person, tt.portraits, enrolled, 0.5)
			if len(e.Descriptors) != tt.accepted {
				t.Errorf("%d accepted, want %d", len(e.Descriptors), tt.accepted)
			}
			var reasons []Reason
			for _, r := range e.Refused {
				reasons = append(reasons, r.Reason)
			}
			if d := cmp.Diff(tt.refused, reasons); d != "" {
				t.Error(d)
			}
			if len(e.Refused) > 0 && !strings.Contains(e.Refused[0].Error(), tt.detail) {
				t.Errorf("%q, want %q in it", e.Refused[0].Error(), tt.detail)
			}
		})
	}
}

func TestCountOfPictures(t *testing.T) {
	for n, fine := range map[int]bool{0: false, 1: true, 10: true, 11: false} {
		if err := Defaults().validCount(n); (err == nil) != fine || err != nil && !errors.Is(err, ErrCount) {
			t.Errorf("%d pictures: %v", n, err)
		}
	}
}

// What is known of a picture is told of refused ones, too, and who else it looks like.
func TestPortraits(t *testing.T) {
	enrolled := gallery(t, one("ann", 0), one("bob", 0.5625))
	large := flawless()
	large.Width = 400
	two := portrait{faces: []portrayed{{flawless(), at(0)}, {large, at(2)}}}
	e := Defaults().judge("ann", []portrait{{err: errors.New("cut off")}, two, good(0), good(5)}, enrolled, 0.5)
	large.Faces = 2
	want := []Portrait{{}, {Measure: large}, {flawless(), door.Match{Person: "bob", Distance: 0.5625}}, {flawless(), door.Match{Person: "bob", Distance: 4.4375}}}
	if d := cmp.Diff(want, e.Portraits); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSide(t *testing.T) {
	for turn, want := range map[float64]door.Way{0: "", 0.15: "", 0.16: door.Left, -0.15: "", -0.16: door.Right} {
		if got := (Measure{Turn: turn}).Side(); got != want {
			t.Errorf("%v: %q, want %q", turn, got, want)
		}
	}
}
