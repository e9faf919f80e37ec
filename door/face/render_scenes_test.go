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
	every    time.Duration    // from frame to frame
	repeat   int              // frames after which it sends the same again; 0: never
	freeze   bool             // ... the last one only
	before   func(at float64) // what is to be done before each drawing; nil: nothing
	judged   time.Duration    // when the PIN is typed: before, a camera has repeated nothing
	eyesWide float64          // m between the eyes of the picture that is shown
	random   *rand.Rand
	truth    func(t float64) stance // how the face is turned
	of       Descriptor             // whoever it shows, enrolled by the portrait
}

// frames calls show with each frame: the window of it, and its time. A frozen or looped camera
// sends bytes that it has sent before.
func (c *clip) frames(t testing.TB, show func(at time.Duration, frame gocv.Mat) (more bool)) {
	t.Helper()
	drawn := newCanvas(c.lens.window)
	var sent []gocv.Mat
	defer func() {
		for _, m := range sent {
			m.Close()
		}
	}()
	for at := time.Duration(0); at < c.length; at += c.every {
		n := int(at / c.every)
		var frame gocv.Mat
		switch {
		case c.repeat == 0 || n < c.repeat:
			frame = c.frame(t, drawn, at.Seconds())
		case c.freeze:
			frame = sent[c.repeat-1].Clone()
		default:
			frame = sent[n%c.repeat].Clone()
		}
		if n < c.repeat {
			sent = append(sent, frame.Clone())
		}
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
		const steps = 3
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
	if c.before != nil {
		c.before(at)
	}
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
	c.of = s.of
	eyes := between2(r, 36, 90)
	at := c.stand(eyes, eyeDistance)
	yaw, pitch := between2(r, 18, 40), between2(r, 0, 8)
	if r.IntN(3) == 0 {
		yaw, pitch = between2(r, 0, 10), between2(r, 18, 32)
	}
	turnYaw := thereAndBack(eitherSign(r, yaw), between2(r, 0.4, 1.2), between2(r, 0.5, 1.1), between2(r, 0, 0.5))
	turnPitch := thereAndBack(eitherSign(r, pitch), between2(r, 0.4, 1.2), between2(r, 0.5, 1.1), between2(r, 0, 0.5))
	c.walk(r, at, turnYaw, turnPitch, 0.6)
	head := s.head(randomSkull(r), eyes, c.truth)
	if r.IntN(3) == 0 {
		head.bend = talking(r, 1)
	}
	c.surfaces = []*surface{head}
	return c
}

// talking opens and closes the mouth: the lower lip and the chin go down by up to 8 mm, times
// the size of the picture.
func talking(r *rand.Rand, scale float64) func(float64, *vertex) {
	open := sway(r, 0.004*scale, 1, 4)
	return func(t float64, v *vertex) {
		x, y := v.x/scale, v.y/scale
		if v.z < 0 { // a head's origin is below the eyes, a picture's between them
			y += neckBelow
		}
		if y > 0.068 && math.Abs(x) < 0.05 {
			v.y += math.Abs(open(t)) * math.Min(1, (y-0.068)/0.01)
		}
	}
}

// repeated is a camera that is frozen: it stops while somebody stands before it; or looped: it shows what it
// has recorded again and again.
func repeated(r *rand.Rand, s *sitter, kind string) *clip {
	c := genuine(r, s)
	c.kind, c.freeze = kind, kind == "frozen"
	c.repeat, c.length = 5+r.IntN(15), 6*time.Second
	c.judged = time.Duration(c.repeat)*c.every + 2500*time.Millisecond
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
	c.of = s.of
	eyes, size := between2(r, 36, 90), between2(r, 0.03, 0.09)
	if kind == "close" {
		eyes, size = between2(r, 90, 150), between2(r, 0.03, 0.06)
	}
	at := c.stand(eyes, size)
	c.eyesWide = size
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
	case "talking": // a video on a tablet of somebody who talks and does not turn
		p.bend = talking(r, size/eyeDistance)
	case "cut-out":
		rx, ry := between2(r, 1.15, 1.35), between2(r, 1.5, 1.9)
		p.hole = func(x, y float64) bool { y -= 0.2; return x*x/(rx*rx)+y*y/(ry*ry) > 1 }
	}
	c.surfaces = []*surface{s.photo(p, eyes, c.truth)}
	return c
}

// mask is a print of somebody's face that another one wears, with holes for the eyes, bent
// round the head.
func mask(r *rand.Rand, s, wearer *sitter) *clip {
	c := genuine(r, wearer)
	c.kind, c.of = "eye holes", s.of
	eyes := c.lens.focal * eyeDistance / c.truth(0).at.z
	curve, before := between2(r, 0.05, 0.3)/eyeDistance, between2(r, 0.005, 0.03)
	wide, high := between2(r, 0.2, 0.35), between2(r, 0.12, 0.22)
	p := print{size: eyeDistance, left: -1.3, right: 1.3, top: -1.4, bottom: 1.9}
	p.hole = func(x, y float64) bool {
		x = math.Abs(x) - 0.5
		return x*x/(wide*wide)+y*y/(high*high) < 1
	}
	worn := s.photo(p, eyes, c.truth)
	for i := range worn.vertices { // in front of the wearer's nose
		v := &worn.vertices[i]
		across, depth := math.Sin(curve*v.x)/curve, (1-math.Cos(curve*v.x))/curve
		v.vec3 = vec3{across, v.y - neckBelow, depth - neckBehind - before - 0.024}
	}
	worn.smooth()
	c.surfaces = append(c.surfaces, worn)
	return c
}

// replay is a tablet that shows a video of somebody who turns the head.
func replay(r *rand.Rand, s *sitter) *clip {
	video := genuine(r, s)
	video.sensor.blur = 0
	drawn := newCanvas(video.lens.window)
	c := flatPhoto(r, s, "replay")
	side := video.lens.window.Dx()
	screen := c.surfaces[0]
	screen.texture = texture{make([]byte, 3*side*side), side, side}
	eyes := video.lens.focal * eyeDistance / video.truth(0).at.z
	shown := c.lens.focal * c.eyesWide / c.truth(0).at.z
	half := c.eyesWide * float64(side) / eyes / 2
	screen.vertices, screen.triangles = plate(half, side)
	c.lens.window = windowFor(c, int(min(1.1*float64(side)*shown/eyes, frameHeight)))
	c.back = background(r, c.lens.window.Dx())
	c.before = func(at float64) {
		video.draw(drawn, at)
		for i, p := range drawn.pixels {
			screen.texture.pixels[i] = byte(min(max(p, 0), 255))
		}
	}
	return c
}

// plate is a flat square.
func plate(half float64, pixels int) (vs []vertex, ts [][3]int32) {
	const cells = 20
	for j := range cells + 1 {
		for i := range cells + 1 {
			x, y := 2*float64(i)/cells-1, 2*float64(j)/cells-1
			vs = append(vs, vertex{vec3: vec3{half * x, half * y, 0}, normal: vec3{0, 0, -1},
				u: float64(i) / cells * float64(pixels), v: float64(j) / cells * float64(pixels)})
		}
	}
	for j := range int32(cells) {
		for i := range int32(cells) {
			a := j*(cells+1) + i
			ts = append(ts, [3]int32{a, a + 1, a + cells + 2}, [3]int32{a, a + cells + 2, a + cells + 1})
		}
	}
	return vs, ts
}

// windowFor is a square around where the body is at first.
func windowFor(c *clip, side int) image.Rectangle {
	x, y := c.lens.project(c.truth(0).at)
	half := side / 2
	cx, cy := min(max(int(x), half), frameWidth-half), min(max(int(y), half), frameHeight-half)
	return image.Rect(cx-half, cy-half, cx+half, cy+half)
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
	curve := between2(r, 0.1, 0.6) / size // one over the radius
	flex := sway(r, 0.25, 0.2, 1.5)
	sin, cos := math.Sincos(angle)
	return func(t float64, v *vertex) {
		k := curve * (1 + flex(t))
		s, l := v.x*cos+v.y*sin, -v.x*sin+v.y*cos
		across, depth := math.Sin(k*s)/k, (1-math.Cos(k*s))/k
		v.x, v.y, v.z = across*cos-l*sin, across*sin+l*cos, depth
	}
}
