package face

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
)

// What the looks at a face tell together.
func TestJury(t *testing.T) {
	head := turn{yaw: 30, tilt: 28, bend: 0.015, noise: 0.002}
	sheet := turn{tilt: 35, bend: 0.003, noise: 0.002}
	for name, c := range map[string]struct {
		looks []turn
		want  door.Liveness
	}{
		"a head":                  {[]turn{head, head, head}, door.Live},
		"too few looks":           {[]turn{head, head}, ""},
		"a sheet":                 {[]turn{sheet, sheet, sheet}, door.Spoof},
		"both":                    {[]turn{head, sheet, head, sheet, head}, ""},
		"a head, and then more":   {[]turn{sheet, head, head, head, head}, door.Live},
		"hardly turned":           {[]turn{{yaw: 12, tilt: 10, bend: 0.015}, {yaw: 12, tilt: 10, bend: 0.015}, {yaw: 12, tilt: 10, bend: 0.015}}, ""},
		"as much noise as relief": {[]turn{{yaw: 30, bend: 0.015, noise: 0.01}, {yaw: 30, bend: 0.015, noise: 0.01}, {yaw: 30, bend: 0.015, noise: 0.01}}, ""},
		"turned too far to tell":  {[]turn{{yaw: 60, tilt: 60, bend: 0.02}, {yaw: 60, tilt: 60, bend: 0.02}, {yaw: 60, tilt: 60, bend: 0.02}}, ""},
		"a little turned, and seems tilted": {[]turn{{yaw: 11, tilt: 22, bend: 0.003}, {yaw: 12, tilt: 22, bend: 0.003},
			{yaw: 14, tilt: 25, bend: 0.004}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var j jury
			for _, l := range c.looks {
				j.hear(l)
			}
			if j.verdict != c.want {
				t.Errorf("verdict %q, want %q", j.verdict, c.want)
			}
		})
	}
}

// A camera that repeats itself is found out; one that works never is.
func TestStream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fresh := func(int) uint64 { return random.Uint64() }
	for name, c := range map[string]struct {
		frame func(i int) uint64
		want  Cause // in the end
	}{
		"a camera":          {fresh, ""},
		"frozen":            {func(int) uint64 { return 7 }, Frozen},
		"looped":            {func(i int) uint64 { return uint64(i % 30) }, Looped},
		"each frame twice":  {func(i int) uint64 { return uint64(i / 2) }, ""},
		"one repeated once": {func(i int) uint64 { return uint64(i) * min(1, uint64(i%40)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var s Stream
			var got Cause
			for i := range 100 {
				got = s.Frame(c.frame(i), time.Unix(1e9, 0).Add(time.Duration(i)*100*time.Millisecond))
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A loop is held against the camera for a while after it, and its memory has an end.
func TestStreamForgets(t *testing.T) {
	var s Stream
	now := time.Unix(1e9, 0)
	show := func(hash uint64) Cause { now = now.Add(100 * time.Millisecond); return s.Frame(hash, now) }
	for i := range 40 {
		show(uint64(i % 20))
	}
	if got := show(1000); got != Looped {
		t.Errorf("just after a loop: %q", got)
	}
	for i := range 2 * framesKept {
		show(uint64(2000 + i))
	}
	if got := show(9999); got != "" || len(s.seen) > framesKept || len(s.order) > framesKept {
		t.Errorf("long after it: %q, %d frames kept", got, len(s.seen))
	}
}
