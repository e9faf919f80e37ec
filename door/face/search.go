//go:build vision

package face

import (
	"cmp"
	"fmt"
	"image"
	"slices"
	"time"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door/face/dlib"
)

// search finds the faces in the frames of one camera, looking only where it is worth it:
// around the faces that are followed, where something moved, and now and then everywhere. It
// is not safe for concurrent use.
type search struct {
	cfg  Config
	rec  *Recogniser
	gate gate

	moved   []image.Rectangle // in pixels of a picture of the size
	movedIn image.Point

	next sweep             // the least faces are looked for in a look of their own
	full time.Time         // when all was looked at last, but perhaps for the least faces
	rest []image.Rectangle // where those are still to be looked for
	wide time.Time         // when it was last looked where something moved

	refused []refusedSpot
}

// sweep is one of the two looks that together find all faces of at least cfg.Smallest. Each
// takes half the time that one look for all of them would.
type sweep int

const (
	sweepLarge sweep = iota // a third larger than the least, and more
	sweepLeast
)

func (s sweep) scale(smallest int) (scale float64, sizes dlib.Sizes) {
	least := dlib.LeastWindow / float64(smallest)
	if s == sweepLeast {
		return least, dlib.LeastSize
	}
	return 0.75 * least, dlib.AnySize
}

const (
	wideEvery   = 300 * time.Millisecond // while somebody is followed
	aroundTrack = 0.5                    // widths of the box on each side, in which a face is looked for again
	trackWidth  = 84                     // pixels: the width a followed face is scaled to
	sameFace    = 0.35                   // overlap of two finds of one face
	refusedFor  = 2 * time.Second        // what the describer saw no face in is left alone
)

// notice looks at a grey picture of the frame, of any size, for what moves.
func (s *search) notice(grey gocv.Mat) error {
	if grey.Ptr() == nil || grey.Empty() || grey.Type() != gocv.MatTypeCV8UC1 {
		return fmt.Errorf("%w: it is empty, or not a picture", ErrPicture)
	}
	scale := min(1, gateWidth/float64(max(grey.Cols(), grey.Rows())))
	size := scaledPoint(image.Pt(grey.Cols(), grey.Rows()), scale)
	size = image.Pt(max(1, size.X), max(1, size.Y))
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(grey, &small, size, 0, 0, gocv.InterpolationArea)
	pixels, err := small.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPicture, err)
	}
	s.moved, s.movedIn = s.gate.look(pixels, size), size
	return nil
}

// worth reports whether to look for faces: something moved, somebody is followed, or all was
// not looked at for long.
func (s *search) worth(now time.Time, tracks []*track) bool {
	return len(s.moved) > 0 || len(tracks) > 0 || now.Sub(s.full) >= s.cfg.Full
}

// faces returns the faces in a frame, the largest first, where something moved and at the
// tracks.
func (s *search) faces(now time.Time, grey gocv.Mat, tracks []*track) ([]spot, error) {
	var found []spot
	for _, t := range tracks {
		near, err := s.around(grey, t.box)
		if err != nil {
			return nil, err
		}
		found = append(found, near...)
	}
	regions := s.regions(now, bounds(grey), len(tracks) > 0)
	for range sweepLeast + 1 {
		more, err := s.sweep(grey, regions)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
		if len(found) > 0 || s.next == sweepLarge { // the other sweep comes with the next frame
			break
		}
	}
	if s.next == sweepLeast && len(regions) > 0 {
		s.rest = regions
	}
	return s.distinct(now, found), nil
}

func (s *search) around(grey gocv.Mat, box image.Rectangle) ([]spot, error) {
	region := box.Inset(-int(aroundTrack * float64(box.Dx())))
	return s.rec.seek(grey, region, min(1.25, trackWidth/float64(box.Dx())), dlib.AnySize)
}

// sweep looks for the faces of one sweep, and sets the next.
func (s *search) sweep(grey gocv.Mat, regions []image.Rectangle) ([]spot, error) {
	if len(regions) == 0 {
		return nil, nil
	}
	scale, sizes := s.next.scale(s.cfg.Smallest)
	s.next = sweepLarge + sweepLeast - s.next
	var found []spot
	for _, r := range regions {
		more, err := s.rec.seek(grey, r, scale, sizes)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// regions says where to look for faces that nobody follows yet.
func (s *search) regions(now time.Time, whole image.Rectangle, following bool) []image.Rectangle {
	all := []image.Rectangle{whole}
	if !following {
		s.next, s.rest = sweepLarge, nil
	}
	rest := s.rest
	switch {
	case s.next == sweepLeast && slices.Equal(rest, all): // the other half of a full look
	case now.Sub(s.full) >= s.cfg.Full && s.next == sweepLarge:
		s.full, rest = now, all
	case following && now.Sub(s.wide) < wideEvery:
		return nil
	case len(s.moved) > 0:
		rest = s.grown(whole)
	case len(rest) == 0:
		return nil
	}
	s.wide, s.rest = now, nil
	return rest
}

// grown returns where something moved in the whole frame, large enough for the smallest face
// that matters, and as one what then overlaps.
func (s *search) grown(whole image.Rectangle) []image.Rectangle {
	scale := float64(whole.Dx()) / float64(max(1, s.movedIn.X))
	var all []image.Rectangle
	for _, r := range s.moved {
		all = append(all, scaled(r, scale).Inset(-s.cfg.Smallest/2).Intersect(whole))
	}
	return joined(all)
}

// distinct leaves one of several finds of the same face, and none of what is known to be no
// face.
func (s *search) distinct(now time.Time, found []spot) []spot {
	s.refused = slices.DeleteFunc(s.refused, func(r refusedSpot) bool { return now.Sub(r.at) >= refusedFor })
	slices.SortStableFunc(found, func(a, b spot) int { return cmp.Compare(b.score, a.score) })
	var kept []spot
	for _, f := range found {
		same := func(k spot) bool { return overlap(k.box, f.box) >= sameFace }
		if !slices.ContainsFunc(kept, same) && !s.isRefused(f.box) {
			kept = append(kept, f)
		}
	}
	slices.SortStableFunc(kept, func(a, b spot) int { return cmp.Compare(area(b.box), area(a.box)) })
	return kept
}

// refusedSpot is where the describer saw no face.
type refusedSpot struct {
	box image.Rectangle
	at  time.Time
}

func (s *search) refuse(now time.Time, box image.Rectangle) {
	s.refused = append(s.refused, refusedSpot{box, now})
}

func (s *search) isRefused(box image.Rectangle) bool {
	return slices.ContainsFunc(s.refused, func(r refusedSpot) bool { return overlap(r.box, box) >= 0.6 })
}
