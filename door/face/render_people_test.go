//go:build vision

package face

import (
	"math/rand/v2"
	"slices"

	"github.com/doorhub/doorhub/door"
)

// turned is one turn of a head and back, in seconds and degrees.
type turned struct {
	yaw, pitch              float64
	at, there, stays, again float64
}

func (u turned) until() float64 { return u.at + u.there + u.stays + u.again }

func (u turned) share(t float64) float64 {
	return ease(t, u.at, u.at+u.there) - ease(t, u.at+u.there+u.stays, u.until())
}

// turning adds the turns to how a body moves; they may grow while the clip runs.
type turning struct {
	random *rand.Rand
	turns  []turned
}

func (m *turning) add(hold func(float64) stance) func(float64) stance {
	return func(t float64) stance {
		st := hold(t)
		for _, u := range m.turns {
			k := u.share(t)
			st.yaw, st.pitch = st.yaw+k*u.yaw, st.pitch+k*u.pitch
		}
		return st
	}
}

// turn is one as people make it who are asked to turn a way.
func (m *turning) turn(way door.Way, at float64) turned {
	r := m.random
	along, across := between2(r, 24, 36), 4*r.NormFloat64()
	u := turned{at: at, there: between2(r, 0.4, 0.9), stays: between2(r, 0.1, 0.6), again: between2(r, 0.4, 0.8)}
	switch way {
	case door.Left:
		u.yaw, u.pitch = along, across
	case door.Right:
		u.yaw, u.pitch = -along, across
	case door.Up:
		u.yaw, u.pitch = across, -0.85*along
	case door.Down:
		u.yaw, u.pitch = across, 0.85*along
	}
	return u
}

// free returns when the last turn is over.
func (m *turning) free() float64 {
	if len(m.turns) == 0 {
		return 0
	}
	return m.turns[len(m.turns)-1].until()
}

func ways() [4]door.Way { return [4]door.Way{door.Left, door.Right, door.Up, door.Down} }

// answerer is somebody, or something, that is asked to turn.
type answerer struct {
	clip *clip
	ask  func(way door.Way, at float64) // nil: nobody listens
}

// obedient does as it is asked, as soon as people do, holds the turn until something else is
// asked for, and turns farther when nothing happens.
func obedient(r *rand.Rand, c *clip) answerer {
	m := &turning{random: r}
	c.steer(m)
	return answerer{c, func(way door.Way, at float64) {
		noticed := at + between2(r, 0.3, 0.9)
		m.stop(noticed)
		first := m.turn(way, max(noticed, m.free()-0.1))
		first.stays = between2(r, 0.6, 1.5)
		more := m.turn(way, first.until())
		more.yaw, more.pitch, more.stays = 1.25*first.yaw, 1.25*first.pitch, 3
		m.turns = append(m.turns, first, more)
	}}
}

// stop goes back from the turn that is held at that time, and makes none of those to come.
func (m *turning) stop(at float64) {
	m.turns = slices.DeleteFunc(m.turns, func(u turned) bool { return u.at >= at })
	if n := len(m.turns); n > 0 {
		u := &m.turns[n-1]
		u.stays = max(0, min(u.stays, at-u.at-u.there))
	}
}

// recording is a video of somebody who turned at random; it is injected into the camera's
// stream, so that everything about it is as of a head.
func recording(r *rand.Rand, c *clip) answerer {
	m := &turning{random: r}
	pause := between2(r, 0, 1.5)
	for at := between2(r, 0, 2); at < 30; at = m.free() + pause*r.ExpFloat64() {
		m.turns = append(m.turns, m.turn(ways()[r.IntN(4)], at))
	}
	c.steer(m)
	return answerer{clip: c}
}

// steer lets the body turn, too.
func (c *clip) steer(m *turning) {
	hold := c.truth
	c.truth = m.add(hold)
	for _, s := range c.surfaces {
		s.move = c.truth
	}
}

// waiting is somebody who stands still, as far as people do.
func waiting(r *rand.Rand, s *sitter) *clip {
	c := newClip(r, "waiting")
	c.of = s.of
	eyes := between2(r, 36, 90)
	at := c.stand(eyes, eyeDistance)
	still := func(float64) float64 { return 0 }
	c.walk(r, at, still, still, 0.3)
	head := s.head(randomSkull(r), eyes, c.truth)
	if r.IntN(3) == 0 {
		head.bend = talking(r, 1)
	}
	c.surfaces = []*surface{head}
	return c
}
