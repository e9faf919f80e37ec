package face

import (
	"image"
	"slices"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Witness remembers the faces before all cameras of a hub while they are in view and for a
// while after, for who asks later of which face something came. Its methods may be called from
// any goroutine.
type Witness struct {
	mu   sync.Mutex
	seen []*remembered // the one seen last comes last
}

// Sight is how a face was seen last.
type Sight struct {
	Place      Place
	Track      int
	Taken      time.Time    // the last frame with it
	Descriptor Descriptor   // the mean by which it was judged
	Near       []door.Match // as the house was told
	Liveness   door.Liveness
	Picture    *Picture // the best of the last moments; never nil
}

type remembered struct {
	Sight
	score float64 // of the look that the picture was taken of
}

// What a witness remembers. A claim is denied up to five minutes after the face was last seen.
const (
	sightsKept = 64
	sightFor   = 6 * time.Minute
	pictureFor = 3 * time.Second // then a newer one is better, whatever the look
	pictureBy  = 1.25            // times as good a look makes a better one
)

// Of returns how the face of a track was seen last; false when it is not remembered.
func (w *Witness) Of(track int) (Sight, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s.Track == track {
			return s.Sight, true
		}
	}
	return Sight{}, false
}

// glimpsed is one face in a look, for a witness.
type glimpsed struct {
	Sight
	box   image.Rectangle
	score float64
}

// note takes in the faces of a look and returns the picture that is to be taken of the frame,
// nil when none is due: those there are show each face nearly as well.
func (w *Witness) note(now time.Time, place Place, faces []glimpsed) *Picture {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = slices.DeleteFunc(w.seen, func(s *remembered) bool { return now.Sub(s.Taken) > sightFor })
	pic := newPicture(now, place, faces)
	due := false
	for _, f := range faces {
		due = w.see(now, f, pic) || due
	}
	w.seen = slices.Delete(w.seen, 0, max(0, len(w.seen)-sightsKept))
	if !due {
		return nil
	}
	return pic
}

// see takes in one face, and reports whether pic is its picture now.
func (w *Witness) see(now time.Time, f glimpsed, pic *Picture) bool {
	s := &remembered{}
	if i := slices.IndexFunc(w.seen, func(s *remembered) bool { return s.Track == f.Track }); i >= 0 {
		s = w.seen[i]
		w.seen = slices.Delete(w.seen, i, i+1)
	}
	w.seen = append(w.seen, s)
	f.Picture = s.Picture
	better := s.Picture == nil || now.Sub(s.Picture.Taken) > pictureFor || f.score > pictureBy*s.score
	if better {
		f.Picture, s.score = pic, f.score
	}
	s.Sight = f.Sight
	return better
}

// Picture is a frame, scaled down, and where the faces in it are.
type Picture struct {
	Place Place
	Taken time.Time
	Faces []Boxed

	done chan struct{} // closed when what follows is there
	jpeg []byte        // nil: it could not be taken
	size image.Point   // of the frame
}

// Boxed is where a face is in a picture.
type Boxed struct {
	Box      image.Rectangle // pixels of the frame
	Track    int
	Near     []door.Match // those enrolled, nearest first; none while nobody can tell
	Liveness door.Liveness
}

func newPicture(now time.Time, place Place, faces []glimpsed) *Picture {
	p := &Picture{Place: place, Taken: now, done: make(chan struct{})}
	for _, f := range faces {
		p.Faces = append(p.Faces, Boxed{f.box, f.Track, f.Near, f.Liveness})
	}
	return p
}
