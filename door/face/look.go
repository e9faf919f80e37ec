//go:build vision

package face

import (
	"errors"
	"image"
	"sync"
	"time"

	"gocv.io/x/gocv"
)

// look is one look at one frame, stage by stage.
type look struct {
	w     *Watcher
	now   time.Time // when the frame was taken
	frame Frame
	view  fitted // nothing where nothing moves
	faces []*candidate
	over  int // faces beyond the most that are looked at
	took  Stages
}

// mostDescribed is how many faces a recogniser describes in one look; the others wait for the
// next, so that it comes soon.
const mostDescribed = 16

// run finds the faces and describes those that are worth it.
func (l *look) run() error {
	for _, stage := range []struct {
		took *time.Duration
		work func() error
	}{{&l.took.Gate, l.gate}, {&l.took.Find, l.find}, {&l.took.Measure, l.measure}, {&l.took.Describe, l.describe}} {
		began := time.Now()
		err := stage.work()
		*stage.took = time.Since(began)
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *look) close() { l.view.close() }

// gate looks whether it is worth looking, and decodes the frame if it is.
func (l *look) gate() error {
	small, ok := l.frame.(SmallFrame)
	if ok {
		if err := l.w.search.notice(small.Small()); err != nil {
			return err
		}
		if len(l.w.asked) == 0 && !l.w.search.worth(l.now, l.w.follow.tracker.tracks) {
			return nil
		}
	}
	view, err := fit(l.frame.Image())
	if err != nil {
		return err
	}
	l.view = view
	if ok {
		return nil
	}
	return l.w.search.notice(l.view.grey)
}

func (l *look) find() error {
	if l.view.empty() {
		return nil
	}
	spots, err := l.w.search.faces(l.now, l.view.grey, l.w.follow.tracker.tracks)
	if err != nil {
		return err
	}
	l.take(spots)
	return nil
}

// take begins with the faces found, the largest first; those beyond the most are left out.
func (l *look) take(spots []spot) {
	l.over = max(0, len(spots)-l.w.cfg.Faces)
	for _, s := range spots[:len(spots)-l.over] {
		l.faces = append(l.faces, &candidate{spot: s})
	}
}

// measure tells the faces' tracks, how good the look at each is, and why it is worth
// describing or not.
func (l *look) measure() error {
	for _, c := range l.faces {
		c.patch = l.patch(c.box)
	}
	t := &l.w.follow.tracker
	t.guess(l.now, l.faces)
	for _, c := range l.faces {
		if err := l.rate(c); err != nil {
			return err
		}
	}
	t.decide(l.now, l.faces, l.w.cfg.Refresh)
	for _, c := range l.faces {
		if (c.why == Due || c.why == Doubted) && l.w.turned(c.track) {
			c.why, c.doubt = Known, false
		}
	}
	return nil
}

// rate measures one look. A new face is described at the first good look, so that its
// landmarks would come too late; the detector has told whether it is turned.
func (l *look) rate(c *candidate) error {
	c.quality.Size = sizeQuality(c.box.Dx())
	c.quality.Sharpness, c.quality.Light = l.appearance(c.box)
	if c.track == nil {
		c.quality.Pose = sidePose
		if c.front {
			c.quality.Pose = 1
		}
		return nil
	}
	err := l.w.rec.with(func(w *worker) (err error) {
		c.landmarks, err = w.finder.Place(l.view.grey, c.box)
		return err
	})
	c.quality.Pose = poseQuality(c.landmarks)
	return err
}

// describe describes the chosen faces, as many at once as there are recognisers.
func (l *look) describe() error {
	chosen := chosen(l.faces, mostDescribed*l.w.cfg.Recognisers)
	todo := make(chan *candidate, len(chosen))
	for _, c := range chosen {
		todo <- c
	}
	close(todo)
	errs := make([]error, l.w.cfg.Recognisers)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			for c := range todo {
				if err := l.describeOne(c); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wait.Wait()
	for _, c := range l.faces {
		if !c.tried && c.why.describes() {
			c.why = Waiting
		}
	}
	return errors.Join(errs...)
}

func (l *look) describeOne(c *candidate) error {
	f, ok, err := l.w.rec.describe(l.view.img, c.box)
	if err != nil {
		return err
	}
	c.tried = true
	if !ok {
		c.why = NoneThere
		return nil
	}
	c.landmarks, c.descriptor = f.Landmarks, f.Descriptor
	c.quality.Pose = poseQuality(f.Landmarks)
	c.weight = max(leastWeight, c.quality.Score())
	return nil
}

// sightings returns the faces that are one, and what is seen of each. What the describer saw
// no face in is left alone for a while; a face that may be another's and was not described is
// nobody's in this look.
func (l *look) sightings() (faces []*candidate, seen []sighting) {
	for _, c := range l.faces {
		known := c.track != nil && len(c.track.template.glances) > 0
		switch {
		case c.why == NoneThere && !known:
			l.w.search.refuse(l.now, c.box)
			continue
		case c.doubt && c.weight == 0:
			continue
		}
		faces = append(faces, c)
		seen = append(seen, sighting{c.box, c.descriptor, c.weight, c.doubt})
	}
	return faces, seen
}

// patch returns the face in a box as a small grey picture; none for one over the edge.
func (l *look) patch(box image.Rectangle) patch {
	if !box.In(bounds(l.view.grey)) || box.Empty() {
		return nil
	}
	part := l.view.grey.Region(box)
	defer part.Close()
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(part, &small, image.Pt(patchSide, patchSide), 0, 0, gocv.InterpolationArea)
	return small.ToBytes()
}

// appearance returns how sharp the face in a box is, and how well lit.
func (l *look) appearance(box image.Rectangle) (sharp, light float64) {
	t := appearanceOf(l.view.grey, box)
	return sharpQuality(t.sharpness), lightQuality(t.mean, t.deviation)
}
