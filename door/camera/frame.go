//go:build vision

package camera

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"time"

	"gocv.io/x/gocv"
)

// Frame is one picture of a camera. It belongs to whoever received it, who must Close it and
// use it from one goroutine at a time.
type Frame struct {
	Time time.Time // when it arrived; with a monotonic reading
	p    *picture
}

// picture is a frame, decoded as far as somebody has asked for.
type picture struct {
	jpeg   []byte // as the camera sent it; nil when it was decoded on the way
	size   image.Point
	rotate int
	full   *gocv.Mat
	small  *gocv.Mat
}

const (
	// fullSide is the least longer side of a decoded frame: one of twice this is decoded at
	// half its size, which shows all that matters here, and so on.
	fullSide = 1280
	// smallSide is the same for the small one.
	smallSide = 160
)

// Image returns the picture: BGR, 8 bits a channel. It lives until Close. It is empty when
// the camera sent what only looked like one.
func (f Frame) Image() gocv.Mat {
	if f.p.full == nil {
		f.p.full = f.p.decode(fullSide, []gocv.IMReadFlag{gocv.IMReadColor, gocv.IMReadReducedColor2, gocv.IMReadReducedColor4, gocv.IMReadReducedColor8})
	}
	return *f.p.full
}

// Small returns the picture in grey and small, some 160 pixels wide, which takes much less
// time; it lives until Close, and is empty as Image is.
func (f Frame) Small() gocv.Mat {
	if f.p.small != nil {
		return *f.p.small
	}
	if f.p.full == nil && f.p.jpeg != nil {
		f.p.small = f.p.decode(smallSide, []gocv.IMReadFlag{gocv.IMReadGrayScale, gocv.IMReadReducedGrayscale2, gocv.IMReadReducedGrayscale4, gocv.IMReadReducedGrayscale8})
		return *f.p.small
	}
	small := shrunk(*f.p.full)
	f.p.small = &small
	return small
}

// shrunk makes the small grey picture of a large one.
func shrunk(full gocv.Mat) gocv.Mat {
	small := gocv.NewMat()
	if full.Empty() {
		return small
	}
	scale := min(1, smallSide/float64(max(full.Cols(), full.Rows())))
	size := image.Pt(max(1, int(float64(full.Cols())*scale)), max(1, int(float64(full.Rows())*scale)))
	gocv.Resize(full, &small, size, 0, 0, gocv.InterpolationArea)
	gocv.CvtColor(small, &small, gocv.ColorBGRToGray)
	return small
}

// decode decodes at a half, a quarter or an eighth of the size where that leaves at least
// side; flags are those for the sizes.
func (p *picture) decode(side int, flags []gocv.IMReadFlag) *gocv.Mat {
	n := 0
	for n < len(flags)-1 && max(p.size.X, p.size.Y)>>(n+1) >= side {
		n++
	}
	m, err := gocv.IMDecode(p.jpeg, flags[n])
	if err != nil {
		m = gocv.NewMat()
	}
	if !m.Empty() {
		turn(&m, p.rotate)
	}
	return &m
}

// turn turns m clockwise by 0, 90, 180 or 270 degrees.
func turn(m *gocv.Mat, degrees int) {
	switch degrees {
	case 90:
		replace(m, func(dst *gocv.Mat) { gocv.Rotate(*m, dst, gocv.Rotate90Clockwise) })
	case 180:
		replace(m, func(dst *gocv.Mat) { gocv.Rotate(*m, dst, gocv.Rotate180Clockwise) })
	case 270:
		replace(m, func(dst *gocv.Mat) { gocv.Rotate(*m, dst, gocv.Rotate90CounterClockwise) })
	}
}

// Taken returns when the frame arrived.
func (f Frame) Taken() time.Time { return f.Time }

// Close gives the picture's memory back.
func (f Frame) Close() error {
	var errs []error
	for _, m := range []*gocv.Mat{f.p.full, f.p.small} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	f.p.jpeg, f.p.full, f.p.small = nil, nil, nil
	return errors.Join(errs...)
}

// decoded makes a frame of what a source has decoded; it takes m.
func decoded(m gocv.Mat, rotate int) Frame {
	turn(&m, rotate)
	return Frame{time.Now(), &picture{full: &m}}
}

// undecoded makes a frame of a JPEG, after a look at its header.
func undecoded(data []byte, rotate int) (Frame, error) {
	header, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Frame{}, fmt.Errorf("%w: a damaged JPEG: %w", ErrFrame, err)
	}
	if n := int64(header.Width) * int64(header.Height); n == 0 || n > maxPixels {
		return Frame{}, fmt.Errorf("%w: %dx%d pixels; set the camera to at most %d", ErrFrame, header.Width, header.Height, maxPixels)
	}
	return Frame{time.Now(), &picture{jpeg: data, size: image.Pt(header.Width, header.Height), rotate: rotate}}, nil
}

// toBGR turns m into BGR of 8 bits a channel, or refuses it. OpenCV ends the program when
// it is given what it does not expect, so everything is looked at here first.
func toBGR(m *gocv.Mat) error {
	if m.Empty() || m.Rows() < 1 || m.Cols() < 1 {
		return fmt.Errorf("%w: empty (%dx%d)", ErrFrame, m.Cols(), m.Rows())
	}
	switch m.Type() {
	case gocv.MatTypeCV8UC3:
		return nil
	case gocv.MatTypeCV16UC1, gocv.MatTypeCV16UC3, gocv.MatTypeCV16UC4:
		replace(m, func(dst *gocv.Mat) {
			m.ConvertToWithParams(dst, gocv.MatTypeCV8U, 1.0/256, 0)
		})
		return toBGR(m)
	case gocv.MatTypeCV8UC1:
		replace(m, func(dst *gocv.Mat) { gocv.CvtColor(*m, dst, gocv.ColorGrayToBGR) })
		return nil
	case gocv.MatTypeCV8UC4:
		replace(m, func(dst *gocv.Mat) { gocv.CvtColor(*m, dst, gocv.ColorBGRAToBGR) })
		return nil
	}
	return fmt.Errorf("%w: pixels of OpenCV type %d; set the camera to MJPEG, H.264 or YUYV", ErrFrame, m.Type())
}

func replace(m *gocv.Mat, convert func(dst *gocv.Mat)) {
	dst := gocv.NewMat()
	convert(&dst)
	m.Close()
	*m = dst
}

// hashOf returns a hash of the pixels of a BGR picture.
func hashOf(seed maphash.Seed, m gocv.Mat) (uint64, error) {
	pixels, err := m.DataPtrUint8()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return maphash.Bytes(seed, pixels), nil
}
