//go:build vision

package face

import (
	"image"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"gocv.io/x/gocv"
)

// processor returns the CPU time that the process has used.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func watching(b *testing.B, r *Recogniser, send func(door.Input)) *Watcher {
	b.Helper()
	return NewWatcher(Defaults(), Place{"front", door.Entry}, r, &Gallery{}, &Numbers{}, send)
}

// shown is a frame at a time of a benchmark's own.
type shown struct {
	still
	at time.Time
}

func (s shown) Taken() time.Time { return s.at }

func show(img gocv.Mat, at time.Time) shown { return shown{still{img, func() {}}, at} }

// BenchmarkCrowd is the first sight of twelve people, from a decoded frame until all of them
// are described and told.
func BenchmarkCrowd(b *testing.B) {
	r := recogniser(b)
	img := decoded(b, shared(b, "crowd12.jpg"))
	var used time.Duration
	for b.Loop() {
		told := 0
		w := watching(b, r, func(door.Input) { told++ })
		began := processor(b)
		w.look(show(img, time.Now()))
		used += processor(b) - began
		if told != 12 {
			b.Fatalf("%d faces told, want 12", told)
		}
	}
	b.ReportMetric(float64(used.Microseconds())/1e3/float64(b.N), "cpu-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkStanding is the same people for ten seconds at ten frames a second, after the
// first sight: they sway a little, and the camera has noise.
func BenchmarkStanding(b *testing.B) {
	const frames = 100
	r := recogniser(b)
	scenes := swaying(b, decoded(b, shared(b, "crowd12.jpg")), 10)
	var used time.Duration
	told := 0
	for b.Loop() {
		w := watching(b, r, func(door.Input) { told++ })
		start := time.Now()
		due := time.Time{}
		for n := range frames + 1 {
			if n == 1 {
				told, used = 0, used-processor(b)
			}
			at := start.Add(time.Duration(n) * 100 * time.Millisecond)
			if at.Before(due) {
				continue // Watch would leave it to the camera
			}
			began := time.Now()
			next := w.look(show(scenes[n%len(scenes)], at))
			due = at.Add(next.Sub(began))
		}
		used += processor(b)
		if told < 12*frames/2 {
			b.Fatalf("%d faces told, want at least every other frame's", told)
		}
	}
	b.ReportMetric(float64(used.Microseconds())/1e3/float64(b.N)/frames, "cpu-ms/frame")
	b.ReportMetric(0, "ns/op")
}

// swaying returns pictures of a scene that moves by a few pixels, with noise.
func swaying(b *testing.B, img gocv.Mat, n int) []gocv.Mat {
	b.Helper()
	var all []gocv.Mat
	rng := gocv.TheRNG()
	noise := gocv.NewMatWithSize(img.Rows(), img.Cols(), gocv.MatTypeCV8UC3)
	defer noise.Close()
	for i := range n {
		m := gocv.NewMatWithSize(2, 3, gocv.MatTypeCV64F)
		m.SetDoubleAt(0, 0, 1)
		m.SetDoubleAt(1, 1, 1)
		m.SetDoubleAt(0, 2, 3*float64(i%5)-6)
		m.SetDoubleAt(1, 2, 2*float64(i%3)-2)
		moved := gocv.NewMat()
		gocv.WarpAffine(img, &moved, m, image.Pt(img.Cols(), img.Rows()))
		m.Close()
		rng.Fill(&noise, gocv.RNGDistNormal, 0, 4, false)
		gocv.Add(moved, noise, &moved)
		b.Cleanup(func() { moved.Close() })
		all = append(all, moved)
	}
	return all
}

func BenchmarkFind720p(b *testing.B) {
	r := recogniser(b)
	img := scene(b, file(b, "obama2.jpg"), 300, 720)
	for b.Loop() {
		if faces, err := r.Find(img); err != nil || len(faces) != 1 {
			b.Fatal(len(faces), err)
		}
	}
}

func BenchmarkFindEmpty720p(b *testing.B) {
	r := recogniser(b)
	img := scene(b, nil, 0, 0)
	for b.Loop() {
		if faces, err := r.Find(img); err != nil || len(faces) != 0 {
			b.Fatal(len(faces), err)
		}
	}
}

func BenchmarkNewRecogniser(b *testing.B) {
	recogniser(b)
	for b.Loop() {
		r, err := NewRecogniser(Defaults())
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
