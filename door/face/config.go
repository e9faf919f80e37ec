// Package face finds faces in pictures, describes each by 128 numbers, compares them with
// those enrolled, and follows them from frame to frame.
//
// A descriptor is the output of dlib's face recognition ResNet; two pictures of one person
// are nearer than 0.6 (Euclidean), those of different people mostly farther. What needs
// OpenCV and dlib is built with the tag vision; gallery, tracker, settings and the checks
// of a picture's header are not.
package face

import (
	"errors"
	"fmt"
	"time"
)

// Config says how faces are found and what a picture for enrolment must be.
type Config struct {
	Models      string        `yaml:"models"`       // folder of the face models; empty: $DOORHUB_CACHE/models, ~/.cache/doorhub/models, /usr/local/share/doorhub/models
	MinFace     int           `yaml:"min_face"`     // pixels; a narrower face is not enrolled
	MaxPictures int           `yaml:"max_pictures"` // pictures in one enrolment, 1 to 10
	Blur        float64       `yaml:"blur"`         // sharpness below which a picture is not enrolled: variance of the Laplacian; 0: never
	Idle        time.Duration `yaml:"idle"`         // from look to look while nobody is in view
	Every       time.Duration `yaml:"every"`        // from look to look while somebody is
	Gone        time.Duration `yaml:"gone"`         // not seen for it, a face has left
	Recognisers int           `yaml:"recognisers"`  // faces worked on at once, 1 to 8; each takes memory for the models
	Faces       int           `yaml:"faces"`        // most faces looked at in one picture, 1 to 64
	Smallest    int           `yaml:"smallest"`     // pixels; narrower faces before a camera need not be found
	Full        time.Duration `yaml:"full"`         // from one look at all of a frame to the next, where nothing moves
	Refresh     time.Duration `yaml:"refresh"`      // a face that stays is described anew so often
	Decisions   int           `yaml:"decisions"`    // of each camera, the newest that are kept with their numbers, 0 to 10000
}

// Defaults returns the settings of an owner who has chosen none.
func Defaults() Config {
	return Config{MinFace: 80, MaxPictures: 10, Blur: 40,
		Idle: 100 * time.Millisecond, Every: 150 * time.Millisecond, Gone: 1500 * time.Millisecond,
		Recognisers: 1, Faces: 32, Smallest: 80, Full: 3 * time.Second, Refresh: 5 * time.Second, Decisions: 200}
}

// Validate reports all that is wrong, each with what would be right. Whether the models are
// there is seen when they are loaded.
func (c Config) Validate() error {
	var errs []error
	if c.MinFace < 40 || c.MinFace > 1000 {
		errs = append(errs, fmt.Errorf("min_face: %d: use 40 to 1000 pixels", c.MinFace))
	}
	if c.MaxPictures < 1 || c.MaxPictures > 10 {
		errs = append(errs, fmt.Errorf("max_pictures: %d: use 1 to 10", c.MaxPictures))
	}
	if !(c.Blur >= 0 && c.Blur <= 10_000) { // also refuses NaN
		errs = append(errs, fmt.Errorf("blur: %v: use 0 (never) to 10000", c.Blur))
	}
	if c.Recognisers < 1 || c.Recognisers > 8 {
		errs = append(errs, fmt.Errorf("recognisers: %d: use 1 to 8", c.Recognisers))
	}
	if c.Faces < 1 || c.Faces > 64 {
		errs = append(errs, fmt.Errorf("faces: %d: use 1 to 64", c.Faces))
	}
	if c.Smallest < 40 || c.Smallest > 1000 {
		errs = append(errs, fmt.Errorf("smallest: %d: use 40 to 1000 pixels", c.Smallest))
	}
	if c.Decisions < 0 || c.Decisions > 10_000 {
		errs = append(errs, fmt.Errorf("decisions: %d: use 0 (none) to 10000", c.Decisions))
	}
	errs = append(errs,
		between("full", c.Full, 500*time.Millisecond, time.Minute),
		between("refresh", c.Refresh, 500*time.Millisecond, time.Minute),
		between("idle", c.Idle, 50*time.Millisecond, 5*time.Second),
		between("every", c.Every, 50*time.Millisecond, 5*time.Second),
		between("gone", c.Gone, 500*time.Millisecond, time.Minute))
	return errors.Join(errs...)
}

func between(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}
