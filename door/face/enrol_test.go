package face

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func good(who float32) portrait { return portrait{faces: []portrayed{{200, 300, at(who)}}} }

func TestJudge(t *testing.T) {
	enrolled := gallery(t, one("ann", 0), one("bob", 5), one("dan", 8, 9), Enrolled{Person: "eve"})
	wide := func(width int, sharp float64) portrait {
		return portrait{faces: []portrayed{{width, sharp, at(0)}}}
	}
	two := portrait{faces: []portrayed{{200, 300, at(0)}, {200, 300, at(2)}}}
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
		"somebody else":    {"cat", []portrait{good(0.49)}, 0, []Reason{MatchesOther}, "that of ann"},
		"just not another": {"cat", []portrait{good(0.5)}, 1, nil, ""},
		"just the same":    {"ann", []portrait{good(0.59375)}, 1, nil, ""},
		"not who is enrolled": {"ann", []portrait{good(0.625), good(0.25)}, 1, []Reason{TwoPeople},
			"picture 1: the face is not the one that ann has enrolled (distance 0.62, at most 0.60): if the person really changed, remove the face first (doorhub people remove takes it with the person)"},
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
