//go:build vision

package face

import (
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gocv.io/x/gocv"
)

// sitter is a portrait with the place of the face in it.
type sitter struct {
	name   string
	img    gocv.Mat // BGR
	of     Descriptor
	eyes   [2]vec3 // the middles of the eyes, from left to right, in pixels; z is 0
	levels []level // the same at halved sizes
}

type level struct {
	texture
	scale float64
}

// portraitFiles lists the portraits of one person each: the samples, and those in the folder
// DOORHUB_FACES if it is set.
func portraitFiles() ([]string, error) {
	var files []string
	for _, name := range []string{"obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg"} {
		if path, err := portraitPath(name); err == nil {
			files = append(files, path)
		}
	}
	if dir := os.Getenv("DOORHUB_FACES"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
		if err != nil {
			return nil, err
		}
		more = slices.DeleteFunc(more, func(f string) bool {
			return strings.Contains(f, "crowd") || strings.Contains(f, "pristin")
		})
		files = append(files, more...)
	}
	return files, nil
}

func portraitPath(name string) (string, error) {
	dir := os.Getenv("DOORHUB_PORTRAITS")
	if cache := os.Getenv("DOORHUB_CACHE"); dir == "" && cache != "" {
		dir = filepath.Join(cache, "portraits")
	}
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = filepath.Join(home, ".cache", "doorhub", "portraits")
	}
	path := filepath.Join(dir, name)
	_, err := os.Stat(path)
	return path, err
}

// eyeDistance is between the middles of a grown-up's eyes: 63 mm on average (Dodgson,
// "Variation and extrema of human interpupillary distance", 2004).
const eyeDistance = 0.063

// sit finds the face of a portrait. ok is false when there is not exactly one that looks
// about straight ahead and is large enough to be seen in detail.
func sit(t testing.TB, r *Recogniser, path string) (s sitter, ok bool) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img := decoded(t, data)
	faces, err := r.Find(img)
	if err != nil || len(faces) != 1 || len(faces[0].Landmarks) != 5 {
		return sitter{}, false
	}
	p := faces[0].Landmarks
	middle := func(a, b image.Point) vec3 { return vec3{float64(a.X+b.X) / 2, float64(a.Y+b.Y) / 2, 0} }
	eyes := [2]vec3{middle(p[2], p[3]), middle(p[0], p[1])}
	if eyes[0].x > eyes[1].x {
		eyes[0], eyes[1] = eyes[1], eyes[0]
	}
	s = sitter{name: filepath.Base(path), img: img, eyes: eyes, of: faces[0].Descriptor}
	between := math.Sqrt(eyes[1].sub(eyes[0]).dot(eyes[1].sub(eyes[0])))
	across, _ := s.local(vec3{float64(p[4].X), float64(p[4].Y), 0})
	if between < 60 || math.Abs(across) > 0.2*eyeDistance {
		return sitter{}, false
	}
	small := img.Clone()
	defer small.Close()
	for scale := 1.0; scale*between > 15; scale /= 2 {
		s.levels = append(s.levels, level{textureOf(t, small), scale})
		gocv.Resize(small, &small, image.Pt(small.Cols()/2, small.Rows()/2), 0, 0, gocv.InterpolationArea)
	}
	return s, true
}

// local turns pixels into metres on the face, from the middle between the eyes.
func (s *sitter) local(p vec3) (x, y float64) {
	along := s.eyes[1].sub(s.eyes[0])
	k := eyeDistance / along.dot(along)
	d := p.sub(s.eyes[0].add(s.eyes[1]).times(0.5))
	return k * d.dot(along), k * d.dot(vec3{-along.y, along.x, 0})
}

// pixel is the other way round.
func (s *sitter) pixel(x, y float64) (u, v float64) {
	along := s.eyes[1].sub(s.eyes[0])
	m := s.eyes[0].add(s.eyes[1]).times(0.5)
	x, y = x/eyeDistance, y/eyeDistance
	return m.x + x*along.x - y*along.y, m.y + x*along.y + y*along.x
}

// scaled returns the texture that has about as many pixels as will be seen: between the eyes.
func (s *sitter) scaled(pixels float64) level {
	d := s.eyes[1].sub(s.eyes[0])
	between := math.Sqrt(d.dot(d))
	best := s.levels[0]
	for _, l := range s.levels {
		if between*l.scale >= 1.1*pixels {
			best = l
		}
	}
	return best
}

// skull is the shape of one head, in metres.
type skull struct {
	width, height, depth          float64 // half axes
	nose, noseWidth, noseLength   float64
	brow, sockets, cheeks         float64
	lips, chin, chinAt, superness float64
}

func randomSkull(r *rand.Rand) skull {
	vary := func(mean, by float64) float64 { return mean * (1 + by*(2*r.Float64()-1)) }
	return skull{
		width: vary(0.077, 0.08), height: vary(0.118, 0.08), depth: vary(0.095, 0.12), superness: vary(2.2, 0.15),
		nose: vary(0.020, 0.3), noseWidth: vary(0.0165, 0.2), noseLength: vary(0.046, 0.1),
		brow: vary(0.004, 0.6), sockets: vary(0.006, 0.5), cheeks: vary(0.004, 0.7),
		lips: vary(0.005, 0.5), chin: vary(0.007, 0.6), chinAt: vary(0.100, 0.05),
	}
}

// relief is how far the face stands out at x, y before a plane through the crown's outline.
// It is put together after measurements of faces (Farkas, "Anthropometry of the head and
// face", 1994) and not after the model that the judge of liveness has.
func (k skull) relief(x, y float64) float64 {
	cy := y - 0.005 // the middle of the head's outline below the eyes
	rho := math.Pow(math.Abs(x)/k.width, k.superness) + math.Pow(math.Abs(cy)/k.height, k.superness)
	z := k.depth * math.Pow(max(0, 1-rho), 1/k.superness)
	bump := func(cx, cy, sx, sy float64) float64 {
		return math.Exp(-((x-cx)*(x-cx)/(sx*sx) + (y-cy)*(y-cy)/(sy*sy)))
	}
	z += k.noseAt(x, y)
	z += k.brow * bump(0, -0.019, 0.05, 0.009)
	z -= k.sockets * (bump(-0.031, 0, 0.017, 0.012) + bump(0.031, 0, 0.017, 0.012))
	z += k.cheeks * (bump(-0.042, 0.03, 0.018, 0.016) + bump(0.042, 0.03, 0.018, 0.016))
	z += k.lips * bump(0, 0.07, 0.026, 0.011)
	z -= 0.5 * k.lips * bump(0, 0.088, 0.02, 0.006)
	return z + k.chin*bump(0, k.chinAt, 0.022, 0.014)
}

// noseAt is a ridge with straight sides that grows from the bridge to the tip.
func (k skull) noseAt(x, y float64) float64 {
	from, to := -0.006, k.noseLength-0.006
	along := (y - from) / (to - from)
	high := 0.0
	switch {
	case along < 0:
		return 0
	case along < 0.85:
		high = along / 0.85
	case along < 1.15:
		high = 1 - 0.75*(along-0.85)/0.3
	case along < 1.5:
		high = 0.25 * (1.5 - along) / 0.35
	}
	wide := k.noseWidth * (0.55 + 0.45*min(along, 1))
	side := max(0, 1-math.Abs(x)/wide)
	return k.nose * high * side * (1.6 - 0.6*side) // a little round
}

// head is the portrait on a skull. Its origin is where a neck turns it: behind and below.
func (s *sitter) head(k skull, pixels float64, move func(float64) stance) *surface {
	l := s.scaled(pixels)
	out := &surface{texture: l.texture, move: move, matt: 0.25}
	const rings, spokes = 34, 64
	front := k.relief(0, 0)
	put := func(x, y float64) {
		u, v := s.pixel(x, y)
		out.vertices = append(out.vertices, vertex{vec3: vec3{x, y - neckBelow, front - k.relief(x, y) - neckBehind},
			u: u * l.scale, v: v * l.scale})
	}
	put(0, 0.005)
	for ring := 1; ring <= rings; ring++ {
		rho := 0.985 * math.Sin(float64(ring)/rings*math.Pi/2)
		for spoke := range spokes {
			sin, cos := math.Sincos(2 * math.Pi * float64(spoke) / spokes)
			p := math.Pow(math.Pow(math.Abs(cos), k.superness)+math.Pow(math.Abs(sin), k.superness), -1/k.superness)
			put(rho*p*cos*k.width, 0.005+rho*p*sin*k.height)
		}
	}
	for ring := range rings {
		for spoke := range spokes {
			next := (spoke + 1) % spokes
			at := func(ring, spoke int) int32 {
				if ring == 0 {
					return 0
				}
				return int32(1 + (ring-1)*spokes + spoke)
			}
			out.triangles = append(out.triangles, [3]int32{at(ring, spoke), at(ring+1, spoke), at(ring+1, next)})
			if ring > 0 {
				out.triangles = append(out.triangles, [3]int32{at(ring, spoke), at(ring+1, next), at(ring, next)})
			}
		}
	}
	out.smooth()
	return out
}

const neckBehind, neckBelow = 0.085, 0.07 // m, of the neck's joint from the eyes

// smooth computes the normals, towards the camera.
func (s *surface) smooth() {
	for i := range s.vertices {
		s.vertices[i].normal = vec3{}
	}
	for _, t := range s.triangles {
		a, b, c := s.vertices[t[0]].vec3, s.vertices[t[1]].vec3, s.vertices[t[2]].vec3
		n := b.sub(a).cross(c.sub(a))
		if n.z > 0 {
			n = n.times(-1)
		}
		for _, i := range t {
			s.vertices[i].normal = s.vertices[i].normal.add(n)
		}
	}
	for i := range s.vertices {
		s.vertices[i].normal = s.vertices[i].normal.unit()
	}
}

// print is the portrait on paper or on a screen. Its origin is the middle between the eyes.
type print struct {
	size        float64                    // m between the eyes
	left, right float64                    // the paper's edges, in sizes from the middle
	top, bottom float64                    //
	hole        func(x, y float64) bool    // nil: whole; x and y in sizes
	bend        func(t float64, v *vertex) // nil: flat
}

func (s *sitter) photo(p print, pixels float64, move func(float64) stance) *surface {
	l := s.scaled(pixels)
	out := &surface{texture: l.texture, move: move, matt: 0.15, bend: p.bend}
	const cells = 40
	index := map[[2]int]int32{}
	at := func(i, j int) int32 {
		if n, ok := index[[2]int{i, j}]; ok {
			return n
		}
		x := p.left + (p.right-p.left)*float64(i)/cells
		y := p.top + (p.bottom-p.top)*float64(j)/cells
		u, v := s.pixel(x*eyeDistance, y*eyeDistance)
		out.vertices = append(out.vertices, vertex{vec3: vec3{x * p.size, y * p.size, 0}, u: u * l.scale, v: v * l.scale})
		index[[2]int{i, j}] = int32(len(out.vertices) - 1)
		return index[[2]int{i, j}]
	}
	for i := range cells {
		for j := range cells {
			x := p.left + (p.right-p.left)*(float64(i)+0.5)/cells
			y := p.top + (p.bottom-p.top)*(float64(j)+0.5)/cells
			if p.hole != nil && p.hole(x, y) {
				continue
			}
			a, b, c, d := at(i, j), at(i+1, j), at(i, j+1), at(i+1, j+1)
			out.triangles = append(out.triangles, [3]int32{a, b, d}, [3]int32{a, d, c})
		}
	}
	out.smooth()
	return out
}
