package face

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

func jpegFile(t *testing.T, w, h int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func pngFile(t *testing.T, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// claimed returns a small PNG whose header claims another size.
func claimed(t *testing.T, w, h uint32) []byte {
	t.Helper()
	data := pngFile(t, image.NewGray(image.Rect(0, 0, 2, 2)))
	binary.BigEndian.PutUint32(data[16:], w)
	binary.BigEndian.PutUint32(data[20:], h)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

// claimedJPEG returns a small JPEG whose header claims another size.
func claimedJPEG(t *testing.T, w, h uint16) []byte {
	t.Helper()
	data := jpegFile(t, 16, 16)
	sof := bytes.Index(data, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(data[sof+5:], h)
	binary.BigEndian.PutUint16(data[sof+7:], w)
	return data
}

// withThumbnail returns a JPEG that carries another one, whole, in a segment of its own.
func withThumbnail(t *testing.T) []byte {
	t.Helper()
	outer, inner := jpegFile(t, 64, 64), jpegFile(t, 8, 8)
	segment := []byte{0xff, 0xe1, 0, 0}
	binary.BigEndian.PutUint16(segment[2:], uint16(len(inner)+2))
	return bytes.Join([][]byte{outer[:2], segment, inner, outer[2:]}, nil)
}

func TestCheckPicture(t *testing.T) {
	whole := jpegFile(t, 64, 64)
	grey := pngFile(t, image.NewGray(image.Rect(0, 0, 60, 60)))
	thumb := withThumbnail(t)
	tests := map[string]struct {
		data []byte
		want string // "": fine
	}{
		"jpeg":                   {whole, ""},
		"jpeg with bytes behind": {append(bytes.Clone(whole), "a film behind it"...), ""},
		"jpeg with a thumbnail":  {thumb, ""},
		"grey png":               {grey, ""},
		"16-bit png":             {pngFile(t, image.NewNRGBA64(image.Rect(0, 0, 9, 9))), ""},
		"1x1":                    {jpegFile(t, 1, 1), ""},
		"empty":                  {nil, "the file is empty"},
		"text":                   {[]byte("no picture at all\n"), "no JPEG or PNG"},
		"gif":                    {[]byte("GIF89a\x01\x00\x01\x00"), "no JPEG or PNG"},
		"huge file":              {make([]byte, MaxBytes+1), "10485761 bytes; use at most 10485760"},
		"100 megapixels":         {claimed(t, 10_000, 10_000), "10000x10000 = 100000000 pixels; use at most 40000000"},
		"100 megapixels jpeg":    {claimedJPEG(t, 12_500, 8_000), "12500x8000 = 100000000 pixels; use at most 40000000"},
		"largest header":         {claimed(t, 1<<31-1, 1<<31-1), "header is damaged"},
		"no width":               {claimed(t, 0, 10), "damaged"},
		"no height":              {claimedJPEG(t, 10, 0), "0 pixels"},
		"half a jpeg":            {whole[:len(whole)/2], "cut off"},
		"jpeg without its end":   {whole[:len(whole)-2], "cut off"},
		"half, with a thumbnail": {thumb[:len(thumb)-20], "cut off"},
		"half a png":             {grey[:len(grey)-12], "cut off"},
		"a jpeg's first bytes":   {whole[:3], "damaged"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkPicture(tt.data)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrPicture) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzCheckPicture(f *testing.F) {
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff})
	f.Add([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkPicture(data); err != nil && !errors.Is(err, ErrPicture) {
			t.Error(err)
		}
		jpegWhole(data)
		pngWhole(data)
	})
}
