package face

import (
	"image"
	"math"
)

// Quality says how good a look at a face is; each part is 0 to 1, and 1 could not be better.
type Quality struct {
	Size      float64 // from the box
	Sharpness float64 // variance of the Laplacian
	Light     float64 // neither dark nor glaring, with some contrast
	Pose      float64 // from the front
}

// Score is all of it in one number, 0 to 1.
func (q Quality) Score() float64 { return q.Size * q.Sharpness * q.Light * q.Pose }

const (
	sizeFull    = 110.0 // pixels: a larger face is not described better
	sharpFull   = 120.0 // variance of the Laplacian: as
	contrast    = 12.0  // grey levels, standard deviation: less is fog
	darkest     = 25.0  // mean grey level: darker shows nothing
	dark        = 60.0  // ... and darker shows less
	brightest   = 245.0
	bright      = 205.0
	sidewards   = 0.55 // eye distances that the nose is off the middle: a profile
	straight    = 0.15 // ... and a face from the front
	profilePose = 0.15
	sidePose    = 0.6 // of a face that only the detector has judged, as turned or tilted
)

func sizeQuality(width int) float64 { return min(1, float64(width)/sizeFull) }

func sharpQuality(variance float64) float64 { return min(1, variance/sharpFull) }

func lightQuality(mean, deviation float64) float64 {
	rising := ramp(mean, darkest, dark)
	falling := 1 - ramp(mean, bright, brightest)
	return min(rising, falling) * min(1, deviation/contrast)
}

// ramp rises from 0 at low to 1 at high.
func ramp(v, low, high float64) float64 { return max(0, min(1, (v-low)/(high-low))) }

// poseQuality tells from the five landmarks how far a face is turned aside: the nose's base
// then leaves the middle between the eyes. Nodding moves it along, and changes little of what
// a descriptor sees.
func poseQuality(landmarks []image.Point) float64 {
	off, ok := noseOff(landmarks)
	if !ok {
		return profilePose
	}
	return 1 - (1-profilePose)*ramp(math.Abs(off), straight, sidewards)
}

// noseOff returns how far the nose's base is off the middle between the eyes, along the line
// through them, in eye distances; false without five landmarks that can be a face's.
func noseOff(landmarks []image.Point) (float64, bool) {
	if len(landmarks) != 5 {
		return 0, false
	}
	one, other := landmarks[0].Add(landmarks[1]), landmarks[2].Add(landmarks[3]) // twice the eyes' middles
	eyes := one.Sub(other)
	length := math.Hypot(float64(eyes.X), float64(eyes.Y))
	if length < 8 {
		return 0, false
	}
	nose := landmarks[4].Mul(4).Sub(one).Sub(other) // four times: from the middle between the eyes
	along := float64(nose.X*eyes.X+nose.Y*eyes.Y) / length
	return along / 4 / (length / 2), true
}
