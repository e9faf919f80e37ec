//go:build vision

package face

import (
	"errors"
	"math"
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

func TestExplainBadFiles(t *testing.T) {
	r := recogniser(t)
	whole := file(t, "obama.jpg")
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("no picture"), "cut": whole[:len(whole)/2]} {
		if x, err := r.Explain(data, gallery(t)); !errors.Is(err, ErrPicture) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}
