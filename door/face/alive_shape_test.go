package face

import (
	"math"
	"math/rand/v2"
	"testing"
)

// solid is how far a face's points lie behind the tip of its nose, in eye distances.
type solid func(x, y float64) float64

func flatFace(x, y float64) float64 { return 0 }

// rolledFace is a sheet round an upright cylinder, as a print is held.
func rolledFace(x, y float64) float64 { return 3 - math.Sqrt(9-x*x) }

// headFace is an ellipsoid with a nose on it.
func headFace(x, y float64) float64 {
	skull := 1.5 * math.Sqrt(max(0, 1-x*x/1.5-(y-0.4)*(y-0.4)/4))
	nose := 0.32 * max(0, min(y/0.6, (0.9-y)/0.3)) * max(0, 1-math.Abs(x)/0.25)
	return 1.5 - skull - nose
}

// views returns where 140 points of a face are seen, from the front and turned, from ten eye
// distances away, as the tracking errs.
func views(r *rand.Rand, s solid, yaw, pitch float64) []match {
	see := func(x, y, yaw, pitch float64) point {
		z := s(x, y) - 1
		sin, cos := math.Sincos(pitch * math.Pi / 180)
		y, z = cos*y-sin*z, sin*y+cos*z
		sin, cos = math.Sincos(yaw * math.Pi / 180)
		x, z = cos*x-sin*z, sin*x+cos*z
		return point{10 * x / (11 + z), 10 * y / (11 + z)}
	}
	norm := similarity(see(-0.5, 0, 0, 0), see(0.5, 0, 0, 0), point{-0.5, 0}, point{0.5, 0})
	var ms []match
	for len(ms) < 140 {
		x, y := 2*r.Float64()-1, 2.6*r.Float64()-0.7
		if from := norm.apply(see(x, y, 0, 0)); innerFace(from) {
			to := see(x, y, yaw, pitch)
			ms = append(ms, match{from, point{to.x + 0.001*r.NormFloat64(), to.y + 0.001*r.NormFloat64()}, 1})
		}
	}
	return ms
}

// unmoved takes a plane's motion out of matches, as following a face does.
func unmoved(t *testing.T, ms []match) ([]match, homography) {
	t.Helper()
	h, ok := robustPlane(ms, 0.001)
	if !ok {
		t.Fatal("no plane fits")
	}
	undo := h.inverse()
	for i := range ms {
		ms[i].to = undo.apply(ms[i].to)
	}
	return ms, h
}

// Neither a plane nor a bent sheet shows a head's relief, whichever way it is turned; a head
// does, and it is told which way it turns.
func TestMeasure(t *testing.T) {
	for _, turned := range []point{{30, 0}, {-30, 0}, {0, 25}, {0, -25}, {25, 15}} {
		for name, s := range map[string]solid{"flat": flatFace, "rolled": rolledFace, "head": headFace} {
			r := rand.New(rand.NewPCG(3, 4)) // for each the same: their order changes
			ms, moved := unmoved(t, views(r, s, turned.x, turned.y))
			got, ok := measure(ms, moved, 0.001)
			if !ok {
				t.Errorf("%s turned by %v: not measured", name, turned)
				continue
			}
			relief := got.bend / math.Sin(max(got.tilt, math.Hypot(got.yaw, got.pitch))*math.Pi/180)
			switch {
			case name != "head" && relief > reliefMost:
				t.Errorf("%s turned by %v: relief %.4f", name, turned, relief)
			case name == "head" && turned.y >= 0 && relief < reliefLeast: // of this plain head, less is seen from below
				t.Errorf("%s turned by %v: relief %.4f", name, turned, relief)
			case name == "head" && (point{got.yaw, got.pitch}).dot(turned) < 0.5*turned.dot(turned):
				t.Errorf("%s turned by %v: taken for %.0f, %.0f", name, turned, got.yaw, got.pitch)
			}
		}
	}
	few, moved := unmoved(t, views(rand.New(rand.NewPCG(3, 4)), headFace, 30, 0)[:leastPoints+5])
	if got, ok := measure(few[:leastPoints-1], moved, 0.001); ok {
		t.Errorf("judged by %d points", got.points)
	}
}
