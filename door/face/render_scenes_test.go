//go:build vision

package face

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gocv.io/x/gocv"
)

// clip is a scene before the virtual camera: the frames of one presentation.
type clip struct {
	kind     string
	lens     lens
	sensor   *sensor
	surfaces []*surface
	back     []float32
	length   time.Duration
	every    time.Duration // from frame to frame
	random   *rand.Rand
	truth    func(t float64) stance // how the face is turned
}

// frames calls show with each frame: the window of it, and its time.
func (c *clip) frames(t testing.TB, show func(at time.Duration, frame gocv.Mat) (more bool)) {
	t.Helper()
	drawn := newCanvas(c.lens.window)
	for at := time.Duration(0); at < c.length; at += c.every {
		frame := c.frame(t, drawn, at.Seconds())
		more := show(at, frame)
		frame.Close()
		if !more {
			return
		}
	}
}

func (c *clip) frame(t testing.TB, drawn *canvas, at float64) gocv.Mat {
	t.Helper()
	c.draw(drawn, at)
	if c.sensor.blur > 0 { // the shutter is open for a while
		sum := append([]float32(nil), drawn.pixels...)
		const steps = 4
		for i := 1; i < steps; i++ {
			c.draw(drawn, at+c.sensor.blur*float64(i)/steps)
			for j, p := range drawn.pixels {
				sum[j] += p
			}
		}
		for j, p := range sum {
			drawn.pixels[j] = p / steps
		}
	}
	return c.sensor.take(t, drawn, at)
}

func (c *clip) draw(drawn *canvas, at float64) {
	drawn.clear(c.back)
	for _, s := range c.surfaces {
		drawn.draw(&c.lens, s, at)
	}
}

// sway is a sum of slow waves: nobody stands still.
func sway(r *rand.Rand, size, slowest, fastest float64) func(t float64) float64 {
	type wave struct{ a, f, p float64 }
	waves := make([]wave, 4)
	for i := range waves {
		waves[i] = wave{size * r.NormFloat64() / 2, slowest + (fastest-slowest)*r.Float64(), 2 * math.Pi * r.Float64()}
	}
	return func(t float64) float64 {
		v := 0.0
		for _, w := range waves {
			v += w.a * (math.Sin(2*math.Pi*w.f*t+w.p) - math.Sin(w.p))
		}
		return v
	}
}

// ease goes from 0 to 1 between from and to, beginning and ending slowly.
func ease(t, from, to float64) float64 {
	x := min(max((t-from)/(to-from), 0), 1)
	return x * x * (3 - 2*x)
}

// there goes to amount and back.
func thereAndBack(amount, at, turn, hold float64) func(float64) float64 {
	return func(t float64) float64 {
		return amount * (ease(t, at, at+turn) - ease(t, at+turn+hold, at+2*turn+hold))
	}
}

func between2(r *rand.Rand, low, high float64) float64 { return low + (high-low)*r.Float64() }
func eitherSign(r *rand.Rand, v float64) float64 {
	if r.IntN(2) == 0 {
		return -v
	}
	return v
}

func newClip(r *rand.Rand, kind string) *clip {
	c := &clip{kind: kind, random: r, length: 3500 * time.Millisecond, every: 100 * time.Millisecond}
	c.lens = lens{focal: between2(r, 750, 1400), distortion: between2(r, -0.15, 0.05),
		light: vec3{between2(r, -0.7, 0.7), between2(r, -0.9, 0.2), -1}.unit()}
	if r.IntN(2) == 0 {
		c.lens.readout = between2(r, 0.008, 0.03)
	}
	c.sensor = newSensor(r)
	c.sensor.noise = between2(r, 1, 4)
	c.sensor.quality = 65 + r.IntN(30)
	if r.IntN(3) == 0 {
		c.sensor.blur = between2(r, 0.005, 0.03)
	}
	drift := sway(r, 0.04, 0.1, 1)
	base := between2(r, 0.75, 1.15)
	c.sensor.exposure = func(t float64) float64 { return base * (1 + drift(t)) }
	return c
}

// stand puts a face of that many pixels between the eyes into the frame and chooses the window.
func (c *clip) stand(eyes, size float64) vec3 {
	z := size * c.lens.focal / eyes
	x, y := between2(c.random, -0.3, 0.3), between2(c.random, -0.15, 0.15)
	side := min(int(eyes*5.6), frameHeight) &^ 1
	half := side / 2
	cx := min(max(frameWidth/2+int(c.lens.focal*x), half), frameWidth-half)
	cy := min(max(frameHeight/2+int(c.lens.focal*y), half), frameHeight-half)
	c.lens.window = image.Rect(cx-half, cy-half, cx+half, cy+half)
	at := vec3{(float64(cx) - frameWidth/2) / c.lens.focal * z, (float64(cy) - frameHeight/2) / c.lens.focal * z, z}
	c.back = background(c.random, side)
	return at
}

// background is a wall with things on it.
func background(r *rand.Rand, side int) []float32 {
	out := make([]float32, 3*side*side)
	base, slope := between2(r, 60, 190), between2(r, -60, 60)
	for y := range side {
		for x := range side {
			v := float32(base + slope*float64(x)/float64(side))
			i := 3 * (y*side + x)
			out[i], out[i+1], out[i+2] = v, v, v
		}
	}
	for range 12 {
		x0, y0 := r.IntN(side), r.IntN(side)
		w, h := 5+r.IntN(side/3), 5+r.IntN(side/3)
		b, g, d := float32(r.IntN(256)), float32(r.IntN(256)), float32(r.IntN(256))
		for y := y0; y < min(y0+h, side); y++ {
			for x := x0; x < min(x0+w, side); x++ {
				i := 3 * (y*side + x)
				out[i], out[i+1], out[i+2] = b, g, d
			}
		}
	}
	return out
}

// genuine is somebody who walks up and looks around as people do.
func genuine(r *rand.Rand, s *sitter) *clip {
	c := newClip(r, "genuine")
	eyes := between2(r, 36, 90)
	at := c.stand(eyes, eyeDistance)
	yaw, pitch := between2(r, 18, 40), between2(r, 0, 8)
	if r.IntN(3) == 0 {
		yaw, pitch = between2(r, 0, 10), between2(r, 18, 32)
	}
	turnYaw := thereAndBack(eitherSign(r, yaw), between2(r, 0.4, 1.2), between2(r, 0.5, 1.1), between2(r, 0, 0.5))
	turnPitch := thereAndBack(eitherSign(r, pitch), between2(r, 0.4, 1.2), between2(r, 0.5, 1.1), between2(r, 0, 0.5))
	c.walk(r, at, turnYaw, turnPitch, 0.6)
	c.surfaces = []*surface{s.head(randomSkull(r), eyes, c.truth)}
	return c
}

// walk moves a body as somebody does who stands or holds something.
func (c *clip) walk(r *rand.Rand, at vec3, turnYaw, turnPitch func(float64) float64, closer float64) {
	x, y, z := sway(r, 0.012, 0.1, 0.8), sway(r, 0.006, 0.1, 1), sway(r, 0.02, 0.1, 0.6)
	yaw, pitch, roll := sway(r, 2, 0.2, 1), sway(r, 2, 0.2, 1), sway(r, 2.5, 0.1, 0.8)
	approach := between2(r, 0, closer) * 0.3
	yaw0, pitch0, roll0 := 4*r.NormFloat64(), 4*r.NormFloat64(), 3*r.NormFloat64()
	pivot := vec3{0, neckBelow, neckBehind}
	c.truth = func(t float64) stance {
		k := 1 - approach*ease(t, 0, 3.5)
		return stance{yaw: yaw0 + yaw(t) + turnYaw(t), pitch: pitch0 + pitch(t) + turnPitch(t), roll: roll0 + roll(t),
			at: at.add(vec3{x(t), y(t), z(t)}).times(k).add(pivot)}
	}
}

// flatPhoto is a print or tablet, turned as an attacker would who hopes for the best.
func flatPhoto(r *rand.Rand, s *sitter, kind string) *clip {
	c := newClip(r, kind)
	eyes, size := between2(r, 36, 90), between2(r, 0.03, 0.09)
	if kind == "close" {
		eyes, size = between2(r, 90, 150), between2(r, 0.03, 0.06)
	}
	at := c.stand(eyes, size)
	yaw, pitch := between2(r, 0, 8), between2(r, 0, 8)
	if kind != "flat" {
		yaw, pitch = between2(r, 10, 50), between2(r, 0, 40)
	}
	turnYaw := thereAndBack(eitherSign(r, yaw), between2(r, 0.3, 1.2), between2(r, 0.3, 1), between2(r, 0, 0.5))
	turnPitch := thereAndBack(eitherSign(r, pitch), between2(r, 0.3, 1.2), between2(r, 0.3, 1), between2(r, 0, 0.5))
	c.walk(r, at, turnYaw, turnPitch, 1)
	p := print{size: size, left: -between2(r, 1.5, 3), right: between2(r, 1.5, 3), top: -between2(r, 1.6, 2.5), bottom: between2(r, 2.2, 4)}
	hold := c.truth
	c.truth = func(t float64) stance { // hands turn a photo about its middle
		st := hold(t)
		st.at = st.at.sub(vec3{0, neckBelow, neckBehind})
		return st
	}
	switch kind {
	case "shaken":
		c.shake(r, size)
	case "bent":
		p.bend = bending(r, size)
	case "cut-out":
		rx, ry := between2(r, 1.15, 1.35), between2(r, 1.5, 1.9)
		p.hole = func(x, y float64) bool { y -= 0.2; return x*x/(rx*rx)+y*y/(ry*ry) > 1 }
	}
	c.surfaces = []*surface{s.photo(p, eyes, c.truth)}
	return c
}

func (c *clip) shake(r *rand.Rand, size float64) {
	x, y := sway(r, 0.15*size, 2, 6), sway(r, 0.15*size, 2, 6)
	yaw, pitch, roll := sway(r, 6, 2, 6), sway(r, 6, 2, 6), sway(r, 5, 2, 6)
	hold := c.truth
	c.truth = func(t float64) stance {
		st := hold(t)
		st.yaw, st.pitch, st.roll = st.yaw+yaw(t), st.pitch+pitch(t), st.roll+roll(t)
		st.at = st.at.add(vec3{x(t), y(t), 0})
		return st
	}
}

// bending rolls a print around a cylinder, more and less as time goes by.
func bending(r *rand.Rand, size float64) func(float64, *vertex) {
	angle := math.Pi * r.Float64()
	if r.IntN(2) == 0 {
		angle = 0 // upright, as round a head
	}
	curve := between2(r, 0.1, 0.5) / size // one over the radius
	flex := sway(r, 0.25, 0.2, 1.5)
	sin, cos := math.Sincos(angle)
	return func(t float64, v *vertex) {
		k := curve * (1 + flex(t))
		s, l := v.x*cos+v.y*sin, -v.x*sin+v.y*cos
		across, depth := math.Sin(k*s)/k, (1-math.Cos(k*s))/k
		v.x, v.y, v.z = across*cos-l*sin, across*sin+l*cos, depth
	}
}
