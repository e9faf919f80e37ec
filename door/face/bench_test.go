//go:build vision

package face

import (
	"image"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face/dlib/network"
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

// firstSight returns the CPU time from a decoded frame of twelve people until all of them are
// found, described and told.
func firstSight(b *testing.B, r *Recogniser, img gocv.Mat) time.Duration {
	b.Helper()
	told := 0
	w := watching(b, r, func(door.Input) { told++ })
	began := processor(b)
	w.look(show(img, time.Now()))
	used := processor(b) - began
	if told != 12 {
		b.Fatalf("%d faces told, want 12", told)
	}
	return used
}

// BenchmarkCrowd is the first sight of twelve people, beside the floor: what the network alone
// takes to describe as many.
func BenchmarkCrowd(b *testing.B) {
	const rounds = 7
	r := recogniser(b)
	img := decoded(b, shared(b, "crowd12.jpg"))
	floor := describing(b, 12)
	firstSight(b, r, img)
	floor()
	var looks, floors, ratios []float64
	for b.Loop() {
		for range rounds {
			looks, floors = append(looks, millis(firstSight(b, r, img))), append(floors, millis(floor()))
			ratios = append(ratios, looks[len(looks)-1]/floors[len(floors)-1])
		}
	}
	b.ReportMetric(middle(looks), "cpu-ms")
	b.ReportMetric(middle(floors), "floor-ms")
	b.ReportMetric(middle(ratios), "floors")
	b.ReportMetric(0, "ns/op")
}

// describing returns what describes so many faces, cut out and upright already, and returns
// the CPU time.
func describing(b *testing.B, faces int) func() time.Duration {
	b.Helper()
	dir, err := Defaults().ModelFolder()
	if err != nil {
		b.Fatal(err)
	}
	n, err := network.New(filepath.Join(dir, models()[0].name))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.Close)
	chip := gocv.NewMat()
	defer chip.Close()
	gocv.Resize(decoded(b, file(b, "obama.jpg")), &chip, image.Pt(network.Side, network.Side), 0, 0, gocv.InterpolationArea)
	pixels := chip.ToBytes()
	return func() time.Duration {
		began := processor(b)
		for range faces {
			if _, err := n.Describe(pixels); err != nil {
				b.Fatal(err)
			}
		}
		return processor(b) - began
	}
}

// standingFrames is ten seconds at ten frames a second.
const standingFrames = 100

// BenchmarkStanding is the same people for ten seconds, after the first sight: they sway a
// little, and the camera has noise.
func BenchmarkStanding(b *testing.B) {
	r := recogniser(b)
	scenes := swaying(b, decoded(b, shared(b, "crowd12.jpg")), 10)
	var used time.Duration
	for b.Loop() {
		used += stay(b, r, scenes)
	}
	b.ReportMetric(millis(used)/float64(b.N)/standingFrames, "cpu-ms/frame")
	b.ReportMetric(0, "ns/op")
}

// stay returns the CPU time of ten seconds after the first sight.
func stay(b *testing.B, r *Recogniser, scenes []gocv.Mat) time.Duration {
	b.Helper()
	told := 0
	w := watching(b, r, func(door.Input) { told++ })
	start, due := time.Now(), time.Time{}
	var first time.Duration
	for n := range standingFrames + 1 {
		if n == 1 {
			told, first = 0, processor(b)
		}
		at := start.Add(time.Duration(n) * 100 * time.Millisecond)
		if at.Before(due) {
			continue // Watch would leave it to the camera
		}
		began := time.Now()
		next := w.look(show(scenes[n%len(scenes)], at))
		due = at.Add(next.Sub(began))
	}
	if told < 12*standingFrames/2 {
		b.Fatalf("%d faces told, want at least every other frame's", told)
	}
	return processor(b) - first
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

// BenchmarkNewRecogniser is what one set of models takes, in time and in memory.
func BenchmarkNewRecogniser(b *testing.B) {
	recogniser(b)
	before := resident(b, "VmRSS")
	var each []float64
	for b.Loop() {
		r, err := NewRecogniser(Defaults())
		if err != nil {
			b.Fatal(err)
		}
		each = append(each, float64(resident(b, "VmRSS")-before)*1024/1e6)
		r.Close()
	}
	b.ReportMetric(middle(each), "MB")
}
