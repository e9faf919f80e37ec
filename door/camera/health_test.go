package camera

import (
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
					h.frame(l.at, l.hash, l.mean)
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
		h.frame(time.Duration(i)*time.Second, i, 0)
	}
	if got, _ := h.judge(5 * time.Second); got != "" {
		t.Errorf("black: 0 still reports %q", got)
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
