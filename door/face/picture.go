package face

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // so that a header tells its size before OpenCV decodes it
	_ "image/png"
)

// What a picture may be before it is decoded.
const (
	MaxBytes  = 10 << 20   // of the file
	MaxPixels = 40_000_000 // width x height; decoded, three bytes each
)

// ErrPicture is a file that no picture can be made of, or none as large as this.
var ErrPicture = errors.New("the picture cannot be used")

// checkPicture looks at a JPEG or PNG file without decoding it: OpenCV would first take the
// memory, and fill what is missing of a truncated JPEG with grey.
func checkPicture(data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrPicture)
	}
	if len(data) > MaxBytes {
		return fmt.Errorf("%w: it has %d bytes; use at most %d", ErrPicture, len(data), MaxBytes)
	}
	header, format, err := image.DecodeConfig(bytes.NewReader(data))
	if errors.Is(err, image.ErrFormat) {
		return fmt.Errorf("%w: it is no JPEG or PNG file", ErrPicture)
	}
	if err != nil {
		return fmt.Errorf("%w: its header is damaged: %w", ErrPicture, err)
	}
	pixels := int64(header.Width) * int64(header.Height)
	if pixels == 0 {
		return fmt.Errorf("%w: it has %dx%d pixels", ErrPicture, header.Width, header.Height)
	}
	if pixels > MaxPixels {
		return fmt.Errorf("%w: it has %dx%d = %d pixels; use at most %d", ErrPicture, header.Width, header.Height, pixels, MaxPixels)
	}
	if format == "jpeg" && !jpegWhole(data) || format == "png" && !pngWhole(data) {
		return fmt.Errorf("%w: the file is cut off: copy it again", ErrPicture)
	}
	return nil
}

// jpegWhole reports whether the segments of a JPEG lead to its end marker (ITU T.81, annex
// B). A thumbnail's end marker lies inside a segment and does not count; what follows the
// end does not matter.
func jpegWhole(data []byte) bool {
	for i := 2; i+1 < len(data); {
		if data[i] != 0xff {
			i++ // coded picture data, or filling
			continue
		}
		switch m := data[i+1]; {
		case m == 0xd9:
			return true
		case m == 0xff: // filling
			i++
		case m == 0 || m == 1 || m >= 0xd0 && m <= 0xd8: // markers that stand alone
			i += 2
		case i+3 >= len(data):
			return false
		default:
			i += 2 + int(binary.BigEndian.Uint16(data[i+2:]))
		}
	}
	return false
}

// pngWhole reports whether the chunks of a PNG lead to its end chunk (ISO 15948, clause 5).
func pngWhole(data []byte) bool {
	for i := 8; i+12 <= len(data); {
		if string(data[i+4:i+8]) == "IEND" {
			return true
		}
		size := binary.BigEndian.Uint32(data[i:])
		if size > MaxBytes {
			return false
		}
		i += 12 + int(size)
	}
	return false
}
