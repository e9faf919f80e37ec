//go:build vision

package face

import (
	"fmt"
	"image"
	"slices"
	"testing"
	"time"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door"
)

// looker is a watcher whose frames come at times of the test's own.
type looker struct {
	*Watcher
	t    *testing.T
	now  time.Time
	told map[int]door.Face // the newest of each track
}

func newLooker(t *testing.T, cfg Config, r *Recogniser, g *Gallery) *looker {
	l := &looker{t: t, now: time.Now(), told: map[int]door.Face{}}
	l.Watcher = NewWatcher(cfg, Place{"front", door.Entry}, r, g, &Numbers{}, func(in door.Input) {
		switch in := in.(type) {
		case door.Face:
			l.told[in.Track] = in
		case door.Gone:
			delete(l.told, in.Track)
		}
	})
	return l
}

func (l *looker) see(img gocv.Mat) {
	l.look(show(img, l.now))
	l.now = l.now.Add(100 * time.Millisecond)
}

// painted is a 720p frame full of one face, so many times beside and above one another, and
// on top of them a large one at the left.
func painted(t *testing.T, columns, rows int) gocv.Mat {
	t.Helper()
	portrait := decoded(t, file(t, "biden.jpg"))
	faces, err := recogniser(t).Find(portrait)
	if err != nil || len(faces) != 1 {
		t.Fatalf("%d faces, %v", len(faces), err)
	}
	cut := faces[0].Box.Inset(-faces[0].Box.Dx() / 10).Intersect(bounds(portrait))
	tile := portrait.Region(cut)
	defer tile.Close()
	frame := scene(t, nil, 0, 0)
	size := image.Pt(frame.Cols()/columns, frame.Rows()/rows)
	for i := range columns * rows {
		at := image.Pt(i%columns*size.X, i/columns*size.Y)
		part := frame.Region(image.Rectangle{Min: at, Max: at.Add(size)})
		gocv.Resize(tile, &part, size, 0, 0, gocv.InterpolationArea)
		part.Close()
	}
	return frame
}

func TestTwoHundredPaintedFaces(t *testing.T) {
	frame := painted(t, 20, 10)
	cfg := Defaults()
	cfg.Smallest = 48
	r, err := NewRecogniser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if all, err := r.seek(gray(t, frame), bounds(frame), 64.0/48, 0); err != nil || len(all) < 150 {
		t.Fatalf("the detector sees %d of 200 faces, %v", len(all), err)
	}
	ann, err := r.Enrol("ann", [][]byte{file(t, "obama.jpg")}, gallery(t), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	l := newLooker(t, cfg, r, gallery(t, Enrolled{Person: "ann", Descriptors: ann.Descriptors}))
	looks := func(n int) {
		for range n {
			l.see(frame)
			described := 0
			for _, d := range l.Decisions(cfg.Faces) {
				if d.Taken.Equal(l.now.Add(-100*time.Millisecond)) && d.Took.Describe > 0 && d.Why.describes() {
					described++
				}
			}
			if described > mostDescribed {
				t.Errorf("%d faces described in one look", described)
			}
		}
	}
	looks(3)
	before := resident(t, "RssAnon")
	looks(5)
	if grown := resident(t, "RssAnon") - before; grown > 20_000 {
		t.Errorf("grown by %d kB", grown)
	}
	if n := len(l.follow.tracker.tracks); n > cfg.Faces {
		t.Errorf("%d faces followed, want at most %d", n, cfg.Faces)
	}
	if !slices.ContainsFunc(l.Decisions(cfg.Decisions), func(d Decision) bool { return d.Over > 100 }) {
		t.Error("no decision says that faces were left out")
	}
	paste(t, &frame, decoded(t, file(t, "obama2.jpg")), 500, 720)
	looks(10)
	for _, f := range l.told {
		if len(f.Near) > 0 && f.Near[0].Person == "ann" && f.Near[0].Distance < 0.5 {
			return
		}
	}
	t.Error("ann, who stands before the painted faces, is not told")
}

func gray(t *testing.T, img gocv.Mat) gocv.Mat {
	t.Helper()
	grey := gocv.NewMat()
	t.Cleanup(func() { grey.Close() })
	gocv.CvtColor(img, &grey, gocv.ColorBGRToGray)
	return grey
}

// Noise moves everywhere until the gate knows it; then it costs what an empty doorway does,
// and shows nobody.
func TestNoiseIsSoonLeftAlone(t *testing.T) {
	l := newLooker(t, Defaults(), recogniser(t), &Gallery{})
	rng := gocv.TheRNG()
	noise := gocv.NewMatWithSize(720, 1280, gocv.MatTypeCV8UC3)
	defer noise.Close()
	full := 0
	for n := range 150 { // at ten looks a second of the thirty frames
		rng.Fill(&noise, gocv.RNGDistUniform, 0, 256, false)
		if n == 60 {
			full = 0
		}
		l.look(lazily(t, noise, &full)(l.now))
		l.now = l.now.Add(100 * time.Millisecond)
	}
	if full > 20 { // three of them for full looks
		t.Errorf("%d of 90 frames of noise were decoded once it was known", full)
	}
	if len(l.told) != 0 {
		t.Errorf("told of %v", l.told)
	}
}

// A frame of any size is looked at no larger than the usual one, and its faces are found.
func TestFramesOfAnySize(t *testing.T) {
	r := recogniser(t)
	for _, width := range []int{320, 640, 1280, 1920, 3840, 8000} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			img := scene(t, file(t, "obama2.jpg"), 300, 720)
			large := gocv.NewMat()
			defer large.Close()
			gocv.Resize(img, &large, image.Pt(width, width*9/16), 0, 0, gocv.InterpolationCubic)
			view, err := fit(large)
			if err != nil {
				t.Fatal(err)
			}
			defer view.close()
			if got := view.img.Cols(); got > lookSide || width <= lookSide && got != width {
				t.Errorf("looked at %d pixels wide", got)
			}
			l := newLooker(t, Defaults(), r, &Gallery{})
			l.see(large)
			l.see(large)
			if want := width >= 640; (len(l.told) == 1) != want { // else its face has 47 pixels
				t.Errorf("%d faces told", len(l.told))
			}
		})
	}
}

func TestFramesThatAreNoPictures(t *testing.T) {
	l := newLooker(t, Defaults(), recogniser(t), &Gallery{})
	empty := gocv.NewMat()
	defer empty.Close()
	l.see(empty)
	for _, kind := range []gocv.MatType{gocv.MatTypeCV8UC1, gocv.MatTypeCV16UC3, gocv.MatTypeCV32FC3} {
		m := gocv.NewMatWithSize(72, 128, kind)
		l.see(m)
		m.Close()
	}
	if !l.failed || l.Looks() != 4 {
		t.Errorf("failed %v, %d looks", l.failed, l.Looks())
	}
	ann := scene(t, file(t, "obama2.jpg"), 300, 720)
	l.see(ann)
	l.see(ann)
	if l.failed || len(l.told) != 1 {
		t.Errorf("afterwards: failed %v, told of %d", l.failed, len(l.told))
	}
}

// Whoever else is in view, and however much nearer, the one who is claimed is verified.
func TestWhoIsClaimedIsVerifiedBesideOthers(t *testing.T) {
	r := recogniser(t)
	var people []Enrolled
	for who, picture := range map[string]string{"ann": "obama.jpg", "bob": "biden.jpg"} {
		e, err := r.Enrol(who, [][]byte{file(t, picture)}, gallery(t), 0.5)
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, Enrolled{Person: who, Descriptors: e.Descriptors})
	}
	frame := scene(t, file(t, "obama2.jpg"), 100, 320) // ann, far away
	near := decoded(t, file(t, "biden.jpg"))
	paste(t, &frame, near, 700, 720)
	l := newLooker(t, Defaults(), r, gallery(t, people...))
	l.see(frame)
	l.see(frame)
	verified(t, l, "ann", "bob")
}

// verified has each of the people claimed at a house that was told what the watcher sees.
func verified(t *testing.T, l *looker, people ...string) {
	t.Helper()
	var known []door.Person
	for _, p := range append(people, "eve") {
		known = append(known, door.Person{ID: p})
	}
	cfg := door.Defaults()
	cfg.Liveness = door.LivenessOff
	portal := door.PortalDefaults()
	portal.ID = "front"
	cfg.Doors = []door.Portal{portal}
	for _, p := range append(people, "eve") {
		now := door.Instant{Wall: time.Now(), Synced: true}
		h, err := door.New(cfg, door.Kept{People: known}, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range l.told {
			h.Step(now, f)
		}
		now.Mono += time.Millisecond
		effects, _ := h.Step(now, door.Claim{Door: "front", Side: door.Entry, Reader: "main", Factor: door.PIN, Person: p})
		granted := false
		for _, e := range effects {
			if _, ok := e.(door.Unlock); ok {
				granted = true
			}
		}
		if want := p != "eve"; granted != want {
			t.Errorf("%s, claimed before %d faces: granted %v, want %v", p, len(l.told), granted, want)
		}
	}
}

func TestAnybodyOfACrowdIsVerified(t *testing.T) {
	r := recogniser(t)
	var people []Enrolled
	var names []string
	for _, s := range crowd(t) {
		faces, err := r.Find(decoded(t, shared(t, s.name+".jpg")))
		if err != nil || len(faces) == 0 {
			t.Fatalf("%s: %d faces, %v", s.name, len(faces), err)
		}
		people = append(people, Enrolled{Person: s.name, Descriptors: []Descriptor{faces[0].Descriptor}})
		names = append(names, s.name)
	}
	l := newLooker(t, Defaults(), r, gallery(t, people...))
	frame := decoded(t, shared(t, "crowd12.jpg"))
	l.see(frame)
	l.see(frame)
	verified(t, l, names...)
}

// two is a frame with two people, moved a little.
func two(t *testing.T, by int) gocv.Mat {
	t.Helper()
	frame := scene(t, file(t, "obama2.jpg"), 100+by, 700)
	paste(t, &frame, decoded(t, file(t, "biden.jpg")), 700-by, 720)
	return frame
}

func TestAFaceThatStaysIsDescribedNowAndThen(t *testing.T) {
	l := newLooker(t, Defaults(), recogniser(t), &Gallery{})
	var frames []gocv.Mat
	for by := range 5 {
		frames = append(frames, two(t, 2*by))
	}
	const looks = 65 // six and a half seconds
	for n := range looks {
		l.see(frames[n%len(frames)])
	}
	described := 0
	for _, d := range l.Decisions(2 * looks) {
		if d.Why.describes() {
			described++
		}
	}
	if len(l.told) != 2 || described < 4 || described > 12 { // when new, and after face.refresh
		t.Errorf("%d faces told, described %d times in %d looks", len(l.told), described, looks)
	}
}

func TestSeveralRecognisersDescribeAsOneDoes(t *testing.T) {
	recogniser(t) // or skip
	frame := two(t, 0)
	var all [][]Descriptor
	for _, n := range []int{1, 3} {
		cfg := Defaults()
		cfg.Recognisers = n
		r, err := NewRecogniser(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l := newLooker(t, cfg, r, &Gallery{})
		l.see(frame)
		l.see(frame)
		var descriptors []Descriptor
		for _, tr := range l.follow.tracker.tracks {
			descriptors = append(descriptors, tr.template.mean())
		}
		all = append(all, descriptors)
		r.Close()
	}
	if len(all[0]) != 2 || !slices.Equal(all[0], all[1]) {
		t.Errorf("one describes %d faces, three %d, or in another way", len(all[0]), len(all[1]))
	}
}
