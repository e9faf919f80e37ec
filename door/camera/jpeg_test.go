package camera

import (
	"bufio"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"testing"
)

func greyJPEG(t testing.TB, width int, level uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, 16))
	for x := range width {
		for y := range 16 {
			img.SetGray(x, y, color.Gray{Y: level + uint8(x*y)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withComment puts a comment after the start marker, as cameras do with the time.
func withComment(data []byte, text string) []byte {
	out := append([]byte{0xff, soi, 0xff, 0xfe, 0, byte(len(text) + 2)}, text...)
	return append(out, data[2:]...)
}

func TestJPEGsInAStream(t *testing.T) {
	one, two := greyJPEG(t, 64, 10), greyJPEG(t, 300, 90)
	thumbnail := withComment(two, string(greyJPEG(t, 8, 1)[:200]))
	header := "--frame\r\nContent-Type: image/jpeg\r\n\r\n"
	for name, tt := range map[string]struct {
		stream []byte
		want   [][]byte
	}{
		"multipart":      {join([]byte(header), one, []byte("\r\n"+header), two, []byte("\r\n--frame--")), [][]byte{one, two}},
		"back to back":   {join(one, two, one), [][]byte{one, two, one}},
		"cut off":        {join(one[:len(one)-40], []byte("\xff"), two), [][]byte{two}},
		"thumbnail":      {join(thumbnail, one), [][]byte{thumbnail, one}},
		"nothing":        {[]byte("no picture at all \xff\xff\x00"), nil},
		"filled markers": {join(one[:2], []byte{0xff, 0xff}, one[2:]), [][]byte{join(one[:2], []byte{0xff, 0xff}, one[2:])}},
	} {
		t.Run(name, func(t *testing.T) {
			in := jpegs{bufio.NewReaderSize(bytes.NewReader(tt.stream), 64)} // smaller than the pictures
			for i, want := range tt.want {
				got, scan, err := in.next()
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("picture %d: %d bytes, %v; want %d", i, len(got), err, len(want))
				}
				if scan < 100 || scan >= len(got) {
					t.Errorf("picture %d: the scan is at %d of %d", i, scan, len(got))
				}
				if _, err := jpeg.Decode(bytes.NewReader(got)); err != nil {
					t.Errorf("picture %d: %v", i, err)
				}
			}
			if _, _, err := in.next(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after the last: %v", err)
			}
		})
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// endless is a stream of the same bytes again and again.
type endless []byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e[i%len(e)]
	}
	return len(p), nil
}

func TestAPictureWithoutEndIsRefused(t *testing.T) {
	start := greyJPEG(t, 64, 1)
	for name, forever := range map[string]endless{"scan": {0x55}, "segments": {0xff, 0xe0, 0, 2}, "stuffing": {0xff, 0}, "filling": {0xff}} {
		head := start[:len(start)-10] // within the scan
		if name == "segments" {
			head = start[:2]
		}
		if _, _, err := (jpegs{bufio.NewReader(io.MultiReader(bytes.NewReader(head), forever))}).next(); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzJPEGs(f *testing.F) {
	f.Add(greyJPEG(f, 32, 4))
	f.Add([]byte{0xff, soi, 0xff, sos, 0, 2, 0xff, 0, 0xff, rst0, 1, 0xff, eoi})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := jpegs{bufio.NewReader(bytes.NewReader(data))}
		for total := 0; ; {
			got, scan, err := in.next()
			if err != nil {
				return
			}
			if total += len(got); total > len(data) || scan > len(got) || !bytes.HasSuffix(got, []byte{0xff, eoi}) {
				t.Fatalf("%d of %d bytes, scan at %d", total, len(data), scan)
			}
		}
	})
}
