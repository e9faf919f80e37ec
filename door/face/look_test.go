//go:build vision

package face

import (
	"bytes"
	"image"
	"testing"
	"time"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door"
)

// lazy is a frame that counts how often somebody wants all of it.
type lazy struct {
	shown
	small gocv.Mat
	full  *int
}

func (l lazy) Small() gocv.Mat { return l.small }
func (l lazy) Image() gocv.Mat { *l.full++; return l.img }

// lazily returns img as frames that come at a time.
func lazily(t testing.TB, img gocv.Mat, full *int) func(time.Time) Frame {
	small := gocv.NewMat()
	t.Cleanup(func() { small.Close() })
	gocv.Resize(img, &small, image.Pt(160, 90), 0, 0, gocv.InterpolationArea)
	gocv.CvtColor(small, &small, gocv.ColorBGRToGray)
	return func(at time.Time) Frame { return lazy{show(img, at), small, full} }
}

func TestFramesAreDecodedWhereItIsWorthIt(t *testing.T) {
	told := 0
	w := NewWatcher(Defaults(), Place{"front", door.Entry}, recogniser(t), &Gallery{}, &Numbers{}, func(in door.Input) {
		if _, ok := in.(door.Face); ok {
			told++
		}
	})
	full, now := 0, time.Now()
	nobody := lazily(t, scene(t, nil, 0, 0), &full)
	somebody := lazily(t, scene(t, file(t, "obama2.jpg"), 300, 720), &full)
	looks := func(n int, frame func(time.Time) Frame) (decoded int) {
		full = 0
		for range n {
			w.look(frame(now))
			now = now.Add(100 * time.Millisecond)
		}
		return full
	}
	looks(1, nobody) // the first is all new
	if n := looks(29, nobody); n != 0 {
		t.Errorf("%d of 29 frames of an empty doorway were decoded", n)
	}
	if n := looks(30, nobody); n != 1 {
		t.Errorf("%d of 30 frames of an empty doorway were decoded in the time of one full look", n)
	}
	if n := looks(2, somebody); n != 2 || told != 2 {
		t.Errorf("of somebody new: %d of 2 decoded, told %d times", n, told)
	}
}

// Somebody who stood there before there was a picture to compare with, and never moves.
func TestAFullLookFindsWhoNeverMoves(t *testing.T) {
	var tracks []int
	w := NewWatcher(Defaults(), Place{"front", door.Entry}, recogniser(t), &Gallery{}, &Numbers{}, func(in door.Input) {
		if f, ok := in.(door.Face); ok {
			tracks = append(tracks, f.Track)
		}
	})
	full, now := 0, time.Now()
	frame := lazily(t, scene(t, file(t, "obama2.jpg"), 300, 720), &full)
	w.search.full = now // all was looked at, and the face was missed
	if err := w.search.notice(frame(now).(SmallFrame).Small()); err != nil {
		t.Fatal(err)
	}
	for range 35 {
		now = now.Add(100 * time.Millisecond)
		w.look(frame(now))
	}
	if len(tracks) == 0 || tracks[0] != 1 {
		t.Errorf("told of tracks %v", tracks)
	}
}

func TestAPictureOfAnEmptyDoorway(t *testing.T) {
	w := NewWatcher(Defaults(), Place{"front", door.Entry}, recogniser(t), &Gallery{}, &Numbers{}, func(door.Input) {})
	full, now := 0, time.Now()
	nobody := lazily(t, scene(t, nil, 0, 0), &full)
	w.look(nobody(now))
	w.look(nobody(now.Add(100 * time.Millisecond))) // decodes nothing
	answer := make(chan *Picture, 1)
	w.asked <- answer
	w.look(nobody(now.Add(200 * time.Millisecond)))
	p := <-answer
	<-p.done
	if !bytes.HasPrefix(p.jpeg, []byte{0xff, 0xd8}) || p.size != image.Pt(1280, 720) {
		t.Errorf("%d bytes of %v", len(p.jpeg), p.size)
	}
}
