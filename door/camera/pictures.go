//go:build vision

package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // so that a header tells its size before OpenCV decodes it
	_ "image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocv.io/x/gocv"
)

// wall is the grey of an empty doorway, and of what a picture does not fill.
var wall = gocv.NewScalar(96, 96, 96, 0)

// folder shows pictures one after the other, again and again.
type folder struct {
	cfg   Config
	paths []string
	next  int
	shown time.Time // since when the present picture is
	pic   gocv.Mat
	tick  *time.Ticker
}

func (c Config) openPictures(isFolder bool) (source, error) {
	paths := []string{c.Source}
	if isFolder {
		names, err := pictureNames(c.Source)
		if err != nil {
			return nil, err
		}
		paths = paths[:0]
		for _, n := range names {
			paths = append(paths, filepath.Join(c.Source, n))
		}
	}
	f := &folder{cfg: c, paths: paths, pic: gocv.NewMat(), tick: time.NewTicker(c.pace())}
	if err := f.turn(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (c Config) pace() time.Duration { return time.Second / time.Duration(c.FPS) }

// pictureNames lists the pictures in a folder in the order of their names.
func pictureNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && isPicture(e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the folder holds no .jpg or .png picture")
	}
	return names, nil
}

func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png":
		return true
	}
	return false
}

// turn takes the next picture that can be read.
func (f *folder) turn() error {
	var errs []error
	for range f.paths {
		path := f.paths[f.next]
		f.next = (f.next + 1) % len(f.paths)
		pic, err := loadPicture(path, f.cfg.Width, f.cfg.Height)
		if err == nil {
			f.pic.Close()
			f.pic, f.shown = pic, time.Now()
			return nil
		}
		slog.Warn("picture left out", "component", "camera", "error", err)
		errs = append(errs, err)
	}
	return fmt.Errorf("no picture can be read: %w", errs[0])
}

func (f *folder) read(ctx context.Context, m *gocv.Mat) error {
	select {
	case <-f.tick.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(f.paths) > 1 && time.Since(f.shown) >= f.cfg.Hold {
		if err := f.turn(); err != nil {
			return err
		}
	}
	f.pic.CopyTo(m)
	return nil
}

func (f *folder) still() bool { return true }

func (f *folder) close() {
	f.tick.Stop()
	f.pic.Close()
}

// loadPicture reads a picture file and fits it into width x height.
func loadPicture(path string, width, height int) (gocv.Mat, error) {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return gocv.Mat{}, err
	}
	if info.Size() > maxFileBytes {
		return gocv.Mat{}, fmt.Errorf("%s: %d bytes; use a file of at most %d", name, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return gocv.Mat{}, err
	}
	header, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return gocv.Mat{}, fmt.Errorf("%s is no JPEG or PNG picture: %w", name, err)
	}
	if n := int64(header.Width) * int64(header.Height); n == 0 || n > maxPixels {
		return gocv.Mat{}, fmt.Errorf("%s has %dx%d = %d pixels; use at most %d", name, header.Width, header.Height, n, maxPixels)
	}
	img, err := gocv.IMDecode(data, gocv.IMReadColor)
	if err != nil {
		return gocv.Mat{}, fmt.Errorf("%s: %w", name, err)
	}
	defer img.Close()
	if img.Empty() {
		return gocv.Mat{}, fmt.Errorf("%s is damaged", name)
	}
	return letterbox(img, width, height), nil
}

// letterbox fits img into width x height, whole and undistorted, on an empty doorway.
func letterbox(img gocv.Mat, width, height int) gocv.Mat {
	frame := gocv.NewMatWithSizeFromScalar(wall, height, width, gocv.MatTypeCV8UC3)
	scale := min(float64(width)/float64(img.Cols()), float64(height)/float64(img.Rows()))
	size := image.Pt(max(1, int(float64(img.Cols())*scale)), max(1, int(float64(img.Rows())*scale)))
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(img, &small, size, 0, 0, gocv.InterpolationArea)
	at := image.Pt((width-size.X)/2, (height-size.Y)/2)
	part := frame.Region(image.Rectangle{Min: at, Max: at.Add(size)})
	defer part.Close()
	small.CopyTo(&part)
	return frame
}
