//go:build vision

package face

import (
	"fmt"
	"image"

	goface "github.com/Kagami/go-face"
	"gocv.io/x/gocv"
)

// cut is how a face is cut out of the picture for go-face, which takes a JPEG and looks for
// the face in it once more.
type cut struct {
	margin float64 // around the box on each side, in its widths
	width  int     // of the box, in pixels; a smaller face is blown up
	alone  bool    // other faces in it are not worth describing, too
}

// cuts are tried in turn. The first holds what the describing network sees and a little more,
// as small as the detector still knows a face in: its time grows with the area. The second is
// for a face that it did not find there, or not alone.
func cuts() []cut { return []cut{{margin: 0.32, width: 66, alone: true}, {margin: 0.5, width: 110}} }

// jpegQuality keeps what the descriptor looks at.
const jpegQuality = 95

// describe describes the face in a box of img (BGR). It returns false when go-face, which has
// the last word, sees none there.
func (r *Recogniser) describe(img gocv.Mat, box image.Rectangle) (Face, bool, error) {
	for _, c := range cuts() {
		jpeg, back, err := c.encode(img, box)
		if err != nil || jpeg == nil {
			return Face{}, false, err
		}
		var found []goface.Face
		err = r.with(func(w *worker) (err error) {
			found, err = c.recognise(w, jpeg)
			return err
		})
		if err != nil {
			return Face{}, false, fmt.Errorf("describe a face: %w", err)
		}
		for _, f := range found {
			if face := back.face(f, bounds(img)); overlap(face.Box, box) >= overlapEnough {
				return face, true, nil
			}
		}
	}
	return Face{}, false, nil
}

func (c cut) recognise(w *worker, jpeg []byte) ([]goface.Face, error) {
	if !c.alone {
		return w.describer.Recognize(jpeg)
	}
	f, err := w.describer.RecognizeSingle(jpeg)
	if f == nil {
		return nil, err
	}
	return []goface.Face{*f}, err
}

// encode returns no JPEG for a box in which there can be no face.
func (c cut) encode(img gocv.Mat, box image.Rectangle) ([]byte, placement, error) {
	region := box.Inset(-int(float64(box.Dx()) * c.margin)).Intersect(bounds(img))
	scale := float64(c.width) / float64(max(1, box.Dx()))
	size := scaledPoint(region.Size(), scale)
	if min(size.X, size.Y) < leastSide {
		return nil, placement{}, nil
	}
	part := img.Region(region)
	defer part.Close()
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(part, &small, size, 0, 0, interpolation(scale))
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, small, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return nil, placement{}, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	defer buf.Close()
	return append([]byte(nil), buf.GetBytes()...), placement{region.Min, 1 / scale}, nil
}

// placement leads from a cut back to the picture.
type placement struct {
	at    image.Point
	scale float64
}

func (p placement) face(f goface.Face, bounds image.Rectangle) Face {
	out := Face{Box: scaled(f.Rectangle, p.scale).Add(p.at).Intersect(bounds), Descriptor: f.Descriptor}
	for _, at := range f.Shapes {
		out.Landmarks = append(out.Landmarks, scaledPoint(at, p.scale).Add(p.at))
	}
	return out
}
