package face

import (
	"image"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// face100 is a face 100 pixels wide with its upper left corner at x, 100, whose descriptor
// is who.
func face100(x int, who float32) sighting {
	return sighting{box: image.Rect(x, 100, x+100, 200), descriptor: at(who), weight: 1}
}

func sized(x, width int, who float32) sighting {
	return sighting{box: image.Rect(x, 100, x+width, 100+width), descriptor: at(who), weight: 1}
}

// doubtful is a face that may be another's than the track it stands at.
func doubtful(x int, who float32) sighting {
	s := face100(x, who)
	s.doubt = true
	return s
}

func numbersOf(tracks []*track) (numbers []int) {
	for _, t := range tracks {
		numbers = append(numbers, t.number)
	}
	return numbers
}

func TestTracker(t *testing.T) {
	type step struct {
		ms      int
		faces   []sighting
		numbers []int
		gone    []int // replaced, then expired
	}
	tests := map[string][]step{
		"one stands": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {200, []sighting{face100(55, 0.2)}, []int{1}, nil},
		},
		"one walks past": {
			{0, []sighting{face100(0, 0)}, []int{1}, nil}, {200, []sighting{face100(90, 0)}, []int{1}, nil},
			{400, []sighting{face100(180, 0)}, []int{1}, nil},
		},
		"one comes nearer": {
			{0, []sighting{sized(100, 100, 0)}, []int{1}, nil}, {200, []sighting{sized(80, 180, 0)}, []int{1}, nil},
		},
		"too far for one step": {
			{0, []sighting{face100(0, 0)}, []int{1}, nil}, {200, []sighting{face100(500, 0)}, []int{2}, nil},
			{1500, []sighting{face100(500, 0)}, []int{2}, []int{1}},
		},
		"away and back in time": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {700, nil, nil, nil},
			{1499, []sighting{face100(60, 0)}, []int{1}, nil},
		},
		"away for too long": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {1500, nil, nil, []int{1}},
			{1600, []sighting{face100(50, 0)}, []int{2}, nil},
		},
		"two side by side, in any order": {
			{0, []sighting{face100(0, 0), face100(300, 2)}, []int{1, 2}, nil},
			{200, []sighting{face100(310, 2), face100(10, 0)}, []int{2, 1}, nil},
		},
		"two cross": {
			{0, []sighting{face100(0, 0), face100(80, 2)}, []int{1, 2}, nil},
			{200, []sighting{face100(0, 2), face100(80, 0)}, []int{2, 1}, nil},
		},
		"another face takes the place": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {200, []sighting{face100(50, 2)}, []int{2}, []int{1}},
		},
		"somebody of the family takes the place": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {600, []sighting{doubtful(50, 0.55)}, []int{2}, []int{1}},
		},
		"the same face, lost for a moment": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil}, {600, []sighting{doubtful(50, 0.45)}, []int{1}, nil},
			{700, []sighting{face100(50, 0.55)}, []int{1}, nil},
		},
		"a second face beside": {
			{0, []sighting{face100(50, 0)}, []int{1}, nil},
			{200, []sighting{face100(50, 0), face100(300, 2)}, []int{1, 2}, nil},
			{400, []sighting{face100(300, 2)}, []int{2}, nil},
			{1700, []sighting{face100(300, 2)}, []int{2}, []int{1}},
		},
		"two look alike: the nearer place wins": {
			{0, []sighting{face100(0, 0), face100(90, 0)}, []int{1, 2}, nil},
			{200, []sighting{face100(5, 0), face100(95, 0)}, []int{1, 2}, nil},
		},
		"an empty box is nobody's": {
			{0, []sighting{{descriptor: at(0), weight: 1}}, []int{1}, nil},
			{200, []sighting{{descriptor: at(0), weight: 1}}, []int{2}, nil},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			tr := tracker{numbers: &Numbers{}, gone: 1500 * time.Millisecond}
			start := time.Now()
			for _, s := range steps {
				now := start.Add(time.Duration(s.ms) * time.Millisecond)
				followed, gone := tr.look(now, s.faces)
				gone = append(gone, tr.expire(now)...)
				if d := cmp.Diff(s.numbers, numbersOf(followed), cmpopts.EquateEmpty()); d != "" {
					t.Errorf("%d ms: numbers %s", s.ms, d)
				}
				if d := cmp.Diff(s.gone, numbersOf(gone), cmpopts.EquateEmpty()); d != "" {
					t.Errorf("%d ms: gone %s", s.ms, d)
				}
			}
		})
	}
}

func TestFollowerTellsTheHouse(t *testing.T) {
	f := follower{place: Place{"front", door.Entry}, gallery: gallery(t, one("ann", 0)),
		tracker: tracker{numbers: &Numbers{}, gone: 1500 * time.Millisecond}}
	now := time.Now()
	look := func(now time.Time, faces ...sighting) []door.Input {
		_, inputs := f.look(now, faces, nil)
		return inputs
	}
	got := look(now, face100(0, 0.25), face100(400, 2))
	got = append(got, look(now.Add(time.Second), face100(400, 2))...)
	got = append(got, f.expire(now.Add(1500*time.Millisecond))...)
	got = append(got, f.leave()...)
	seen := func(track int, distance float64) door.Input {
		return door.Face{Door: "front", Side: door.Entry, Track: track, Liveness: door.Unjudged,
			Near: []door.Match{{Person: "ann", Distance: distance}}}
	}
	want := []door.Input{seen(1, 0.25), seen(2, 2), seen(2, 2),
		door.Gone{Door: "front", Track: 1}, door.Gone{Door: "front", Track: 2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if f.watching() {
		t.Error("still watching after leave")
	}
}

func TestWatchersNeverShareANumber(t *testing.T) {
	var numbers Numbers
	now := time.Now()
	seen := map[int]bool{}
	for range 3 {
		tr := tracker{numbers: &numbers, gone: time.Second}
		got, _ := tr.look(now, []sighting{face100(0, 0), face100(400, 0)})
		for _, n := range numbersOf(got) {
			if seen[n] {
				t.Errorf("number %d twice", n)
			}
			seen[n] = true
		}
	}
}
