//go:build vision

package face

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"
)

// fitted is a frame as it is looked at: no larger than lookSide, so that the time a look takes
// has a bound whatever the camera sends. Boxes and landmarks are in its pixels.
type fitted struct {
	img   gocv.Mat // BGR
	grey  gocv.Mat
	owned bool // img is not the camera's
}

// fit takes a frame, which must outlive it. It refuses what is no picture.
func fit(img gocv.Mat) (fitted, error) {
	if img.Ptr() == nil || img.Empty() || img.Type() != gocv.MatTypeCV8UC3 {
		return fitted{}, fmt.Errorf("%w: it is empty, or not BGR of 8 bits", ErrPicture)
	}
	f := fitted{img: img, grey: gocv.NewMat()}
	if scale := lookSide / float64(max(img.Cols(), img.Rows())); scale < 1 {
		f.img, f.owned = gocv.NewMat(), true
		size := scaledPoint(image.Pt(img.Cols(), img.Rows()), scale)
		gocv.Resize(img, &f.img, image.Pt(max(1, size.X), max(1, size.Y)), 0, 0, gocv.InterpolationArea)
	}
	gocv.CvtColor(f.img, &f.grey, gocv.ColorBGRToGray)
	return f, nil
}

func (f fitted) empty() bool { return f.grey.Ptr() == nil }

func (f fitted) close() {
	if f.empty() {
		return
	}
	f.grey.Close()
	if f.owned {
		f.img.Close()
	}
}
