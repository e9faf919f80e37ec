package face

import (
	"image"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	fine = 0.8 // scores
	poor = 0.05
)

func found(x, width int, score float64) *candidate {
	return &candidate{spot: spot{box: image.Rect(x, 100, x+width, 100+width)}, quality: Quality{score, 1, 1, 1}}
}

// followed is a track of a face 100 pixels wide at x, 100, described ago with a score.
func followed(now time.Time, x int, ago time.Duration, score float64) *track {
	t := &track{number: x, began: now.Add(-ago), seen: now.Add(-100 * time.Millisecond), box: image.Rect(x, 100, x+100, 200)}
	if score > 0 {
		t.template.add(glance{now.Add(-ago), at(0), score})
		t.tried = now.Add(-ago)
	}
	return t
}

func TestWhyAFaceIsDescribed(t *testing.T) {
	now := time.Now()
	lost := followed(now, 0, time.Second, fine)
	lost.seen = now.Add(-time.Second)
	another := followed(now, 0, time.Second, fine)
	another.patch = make(patch, patchSide*patchSide)
	another.patch[0] = 255
	for name, tt := range map[string]struct {
		tracks []*track
		face   *candidate
		want   Why
	}{
		"new":                      {nil, found(0, 100, fine), New},
		"new, poor":                {nil, found(0, 100, poor), Waiting},
		"followed, never good":     {[]*track{followed(now, 0, 100*time.Millisecond, 0)}, found(0, 100, poor), Waiting},
		"... for long enough":      {[]*track{followed(now, 0, 500*time.Millisecond, 0)}, found(0, 100, poor), New},
		"followed, good at last":   {[]*track{followed(now, 0, 100*time.Millisecond, 0)}, found(0, 100, fine), New},
		"known":                    {[]*track{followed(now, 0, time.Second, fine)}, found(5, 100, fine), Known},
		"known, a moment ago":      {[]*track{followed(now, 0, 50*time.Millisecond, 0.1)}, found(5, 100, fine), Known},
		"not by a poor look":       {[]*track{followed(now, 0, time.Second, 0.2)}, found(0, 100, 0.2), Unsettled},
		"better":                   {[]*track{followed(now, 0, time.Second, 0.5)}, found(0, 100, fine), Better},
		"due":                      {[]*track{followed(now, 0, 2*time.Second, fine)}, found(0, 100, fine), Due},
		"moved far":                {[]*track{followed(now, 0, time.Second, fine)}, found(60, 100, fine), Doubted},
		"lost for a while":         {[]*track{lost}, found(0, 100, fine), Doubted},
		"fits two":                 {[]*track{followed(now, 0, time.Second, fine), followed(now, 40, time.Second, fine)}, found(20, 100, fine), Doubted},
		"two, but one is far away": {[]*track{followed(now, 0, time.Second, fine), followed(now, 300, time.Second, fine)}, found(0, 100, fine), Known},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tracker{tracks: tt.tracks}
			faces := []*candidate{tt.face}
			tr.guess(now, faces)
			tr.decide(now, faces, 2*time.Second)
			if tt.face.why != tt.want {
				t.Errorf("got %q, want %q", tt.face.why, tt.want)
			}
		})
	}
}

func TestTheUrgentAndTheLargeAreDescribedFirst(t *testing.T) {
	now := time.Now()
	of := func(why Why, width int) *candidate {
		c := found(0, width, fine)
		c.why, c.track = why, followed(now, 0, time.Duration(width)*time.Second, fine)
		return c
	}
	all := []*candidate{of(Known, 400), of(Due, 90), of(New, 100), of(Due, 120), of(Doubted, 80), of(New, 200),
		of(Due, 100), of(Waiting, 300), of(Better, 500), of(NoneThere, 500)}
	var got []int
	for _, c := range chosen(all, 6) {
		got = append(got, c.box.Dx())
	}
	if d := cmp.Diff([]int{80, 200, 100, 500, 120, 100}, got); d != "" { // of those due, the two described longest ago
		t.Error(d)
	}
	if got := len(chosen(all, 2)); got != 2 {
		t.Errorf("%d chosen, want 2", got)
	}
}

func TestPatch(t *testing.T) {
	ramp := make(patch, patchSide*patchSide)
	var darker, other patch
	for i := range ramp {
		ramp[i] = byte(i)
		darker, other = append(darker, byte(i/2)), append(other, byte(255-i))
	}
	for name, tt := range map[string]struct {
		p    patch
		want bool
	}{"itself": {ramp, true}, "in the shade": {darker, true}, "another": {other, false}, "none": {nil, true},
		"flat": {make(patch, len(ramp)), true}} {
		if got := ramp.like(tt.p); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTemplate(t *testing.T) {
	now := time.Now()
	var p template
	if p.settled() || !p.last().IsZero() {
		t.Error("an empty template knows something")
	}
	p.add(glance{now, at(0.2), 0.3})
	if p.settled() {
		t.Error("one poor look settles who it is")
	}
	p.add(glance{now.Add(time.Second), at(0.6), 0.1})
	if d := p.mean(); d[0] < 0.299 || d[0] > 0.301 || !p.settled() || p.best() != 0.3 || p.last() != now.Add(time.Second) {
		t.Errorf("mean %v, settled %v, best %v", d[0], p.settled(), p.best())
	}
	for range glancesKept {
		p.add(glance{now, at(1), 0})
	}
	if len(p.glances) != glancesKept || p.best() != leastWeight {
		t.Errorf("%d looks kept, best %v", len(p.glances), p.best())
	}
	var thrice template
	for range glancesSettle {
		thrice.add(glance{now, at(1), 0})
	}
	if !thrice.settled() {
		t.Error("a face that never shows itself well is never told")
	}
}

// One look at somebody else's likeness must not name the track.
func TestOneBadLookNamesNobody(t *testing.T) {
	now := time.Now()
	f := follower{gallery: gallery(t, one("ann", 0), one("bob", 0.55)), tracker: tracker{numbers: &Numbers{}, gone: time.Second}}
	var near []string
	for n, who := range []float32{0.05, 0.5, 0.05, 0.05} {
		tracks, _ := f.look(now.Add(time.Duration(n)*100*time.Millisecond), []sighting{face100(0, who)}, nil)
		near = append(near, tracks[0].near[0].Person)
	}
	if d := cmp.Diff([]string{"ann", "ann", "ann", "ann"}, near); d != "" {
		t.Error(d)
	}
}

// A face that is not described any more is told with what was known of it, also when others
// are enrolled meanwhile.
func TestFollowerLooksUpAnewWhenOthersAreEnrolled(t *testing.T) {
	now := time.Now()
	g := gallery(t, one("ann", 0))
	f := follower{gallery: g, tracker: tracker{numbers: &Numbers{}, gone: time.Second}}
	look := func() string {
		s := face100(0, 0)
		s.weight = 0
		tracks, inputs := f.look(now, []sighting{s}, nil)
		if len(inputs) != 1 {
			t.Fatalf("told %v", inputs)
		}
		return tracks[0].near[0].Person
	}
	f.look(now, []sighting{face100(0, 0.1)}, nil)
	if who := look(); who != "ann" {
		t.Errorf("near %s", who)
	}
	if err := g.Replace([]Enrolled{one("bob", 0)}); err != nil {
		t.Fatal(err)
	}
	if who := look(); who != "bob" {
		t.Errorf("near %s, who is enrolled no more", who)
	}
}

func TestAFaceIsToldOnceTheLooksSettleWhoItIs(t *testing.T) {
	now := time.Now()
	var forgotten []int
	f := follower{gallery: gallery(t, one("ann", 0)), tracker: tracker{numbers: &Numbers{}, gone: time.Second},
		forget: func(track int) { forgotten = append(forgotten, track) }}
	poorly := face100(0, 0)
	poorly.weight = 0.2
	unseen := face100(400, 0)
	unseen.weight = 0
	var told []int
	for n := range 3 {
		_, inputs := f.look(now.Add(time.Duration(n)*100*time.Millisecond), []sighting{poorly, unseen}, nil)
		told = append(told, len(inputs))
	}
	if d := cmp.Diff([]int{0, 1, 1}, told); d != "" {
		t.Error(d)
	}
	if gone := f.leave(); len(gone) != 1 || len(forgotten) != 2 {
		t.Errorf("told of %v gone, forgot %v", gone, forgotten)
	}
}

func TestDecisionsKeepTheNewest(t *testing.T) {
	d := decisions{most: 3}
	tracks := func(n int) (got []int) {
		for _, one := range d.newest(n) {
			got = append(got, one.Track)
		}
		return got
	}
	if got := d.newest(5); len(got) != 0 {
		t.Errorf("nothing decided: %v", got)
	}
	for n := range 5 {
		d.add(Decision{Track: n})
	}
	if diff := cmp.Diff([]int{2, 3, 4}, tracks(9)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{4}, tracks(1)); diff != "" {
		t.Error(diff)
	}
	off := decisions{}
	off.add(Decision{})
	if len(off.newest(1)) != 0 {
		t.Error("kept though none should be")
	}
}

func TestBestRunnerUpAndMargin(t *testing.T) {
	g := gallery(t, one("ann", 0.25), one("bob", 0.5))
	best, margin, ok := Decision{Near: g.Near(at(0))}.Best()
	if best.Person != "ann" || margin != 0.25 || !ok {
		t.Errorf("%v, margin %v, %v", best, margin, ok)
	}
	_, margin, ok = Decision{Near: g.Near(at(0))[:1]}.Best()
	if margin != Limit-0.25 || !ok {
		t.Errorf("alone: margin %v, %v", margin, ok)
	}
	if _, _, ok := (Decision{}).Best(); ok {
		t.Error("somebody is nearest though nobody is enrolled")
	}
}
