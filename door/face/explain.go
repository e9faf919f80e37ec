//go:build vision

package face

import (
	"image"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face/dlib"
)

// Explain tells of each face in a JPEG or PNG file all that a first look before a camera would
// go by; a face that would wait for a better look is described all the same. One picture tells
// nothing of liveness. It fails with ErrPicture as Decode does.
func (r *Recogniser) Explain(data []byte, g *Gallery) (Explanation, error) {
	defer dlib.Trim()
	var x Explanation
	began := time.Now()
	img, err := Decode(data)
	if err != nil {
		return x, err
	}
	defer img.Close()
	l := &look{w: &Watcher{cfg: r.cfg, rec: r, search: search{cfg: r.cfg, rec: r}}, now: began}
	if l.view, err = fit(img); err != nil {
		return x, err
	}
	defer l.close()
	l.took.Gate = time.Since(began)
	if err := l.explain(); err != nil {
		return x, err
	}
	x.Size, x.Over = bounds(l.view.img).Size(), l.over
	began = time.Now()
	for _, c := range l.faces {
		x.Faces = append(x.Faces, c.explained(g))
	}
	l.took.Match = time.Since(began)
	x.Took = l.took
	for i := range x.Faces {
		x.Faces[i].Faces, x.Faces[i].Over, x.Faces[i].Took = len(x.Faces), x.Over, x.Took
	}
	return x, nil
}

// explain finds all faces, measures and describes them.
func (l *look) explain() error {
	for _, stage := range []struct {
		took *time.Duration
		work func() error
	}{{&l.took.Find, l.findAll}, {&l.took.Measure, l.measureNew}, {&l.took.Describe, l.describeAll}} {
		began := time.Now()
		err := stage.work()
		*stage.took = time.Since(began)
		if err != nil {
			return err
		}
	}
	return nil
}

// findAll looks everywhere, by both sweeps.
func (l *look) findAll() error {
	var found []spot
	for range sweepLeast + 1 {
		more, err := l.w.search.sweep(l.view.grey, []image.Rectangle{bounds(l.view.grey)})
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	l.take(l.w.search.distinct(l.now, found))
	return nil
}

func (l *look) measureNew() error {
	for _, c := range l.faces {
		if err := l.rate(c); err != nil {
			return err
		}
		c.why = c.decide(l.now, l.w.cfg.Refresh)
	}
	return nil
}

func (l *look) describeAll() error {
	for _, c := range l.faces {
		if err := l.describeOne(c); err != nil {
			return err
		}
	}
	return nil
}

func (c *candidate) explained(g *Gallery) Decision {
	d := Decision{Box: c.box, Score: c.score, Quality: c.quality, Why: c.why, Liveness: door.Unjudged}
	if c.weight > 0 {
		var t template
		t.add(glance{descriptor: c.descriptor, weight: c.weight})
		d.Looks, d.Settled, d.Near = 1, t.settled(), g.Near(c.descriptor)
	}
	return d
}
