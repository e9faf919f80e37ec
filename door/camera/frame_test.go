//go:build vision

package camera

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"image"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gocv.io/x/gocv"
)

// marked is a dark picture whose left upper quarter is bright.
func marked(width, height int) gocv.Mat {
	m := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(20, 20, 20, 0), height, width, gocv.MatTypeCV8UC3)
	part := m.Region(image.Rect(0, 0, width/2, height/2))
	defer part.Close()
	part.SetTo(gocv.NewScalar(220, 220, 220, 0))
	return m
}

// bright returns in which quarter of a picture it is bright, from 0 to 1 each way.
func bright(t *testing.T, m gocv.Mat) image.Point {
	t.Helper()
	grey := m
	if m.Channels() == 3 {
		grey = gocv.NewMat()
		defer grey.Close()
		gocv.CvtColor(m, &grey, gocv.ColorBGRToGray)
	}
	_, _, _, at := gocv.MinMaxLoc(grey)
	return image.Pt(2*at.X/m.Cols(), 2*at.Y/m.Rows())
}

func jpegOf(t testing.TB, m gocv.Mat) []byte {
	t.Helper()
	buf, err := gocv.IMEncode(gocv.JPEGFileExt, m)
	if err != nil {
		t.Fatal(err)
	}
	defer buf.Close()
	return bytes.Clone(buf.GetBytes())
}

func TestFramesAreTurned(t *testing.T) {
	type view struct{ Size, Bright, SmallSize, SmallBright image.Point }
	of := func(f Frame, err error) view {
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		small, full := f.Small(), f.Image() // the small one first, as the watcher asks for them
		return view{image.Pt(full.Cols(), full.Rows()), bright(t, full), image.Pt(small.Cols(), small.Rows()), bright(t, small)}
	}
	wide, high := image.Pt(640, 320), image.Pt(320, 640)
	smallWide, smallHigh := image.Pt(160, 80), image.Pt(80, 160)
	m := marked(wide.X, wide.Y)
	defer m.Close()
	for degrees, want := range map[int]view{
		0:   {wide, image.Pt(0, 0), smallWide, image.Pt(0, 0)},
		90:  {high, image.Pt(1, 0), smallHigh, image.Pt(1, 0)},
		180: {wide, image.Pt(1, 1), smallWide, image.Pt(1, 1)},
		270: {high, image.Pt(0, 1), smallHigh, image.Pt(0, 1)},
	} {
		if d := cmp.Diff(want, of(decoded(m.Clone(), degrees), nil)); d != "" {
			t.Errorf("decoded, by %d: %s", degrees, d)
		}
		if d := cmp.Diff(want, of(undecoded(jpegOf(t, m), degrees))); d != "" {
			t.Errorf("undecoded, by %d: %s", degrees, d)
		}
	}
}

// What a camera sends beyond what is looked at is not even decoded.
func TestLargeFramesAreDecodedSmaller(t *testing.T) {
	for name, tt := range map[string]struct{ sent, full, small image.Point }{
		"4K":     {image.Pt(3840, 2160), image.Pt(1920, 1080), image.Pt(480, 270)},
		"5K":     {image.Pt(5120, 2880), image.Pt(1280, 720), image.Pt(640, 360)},
		"720p":   {image.Pt(1280, 720), image.Pt(1280, 720), image.Pt(160, 90)},
		"CIF":    {image.Pt(352, 288), image.Pt(352, 288), image.Pt(176, 144)},
		"narrow": {image.Pt(40, 1000), image.Pt(40, 1000), image.Pt(10, 250)},
	} {
		t.Run(name, func(t *testing.T) {
			m := marked(tt.sent.X, tt.sent.Y)
			defer m.Close()
			f, err := undecoded(jpegOf(t, m), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			small, full := f.Small(), f.Image()
			if d := cmp.Diff(tt.full, image.Pt(full.Cols(), full.Rows())); d != "" {
				t.Error("in full: ", d)
			}
			if d := cmp.Diff(tt.small, image.Pt(small.Cols(), small.Rows())); d != "" {
				t.Error("small: ", d)
			}
		})
	}
}

func TestDamagedPicturesAreRefused(t *testing.T) {
	m := marked(64, 32)
	defer m.Close()
	good := jpegOf(t, m)
	sof := bytes.Index(good, []byte{0xff, 0xc0}) // its precision, height and width follow a length
	changed := func(at int, to ...byte) []byte {
		data := bytes.Clone(good)
		copy(data[sof+at:], to)
		return data
	}
	for name, data := range map[string][]byte{
		"0x0":       changed(5, 0, 0, 0, 0),
		"12 bits":   changed(4, 12),
		"too large": changed(5, 0xff, 0xff, 0xff, 0xff),
		"cut off":   good[:sof],
		"text":      []byte("no picture"),
		"nothing":   nil,
	} {
		if _, err := undecoded(data, 0); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hollow is a camera whose pictures have a header and nothing behind.
type hollow struct{ data []byte }

func (h hollow) readJPEG(context.Context) ([]byte, int, error) { return h.data, len(h.data), nil }
func (h hollow) still() bool                                   { return false }
func (h hollow) close()                                        {}

func TestPicturesWithoutContentAreRefused(t *testing.T) {
	header := []byte{0xff, soi, 0xff, 0xc0, 0, 11, 8, 2, 0xd0, 5, 0, 1, 1, 0x11, 0, 0xff, sos, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, eoi}
	r := reader{src: hollow{header}, seed: maphash.MakeSeed()}
	if s := r.shot(t.Context()); !errors.Is(s.err, ErrFrame) {
		t.Errorf("got %v, want it refused", s.err)
	}
}
