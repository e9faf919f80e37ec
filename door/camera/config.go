// Package camera gets frames from USB, RTSP and HTTP cameras, video files and folders of
// pictures, and tells when a camera is lost, black or frozen.
//
// What needs OpenCV is built with the tag vision; settings and the health rule are not.
package camera

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config says where the frames come from.
type Config struct {
	Source string        `yaml:"source"` // /dev/video0 or 0, rtsp:// or http:// address, video file, picture, or folder of pictures
	Width  int           `yaml:"width"`  // pixels; asked of a USB camera, and the size pictures are shown at
	Height int           `yaml:"height"` // pixels; as width
	FPS    int           `yaml:"fps"`    // frames a second; asked of a USB camera, and the pace of pictures
	Hold   time.Duration `yaml:"hold"`   // how long each picture of a folder is shown
	Rotate int           `yaml:"rotate"` // degrees clockwise by which each frame is turned: 0, 90, 180 or 270
	Black  float64       `yaml:"black"`  // mean brightness, 0 to 255, below which the picture counts as black; 0: never
}

// Defaults returns the settings of the first USB camera at 720p.
func Defaults() Config {
	return Config{Source: "/dev/video0", Width: 1280, Height: 720, FPS: 15, Hold: 2 * time.Second, Black: 4}
}

// ErrFrame is a frame that no picture can be made of.
var ErrFrame = errors.New("the camera sends frames that cannot be used")

// What a picture may be before it is decoded.
const (
	maxFileBytes = 20 << 20
	maxPixels    = 40_000_000
)

// Validate reports all that is wrong, each with what would be right. It does not look
// whether the source is there: a camera may be plugged in later.
func (c Config) Validate() error {
	_, err := c.kind()
	errs := []error{err}
	if c.Width < 160 || c.Width > 4096 {
		errs = append(errs, fmt.Errorf("width: %d: use 160 to 4096 pixels", c.Width))
	}
	if c.Height < 120 || c.Height > 4096 {
		errs = append(errs, fmt.Errorf("height: %d: use 120 to 4096 pixels", c.Height))
	}
	if c.FPS < 1 || c.FPS > 60 {
		errs = append(errs, fmt.Errorf("fps: %d: use 1 to 60 frames a second", c.FPS))
	}
	if !slices.Contains([]int{0, 90, 180, 270}, c.Rotate) {
		errs = append(errs, fmt.Errorf("rotate: %d: use 0, 90, 180 or 270 degrees clockwise", c.Rotate))
	}
	if c.Hold < 100*time.Millisecond || c.Hold > time.Hour {
		errs = append(errs, fmt.Errorf("hold: %s: use 100ms to 1h", c.Hold))
	}
	if !(c.Black >= 0 && c.Black <= 64) { // also refuses NaN
		errs = append(errs, fmt.Errorf("black: %v: use 0 (never) to 64 (a dim room)", c.Black))
	}
	return errors.Join(errs...)
}

// Where names the source for logs and people: an address without user, password, path and
// query, any of which may hold a secret.
func (c Config) Where() string {
	if !strings.Contains(c.Source, "://") {
		return c.Source
	}
	u, err := url.Parse(c.Source)
	if err != nil || u.Host == "" {
		return "the address in source"
	}
	return u.Scheme + "://" + u.Host
}

type kind int

const (
	kindDevice kind = iota // a video4linux device
	kindStream             // an address
	kindFile               // a video, a picture, or a folder of pictures
)

var (
	deviceIndex = regexp.MustCompile(`^[0-9]{1,3}$`)
	schemes     = []string{"rtsp", "rtsps", "http", "https"}
)

// kind tells from the words of the source alone what it is.
func (c Config) kind() (kind, error) {
	switch {
	case c.Source == "":
		return 0, errors.New("source: empty: use /dev/video0, an rtsp:// or http:// address, a video file, or a folder of pictures")
	case strings.ContainsAny(c.Source, "\x00\r\n"):
		return 0, errors.New("source: has a control character: use a plain path or address")
	case deviceIndex.MatchString(c.Source), strings.HasPrefix(c.Source, "/dev/"):
		return kindDevice, nil
	case strings.Contains(c.Source, "://"):
		return kindStream, c.validAddress()
	}
	return kindFile, nil
}

// validAddress never shows the address: it may hold a password.
func (c Config) validAddress() error {
	u, err := url.Parse(c.Source)
	if err != nil {
		return errors.New("source: the address cannot be read: use rtsp://host:port/path, with special characters of a password percent-encoded")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("source: %q is no scheme known here: use %s", u.Scheme, strings.Join(schemes, ", "))
	}
	if u.Hostname() == "" {
		return errors.New("source: the address names no host: use rtsp://host:port/path")
	}
	return nil
}
