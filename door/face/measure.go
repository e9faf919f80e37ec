package face

import (
	"math"

	"github.com/doorhub/doorhub/door"
)

// Measure is what can be measured of the faces in a picture, for people to see why it is good
// or not. Of several faces it is that of the largest.
type Measure struct {
	Faces     int     `json:"faces"`
	Width     int     `json:"width"`     // pixels
	Sharpness float64 `json:"sharpness"` // variance of the Laplacian, of the face at 100 pixels
	Light     float64 `json:"light"`     // mean grey level, 0 to 255
	Contrast  float64 `json:"contrast"`  // their standard deviation
	Turn      float64 `json:"turn"`      // eye distances that the nose is off the middle; above 0: to the right of the picture, as by a turn to one's own left
	Score     float64 `json:"score"`     // all of it, 0 to 1
}

// Side tells to which side a face is turned, as its owner sees it: "" for about straight
// ahead. A camera's picture is not mirrored.
func (m Measure) Side() door.Way {
	switch {
	case m.Turn > straight:
		return door.Left
	case m.Turn < -straight:
		return door.Right
	}
	return ""
}

// What an enrolled face must be beyond the settings. Looks at the door are compared with it
// for years.
const (
	lightLeast = 40.0  // mean grey level
	lightMost  = 225.0 //
	turnMost   = 0.45  // eye distances, to either side
)

// flaw says why a face is no good to enrol; "" for one that is.
func (c Config) flaw(m Measure) Reason {
	switch {
	case m.Width < c.MinFace:
		return SmallFace
	case m.Light < lightLeast:
		return TooDark
	case m.Light > lightMost:
		return TooBright
	case m.Sharpness < c.Blur:
		return Blurred
	case math.Abs(m.Turn) > turnMost:
		return TurnedAway
	}
	return ""
}
