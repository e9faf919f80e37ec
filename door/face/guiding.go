//go:build vision

package face

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door/face/dlib"
)

// Taken is what a guided enrolment took: pictures in the order of the poses, JPEG, of the face
// and what is around it, and what became of them as with Enrol.
type Taken struct {
	Enrolment
	Poses    []Pose
	Pictures [][]byte
}

const (
	shotsKept  = 3               // the best looks of a pose: go-face may see no face in one
	shotMargin = 0.6             // kept around a face, in its widths: all that describing may want
	edgeMargin = 0.05            // that must be in the frame around a face
	bystander  = 0.5             // of the largest face's width: a smaller one is in the background
	blindAfter = 2 * time.Second // without a frame the camera shows nothing
)

// GuideEnrol enrols a person, an id, before a camera: each pose is asked for until it was seen
// well enough, and of each the best look alone is described. tell hears of every look. It ends
// early when a face is refused, with ErrPatience when a pose takes longer than patience, and
// with ctx. Frames are closed; when their channel is, the error is ErrNoFrames.
func GuideEnrol[F Frame](ctx context.Context, r *Recogniser, frames <-chan F, person string, g *Gallery, identify float64, poses []Pose, patience time.Duration, tell func(Guided)) (Taken, error) {
	defer dlib.Trim()
	e := &enroller{rec: r, person: person, gallery: g, identify: identify, tell: tell,
		guide: NewGuide(r.cfg, poses, patience, time.Now())}
	defer e.dropShots()
	tick := time.NewTicker(blindAfter)
	defer tick.Stop()
	for e.guide.Pose() != "" && !e.refused() {
		select {
		case <-ctx.Done():
			return Taken{}, context.Cause(ctx)
		case <-tick.C:
			e.tell(Guided{Pose: e.guide.Pose(), Hint: e.guide.Blind()})
		case f, ok := <-frames:
			if !ok {
				return Taken{}, ErrNoFrames
			}
			err := e.look(f.Image())
			f.Close()
			if err == nil {
				tick.Reset(blindAfter)
			} else if !errors.Is(err, ErrPicture) {
				return Taken{}, err
			}
		}
		if err := e.guide.Late(time.Now()); err != nil {
			return Taken{}, err
		}
	}
	return e.taken, nil
}

// ErrNoFrames is a camera that is closed.
var ErrNoFrames = errors.New("the camera is closed")

// enroller is one guided enrolment.
type enroller struct {
	rec       *Recogniser
	person    string
	gallery   *Gallery
	identify  float64
	guide     *Guide
	tell      func(Guided)
	shots     []shot // of this pose, the best first
	portraits []portrait
	taken     Taken
}

// shot is a look that may be described.
type shot struct {
	Measure
	img gocv.Mat // the face and what is around it
	box image.Rectangle
}

func (e *enroller) refused() bool { return len(e.taken.Refused) > 0 }

// look takes in one frame.
func (e *enroller) look(frame gocv.Mat) error {
	f, err := fit(frame)
	if err != nil {
		return err
	}
	defer f.close()
	s, box, err := e.rec.glimpse(f.grey)
	if err != nil {
		return err
	}
	hint, enough := e.guide.Look(s)
	if hint == HintGood {
		e.keep(shot{Measure: s.Measure, box: box}, f.img)
	}
	told := Guided{Pose: e.guide.Pose(), Hint: hint, Seen: s.Measure}
	if enough {
		if told, err = e.describe(); err != nil {
			return err
		}
	}
	e.tell(told)
	return nil
}

// glimpse finds and measures the largest face, without describing it.
func (r *Recogniser) glimpse(grey gocv.Mat) (Glimpse, image.Rectangle, error) {
	s := Glimpse{At: time.Now()}
	s.Room, _ = spreadOf(grey)
	spots, err := r.seek(grey, bounds(grey), 1, dlib.AnySize)
	spots = slices.DeleteFunc(spots, func(f spot) bool { return f.score < 0 })
	if err != nil || len(spots) == 0 {
		return s, image.Rectangle{}, err
	}
	box := spots[0].box
	var landmarks []image.Point
	err = r.with(func(w *worker) (err error) {
		landmarks, err = w.finder.Place(grey, box)
		return err
	})
	s.Measure = measured(box, appearanceOf(grey, box), landmarks)
	for _, other := range spots[1:] {
		if float64(other.box.Dx()) >= bystander*float64(box.Dx()) {
			s.Faces++
		}
	}
	s.Edge = !widened(box, edgeMargin).In(bounds(grey))
	return s, box, err
}

// widened adds a margin on each side, in widths of the box.
func widened(box image.Rectangle, margin float64) image.Rectangle {
	return box.Inset(-int(float64(box.Dx()) * margin))
}

// keep keeps a look while it is among the best of its pose.
func (e *enroller) keep(s shot, frame gocv.Mat) {
	at, _ := slices.BinarySearchFunc(e.shots, s.Score, func(kept shot, score float64) int {
		if kept.Score >= score {
			return -1
		}
		return 1
	})
	if at >= shotsKept {
		return
	}
	region := widened(s.box, shotMargin).Intersect(bounds(frame))
	part := frame.Region(region)
	defer part.Close()
	s.img, s.box = part.Clone(), s.box.Sub(region.Min)
	e.shots = slices.Insert(e.shots, at, s)
	for _, dropped := range e.shots[min(len(e.shots), shotsKept):] {
		dropped.img.Close()
	}
	e.shots = e.shots[:min(len(e.shots), shotsKept)]
}

func (e *enroller) dropShots() {
	for _, s := range e.shots {
		s.img.Close()
	}
	e.shots = nil
}

// describe describes the best look of the pose that can be, and goes on to the next pose; or
// has the pose seen again.
func (e *enroller) describe() (Guided, error) {
	defer e.dropShots()
	pose, why := e.guide.Pose(), HintAgain
	for _, s := range e.shots {
		f, ok, err := e.rec.describe(s.img, s.box)
		if err != nil {
			return Guided{}, err
		}
		if !ok {
			continue
		}
		if len(e.portraits) > 0 && Distance(e.portraits[0].faces[0].descriptor, f.Descriptor) > Limit {
			why = HintAnother
			continue
		}
		if err := e.take(pose, s, f.Descriptor); err != nil {
			return Guided{}, err
		}
		return Guided{Pose: pose, Hint: HintGood, Taken: true, Seen: s.Measure}, nil
	}
	e.guide.Again(why)
	return Guided{Pose: pose, Hint: why}, nil
}

// take adds a described look, and judges all there are.
func (e *enroller) take(pose Pose, s shot, d Descriptor) error {
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, s.img, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPicture, err)
	}
	defer buf.Close()
	e.portraits = append(e.portraits, portrait{faces: []portrayed{{s.Measure, d}}})
	e.taken.Poses = append(e.taken.Poses, pose)
	e.taken.Pictures = append(e.taken.Pictures, slices.Clone(buf.GetBytes()))
	e.taken.Enrolment = e.rec.cfg.judge(e.person, e.portraits, e.gallery, e.identify)
	e.guide.Taken(time.Now())
	return nil
}
