//go:build vision

package face

import (
	"errors"
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door/face/dlib"
)

// Decode makes a picture out of a JPEG or PNG file: BGR, 8 bits a channel, upright by its
// EXIF orientation. What is no picture, cut off, over 10 MB or over 40 megapixels is refused
// with ErrPicture before it takes memory. Who gets the picture must Close it.
func Decode(data []byte) (gocv.Mat, error) {
	if err := checkPicture(data); err != nil {
		return gocv.Mat{}, err
	}
	img, err := gocv.IMDecode(data, gocv.IMReadColor)
	if err != nil {
		return gocv.Mat{}, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	if img.Empty() {
		img.Close()
		return gocv.Mat{}, fmt.Errorf("%w: the file is damaged: copy it again", ErrPicture)
	}
	return img, nil
}

// Enrol judges 1 to max_pictures JPEG or PNG files of one person, and describes those it
// accepts. A face nearer than identify to somebody else in the gallery is refused, and so is
// one farther than Limit from all that person, an id, has in it already. Accepted are the
// pictures not refused; when two of them show different people, all are refused.
//
// The error is ErrCount, or that of a recogniser that does not work; pictures that are not
// good enough are no error but a Refusal each.
func (r *Recogniser) Enrol(person string, pictures [][]byte, g *Gallery, identify float64) (Enrolment, error) {
	if err := r.cfg.validCount(len(pictures)); err != nil {
		return Enrolment{}, err
	}
	defer dlib.Trim()
	portraits := make([]portrait, len(pictures))
	for i, data := range pictures {
		p, err := r.portray(data)
		if err != nil {
			return Enrolment{}, err
		}
		portraits[i] = p
	}
	return r.cfg.judge(person, portraits, g, identify), nil
}

func (r *Recogniser) portray(data []byte) (portrait, error) {
	img, err := Decode(data)
	if errors.Is(err, ErrPicture) {
		return portrait{err: err}, nil
	}
	if err != nil {
		return portrait{}, err
	}
	defer img.Close()
	faces, err := r.search(img)
	if err != nil {
		return portrait{}, err
	}
	grey := gocv.NewMat()
	defer grey.Close()
	gocv.CvtColor(img, &grey, gocv.ColorBGRToGray)
	var p portrait
	for _, f := range faces {
		p.faces = append(p.faces, portrayed{measured(f.Box, appearanceOf(grey, f.Box), f.Landmarks), f.Descriptor})
	}
	return p, nil
}

// measured puts together what is known of one face.
func measured(box image.Rectangle, a appearance, landmarks []image.Point) Measure {
	m := Measure{Faces: 1, Width: box.Dx(), Sharpness: a.sharpness, Light: a.mean, Contrast: a.deviation}
	m.Turn, _ = noseOff(landmarks)
	m.Score = Quality{sizeQuality(m.Width), sharpQuality(m.Sharpness), lightQuality(m.Light, m.Contrast), poseQuality(landmarks)}.Score()
	return m
}

// fullSide is the longer side up to which a large picture is searched when no face was found
// in it scaled down: a second or so.
const fullSide = 4000

// search looks for faces at the usual size, then for small ones: in the whole of a large
// picture, or in a small one blown up, where they are found so that the refusal can say that
// they are small.
func (r *Recogniser) search(img gocv.Mat) ([]Face, error) {
	faces, err := r.find(img, lookSide, 1)
	if err != nil || len(faces) > 0 {
		return faces, err
	}
	return r.find(img, fullSide, 2)
}

// sharpSide is the size to which a face is scaled before its sharpness is measured, so that
// the same face is as sharp in a large picture as in a small one.
const sharpSide = 100

// appearance is what can be measured of a face without knowing what it shows.
type appearance struct {
	// sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in
	// brightfield microscopy", 2000): small when there are no edges.
	sharpness       float64
	mean, deviation float64 // grey levels
}

// appearanceOf looks at the face in a box of a grey picture.
func appearanceOf(grey gocv.Mat, box image.Rectangle) appearance {
	box = box.Intersect(bounds(grey))
	if box.Empty() {
		return appearance{}
	}
	part := grey.Region(box)
	defer part.Close()
	face, edges := gocv.NewMat(), gocv.NewMat()
	defer face.Close()
	defer edges.Close()
	gocv.Resize(part, &face, image.Pt(sharpSide, sharpSide), 0, 0, interpolation(float64(sharpSide)/float64(box.Dx())))
	gocv.Laplacian(face, &edges, gocv.MatTypeCV16S, 1, 1, 0, gocv.BorderDefault)
	var t appearance
	t.mean, t.deviation = spreadOf(face)
	_, d := spreadOf(edges)
	t.sharpness = d * d
	return t
}

func spreadOf(m gocv.Mat) (mean, deviation float64) {
	a, b := gocv.NewMat(), gocv.NewMat()
	defer a.Close()
	defer b.Close()
	gocv.MeanStdDev(m, &a, &b)
	return a.GetDoubleAt(0, 0), b.GetDoubleAt(0, 0)
}
