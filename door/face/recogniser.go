//go:build vision

package face

import (
	"errors"
	"fmt"
	"image"
	"sync"

	goface "github.com/Kagami/go-face"
	"gocv.io/x/gocv"
)

// Face is one face found in a picture.
type Face struct {
	Box        image.Rectangle // in pixels of the picture, inside it
	Landmarks  []image.Point   // corners of the eyes and the base of the nose: five points
	Descriptor Descriptor
}

// Recogniser finds and describes faces. Its methods may be called from any goroutine; one
// picture is worked on at a time.
type Recogniser struct {
	cfg Config
	mu  sync.Mutex
	rec *goface.Recognizer // nil after Close
}

// ErrClosed is a recogniser used after Close.
var ErrClosed = errors.New("the face recogniser is closed")

// NewRecogniser checks and loads the face models. It fails with ErrModels when they are
// missing or damaged. Close gives about 40 MB back.
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
	settle()
	rec, err := goface.NewRecognizer(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrModels, dir, err)
	}
	return &Recogniser{cfg: cfg, rec: rec}, nil
}

// Close frees the models.
func (r *Recogniser) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec != nil {
		r.rec.Close()
		r.rec = nil
		trimMemory()
	}
}

const (
	// lookSide is the longer side, in pixels, that a picture is scaled down to before faces
	// are looked for: the detector's time grows with the area, and it finds faces from 80
	// pixels on.
	lookSide = 1280
	// leastSide is the shorter side below which no face of any use can be.
	leastSide = 40
	// jpegQuality keeps what the descriptor looks at; go-face takes pictures as JPEG only.
	jpegQuality = 95
)

// Find returns the faces in img, from left to right. img is BGR, 8 bits a channel; it is
// scaled down to a longer side of 1280 pixels, where faces are found from 80 pixels on.
func (r *Recogniser) Find(img gocv.Mat) ([]Face, error) {
	faces, _, err := r.find(img, lookSide, 1)
	return faces, err
}

// find also returns the JPEG that was looked at. side is the longer side that the picture is
// scaled down to; a smaller picture is blown up by up to most.
func (r *Recogniser) find(img gocv.Mat, side int, most float64) ([]Face, []byte, error) {
	if img.Ptr() == nil || img.Empty() || img.Type() != gocv.MatTypeCV8UC3 {
		return nil, nil, fmt.Errorf("%w: it is empty, or not BGR of 8 bits", ErrPicture)
	}
	scale := min(most, float64(side)/float64(max(img.Cols(), img.Rows())))
	jpeg, err := scaledJPEG(img, scale)
	if err != nil || jpeg == nil {
		return nil, nil, err
	}
	found, err := r.recognise(jpeg)
	if err != nil {
		return nil, nil, err
	}
	faces := make([]Face, len(found))
	for i, f := range found {
		faces[i] = unscaled(f, scale, image.Rect(0, 0, img.Cols(), img.Rows()))
	}
	return faces, jpeg, nil
}

// scaledJPEG returns nil for a picture in which there can be no face.
func scaledJPEG(img gocv.Mat, scale float64) ([]byte, error) {
	size := image.Pt(int(float64(img.Cols())*scale+0.5), int(float64(img.Rows())*scale+0.5))
	if min(size.X, size.Y) < leastSide {
		return nil, nil
	}
	if size != image.Pt(img.Cols(), img.Rows()) {
		scaled := gocv.NewMat()
		defer scaled.Close()
		gocv.Resize(img, &scaled, size, 0, 0, interpolation(scale))
		img = scaled
	}
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, img, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	defer buf.Close()
	return append([]byte(nil), buf.GetBytes()...), nil
}

func interpolation(scale float64) gocv.InterpolationFlags {
	if scale < 1 {
		return gocv.InterpolationArea
	}
	return gocv.InterpolationCubic
}

func (r *Recogniser) recognise(jpeg []byte) ([]goface.Face, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return nil, ErrClosed
	}
	found, err := r.rec.Recognize(jpeg)
	if err != nil {
		return nil, fmt.Errorf("find faces: %w", err)
	}
	return found, nil
}

func unscaled(f goface.Face, scale float64, bounds image.Rectangle) Face {
	back := func(p image.Point) image.Point {
		return image.Pt(int(float64(p.X)/scale), int(float64(p.Y)/scale))
	}
	box := image.Rectangle{Min: back(f.Rectangle.Min), Max: back(f.Rectangle.Max)}
	out := Face{Box: box.Intersect(bounds), Descriptor: f.Descriptor}
	for _, p := range f.Shapes {
		out.Landmarks = append(out.Landmarks, back(p))
	}
	return out
}
