//go:build vision

package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	paint "image/draw"
	"image/jpeg"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// film is what an HTTP camera shows, a JPEG each; the last ones go on for ever.
type film struct {
	frames [][]byte
	rest   int             // so many at the end are shown again and again
	began  func(time.Time) // is told when the first is sent; may be nil
}

// filmCamera is a camera that sends motion JPEG over HTTP.
type filmCamera struct {
	server *httptest.Server
	fps    int
	film   atomic.Pointer[film]
	ended  chan struct{}
}

func newFilmCamera(tb testing.TB, fps int, f *film) *filmCamera {
	c := &filmCamera{fps: fps, ended: make(chan struct{})}
	c.film.Store(f)
	c.server = httptest.NewServer(c)
	tb.Cleanup(func() { close(c.ended); c.server.CloseClientConnections(); c.server.Close() })
	return c
}

func (c *filmCamera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	tick := time.NewTicker(time.Second / time.Duration(c.fps))
	defer tick.Stop()
	var shown *film
	next := 0
	for {
		select {
		case <-tick.C:
		case <-c.ended:
			return
		case <-r.Context().Done():
			return
		}
		f := c.film.Load()
		if f != shown {
			shown, next = f, 0
		}
		if next == 0 && f.began != nil {
			f.began(time.Now())
		}
		n := next
		if n >= len(f.frames) {
			n = len(f.frames) - f.rest + (n-len(f.frames))%f.rest
		}
		next++
		fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", len(f.frames[n]))
		if _, err := w.Write(append(f.frames[n], '\r', '\n')); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

// doorwayAt paints a doorway at 720p with the noise of a camera, and before it a portrait so
// many pixels high; none with 0.
func doorwayAt(tb testing.TB, seed uint64, portrait image.Image, height int) []byte {
	tb.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 1280, 720))
	wall := rand.New(rand.NewPCG(1, 1)) // the same in all frames
	for y := 0; y < 720; y += 16 {
		for x := 0; x < 1280; x += 16 {
			v := uint8(70 + x/16 + wall.IntN(40))
			paint.Draw(img, image.Rect(x, y, x+16, y+16), image.NewUniform(color.RGBA{v, v - 10, v - 25, 255}), image.Point{}, paint.Src)
		}
	}
	if height > 0 {
		b := portrait.Bounds()
		step := float64(b.Dy()) / float64(height)
		width := int(float64(b.Dx()) / step)
		at := image.Pt(640-width/2, 720-height)
		for y := range height {
			for x := range width {
				img.Set(at.X+x, at.Y+y, meanOf(portrait, b, x, y, step))
			}
		}
	}
	noise := rand.New(rand.NewPCG(seed, 2))
	for i := 0; i < len(img.Pix); i += 4 {
		n := int(noise.NormFloat64() * 3)
		for c := range 3 {
			img.Pix[i+c] = uint8(min(max(int(img.Pix[i+c])+n, 0), 255))
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 85}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// meanOf is the pixel of a picture made smaller by step.
func meanOf(img image.Image, b image.Rectangle, x, y int, step float64) color.Color {
	var r, g, bl, n uint32
	for v := int(float64(y) * step); v < max(int(float64(y+1)*step), int(float64(y)*step)+1); v++ {
		for u := int(float64(x) * step); u < max(int(float64(x+1)*step), int(float64(x)*step)+1); u++ {
			pr, pg, pb, _ := img.At(b.Min.X+u, b.Min.Y+v).RGBA()
			r, g, bl, n = r+pr>>8, g+pg>>8, bl+pb>>8, n+1
		}
	}
	return color.RGBA{uint8(r / n), uint8(g / n), uint8(bl / n), 255}
}

func portrait(tb testing.TB, name string) image.Image {
	tb.Helper()
	f, err := os.Open(filepath.Join(portraits(), name))
	if err != nil {
		tb.Skip("SKIPPED, faces are unmeasured here: no sample portraits: ", err)
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		tb.Fatal(err)
	}
	return img
}

const cameraNoises = 12 // frames of the same scene with other noise

func scenes(tb testing.TB, p image.Image, height int) [][]byte {
	var all [][]byte
	for n := range uint64(cameraNoises) {
		all = append(all, doorwayAt(tb, n+1, p, height))
	}
	return all
}

// doorwayBench is a hub before whose one camera nobody stands, with somebody enrolled.
type doorwayBench struct {
	*benchHub
	cam   *filmCamera
	empty *film
}

func newDoorwayBench(b *testing.B, fps int) *doorwayBench {
	b.Helper()
	was := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	b.Cleanup(func() { slog.SetDefault(was) })
	nobody := scenes(b, nil, 0)
	empty := &film{frames: nobody, rest: len(nobody)}
	cam := newFilmCamera(b, fps, empty)
	cfg := demoConfig(shortTempDir(b))
	cfg.demo = false
	cfg.Broker.Listen, cfg.House.Quiet = "127.0.0.1:0", 0 // each time is logged
	cfg.Doors[0].Cameras = cfg.Doors[0].Cameras[:1]
	cfg.Doors[0].Cameras[0].Source = cam.server.URL
	err := store.CreateKey(cfg.Data)
	if err == nil {
		err = enrolDemo(b.Context(), cfg)
	}
	if err != nil {
		b.Fatal(err)
	}
	hub, err := startHub(b.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := hub.close(); err != nil {
			b.Error(err)
		}
	})
	h := &benchHub{hub: hub, b: b, records: make(chan door.Record, 1024)}
	h.watch(func(r door.Record) { h.records <- r })
	return &doorwayBench{h, cam, empty}
}

// known clears the doorway, shows a film from its first frame on, and times from when that was
// sent until it is known who is in it, the record durable.
func (d *doorwayBench) known(frames [][]byte, rest int) time.Duration {
	d.cam.film.Store(d.empty)
	<-time.After(d.cfg.Face.Gone + time.Second + rand.N(300*time.Millisecond))
	for len(d.records) > 0 {
		<-d.records
	}
	began := make(chan time.Time, 1)
	d.cam.film.Store(&film{frames, rest, func(at time.Time) { began <- at }})
	start := <-began
	d.await(func(r door.Record) bool { return r.Kind == door.KindSeen && r.Person != "" })
	return time.Since(start)
}

// used returns the CPU time of the process.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	emptySettle = 5 * time.Second // until the gate knows the noise
	emptyFor    = 20 * time.Second
	arrivals    = 12
)

// BenchmarkEmptyDoorway is the CPU time of a whole hub, and of the camera that sends 720p to
// it, while nobody is there; and how long until it is known who has come.
func BenchmarkEmptyDoorway(b *testing.B) {
	d := newDoorwayBench(b, 15)
	somebody := scenes(b, portrait(b, "obama2.jpg"), 700)
	var cost float64
	var took []time.Duration
	for b.Loop() {
		d.cam.film.Store(d.empty)
		<-time.After(emptySettle)
		began, cpu := time.Now(), used(b)
		<-time.After(emptyFor)
		cost += 100 * float64(used(b)-cpu) / float64(time.Since(began))
		for range arrivals {
			took = append(took, d.known(somebody, len(somebody)))
		}
	}
	b.ReportMetric(cost/float64(b.N), "cpu-%")
	b.ReportMetric(median(took).Seconds()*1e3, "known-p50-ms")
	b.ReportMetric(slices.Max(took).Seconds()*1e3, "known-max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWalkUp is somebody who comes nearer at ten frames a second: from the first frame,
// with a face of 80 pixels, until it is known who that is.
func BenchmarkWalkUp(b *testing.B) {
	d := newDoorwayBench(b, 10)
	barack := portrait(b, "obama2.jpg")
	var walk [][]byte
	for height := 306.0; height < 700; height *= 1.05 { // the face is 0.262 of the picture
		walk = append(walk, doorwayAt(b, uint64(len(walk)), barack, int(height)))
	}
	var took []time.Duration
	for b.Loop() {
		for range arrivals {
			took = append(took, d.known(walk, 1))
		}
	}
	b.ReportMetric(median(took).Seconds()*1e3, "known-p50-ms")
	b.ReportMetric(slices.Max(took).Seconds()*1e3, "known-max-ms")
	b.ReportMetric(0, "ns/op")
}
