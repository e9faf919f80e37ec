//go:build vision

package face

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gocv.io/x/gocv"
)

// pictured is a frame of a test.
type pictured struct{ *gocv.Mat }

func (p pictured) Image() gocv.Mat  { return *p.Mat }
func (p pictured) Taken() time.Time { return time.Now() }

// stood is somebody before a camera, who turns the head as told.
type stood struct {
	t      testing.TB
	c      *clip
	canvas *canvas
	yaw    atomic.Int64 // degrees, to the right of the picture
	at     float64
	next   atomic.Pointer[stood] // who has stepped in; nil: nobody
}

// stands puts somebody with the face of a portrait before a camera: well lit, and 60 pixels
// between the eyes.
func stands(t testing.TB, r *Recogniser, portrait string) *stood {
	t.Helper()
	path, err := portraitPath(portrait)
	if err != nil {
		t.Skip("SKIPPED, guided enrolment is untested here: no sample portraits: get them with deploy/models/fetch.sh")
	}
	s, ok := sit(t, r, path)
	if !ok {
		t.Fatalf("%s shows no face from the front", portrait)
	}
	random := rand.New(rand.NewPCG(1, 2))
	c := newClip(random, "enrolled")
	c.lens.light, c.sensor.noise, c.sensor.quality, c.sensor.blur = vec3{0, 0, -1}, 1, 90, 0
	c.sensor.exposure = func(float64) float64 { return 1 }
	const eyes = 60
	at := c.stand(eyes, eyeDistance).add(vec3{0, neckBelow, neckBehind})
	one := &stood{t: t, c: c}
	c.truth = func(float64) stance { return stance{yaw: float64(one.yaw.Load()), at: at} }
	c.surfaces = []*surface{s.head(randomSkull(random), eyes, c.truth)}
	one.canvas = newCanvas(c.lens.window)
	return one
}

// shown feeds an enrolment with what the camera sees, until it ends.
func (s *stood) shown(enrol func(frames <-chan pictured) (Taken, error)) (Taken, error) {
	frames, done := make(chan pictured), make(chan struct{})
	var taken Taken
	var err error
	go func() {
		defer close(done)
		taken, err = enrol(frames)
	}()
	for {
		if other := s.next.Load(); other != nil {
			s = other
		}
		s.at += 0.1
		img := s.c.frame(s.t, s.canvas, s.at)
		frame := pictured{&img}
		select {
		case frames <- frame:
		case <-done:
			frame.Close()
			return taken, err
		}
	}
}

// Somebody who does as told is enrolled in all poses, and then known.
func TestGuideEnrolsWhoDoesAsTold(t *testing.T) {
	r := recogniser(t)
	s := stands(t, r, "obama.jpg")
	var told []Guided
	taken, err := s.shown(func(frames <-chan pictured) (Taken, error) {
		return GuideEnrol(t.Context(), r, frames, "ann", new(Gallery), 0.5, Poses(), time.Minute, func(g Guided) {
			told = append(told, g)
			s.yaw.Store(map[Pose]int64{PoseStraight: 0, PoseLeft: 20, PoseRight: -20}[g.Pose])
		})
	})
	if err != nil || len(taken.Refused) > 0 || !slices.Equal(taken.Poses, Poses()) || len(taken.Descriptors) != 3 {
		t.Fatalf("%v, refused %+v, poses %v; told %+v", err, taken.Refused, taken.Poses, told)
	}
	for i, p := range taken.Portraits {
		if p.Faces != 1 || p.Width < 80 || p.Score <= 0.2 {
			t.Errorf("%s: %+v", taken.Poses[i], p.Measure)
		}
	}
	if taken.Portraits[1].Turn <= taken.Portraits[0].Turn || taken.Portraits[2].Turn >= taken.Portraits[0].Turn {
		t.Errorf("turned %.2f, %.2f and %.2f", taken.Portraits[0].Turn, taken.Portraits[1].Turn, taken.Portraits[2].Turn)
	}
	for i, jpeg := range taken.Pictures {
		e, err := r.Enrol("bob", [][]byte{jpeg}, gallery(t, Enrolled{Person: "ann", Descriptors: taken.Descriptors}), 0.5)
		if err != nil || len(e.Refused) != 1 || e.Refused[0].Reason != MatchesOther {
			t.Errorf("picture %d shows not who was enrolled: %+v, %v", i, e.Refused, err)
		}
	}
}

// Who does not turn is told so, and in the end nothing is taken.
func TestGuideEnrolsNobodyWhoDoesNotTurn(t *testing.T) {
	r := recogniser(t)
	s := stands(t, r, "obama.jpg")
	hints := map[Hint]int{}
	_, err := s.shown(func(frames <-chan pictured) (Taken, error) {
		return GuideEnrol(t.Context(), r, frames, "ann", new(Gallery), 0.5, []Pose{PoseLeft}, 2*time.Second, func(g Guided) { hints[g.Hint]++ })
	})
	var late *LateError
	if !errors.As(err, &late) || late.Pose != PoseLeft || late.Most != HintMore || hints[HintMore] == 0 {
		t.Errorf("got %v after %v", err, hints)
	}
}

// Who steps in between two poses is told so, and not taken for the one before.
func TestGuideEnrolsOnePersonAtATime(t *testing.T) {
	r := recogniser(t)
	first, second := stands(t, r, "obama.jpg"), stands(t, r, "biden.jpg")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	noticed := errors.New("noticed")
	var taken []Pose
	_, err := first.shown(func(frames <-chan pictured) (Taken, error) {
		hints := map[Hint]int{}
		got, err := GuideEnrol(ctx, r, frames, "ann", new(Gallery), 0.5, Poses(), 15*time.Second, func(g Guided) {
			if hints[g.Hint]++; g.Taken {
				taken = append(taken, g.Pose)
			}
			if g.Pose == PoseLeft {
				second.yaw.Store(20)
				first.next.Store(second)
			}
			if g.Hint == HintAnother {
				cancel()
			}
		})
		if hints[HintAnother] > 0 && errors.Is(err, context.Canceled) {
			err = noticed
		}
		return got, err
	})
	if !errors.Is(err, noticed) || !slices.Equal(taken, []Pose{PoseStraight}) {
		t.Errorf("taken %v, %v", taken, err)
	}
}

// Somebody else's face ends it at once.
func TestGuideEnrolsNobodyTwice(t *testing.T) {
	r := recogniser(t)
	s := stands(t, r, "obama.jpg")
	known, err := r.Enrol("bob", [][]byte{file(t, "obama2.jpg")}, new(Gallery), 0.5)
	if err != nil || len(known.Descriptors) != 1 {
		t.Fatalf("%+v, %v", known, err)
	}
	g := gallery(t, Enrolled{Person: "bob", Descriptors: known.Descriptors})
	taken, err := s.shown(func(frames <-chan pictured) (Taken, error) {
		return GuideEnrol(t.Context(), r, frames, "ann", g, 0.5, Poses(), time.Minute, func(Guided) {})
	})
	if err != nil || len(taken.Refused) != 1 || taken.Refused[0].Reason != MatchesOther {
		t.Errorf("got %+v, %v", taken.Enrolment, err)
	}
}

// Frames that are none, a camera that ends, and a caller who gives up.
func TestGuideWithoutPictures(t *testing.T) {
	r := recogniser(t)
	guide := func(ctx context.Context, frames <-chan pictured) error {
		_, err := GuideEnrol(ctx, r, frames, "ann", new(Gallery), 0.5, Poses(), time.Minute, func(Guided) {})
		return err
	}
	frames := make(chan pictured, 3)
	for _, m := range []gocv.Mat{gocv.NewMat(), gocv.NewMatWithSize(480, 640, gocv.MatTypeCV8UC1), gocv.NewMatWithSize(480, 640, gocv.MatTypeCV16UC3)} {
		frames <- pictured{&m}
	}
	close(frames)
	if err := guide(t.Context(), frames); !errors.Is(err, ErrNoFrames) {
		t.Errorf("got %v", err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := guide(ctx, make(chan pictured)); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
