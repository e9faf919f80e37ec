//go:build vision

package camera

import (
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"gocv.io/x/gocv"
)

// Frame is one picture of a camera. It belongs to whoever received it, who must Close it.
type Frame struct {
	Mat  gocv.Mat  // BGR, 8 bits a channel, never empty
	Time time.Time // when it arrived; with a monotonic reading
}

// Image returns the picture; it lives until Close.
func (f Frame) Image() gocv.Mat { return f.Mat }

// Taken returns when the frame arrived.
func (f Frame) Taken() time.Time { return f.Time }

// Close gives the picture's memory back.
func (f Frame) Close() error { return f.Mat.Close() }

// ErrFrame is a frame that no picture can be made of.
var ErrFrame = errors.New("the camera sends frames that cannot be used")

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

// measure returns a hash of the pixels of a BGR picture and its mean brightness, 0 to 255.
func measure(seed maphash.Seed, m *gocv.Mat) (hash uint64, mean float64, err error) {
	pixels, err := m.DataPtrUint8()
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	s := m.Mean()
	return maphash.Bytes(seed, pixels), (s.Val1 + s.Val2 + s.Val3) / 3, nil
}
