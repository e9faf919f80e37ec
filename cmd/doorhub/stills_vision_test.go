//go:build vision

package main

import (
	"bytes"
	"image/jpeg"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/doorhub/doorhub/broker"
)

// Stills come while somebody is before the camera, and no more when they have left.
func TestStills(t *testing.T) {
	h := startWatched(t)
	var last atomic.Pointer[broker.Message]
	var n atomic.Int32
	must(t, h.client("homeassistant").Subscribe(soon(t), "doorhub/door/front/camera", 0, func(m broker.Message) {
		last.Store(&m)
		n.Add(1)
	}))
	h.shows("obama.jpg")
	until(t, "two stills", func() bool { return n.Load() >= 2 })
	m := last.Load()
	if c, err := jpeg.DecodeConfig(bytes.NewReader(m.Payload)); err != nil || c.Width < 100 || m.Retain {
		t.Errorf("a still of %d pixels, retained: %v, error: %v", c.Width, m.Retain, err)
	}
	h.shows("")
	h.leaves()
	before := n.Load()
	h.shows("obama.jpg")
	until(t, "one more", func() bool { return n.Load() > before })
	if gone := before - 2; gone > 10 {
		t.Errorf("%d stills of an empty doorway", gone)
	}
}

// Of two cameras before one door each still is told once: what one saw last is not told again
// and again because the other saw something else.
func TestStillsOfTwoCameras(t *testing.T) {
	first, second, third := []byte("first"), []byte("second"), []byte("third")
	told, got := stills{}, []bool{}
	for _, c := range []struct {
		camera int
		still  []byte
	}{{0, nil}, {0, first}, {1, second}, {0, first}, {1, second}, {1, third}, {0, first}} {
		got = append(got, told.news(c.camera, c.still))
	}
	if want := []bool{false, true, true, false, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
