package face

import (
	"image"
	"testing"
)

// facing is the landmarks of a face whose eyes are 40 pixels apart, the nose's base off the
// middle by so many pixels.
func facing(off int) []image.Point {
	return []image.Point{{75, 50}, {65, 50}, {25, 50}, {35, 50}, {50 + off, 75}}
}

func TestPoseQuality(t *testing.T) {
	for name, tt := range map[string]struct {
		landmarks []image.Point
		low, high float64
	}{
		"from the front":   {facing(0), 1, 1},
		"hardly turned":    {facing(4), 1, 1},
		"turned":           {facing(-14), 0.4, 0.8},
		"profile":          {facing(30), profilePose, profilePose + 1e-9},
		"tilted, front":    {[]image.Point{{60, 75}, {55, 65}, {35, 25}, {40, 35}, {26, 63}}, 0.9, 1},
		"no landmarks":     {nil, profilePose, profilePose},
		"all in one place": {make([]image.Point, 5), profilePose, profilePose},
		"two points":       {facing(0)[:2], profilePose, profilePose},
	} {
		t.Run(name, func(t *testing.T) {
			if got := poseQuality(tt.landmarks); got < tt.low || got > tt.high {
				t.Errorf("got %.2f, want %.2f to %.2f", got, tt.low, tt.high)
			}
		})
	}
}

func TestLightQuality(t *testing.T) {
	for name, tt := range map[string]struct{ mean, deviation, want float64 }{
		"day":   {120, 40, 1},
		"night": {20, 30, 0},
		"dusk":  {42.5, 40, 0.5},
		"glare": {250, 20, 0},
		"fog":   {120, 6, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lightQuality(tt.mean, tt.deviation); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSizeAndSharpness(t *testing.T) {
	if got := sizeQuality(55); got != 0.5 {
		t.Errorf("55 pixels: %v", got)
	}
	if got := sizeQuality(500); got != 1 {
		t.Errorf("500 pixels: %v", got)
	}
	if got := sharpQuality(sharpFull / 4); got != 0.25 {
		t.Errorf("a quarter: %v", got)
	}
}
