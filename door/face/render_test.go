//go:build vision

package face

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"gocv.io/x/gocv"
)

// The renderer shows textured surfaces to a virtual camera. Lengths are metres; x goes right,
// y down, z away from the camera, which stands at the origin.

type vec3 struct{ x, y, z float64 }

func (a vec3) add(b vec3) vec3      { return vec3{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec3) sub(b vec3) vec3      { return vec3{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vec3) times(k float64) vec3 { return vec3{a.x * k, a.y * k, a.z * k} }
func (a vec3) dot(b vec3) float64   { return a.x*b.x + a.y*b.y + a.z*b.z }

func (a vec3) cross(b vec3) vec3 {
	return vec3{a.y*b.z - a.z*b.y, a.z*b.x - a.x*b.z, a.x*b.y - a.y*b.x}
}

func (a vec3) unit() vec3 { return a.times(1 / math.Sqrt(a.dot(a)+1e-18)) }

// stance is where a body is and how it is turned, in degrees: yaw to the right of the
// picture, pitch down, roll clockwise.
type stance struct {
	yaw, pitch, roll float64
	at               vec3
}

// place turns p around the body's origin and moves it.
func (s stance) place(p vec3) vec3 {
	const degree = math.Pi / 180
	sin, cos := math.Sincos(s.roll * degree)
	p = vec3{cos*p.x - sin*p.y, sin*p.x + cos*p.y, p.z}
	sin, cos = math.Sincos(s.pitch * degree) // the side that faces the camera goes down
	p = vec3{p.x, cos*p.y - sin*p.z, sin*p.y + cos*p.z}
	sin, cos = math.Sincos(s.yaw * degree) // the side that faces the camera goes right
	p = vec3{cos*p.x - sin*p.z, p.y, sin*p.x + cos*p.z}
	return p.add(s.at)
}

// vertex is a point of a surface, with where in the texture it is taken from.
type vertex struct {
	vec3
	u, v   float64 // pixels of the texture
	normal vec3
}

// surface is a mesh with a texture. bend changes it as time goes by.
type surface struct {
	texture   texture
	vertices  []vertex
	triangles [][3]int32
	move      func(t float64) stance
	bend      func(t float64, v *vertex) // nil: stiff
	matt      float64                    // 0 to 1: how much the light's direction matters
}

// texture is BGR, 8 bits a channel.
type texture struct {
	pixels        []byte
	width, height int
}

func textureOf(t testing.TB, img gocv.Mat) texture {
	t.Helper()
	data, err := img.DataPtrUint8()
	if err != nil {
		t.Fatal(err)
	}
	return texture{append([]byte(nil), data...), img.Cols(), img.Rows()}
}

// at is bilinear; outside, the edge goes on.
func (t *texture) at(u, v float64) (blue, green, red float32) {
	u, v = min(max(u, 0), float64(t.width)-1.001), min(max(v, 0), float64(t.height)-1.001)
	x, y := int(u), int(v)
	fx, fy := float32(u-float64(x)), float32(v-float64(y))
	i := (y*t.width + x) * 3
	p := t.pixels[i : i+6 : i+6]
	i += t.width * 3
	q := t.pixels[i : i+6 : i+6]
	w00, w10, w01, w11 := (1-fx)*(1-fy), fx*(1-fy), (1-fx)*fy, fx*fy
	blue = w00*float32(p[0]) + w10*float32(p[3]) + w01*float32(q[0]) + w11*float32(q[3])
	green = w00*float32(p[1]) + w10*float32(p[4]) + w01*float32(q[1]) + w11*float32(q[4])
	red = w00*float32(p[2]) + w10*float32(p[5]) + w01*float32(q[2]) + w11*float32(q[5])
	return blue, green, red
}

// lens is a virtual camera of 1280x720, of which only a window is drawn: what it shows is the
// same, a tenth as many pixels need be computed.
type lens struct {
	focal      float64 // pixels
	distortion float64 // radial, first coefficient, in units of the focal length
	readout    float64 // s from the first row to the last: a rolling shutter
	light      vec3    // unit, towards the light
	window     image.Rectangle
}

const frameWidth, frameHeight = 1280, 720

// project returns where a point is seen, in pixels of the frame.
func (c *lens) project(p vec3) (x, y float64) {
	x, y = p.x/p.z, p.y/p.z
	k := 1 + c.distortion*(x*x+y*y)
	return frameWidth/2 + c.focal*k*x, frameHeight/2 + c.focal*k*y
}

// canvas is what a lens draws into.
type canvas struct {
	window image.Rectangle
	pixels []float32 // BGR
	depth  []float32 // one over the distance; 0 is the background
}

func newCanvas(window image.Rectangle) *canvas {
	n := window.Dx() * window.Dy()
	return &canvas{window, make([]float32, 3*n), make([]float32, n)}
}

func (c *canvas) clear(background []float32) {
	copy(c.pixels, background)
	clear(c.depth)
}

type projected struct{ x, y, near, u, v, shade float64 }

// draw shows s as it is at time t.
func (c *canvas) draw(l *lens, s *surface, t float64) {
	seen := make([]projected, len(s.vertices))
	first, last := s.move(t), s.move(t+l.readout)
	for i, v := range s.vertices {
		if s.bend != nil {
			s.bend(t, &v)
		}
		seen[i] = l.see(v, first, last, s.matt)
	}
	for _, tri := range s.triangles {
		c.fill(&s.texture, &seen[tri[0]], &seen[tri[1]], &seen[tri[2]])
	}
}

func (l *lens) see(v vertex, first, last stance, matt float64) projected {
	p := first.place(v.vec3)
	if l.readout > 0 {
		_, y := l.project(p)
		p = p.add(last.place(v.vec3).sub(p).times(min(max(y/frameHeight, 0), 1)))
	}
	shade := 1.0
	if matt > 0 {
		turned := first
		turned.at = vec3{}
		shade = 1 + matt*(turned.place(v.normal).dot(l.light)-v.normal.dot(l.light))
	}
	x, y := l.project(p)
	return projected{x, y, 1 / p.z, v.u, v.v, shade}
}

// slope is a number that changes evenly along a row of pixels.
type slope struct{ at, by float64 }

// within returns the first and last k of those for which the number is not negative.
func (s slope) within(first, last int) (int, int) {
	const hair = 1e-9
	switch {
	case s.by > 0:
		first = max(first, int(math.Ceil((-s.at-hair)/s.by)))
	case s.by < 0:
		last = min(last, int(math.Floor((s.at+hair)/-s.by)))
	case s.at < -hair:
		last = first - 1
	}
	return first, last
}

// fill draws one triangle, nearest in front.
func (c *canvas) fill(tex *texture, a, b, d *projected) {
	area := (b.x-a.x)*(d.y-a.y) - (b.y-a.y)*(d.x-a.x)
	if a.near <= 0 || b.near <= 0 || d.near <= 0 || math.Abs(area) < 1e-9 {
		return
	}
	left, right := int(math.Ceil(min(a.x, b.x, d.x))), int(math.Floor(max(a.x, b.x, d.x)))
	top, bottom := int(math.Ceil(min(a.y, b.y, d.y))), int(math.Floor(max(a.y, b.y, d.y)))
	left, right = max(left, c.window.Min.X), min(right, c.window.Max.X-1)
	top, bottom = max(top, c.window.Min.Y), min(bottom, c.window.Max.Y-1)
	x := float64(left)
	for row := top; row <= bottom; row++ {
		y := float64(row)
		wb := slope{((x-a.x)*(d.y-a.y) - (y-a.y)*(d.x-a.x)) / area, (d.y - a.y) / area}
		wd := slope{((b.x-a.x)*(y-a.y) - (b.y-a.y)*(x-a.x)) / area, -(b.y - a.y) / area}
		wa := slope{1 - wb.at - wd.at, -wb.by - wd.by}
		first, last := wa.within(0, right-left)
		first, last = wb.within(first, last)
		first, last = wd.within(first, last)
		mix := func(p, q, r float64) slope {
			s := slope{wa.at*p + wb.at*q + wd.at*r, wa.by*p + wb.by*q + wd.by*r}
			s.at += float64(first) * s.by
			return s
		}
		if first <= last {
			from := (row-c.window.Min.Y)*c.window.Dx() + left - c.window.Min.X
			c.span(tex, from+first, from+last, mix(a.near, b.near, d.near), mix(a.u, b.u, d.u), mix(a.v, b.v, d.v), mix(a.shade, b.shade, d.shade))
		}
	}
}

func (c *canvas) span(tex *texture, from, to int, near, u, v, shade slope) {
	for i := from; i <= to; i++ {
		if float32(near.at) > c.depth[i] {
			c.depth[i] = float32(near.at)
			blue, green, red := tex.at(u.at, v.at)
			p := c.pixels[3*i : 3*i+3 : 3*i+3]
			k := float32(shade.at)
			p[0], p[1], p[2] = k*blue, k*green, k*red
		}
		near.at += near.by
		u.at += u.by
		v.at += v.by
		shade.at += shade.by
	}
}

// sensor is what a camera does to a picture.
type sensor struct {
	noise    float64 // standard deviation, of 255
	quality  int     // of the JPEG
	exposure func(t float64) float64
	blur     float64 // s that the shutter is open
	random   *rand.Rand
	table    []float32 // normal numbers: drawing them one by one takes longer than the picture
}

func newSensor(r *rand.Rand) *sensor {
	s := &sensor{random: r, table: make([]float32, 1<<16)}
	for i := range s.table {
		s.table[i] = float32(r.NormFloat64())
	}
	return s
}

// take makes a frame of what was drawn at time t: exposure, noise, 8 bits, JPEG and back.
func (s *sensor) take(t testing.TB, c *canvas, at float64) gocv.Mat {
	t.Helper()
	gain := float32(s.exposure(at))
	noise := float32(s.noise)
	bytes := make([]byte, len(c.pixels))
	width := 3 * c.window.Dx()
	for row := 0; row < len(bytes); row += width {
		from := s.random.IntN(len(s.table) - width)
		for i, p := range c.pixels[row : row+width] {
			bytes[row+i] = byte(min(max(p*gain+noise*s.table[from+i]+0.5, 0), 255))
		}
	}
	raw, err := gocv.NewMatFromBytes(c.window.Dy(), c.window.Dx(), gocv.MatTypeCV8UC3, bytes)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	file, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, raw, []int{gocv.IMWriteJpegQuality, s.quality})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := gocv.IMDecode(file.GetBytes(), gocv.IMReadColor)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
