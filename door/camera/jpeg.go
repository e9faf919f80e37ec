package camera

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// jpegs takes the pictures out of a stream of JPEG files with anything between them, as
// "motion JPEG" cameras send it: most of them write the boundaries and headers of
// multipart/x-mixed-replace in ways of their own, so that only the pictures are looked at.
type jpegs struct{ in *bufio.Reader }

// Markers (ITU T.81, table B.1).
const (
	soi  = 0xd8 // start of image
	eoi  = 0xd9 // end of image
	sos  = 0xda // start of scan
	rst0 = 0xd0 // restart, stands alone
	rst7 = 0xd7
	tem  = 0x01 // stands alone
)

// usualBytes is room for a picture at 720p.
const usualBytes = 128 << 10

// standsAlone reports whether no length follows the marker.
func standsAlone(marker byte) bool { return marker <= tem || marker >= rst0 && marker <= rst7 }

// errTooLarge is a picture, or something that began like one, of more than maxFileBytes.
var errTooLarge = fmt.Errorf("%w: a picture of more than %d bytes", ErrFrame, maxFileBytes)

// next returns the next whole picture, and where its first scan begins: what lies before may
// hold a time of day, and differ in pictures that are the same.
func (j jpegs) next() (data []byte, scan int, err error) {
	if err := j.seek(); err != nil {
		return nil, 0, err
	}
	data = append(make([]byte, 0, usualBytes), 0xff, soi)
	for {
		marker, err := j.marker(&data)
		for err == nil && marker == sos {
			if err = j.segment(&data); err == nil {
				scan = cmp.Or(scan, len(data))
				marker, err = j.coded(&data)
			}
		}
		switch {
		case err != nil:
			return nil, 0, err
		case marker == eoi:
			return data, scan, nil
		case marker == soi: // the one before was cut off
			data, scan = append(data[:0], 0xff, soi), 0
		case standsAlone(marker):
		default:
			if err := j.segment(&data); err != nil {
				return nil, 0, err
			}
		}
	}
}

// seek skips what is before the next picture.
func (j jpegs) seek() error {
	for last := byte(0); ; {
		b, err := j.in.ReadByte()
		if err != nil {
			return err
		}
		if last == 0xff && b == soi {
			return nil
		}
		last = b
	}
}

// marker reads up to the next marker, and appends what it read.
func (j jpegs) marker(data *[]byte) (byte, error) {
	for last := byte(0); ; {
		b, err := j.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if *data = append(*data, b); len(*data) > maxFileBytes {
			return 0, errTooLarge
		}
		if last == 0xff && b != 0xff {
			return b, nil
		}
		last = b
	}
}

// segment reads the length that follows a marker, and as many bytes.
func (j jpegs) segment(data *[]byte) error {
	var head [2]byte
	if _, err := io.ReadFull(j.in, head[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n < 2 {
		return fmt.Errorf("%w: a segment of %d bytes", ErrFrame, n)
	}
	*data = append(*data, head[:]...)
	from := len(*data)
	*data = append(*data, make([]byte, n-2)...)
	if len(*data) > maxFileBytes {
		return errTooLarge
	}
	_, err := io.ReadFull(j.in, (*data)[from:])
	return err
}

// coded reads picture data and the marker that ends it.
func (j jpegs) coded(data *[]byte) (marker byte, err error) {
	for {
		chunk, err := j.in.ReadSlice(0xff)
		*data = append(*data, chunk...)
		switch {
		case len(*data) > maxFileBytes:
			return 0, errTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return 0, err
		}
		for marker = 0xff; marker == 0xff; {
			if marker, err = j.in.ReadByte(); err != nil {
				return 0, err
			}
			if *data = append(*data, marker); len(*data) > maxFileBytes {
				return 0, errTooLarge
			}
		}
		if !standsAlone(marker) {
			return marker, nil
		}
	}
}
