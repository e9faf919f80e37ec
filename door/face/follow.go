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
	tracker tracker
}

func (f *follower) look(now time.Time, faces []sighting) []door.Input {
	numbers, replaced := f.tracker.look(now, faces)
	inputs := f.gone(replaced)
	for i, s := range faces {
		inputs = append(inputs, door.Face{Door: f.place.Door, Side: f.place.Side, Track: numbers[i],
			Near: f.gallery.Near(s.descriptor), Liveness: door.Unjudged})
	}
	return append(inputs, f.expire(now)...)
}

// expire tells who has left.
func (f *follower) expire(now time.Time) []door.Input { return f.gone(f.tracker.expire(now)) }

// leave ends all tracks: nobody looks any more.
func (f *follower) leave() []door.Input {
	var numbers []int
	for _, t := range f.tracker.tracks {
		numbers = append(numbers, t.number)
	}
	f.tracker.tracks = nil
	return f.gone(numbers)
}

func (f *follower) watching() bool { return len(f.tracker.tracks) > 0 }

func (f *follower) gone(numbers []int) []door.Input {
	var inputs []door.Input
	for _, n := range numbers {
		inputs = append(inputs, door.Gone{Door: f.place.Door, Track: n})
	}
	return inputs
}
