//go:build vision

package face

import (
	"errors"
	"image"
	"math"
	"slices"
	"testing"
)

// What is explained of a picture is what the pipeline goes by: the same person near, a stranger
// not, and a crowd in full.
func TestExplain(t *testing.T) {
	r := recogniser(t)
	e, err := r.Enrol("ann", [][]byte{file(t, "obama.jpg")}, gallery(t), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	g := gallery(t, Enrolled{Person: "ann", Descriptors: e.Descriptors})
	for name, hers := range map[string]bool{"obama2.jpg": true, "biden.jpg": false} {
		x, err := r.Explain(file(t, name), g)
		if err != nil || len(x.Faces) != 1 {
			t.Fatalf("%s: %+v, %v", name, x, err)
		}
		d := x.Faces[0]
		best, margin, ok := d.Best()
		if !ok || best.Person != "ann" || (best.Distance < 0.5) != hers || math.Abs(margin-(Limit-best.Distance)) > 1e-9 {
			t.Errorf("%s: near %+v, margin %v", name, d.Near, margin)
		}
		if d.Why != New || !d.Settled || d.Looks != 1 || d.Quality.Score() < 0.4 || d.Box.Empty() || x.Size.X > 1280 || d.Faces != 1 {
			t.Errorf("%s: %+v in %v", name, d, x.Size)
		}
		if x.Took.Gate <= 0 || x.Took.Find <= 0 || x.Took.Measure <= 0 || x.Took.Describe <= 0 || d.Took != x.Took {
			t.Errorf("%s: took %+v", name, x.Took)
		}
	}
}

// Of a crowd each is found once, described, and nearest to their own portrait.
func TestExplainACrowd(t *testing.T) {
	picture := shared(t, "crowd12.jpg")
	r := recogniser(t)
	var people []Enrolled
	for _, s := range crowd(t) {
		e, err := r.Enrol(s.name, [][]byte{shared(t, s.name+".jpg")}, gallery(t), 0.5)
		if err != nil || len(e.Descriptors) != 1 {
			t.Fatalf("%s: %+v, %v", s.name, e.Refused, err)
		}
		people = append(people, Enrolled{Person: s.name, Descriptors: e.Descriptors})
	}
	x, err := r.Explain(picture, gallery(t, people...))
	if err != nil || len(x.Faces) != 12 || x.Over != 0 {
		t.Fatalf("%d faces and %d left out, %v; want all 12", len(x.Faces), x.Over, err)
	}
	for _, s := range crowd(t) {
		on := image.Rect(s.x, s.y, s.x+tile, s.y+tile)
		i := slices.IndexFunc(x.Faces, func(d Decision) bool { return d.Box.Min.Add(d.Box.Max).Div(2).In(on) })
		if i < 0 {
			t.Errorf("%s is not found", s.name)
			continue
		}
		if best, _, ok := x.Faces[i].Best(); !ok || best.Person != s.name || best.Distance > 0.5 || !x.Faces[i].Settled {
			t.Errorf("%s: nearest %+v, settled %v", s.name, x.Faces[i].Near, x.Faces[i].Settled)
		}
	}
}

func TestExplainBadFiles(t *testing.T) {
	r := recogniser(t)
	whole := file(t, "obama.jpg")
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("no picture"), "cut": whole[:len(whole)/2]} {
		if x, err := r.Explain(data, gallery(t)); !errors.Is(err, ErrPicture) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}
