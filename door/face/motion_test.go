package face

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"
)

var small = image.Pt(gateWidth, 90)

// picture is a grey small picture with noise of so many levels, and a lighter rectangle.
func picture(rng *rand.Rand, noise int, light image.Rectangle) []byte {
	grey := make([]byte, small.X*small.Y)
	for i := range grey {
		v := 96
		if image.Pt(i%small.X, i/small.X).In(light) {
			v = 160
		}
		if noise > 0 {
			v += rng.IntN(2*noise+1) - noise
		}
		grey[i] = byte(v)
	}
	return grey
}

func TestGate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var none image.Rectangle
	somebody := image.Rect(60, 40, 72, 56)
	quiet := func(g *gate, noise int, light image.Rectangle, looks int) {
		for range looks {
			g.look(picture(rng, noise, light), small)
		}
	}
	var g gate
	if got := g.look(picture(rng, 3, none), small); len(got) != 1 || got[0] != (image.Rectangle{Max: small}) {
		t.Errorf("first look: %v, want all of it", got)
	}
	if got := g.look(picture(rng, 3, none), small); len(got) != 0 {
		t.Errorf("nothing moves: %v", got)
	}
	got := g.look(picture(rng, 3, somebody), small)
	if len(got) != 1 || !somebody.In(got[0]) || area(got[0]) > small.X*small.Y/4 {
		t.Errorf("somebody comes: %v, want what is around %v", got, somebody)
	}
	quiet(&g, 3, somebody, 200)
	if got := g.look(picture(rng, 3, somebody), small); len(got) != 0 {
		t.Errorf("who stands still does not move: %v", got)
	}
	if got := g.look(picture(rng, 3, none), small); len(got) != 1 {
		t.Errorf("who goes moves: %v", got)
	}
	if got := g.look(picture(rng, 3, somebody), small); len(got) != 1 {
		t.Errorf("who is back at once moves: %v", got)
	}
	two := g.look(picture(rng, 3, image.Rect(8, 8, 24, 24)), small)
	if len(two) != 2 {
		t.Errorf("one gone, one come: %v", two)
	}
}

// A dark camera's noise must not keep the detector busy, nor hide who comes.
func TestGateGetsUsedToNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var g gate
	var none image.Rectangle
	for range 400 {
		g.look(picture(rng, 12, none), small)
	}
	moved := 0
	for range 100 {
		if len(g.look(picture(rng, 12, none), small)) > 0 {
			moved++
		}
	}
	if moved > 5 {
		t.Errorf("noise counted as motion in %d of 100 looks", moved)
	}
	come := image.Rect(60, 40, 72, 56)
	if got := g.look(picture(rng, 12, come), small); len(got) == 0 {
		t.Error("nobody saw who came")
	}
}

func TestGateStartsAnewWithAnotherSize(t *testing.T) {
	var g gate
	g.look(make([]byte, 160*90), image.Pt(160, 90))
	if got := g.look(make([]byte, 160*120), image.Pt(160, 120)); len(got) != 1 || got[0].Max != image.Pt(160, 120) {
		t.Errorf("got %v", got)
	}
}

func TestJoined(t *testing.T) {
	got := joined([]image.Rectangle{image.Rect(0, 0, 10, 10), image.Rect(50, 0, 60, 10), image.Rect(20, 0, 30, 10), image.Rect(5, 5, 25, 15)})
	want := []image.Rectangle{image.Rect(0, 0, 30, 15), image.Rect(50, 0, 60, 10)}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
