//go:build vision

package camera

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gocv.io/x/gocv"
)

const patient = 20 * time.Second // far more than anything here takes

// feed is what every camera has.
type feed interface {
	Frames() <-chan Frame
	Close() error
}

// contract holds what every kind of camera must keep.
func contract(t *testing.T, open func(report func(reason, detail string)) (feed, error)) {
	reports := make(chan string, 100)
	cam, err := open(func(reason, _ string) { reports <- reason })
	if err != nil {
		t.Fatal(err)
	}
	var before time.Time
	for range 5 {
		f := next(t, cam)
		img, small := f.Image(), f.Small()
		if img.Type() != gocv.MatTypeCV8UC3 || img.Empty() {
			t.Errorf("a frame of type %d, %dx%d; want BGR", img.Type(), img.Cols(), img.Rows())
		}
		if small.Type() != gocv.MatTypeCV8UC1 || small.Cols() < smallSide || small.Cols() > img.Cols() || small.Cols()*img.Rows() != small.Rows()*img.Cols() {
			t.Errorf("small: type %d, %dx%d of %dx%d", small.Type(), small.Cols(), small.Rows(), img.Cols(), img.Rows())
		}
		if !f.Time.After(before) {
			t.Errorf("a frame of %s after one of %s", f.Time, before)
		}
		before = f.Time
		f.Close()
	}
	if got := <-reports; got != "" {
		t.Errorf("the first report is %q, want none", got)
	}
	if err := cam.Close(); err != nil {
		t.Error(err)
	}
	if _, more := <-cam.Frames(); more {
		t.Error("a frame after Close")
	}
	if err := cam.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

func next(t *testing.T, cam feed) Frame {
	t.Helper()
	select {
	case f, ok := <-cam.Frames():
		if !ok {
			t.Fatal("the camera ended")
		}
		return f
	case <-time.After(patient):
		t.Fatal("no frame comes")
	}
	return Frame{}
}

// with returns the defaults with another source.
func with(source string) Config {
	cfg := Defaults()
	cfg.Source, cfg.FPS = source, 30
	cfg.Hold = 100 * time.Millisecond
	return cfg
}

func openAs(cfg Config) func(func(string, string)) (feed, error) {
	return func(report func(string, string)) (feed, error) { return Open(cfg, report) }
}

// drawn is a picture with a shape at x, so that pictures differ.
func drawn(x int) gocv.Mat {
	m := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(200, 120, 60, 0), 240, 320, gocv.MatTypeCV8UC3)
	gocv.Rectangle(&m, image.Rect(x, 40, x+60, 200), color.RGBA{R: 255, G: 255, B: 255}, -1)
	return m
}

func pictureFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"a.jpg", "b.png", "c.jpeg"} {
		m := drawn(40 + 60*i)
		if !gocv.IMWrite(filepath.Join(dir, name), m) {
			t.Fatal("cannot write a picture")
		}
		m.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func videoFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.avi")
	w, err := gocv.VideoWriterFile(path, "MJPG", 30, 320, 240, true)
	if err != nil || !w.IsOpened() {
		t.Fatalf("cannot write a video: %v", err)
	}
	for i := range 3 { // fewer than are read: it plays again and again
		m := drawn(20 + 40*i)
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	w.Close()
	return path
}

func TestContract(t *testing.T) {
	t.Run("folder", func(t *testing.T) { contract(t, openAs(with(pictureFolder(t)))) })
	t.Run("picture", func(t *testing.T) {
		contract(t, openAs(with(filepath.Join(pictureFolder(t), "b.png"))))
	})
	t.Run("video", func(t *testing.T) { contract(t, openAs(with(videoFile(t)))) })
	t.Run("player", func(t *testing.T) {
		cfg := with(pictureFolder(t))
		contract(t, func(report func(string, string)) (feed, error) { return OpenPlayer(cfg, report) })
	})
	t.Run("http", func(t *testing.T) {
		s := newStreamer(t)
		contract(t, openAs(with(s.address())))
	})
	t.Run("device", func(t *testing.T) {
		if _, err := os.Stat("/dev/video0"); err != nil {
			t.Skip("SKIPPED: the USB camera's driver is untested here, there is no /dev/video0")
		}
		contract(t, openAs(Defaults()))
	})
}

func TestAFolderShowsAllItsPictures(t *testing.T) {
	cam, err := Open(with(pictureFolder(t)), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	seen := map[float64]bool{}
	for deadline := time.Now().Add(patient); len(seen) < 3 && time.Now().Before(deadline); {
		f := next(t, cam)
		img := f.Image()
		if img.Cols() != 1280 || img.Rows() != 720 {
			t.Fatalf("a frame of %dx%d", img.Cols(), img.Rows())
		}
		seen[brightColumn(img)] = true
		f.Close()
	}
	if len(seen) < 3 {
		t.Errorf("saw %d of three pictures", len(seen))
	}
}

// brightColumn is where the drawn shape stands, to tenths of the width.
func brightColumn(m gocv.Mat) float64 {
	for tenth := range 40 {
		if m.GetUCharAt(360, (tenth*m.Cols()/40)*3) > 245 {
			return float64(tenth)
		}
	}
	return -1
}

func TestPlayerShowsWhatItIsTold(t *testing.T) {
	player, err := OpenPlayer(with(pictureFolder(t)), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if got := player.Names(); !slices.Equal(got, []string{"a.jpg", "b.png", "c.jpeg"}) {
		t.Errorf("names %v", got)
	}
	until := func(what string, right func(gocv.Mat) bool) {
		t.Helper()
		for deadline := time.Now().Add(patient); time.Now().Before(deadline); {
			f := next(t, player)
			ok := right(f.Image())
			f.Close()
			if ok {
				return
			}
		}
		t.Fatalf("never saw %s", what)
	}
	empty := func(m gocv.Mat) bool { return brightColumn(m) < 0 }
	until("the empty doorway", empty)
	if err := player.Show("b.png"); err != nil {
		t.Fatal(err)
	}
	until("the picture", func(m gocv.Mat) bool { return brightColumn(m) > 0 })
	if err := player.Show("../b.png"); err == nil || !strings.Contains(err.Error(), "a.jpg, b.png, c.jpeg") {
		t.Errorf("a picture outside the folder: %v", err)
	}
	player.Clear()
	until("the empty doorway again", empty)
}

func TestPlayerFramesAreNotFrozen(t *testing.T) {
	a := doorway(Defaults())
	defer a.Close()
	b := a.Clone()
	defer b.Close()
	if err := addNoise(&a); err != nil {
		t.Fatal(err)
	}
	diff := gocv.NewMat()
	defer diff.Close()
	gocv.AbsDiff(a, b, &diff)
	if _, most, _, _ := gocv.MinMaxLoc(diff.Reshape(1, 0)); most != 1 {
		t.Errorf("the noise reaches %v, want 1", most)
	}
}

func TestPlayerWithoutPictures(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/nowhere"} {
		if _, err := OpenPlayer(with(dir), func(string, string) {}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// What is not there, or is no camera, is an error that says what to do; start makes it a problem.
func TestAbsentSources(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.avi")
	if err := os.WriteFile(text, []byte("no video"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ source, want string }{
		"device":       {"/dev/video77", "is the camera plugged in"},
		"index":        {"99", "is the camera plugged in"},
		"no device":    {"/dev/null", "no camera that can be read"},
		"closed port":  {"rtsp://ann:hunter2@127.0.0.1:1/x", "does not answer"},
		"file":         {"/nowhere/film.avi", "no such file"},
		"text":         {text, "no video or picture"},
		"empty folder": {t.TempDir(), "holds no .jpg"},
		"broken jpeg":  {brokenPicture(t), "no picture can be read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src, err := with(tt.source).opener()(t.Context())
			if err == nil {
				src.close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q; want %q in it", err, tt.want)
			}
		})
	}
}

func brokenPicture(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broken.jpg")
	if err := os.WriteFile(path, []byte("\xff\xd8\xff no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
