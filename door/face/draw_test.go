//go:build vision

package face

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"testing"
	"time"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door"
)

func pen(tb testing.TB) *Pen {
	tb.Helper()
	p, err := NewPen()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// taken is a picture of a grey frame of 1280x720 pixels with boxes in it.
func taken(tb testing.TB, width int, boxes ...image.Rectangle) *Picture {
	tb.Helper()
	img := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(120, 120, 120, 0), 720, 1280, gocv.MatTypeCV8UC3)
	defer img.Close()
	p := newPicture(time.Now(), frontEntry, nil)
	for i, b := range boxes {
		p.Faces = append(p.Faces, Boxed{Box: b, Track: i + 1})
	}
	p.take(img, width)
	return p
}

func sketch(tb testing.TB, label func(Boxed) string, pictures ...*Picture) image.Image {
	tb.Helper()
	data, err := pen(tb).Draw(tb.Context(), pictures, label)
	if err != nil {
		tb.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	return img
}

func anonymous(Boxed) string { return "" }

// like is how far two colours may lie apart, after JPEG.
func like(a, b color.Color) bool {
	ra, ga, ba, _ := a.RGBA()
	rb, gb, bb, _ := b.RGBA()
	near := func(x, y uint32) bool { return max(x, y)-min(x, y) < 40<<8 }
	return near(ra, rb) && near(ga, gb) && near(ba, bb)
}

var (
	grey  = color.RGBA{120, 120, 120, 255}
	green = color.RGBA{60, 200, 90, 255}
	amber = color.RGBA{235, 180, 50, 255}
)

func TestDrawBoxesAndNames(t *testing.T) {
	p := taken(t, 640, image.Rect(200, 200, 400, 400), image.Rect(800, 200, 1000, 400))
	img := sketch(t, func(b Boxed) string { return map[int]string{1: "Zoë"}[b.Track] }, p)
	if img.Bounds() != image.Rect(0, 0, 640, 360) {
		t.Fatalf("drawn %v", img.Bounds())
	}
	for _, c := range []struct {
		what string
		at   image.Point
		want color.Color
	}{
		{"the first's left edge", image.Pt(100, 150), green}, {"its right edge", image.Pt(199, 150), green},
		{"its lower edge", image.Pt(150, 199), green}, {"its middle", image.Pt(150, 150), grey},
		{"the ground of its name", image.Pt(101, 98), green},
		{"the second's edge", image.Pt(400, 150), amber}, {"above it, no name", image.Pt(405, 90), grey},
	} {
		if got := img.At(c.at.X, c.at.Y); !like(got, c.want) {
			t.Errorf("%s at %v is %v, want %v", c.what, c.at, got, c.want)
		}
	}
	black := 0
	for x := 100; x < 160; x++ {
		for y := 80; y < 100; y++ {
			if like(img.At(x, y), color.Black) {
				black++
			}
		}
	}
	if black < 20 {
		t.Errorf("%d black pixels where the name stands", black)
	}
}

// Names and boxes at the edges, over it, or of no size stay in the picture and harm nothing.
func TestDrawAtTheEdges(t *testing.T) {
	p := taken(t, 640, image.Rect(-50, -50, 100, 100), image.Rect(1200, 600, 1400, 900), image.Rect(5, 5, 5, 5),
		image.Rect(0, 0, 1280, 720), image.Rect(1279, 0, 1280, 1))
	img := sketch(t, func(Boxed) string {
		return "A name that is far longer than there is any room for above one face in such a picture"
	}, p)
	if img.Bounds() != image.Rect(0, 0, 640, 360) {
		t.Fatalf("drawn %v", img.Bounds())
	}
	if got := img.At(1, 1); !like(got, green) {
		t.Errorf("the corner is %v, want the ground of a name", got)
	}
}

func TestDrawSeveralCameras(t *testing.T) {
	missed := newPicture(time.Now(), frontEntry, nil)
	close(missed.done)
	img := sketch(t, anonymous, taken(t, 640), missed, taken(t, 320, image.Rect(0, 0, 1280, 720)))
	if img.Bounds() != image.Rect(0, 0, 640, 360+180) {
		t.Errorf("drawn %v", img.Bounds())
	}
	if !like(img.At(1, 450), amber) || !like(img.At(1, 200), grey) {
		t.Error("the second picture does not stand below the first")
	}
	for name, p := range map[string]*Picture{"one missed": missed, "one not wanted": taken(t, 0)} {
		if _, err := pen(t).Draw(t.Context(), []*Picture{p}, anonymous); !errors.Is(err, ErrNoPicture) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pen(t).Draw(ctx, []*Picture{newPicture(time.Now(), frontEntry, nil)}, anonymous); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a picture: %v", err)
	}
}

func TestPenWrites(t *testing.T) {
	for text, want := range map[string]bool{
		"Ann": true, "Zoë Müller": true, "Łukasz Ñuñez": true, "Ελένη": true, "Дмитрий": true, "O'Neill-Ş": true, "": true,
		"李": false, "محمد": false, "Ann 😀": false,
	} {
		if got := pen(t).Writes(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// A picture is never blown up, whatever the frame.
func TestPicturesOfOddFrames(t *testing.T) {
	for _, size := range []image.Point{{320, 240}, {1, 1}, {3, 2000}, {4096, 1}} {
		img := gocv.NewMatWithSize(size.Y, size.X, gocv.MatTypeCV8UC3)
		p := newPicture(time.Now(), frontEntry, nil)
		p.take(img, 640)
		img.Close()
		if got := sketch(t, anonymous, p).Bounds().Size(); got.X > min(640, size.X) || got.X < 1 || got.Y < 1 {
			t.Errorf("%v became %v", size, got)
		}
	}
}

// Through the real detector: a witness knows of a face what the house was told, and has its
// picture; an empty doorway can be pictured, too.
func TestWatcherIsWitnessed(t *testing.T) {
	r := recogniser(t)
	ann, empty := scene(t, file(t, "obama2.jpg"), 300, 720), scene(t, nil, 0, 0)
	e, err := r.Enrol("ann", [][]byte{file(t, "obama.jpg")}, gallery(t), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	inputs, seen := make(chan door.Input, 1000), &Witness{}
	w := NewWatcher(Defaults(), frontEntry, r, gallery(t, Enrolled{Person: "ann", Descriptors: e.Descriptors}), &Numbers{}, func(in door.Input) { inputs <- in })
	w.WitnessedBy(seen, 640)
	ctx, cancel := context.WithCancel(t.Context())
	frames, done := make(chan still), make(chan struct{})
	go func() { defer close(done); Watch(ctx, w, frames) }()
	frames <- still{ann, func() {}}
	told := (<-inputs).(door.Face)
	got, ok := seen.Of(told.Track) // what the house was told is known before it is told
	if !ok || len(got.Near) != 1 || got.Near[0] != told.Near[0] || got.Liveness != told.Liveness || got.Place != frontEntry {
		t.Fatalf("told %+v, remembered %+v, %v", told, got, ok)
	}
	if d := Distance(got.Descriptor, e.Descriptors[0]); d != told.Near[0].Distance {
		t.Errorf("the descriptor lies %v from ann's, told was %v", d, told.Near[0].Distance)
	}
	var boxed []Boxed
	img := sketch(t, func(b Boxed) string { boxed = append(boxed, b); return b.Near[0].Person }, got.Picture)
	if img.Bounds() != image.Rect(0, 0, 640, 360) || len(boxed) != 1 || boxed[0].Track != told.Track || boxed[0].Box.Dx() < 100 {
		t.Errorf("picture %v with %+v", img.Bounds(), boxed)
	}

	answer := make(chan *Picture, 1)
	go func() {
		p, err := w.Picture(t.Context())
		if err != nil {
			t.Error(err)
		}
		answer <- p
	}()
	var p *Picture
	for p == nil {
		select {
		case frames <- still{empty, func() {}}:
		case p = <-answer:
		}
	}
	if img := sketch(t, anonymous, p); img.Bounds() != image.Rect(0, 0, 640, 360) || !like(img.At(320, 180), color.RGBA{96, 96, 96, 255}) {
		t.Errorf("the doorway's picture: %v", img.Bounds())
	}
	cancel()
	<-done
	if _, err := w.Picture(ctx); !errors.Is(err, ErrNoPicture) {
		t.Errorf("a picture of a camera nobody watches: %v", err)
	}
}
