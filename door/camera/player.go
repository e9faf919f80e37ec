//go:build vision

package camera

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gocv.io/x/gocv"
)

// Player is a camera without hardware: it looks at an empty doorway until it is told which
// picture of its folder stands there. Its frames carry a little noise, as a real camera's
// do. Its methods may be called from any goroutine.
type Player struct {
	*Camera
	dir   string
	names []string

	mu     sync.Mutex
	scene  gocv.Mat // what the camera looks at
	closed bool     // and the scene with it
}

// OpenPlayer starts a player on the folder of pictures that cfg.Source names. Unlike Open it
// fails when there is no such folder, or no picture in it. For report see Open.
func OpenPlayer(cfg Config, report func(reason, detail string)) (*Player, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("player: %w", err)
	}
	names, err := pictureNames(cfg.Source)
	if err != nil {
		return nil, fmt.Errorf("player: %s: %w", cfg.Source, err)
	}
	p := &Player{dir: cfg.Source, names: names, scene: doorway(cfg)}
	p.Camera = start(cfg, func(context.Context) (source, error) {
		return &playing{p, time.NewTicker(cfg.pace())}, nil
	}, report)
	return p, nil
}

func doorway(cfg Config) gocv.Mat {
	return gocv.NewMatWithSizeFromScalar(wall, cfg.Height, cfg.Width, gocv.MatTypeCV8UC3)
}

// Names lists the pictures that can be shown.
func (p *Player) Names() []string { return slices.Clone(p.names) }

// Show puts the named picture before the camera. It fails when the folder has none of this
// name, or the picture cannot be read; the scene then stays as it was.
func (p *Player) Show(name string) error {
	if !slices.Contains(p.names, name) {
		return fmt.Errorf("there is no picture %q: use one of %s", name, strings.Join(p.names, ", "))
	}
	pic, err := loadPicture(filepath.Join(p.dir, name), p.cfg.Width, p.cfg.Height)
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	p.set(pic)
	return nil
}

// Clear shows the empty doorway again.
func (p *Player) Clear() { p.set(doorway(p.cfg)) }

func (p *Player) set(scene gocv.Mat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		scene.Close()
		return
	}
	p.scene.Close()
	p.scene = scene
}

// Close stops the player. Show and Clear may still be called; nobody sees what they do.
func (p *Player) Close() error {
	err := p.Camera.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.scene.Close()
	}
	return err
}

// playing is the player as a source.
type playing struct {
	p    *Player
	tick *time.Ticker
}

func (s *playing) read(ctx context.Context, m *gocv.Mat) error {
	select {
	case <-s.tick.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.closed {
		return errEnded
	}
	s.p.scene.CopyTo(m)
	return addNoise(m)
}

func (s *playing) still() bool { return false }
func (s *playing) close()      { s.tick.Stop() }

// addNoise flips the lowest bit of half the pixels, each time of others.
func addNoise(m *gocv.Mat) error {
	pixels, err := m.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	for ; len(pixels) >= 8; pixels = pixels[8:] {
		word := binary.NativeEndian.Uint64(pixels)
		binary.NativeEndian.PutUint64(pixels, word^rand.Uint64()&0x0101010101010101)
	}
	return nil
}
