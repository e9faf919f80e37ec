//go:build vision

package camera

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"time"

	"gocv.io/x/gocv"
)

// opener returns what opens the source named in the settings. What it fails with is fit
// for people and holds no password: OpenCV's own errors show the whole address.
func (c Config) opener() opener {
	k, _ := c.kind() // validated before
	switch k {
	case kindDevice:
		return c.openDevice
	case kindStream:
		return c.openStream
	}
	return c.openFile
}

// capture is an OpenCV capture: a device, a stream, or a video file.
type capture struct{ video *gocv.VideoCapture }

var errEnded = errors.New("the stream ended")

func (c *capture) read(_ context.Context, m *gocv.Mat) error {
	if !c.video.Read(m) {
		return errEnded
	}
	return nil
}

func (c *capture) still() bool { return false }
func (c *capture) close()      { c.video.Close() }

// openCapture names the back end: left to itself, OpenCV tries all it has, some of which
// print the address.
func openCapture(source string, api gocv.VideoCaptureAPI) (*capture, bool) {
	video, err := gocv.VideoCaptureFileWithAPI(source, api)
	if err != nil {
		video.Close()
		return nil, false
	}
	return &capture{video}, true
}

func (c Config) openDevice(context.Context) (source, error) {
	path := c.Source
	if deviceIndex.MatchString(path) {
		path = "/dev/video" + path
	}
	if err := reachable(path); err != nil {
		return nil, err
	}
	v, ok := openCapture(path, gocv.VideoCaptureV4L2)
	if !ok {
		return nil, errors.New("this is no camera that can be read, or another program has it: try v4l2-ctl --list-devices")
	}
	// Most USB cameras reach 720p at full speed in MJPEG only.
	mjpg := v.video.ToCodec("MJPG")
	v.video.Set(gocv.VideoCaptureFOURCC, mjpg)
	v.video.Set(gocv.VideoCaptureFrameWidth, float64(c.Width))
	v.video.Set(gocv.VideoCaptureFrameHeight, float64(c.Height))
	v.video.Set(gocv.VideoCaptureFPS, float64(c.FPS))
	v.video.Set(gocv.VideoCaptureBufferSize, 1)
	if v.video.Get(gocv.VideoCaptureFOURCC) == mjpg {
		return v.undecoded(), nil
	}
	return v, nil
}

// undecoded asks the driver for its JPEGs as they are. One that gives something else is taken
// as before.
func (c *capture) undecoded() source {
	c.video.Set(gocv.VideoCaptureConvertRGB, 0)
	raw := rawCapture{c}
	if _, _, err := raw.readJPEG(context.Background()); err == nil {
		return raw
	}
	c.video.Set(gocv.VideoCaptureConvertRGB, 1)
	return c
}

// rawCapture is a capture that gives the bytes of a JPEG as one row of pixels.
type rawCapture struct{ *capture }

func (c rawCapture) readJPEG(context.Context) ([]byte, int, error) {
	m := gocv.NewMat()
	defer m.Close()
	if !c.video.Read(&m) {
		return nil, 0, errEnded
	}
	return jpegs{bufio.NewReader(bytes.NewReader(m.ToBytes()))}.next()
}

// reachable tells better than OpenCV why a device cannot be opened.
func reachable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such device: is the camera plugged in? ls /dev/video* shows what there is")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("no permission: add doorhub's user to the group video (usermod -aG video USER)")
	case err != nil:
		return err
	}
	return f.Close()
}

const dialTimeout = 3 * time.Second

func (c Config) openStream(ctx context.Context) (source, error) {
	u, err := url.Parse(c.Source)
	if err != nil {
		return nil, c.validAddress()
	}
	// A closed port is told at once; the stream's own library waits half a minute.
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port(u)))
	if err != nil {
		return nil, fmt.Errorf("the camera does not answer: %w", err)
	}
	conn.Close()
	if m, err := openMotionJPEG(ctx, u); err == nil {
		return m, nil
	}
	v, ok := openCapture(c.Source, gocv.VideoCaptureFFmpeg)
	if !ok {
		return nil, errors.New("the camera answers, but gives no video at this address: check its path, user and password")
	}
	v.video.Set(gocv.VideoCaptureBufferSize, 1)
	return v, nil
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"rtsp": "554", "rtsps": "322", "http": "80", "https": "443"}[u.Scheme]
}

func (c Config) openFile(context.Context) (source, error) {
	info, err := os.Stat(c.Source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file or folder")
	case err != nil:
		return nil, err
	case info.IsDir(), isPicture(c.Source):
		return c.openPictures(info.IsDir())
	}
	return c.openVideo()
}

// video plays a file at its own pace, again and again.
type video struct {
	*capture
	path string
	tick *time.Ticker
}

func (c Config) openVideo() (source, error) {
	v, ok := openCapture(c.Source, gocv.VideoCaptureFFmpeg)
	if !ok {
		return nil, errors.New("this is no video or picture that can be read")
	}
	fps := v.video.Get(gocv.VideoCaptureFPS)
	if !(fps >= 1 && fps <= 120) { // also NaN: a file that does not say
		fps = float64(c.FPS)
	}
	return &video{v, c.Source, time.NewTicker(time.Duration(float64(time.Second) / fps))}, nil
}

func (v *video) read(ctx context.Context, m *gocv.Mat) error {
	select {
	case <-v.tick.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if v.video.Read(m) {
		return nil
	}
	v.close()
	again, ok := openCapture(v.path, gocv.VideoCaptureFFmpeg)
	if !ok {
		return errors.New("the video file can no longer be read")
	}
	v.capture = again
	return again.read(ctx, m)
}
