package face

import (
	"time"

	"github.com/doorhub/doorhub/door"
)

// Place is the door and the side of it that a camera looks at.
type Place struct {
	Door string
	Side door.Side
}

// follower turns what is seen in each frame into inputs of the house. It is not safe for
// concurrent use.
type follower struct {
	place   Place
	gallery *Gallery
	forget  func(track int) // is told of all tracks that are gone; may be nil
	tracker tracker
}

// look takes in the faces of one frame; judge tells of tracks, by their number, whether they
// are heads, and may be nil.
func (f *follower) look(now time.Time, faces []sighting, judge func([]*track) map[int]door.Liveness) ([]*track, []door.Input) {
	followed, replaced := f.tracker.look(now, faces)
	inputs := f.gone(append(replaced, f.tracker.expire(now)...))
	var live map[int]door.Liveness
	if judge != nil {
		live = judge(followed)
	}
	for _, t := range followed {
		if t.template.settled() {
			t.told = true
			inputs = append(inputs, f.face(t, live[t.number]))
		}
	}
	return followed, inputs
}

func (f *follower) face(t *track, live door.Liveness) door.Face {
	if live == "" {
		live = door.Unjudged
	}
	return door.Face{Door: f.place.Door, Side: f.place.Side, Track: t.number, Near: f.near(t), Liveness: live}
}

// nearKey is what the people near a face depend on.
type nearKey struct {
	people *index
	last   time.Time
	looks  int
}

// near looks up who is near, when a look was added or other people are enrolled.
func (f *follower) near(t *track) []door.Match {
	key := nearKey{f.gallery.index.Load(), t.template.last(), len(t.template.glances)}
	if key != t.nearOf {
		t.near, t.nearOf = f.gallery.Near(t.template.mean()), key
	}
	return t.near
}

// expire tells who has left.
func (f *follower) expire(now time.Time) []door.Input { return f.gone(f.tracker.expire(now)) }

// leave ends all tracks: nobody looks any more.
func (f *follower) leave() []door.Input {
	return f.gone(f.tracker.drop(func(*track) bool { return true }))
}

func (f *follower) watching() bool { return len(f.tracker.tracks) > 0 }

// gone tells of the tracks that the house has heard of.
func (f *follower) gone(tracks []*track) []door.Input {
	var inputs []door.Input
	for _, t := range tracks {
		if f.forget != nil {
			f.forget(t.number)
		}
		if t.told {
			inputs = append(inputs, door.Gone{Door: f.place.Door, Track: t.number})
		}
	}
	return inputs
}
