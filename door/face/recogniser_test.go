//go:build vision

package face

import (
	"bytes"
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/google/go-cmp/cmp"
	"gocv.io/x/gocv"
)

// recogniser loads the models, or skips the test where there are none.
func recogniser(t testing.TB) *Recogniser {
	t.Helper()
	r, err := NewRecogniser(Defaults())
	if errors.Is(err, ErrModels) {
		t.Skip("SKIPPED, faces are untested here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// file reads one of the sample portraits, or skips the test where there are none.
func file(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("DOORHUB_PORTRAITS")
	if cache := os.Getenv("DOORHUB_CACHE"); dir == "" && cache != "" {
		dir = filepath.Join(cache, "portraits")
	}
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = filepath.Join(home, ".cache", "doorhub", "portraits")
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("SKIPPED, faces are untested here: no sample portraits (%v): get them with deploy/models/fetch.sh", err)
	}
	return data
}

func decoded(t testing.TB, data []byte) gocv.Mat {
	t.Helper()
	img, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

func encoded(t testing.TB, img gocv.Mat) []byte {
	t.Helper()
	buf, err := gocv.IMEncode(gocv.JPEGFileExt, img)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Close()
	return bytes.Clone(buf.GetBytes())
}

// scene is a 720p frame with the portrait in it, height pixels high, its left edge at x; nil
// data is an empty doorway.
func scene(t testing.TB, data []byte, x, height int) gocv.Mat {
	t.Helper()
	frame := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(96, 96, 96, 0), 720, 1280, gocv.MatTypeCV8UC3)
	t.Cleanup(func() { frame.Close() })
	if data != nil {
		paste(t, &frame, decoded(t, data), x, height)
	}
	return frame
}

func paste(t testing.TB, frame *gocv.Mat, img gocv.Mat, x, height int) {
	t.Helper()
	width := img.Cols() * height / img.Rows()
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(img, &small, image.Pt(width, height), 0, 0, gocv.InterpolationArea)
	part := frame.Region(image.Rect(x, 0, x+width, height))
	defer part.Close()
	small.CopyTo(&part)
}

func TestTheSamePersonIsNearAndAnotherFar(t *testing.T) {
	r := recogniser(t)
	described := map[string]Descriptor{}
	for _, name := range []string{"obama.jpg", "obama2.jpg", "obama3.jpg", "obama_partial_face.jpg", "biden.jpg", "32bit.png"} {
		faces, err := r.Find(decoded(t, file(t, name)))
		if err != nil || len(faces) != 1 {
			t.Fatalf("%s: %d faces, %v; want 1", name, len(faces), err)
		}
		if len(faces[0].Landmarks) != 5 {
			t.Errorf("%s: %d landmarks, want 5", name, len(faces[0].Landmarks))
		}
		described[name] = faces[0].Descriptor
	}
	for name, d := range described {
		distance := Distance(described["obama.jpg"], d)
		if same := name != "biden.jpg"; same != (distance < 0.5) {
			t.Errorf("%s is %.2f from obama.jpg", name, distance)
		}
	}
}

func TestABoxLiesInThePictureAndOnTheFace(t *testing.T) {
	r := recogniser(t)
	img := decoded(t, file(t, "biden.jpg")) // larger than what is looked at: boxes are scaled back
	faces, err := r.Find(img)
	if err != nil || len(faces) != 1 {
		t.Fatalf("%d faces, %v", len(faces), err)
	}
	box := faces[0].Box
	if want := image.Rect(439, 233, 749, 542); overlap(box, want) < 0.7 { // found at full size
		t.Errorf("the box is %v, want about %v", box, want)
	}
	for _, p := range faces[0].Landmarks {
		if !p.In(box) {
			t.Errorf("landmark %v outside of %v", p, box)
		}
	}
}

func TestFindOnOddPictures(t *testing.T) {
	r := recogniser(t)
	blank := func(w, h int, kind gocv.MatType) gocv.Mat {
		m := gocv.NewMatWithSize(h, w, kind)
		t.Cleanup(func() { m.Close() })
		return m
	}
	for _, img := range []gocv.Mat{blank(1, 1, gocv.MatTypeCV8UC3), blank(4000, 2, gocv.MatTypeCV8UC3),
		blank(40, 40, gocv.MatTypeCV8UC3), blank(1280, 720, gocv.MatTypeCV8UC3)} {
		if faces, err := r.Find(img); err != nil || len(faces) != 0 {
			t.Errorf("%dx%d: %d faces, %v", img.Cols(), img.Rows(), len(faces), err)
		}
	}
	for _, img := range []gocv.Mat{{}, blank(0, 0, gocv.MatTypeCV8UC3), blank(99, 99, gocv.MatTypeCV8UC1), blank(99, 99, gocv.MatTypeCV16UC3)} {
		if _, err := r.Find(img); !errors.Is(err, ErrPicture) {
			t.Errorf("got %v, want it refused", err)
		}
	}
}

func TestManyMayFindAtOnceAndAfterCloseNobody(t *testing.T) {
	r := recogniser(t)
	img := decoded(t, file(t, "obama2.jpg"))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if faces, err := r.Find(img); err != nil || len(faces) != 1 {
				t.Errorf("%d faces, %v", len(faces), err)
			}
		})
	}
	wait.Wait()
	r.Close()
	r.Close()
	if _, err := r.Find(img); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestDamagedModelsNeverReachTheLibrary(t *testing.T) {
	recogniser(t) // skips where there are no models
	dir, err := Defaults().ModelFolder()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, m := range models() {
		data, err := os.ReadFile(filepath.Join(dir, m.name))
		if err != nil {
			t.Fatal(err)
		}
		if m == models()[0] {
			data = data[:len(data)/2]
		}
		if err := os.WriteFile(filepath.Join(copied, m.name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Defaults()
	cfg.Models = copied
	if _, err := NewRecogniser(cfg); !errors.Is(err, ErrModels) || !strings.Contains(err.Error(), models()[0].name+" is damaged") {
		t.Errorf("got %v", err)
	}
	cfg.Models = t.TempDir()
	if _, err := NewRecogniser(cfg); !errors.Is(err, ErrModels) || !strings.Contains(err.Error(), "make models") {
		t.Errorf("got %v", err)
	}
}

// cmykJPEG is a 16x16 JPEG of four components, grey all over; OpenCV cannot write one.
func cmykJPEG() []byte {
	var b bytes.Buffer
	b.Write([]byte{0xff, 0xd8})
	b.Write([]byte{0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0})
	b.Write(append([]byte{0xff, 0xdb, 0, 67, 0}, bytes.Repeat([]byte{1}, 64)...))
	b.Write([]byte{0xff, 0xc0, 0, 20, 8, 0, 16, 0, 16, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0})
	// One code of one bit in each table: DC "no difference", AC "end of block".
	one := append([]byte{1}, make([]byte, 15)...)
	b.Write(append(append([]byte{0xff, 0xc4, 0, 20, 0x00}, one...), 0))
	b.Write(append(append([]byte{0xff, 0xc4, 0, 20, 0x10}, one...), 0))
	b.Write([]byte{0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0})
	b.Write(make([]byte, 4)) // 4 units of 4 components, two bits each
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}

func TestDecode(t *testing.T) {
	grey := pngFile(t, image.NewGray(image.Rect(0, 0, 60, 50)))
	flipped := pngFile(t, image.NewGray(image.Rect(0, 0, 60, 50)))
	flipped[50] ^= 0xff
	tests := map[string]struct {
		data []byte
		size image.Point
		want string
	}{
		"jpeg":           {jpegFile(t, 64, 48), image.Pt(64, 48), ""},
		"grey png":       {grey, image.Pt(60, 50), ""},
		"16-bit png":     {pngFile(t, image.NewNRGBA64(image.Rect(0, 0, 9, 8))), image.Pt(9, 8), ""},
		"1x1":            {jpegFile(t, 1, 1), image.Pt(1, 1), ""},
		"cmyk jpeg":      {cmykJPEG(), image.Pt(16, 16), ""},
		"100 megapixels": {claimed(t, 10_000, 10_000), image.Point{}, "at most 40000000"},
		"header lies":    {claimed(t, 6_000, 6_000), image.Point{}, "damaged"},
		"damaged png":    {flipped, image.Point{}, "damaged"},
		"text":           {[]byte("no picture"), image.Point{}, "no JPEG or PNG"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			img, err := Decode(tt.data)
			if tt.want != "" {
				if !errors.Is(err, ErrPicture) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if got := image.Pt(img.Cols(), img.Rows()); got != tt.size || img.Type() != gocv.MatTypeCV8UC3 {
				t.Errorf("%v of type %d, want %v of BGR", got, img.Type(), tt.size)
			}
		})
	}
}

func TestEnrol(t *testing.T) {
	r := recogniser(t)
	portrait := func(name string) []byte { return file(t, name) }
	obama, biden := portrait("obama.jpg"), portrait("biden.jpg")
	both := scene(t, portrait("obama2.jpg"), 100, 720)
	paste(t, &both, decoded(t, biden), 700, 720)
	blurred := gocv.NewMat()
	defer blurred.Close()
	gocv.GaussianBlur(decoded(t, obama), &blurred, image.Pt(0, 0), 6, 0, gocv.BorderDefault)
	small := scene(t, portrait("obama2.jpg"), 100, 140)
	enrolled := gallery(t)
	ann, err := r.Enrol("ann", [][]byte{obama, portrait("obama2.jpg"), portrait("obama3.jpg"), portrait("32bit.png")}, enrolled, 0.5)
	if err != nil || len(ann.Descriptors) != 4 || len(ann.Refused) != 0 {
		t.Fatalf("four good pictures: %d taken, %v, %v", len(ann.Descriptors), ann.Refused, err)
	}
	if err := enrolled.Replace([]Enrolled{{Person: "ann", Descriptors: ann.Descriptors}}); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		person   string
		pictures [][]byte
		want     []Reason // of the refused
	}{
		"again":         {"ann", [][]byte{portrait("obama_partial_face2.jpg")}, nil},
		"not ann":       {"ann", [][]byte{biden, portrait("obama3.jpg")}, []Reason{TwoPeople}},
		"another":       {"bob", [][]byte{biden}, nil},
		"somebody else": {"bob", [][]byte{portrait("obama_partial_face.jpg")}, []Reason{MatchesOther}},
		"mixed":         {"bob", [][]byte{biden, portrait("obama3.jpg")}, []Reason{MatchesOther}},
		"no face":       {"bob", [][]byte{encoded(t, scene(t, nil, 0, 0))}, []Reason{NoFace}},
		"two faces":     {"bob", [][]byte{encoded(t, both)}, []Reason{SeveralFaces}},
		"blurred":       {"ann", [][]byte{encoded(t, blurred)}, []Reason{Blurred}},
		"small":         {"ann", [][]byte{encoded(t, small)}, []Reason{SmallFace}},
		"no picture":    {"ann", [][]byte{[]byte("text"), obama[:len(obama)/2], obama}, []Reason{Unreadable, Unreadable}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := r.Enrol(tt.person, tt.pictures, enrolled, 0.5)
			if err != nil {
				t.Fatal(err)
			}
			var reasons []Reason
			for _, refusal := range e.Refused {
				t.Log(refusal)
				reasons = append(reasons, refusal.Reason)
			}
			if d := cmp.Diff(tt.want, reasons); d != "" {
				t.Error(d)
			}
			if len(e.Descriptors)+len(e.Refused) != len(tt.pictures) {
				t.Errorf("%d taken, %d refused, of %d", len(e.Descriptors), len(e.Refused), len(tt.pictures))
			}
		})
	}
	t.Run("two people", func(t *testing.T) {
		e, err := r.Enrol("cat", [][]byte{obama, biden}, gallery(t), 0.5)
		if err != nil || len(e.Descriptors) != 0 || len(e.Refused) != 2 || e.Refused[0].Reason != TwoPeople {
			t.Errorf("%d taken, %v, %v", len(e.Descriptors), e.Refused, err)
		}
	})
	t.Run("count", func(t *testing.T) {
		if _, err := r.Enrol("cat", make([][]byte, 11), enrolled, 0.5); !errors.Is(err, ErrCount) {
			t.Errorf("eleven: %v", err)
		}
	})
}

// still is a frame for the watcher; the picture is closed by its test.
type still struct {
	img    gocv.Mat
	closed func()
}

func (s still) Image() gocv.Mat  { return s.img }
func (s still) Taken() time.Time { return time.Now() }
func (s still) Close() error     { s.closed(); return nil }

func TestWatcher(t *testing.T) {
	r := recogniser(t)
	ann, empty := scene(t, file(t, "obama2.jpg"), 300, 720), scene(t, nil, 0, 0)
	e, err := r.Enrol("ann", [][]byte{file(t, "obama.jpg")}, gallery(t), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.Gone = 500 * time.Millisecond
	inputs := make(chan door.Input, 1000)
	w := NewWatcher(cfg, Place{"front", door.Entry}, r, gallery(t, Enrolled{Person: "ann", Descriptors: e.Descriptors}), &Numbers{}, func(in door.Input) { inputs <- in })
	if w.Snapshot() != nil {
		t.Error("a snapshot of nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	frames, done := make(chan still), make(chan struct{})
	go func() { defer close(done); Watch(ctx, w, frames) }()
	closed := make(chan struct{}, 1000)
	show := func(img gocv.Mat) { frames <- still{img, func() { closed <- struct{}{} }} }
	show(ann)
	show(ann)
	for range 2 {
		got := (<-inputs).(door.Face)
		if got.Door != "front" || got.Side != door.Entry || got.Track != 1 || got.Liveness != door.Unjudged {
			t.Errorf("got %+v", got)
		}
		if len(got.Near) != 1 || got.Near[0].Person != "ann" || got.Near[0].Distance > 0.5 {
			t.Errorf("near %v, want ann", got.Near)
		}
	}
	show(empty)
	if d := cmp.Diff(door.Input(door.Gone{Door: "front", Track: 1}), <-inputs); d != "" { // frames have stopped: it goes all the same
		t.Error(d)
	}
	if faces, err := r.Find(decoded(t, w.Snapshot())); err != nil || len(faces) != 1 {
		t.Errorf("the snapshot shows %d faces, %v", len(faces), err)
	}
	show(ann)
	if got := (<-inputs).(door.Face); got.Track != 2 {
		t.Errorf("track %d, want a new one", got.Track)
	}
	cancel()
	<-done
	if d := cmp.Diff(door.Input(door.Gone{Door: "front", Track: 2}), <-inputs); d != "" {
		t.Error(d)
	}
	if len(closed) != 4 {
		t.Errorf("%d of 4 frames closed", len(closed))
	}
}
