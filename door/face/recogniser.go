//go:build vision

package face

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"sync"

	goface "github.com/Kagami/go-face"
	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door/face/dlib"
)

// Face is one face found in a picture.
type Face struct {
	Box        image.Rectangle // in pixels of the picture, inside it
	Landmarks  []image.Point   // corners of the eyes and the base of the nose: five points
	Descriptor Descriptor
}

// Recogniser finds and describes faces. Its methods may be called from any goroutine; as
// many are at work at once as there are workers.
type Recogniser struct {
	cfg    Config
	idle   chan *worker // holds all of them when nobody works
	closed chan struct{}
	once   sync.Once
}

// worker is one set of models. It serves one goroutine at a time.
type worker struct {
	describer *goface.Recognizer
	finder    *dlib.Finder
}

// ErrClosed is a recogniser used after Close.
var ErrClosed = errors.New("the face recogniser is closed")

// NewRecogniser checks the face models, and loads them as often as cfg.Recognisers says:
// about 50 MB each. It fails with ErrModels when they are missing or damaged. Close gives the
// memory back.
func NewRecogniser(cfg Config) (*Recogniser, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("face: %w", err)
	}
	dir, err := cfg.ModelFolder()
	if err != nil {
		return nil, err
	}
	if err := checkModels(dir); err != nil {
		return nil, err
	}
	dlib.Settle()
	r := &Recogniser{cfg: cfg, idle: make(chan *worker, cfg.Recognisers), closed: make(chan struct{})}
	for range cfg.Recognisers {
		w, err := newWorker(dir)
		if err != nil {
			r.free(len(r.idle))
			return nil, fmt.Errorf("%w: %s: %w", ErrModels, dir, err)
		}
		r.idle <- w
	}
	return r, nil
}

func newWorker(dir string) (*worker, error) {
	f, err := dlib.NewFinder(filepath.Join(dir, landmarkModel))
	if err != nil {
		return nil, err
	}
	d, err := goface.NewRecognizer(dir)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &worker{d, f}, nil
}

// Close waits for who is at work and frees the models.
func (r *Recogniser) Close() {
	r.once.Do(func() {
		close(r.closed)
		r.free(cap(r.idle))
		dlib.Trim()
	})
}

func (r *Recogniser) free(workers int) {
	for range workers {
		w := <-r.idle
		w.describer.Close()
		w.finder.Close()
	}
}

// with lends a worker.
func (r *Recogniser) with(work func(*worker) error) error {
	select {
	case <-r.closed:
		return ErrClosed
	default:
	}
	select {
	case <-r.closed:
		return ErrClosed
	case w := <-r.idle:
		defer func() { r.idle <- w }()
		return work(w)
	}
}

const (
	// lookSide is the longer side, in pixels, that a picture is scaled down to before faces
	// are looked for: the detector's time grows with the area, and it finds faces from 80
	// pixels on.
	lookSide = 1280
	// leastSide is the shorter side below which no face of any use can be.
	leastSide = 40
	// mostSpots is how many faces the detector may name in one go.
	mostSpots = 256
)

// Find returns the faces in img, from left to right; of more than cfg.Faces the largest. img
// is BGR, 8 bits a channel; it is scaled down to a longer side of 1280 pixels, where faces
// are found from 80 pixels on.
func (r *Recogniser) Find(img gocv.Mat) ([]Face, error) {
	return r.find(img, lookSide, 1)
}

// find scales the picture down to the longer side, and blows a smaller one up by up to most.
func (r *Recogniser) find(img gocv.Mat, side int, most float64) ([]Face, error) {
	if img.Ptr() == nil || img.Empty() || img.Type() != gocv.MatTypeCV8UC3 {
		return nil, fmt.Errorf("%w: it is empty, or not BGR of 8 bits", ErrPicture)
	}
	scale := min(most, float64(side)/float64(max(img.Cols(), img.Rows())))
	if float64(min(img.Cols(), img.Rows()))*scale < leastSide {
		return nil, nil
	}
	grey := gocv.NewMat()
	defer grey.Close()
	gocv.CvtColor(img, &grey, gocv.ColorBGRToGray)
	spots, err := r.seek(grey, bounds(img), scale, dlib.AnySize)
	if err != nil {
		return nil, err
	}
	var faces []Face
	for _, s := range spots[:min(len(spots), r.cfg.Faces)] {
		f, ok, err := r.describe(img, s.box)
		if err != nil {
			return nil, err
		}
		if ok {
			faces = append(faces, f)
		}
	}
	slices.SortFunc(faces, func(a, b Face) int { return cmp.Compare(a.Box.Min.X, b.Box.Min.X) })
	return faces, nil
}

func bounds(m gocv.Mat) image.Rectangle { return image.Rect(0, 0, m.Cols(), m.Rows()) }

// seek looks for faces in a region of a grey picture, scaled, and returns them, the largest
// first.
func (r *Recogniser) seek(grey gocv.Mat, region image.Rectangle, scale float64, sizes dlib.Sizes) ([]spot, error) {
	region = region.Intersect(bounds(grey))
	size := scaledPoint(region.Size(), scale)
	if min(size.X, size.Y) < 1 {
		return nil, nil
	}
	part := grey.Region(region)
	defer part.Close()
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(part, &small, size, 0, 0, interpolation(scale))
	var found []dlib.Spot
	err := r.with(func(w *worker) (err error) {
		found, err = w.finder.Find(small, sizes, mostSpots)
		return err
	})
	spots := make([]spot, len(found))
	for i, f := range found {
		spots[i] = spot{box: scaled(f.Box, 1/scale).Add(region.Min), score: f.Score, front: f.Front}
	}
	slices.SortStableFunc(spots, func(a, b spot) int { return cmp.Compare(area(b.box), area(a.box)) })
	return spots, err
}

func interpolation(scale float64) gocv.InterpolationFlags {
	switch {
	case scale > 1:
		return gocv.InterpolationCubic
	case scale >= 0.5: // averaging would take longer and change little
		return gocv.InterpolationLinear
	}
	return gocv.InterpolationArea
}
