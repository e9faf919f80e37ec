package camera

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// look is one frame, and the problem right after it; hash 0 stands for no frame, only a
// check.
type look struct {
	at   time.Duration
	hash uint64
	mean float64
	want string
}

func TestHealth(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string][]look{
		"well": {
			{100 * ms, 1, 90, ""}, {2000 * ms, 2, 90, ""}, {4000 * ms, 3, 90, ""},
		},
		"never a frame": {
			{2499 * ms, 0, 0, ""}, {2500 * ms, 0, 0, Lost}, {time.Hour, 0, 0, Lost},
		},
		"hung, then back": {
			{0, 1, 90, ""}, {2499 * ms, 0, 0, ""}, {2500 * ms, 0, 0, Lost}, {9 * time.Second, 2, 90, ""},
		},
		"black": {
			{0, 1, 90, ""}, {1000 * ms, 2, 1, ""}, {2400 * ms, 3, 1, ""}, {2500 * ms, 4, 3.9, Black}, {2600 * ms, 5, 4, ""},
		},
		"black from the start": {
			{0, 1, 0, ""}, {2000 * ms, 2, 0, ""}, {2500 * ms, 3, 0, Black},
		},
		"a blink of black": {
			{0, 1, 90, ""}, {2400 * ms, 2, 0, ""}, {2450 * ms, 3, 90, ""}, {2600 * ms, 4, 0, ""},
		},
		"frozen": {
			{0, 1, 90, ""}, {1000 * ms, 7, 90, ""}, {3400 * ms, 7, 90, ""}, {3500 * ms, 7, 90, Frozen}, {3600 * ms, 8, 90, ""},
		},
		"black and frozen is black": {
			{0, 1, 0, ""}, {1500 * ms, 1, 0, ""}, {3000 * ms, 1, 0, Black},
		},
		"frozen then hung": {
			{0, 1, 90, ""}, {2000 * ms, 1, 90, ""}, {2500 * ms, 1, 90, Frozen}, {5000 * ms, 0, 0, Lost},
		},
		"the same frame after a gap is judged afresh": {
			{0, 1, 90, ""}, {5000 * ms, 0, 0, Lost}, {5100 * ms, 1, 90, ""}, {7500 * ms, 1, 90, ""}, {7600 * ms, 1, 90, Frozen},
		},
		"a black frame after a gap is judged afresh": {
			{0, 1, 90, ""}, {5000 * ms, 0, 0, Lost}, {5100 * ms, 2, 0, ""}, {7500 * ms, 3, 0, ""}, {7600 * ms, 4, 0, Black},
		},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHealth(0, 4)
			for _, l := range looks {
				if l.hash != 0 {
					h.frame(l.at, l.hash, tone{mean: l.mean})
				}
				if got, _ := h.judge(l.at); got != l.want {
					t.Errorf("at %s: %q, want %q", l.at, got, l.want)
				}
			}
		})
	}
}

func TestHealthNeverBlackWhenOff(t *testing.T) {
	h := newHealth(0, 0)
	for i := range uint64(5) {
		h.frame(time.Duration(i)*time.Second, i, tone{})
	}
	if got, _ := h.judge(5 * time.Second); got != "" {
		t.Errorf("black: 0 still reports %q", got)
	}
}

func TestHealthNoise(t *testing.T) {
	h := newHealth(0, 4)
	for i, want := range []string{"", "", "", Noise, ""} {
		at, shown := time.Duration(i)*time.Second, tone{90, 1.1}
		if i == 4 {
			shown.grain = 0.3
		}
		h.frame(at, uint64(i+1), shown)
		if got, _ := h.judge(at); got != want {
			t.Errorf("after %s: %q, want %q", at, got, want)
		}
	}
}

func TestTone(t *testing.T) {
	const width, height = 160, 90
	random := rand.New(rand.NewPCG(1, 1))
	picture := func(of func(x, y int) float64) (all []byte) {
		for y := range height {
			for x := range width {
				all = append(all, byte(min(max(of(x, y), 0), 255)))
			}
		}
		return all
	}
	edges := func(x, y int) float64 { return float64(60 + x/10*37%120 + y/8*53%60) }
	for name, tt := range map[string]struct {
		of    func(x, y int) float64
		mean  float64
		noise bool
	}{
		"white noise":     {func(x, y int) float64 { return 100 + 30*random.NormFloat64() }, 100, true},
		"weak noise":      {func(x, y int) float64 { return 100 + 9*random.NormFloat64() }, 100, true},
		"a noisy doorway": {func(x, y int) float64 { return edges(x, y) + 8*random.NormFloat64() }, 150, false},
		"a doorway":       {edges, 150, false},
		"a wall at night": {func(x, y int) float64 { return 20 + 2*random.NormFloat64() }, 20, false},
		"a ramp":          {func(x, y int) float64 { return float64(x) }, 80, false},
		"black":           {func(x, y int) float64 { return 0 }, 0, false},
	} {
		got := toneOf(picture(tt.of), width)
		if math.Abs(got.mean-tt.mean) > 15 || (got.grain >= noiseGrain) != tt.noise {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := toneOf(nil, 0); got != (tone{}) {
		t.Errorf("nothing: %+v", got)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	var got []time.Duration
	for range 9 {
		got = append(got, b.wait())
	}
	b.reset()
	got = append(got, b.wait())
	const s = time.Second
	want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s, 30 * s, s / 2}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
