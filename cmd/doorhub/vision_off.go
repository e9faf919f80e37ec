//go:build !vision

package main

import (
	"context"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
)

const hasVision = false

// vision sees nothing in this build.
type vision struct{}

func (*vision) reload(context.Context) error { return nil }

func (*vision) eyes() []eye { return nil }

func (*vision) ask(door.Watch) {}

// openVision tells of every door with a camera that its faces cannot be seen.
func (h *hub) openVision(context.Context) error {
	for _, d := range h.cfg.Doors {
		for i, c := range d.Cameras {
			h.send(door.Vision{Door: d.ID, Side: c.Side, Camera: d.nthOnSide(i), Reason: "no_vision", Detail: errNoVision.Error()})
		}
	}
	return nil
}

func (h *hub) decisions(int) ([]face.Decision, error) { return nil, errNoVision }

func (*vision) stage(string, door.Side, string) error { return errNoVision }

func (h *hub) enroller() (enroller, error) { return nil, errNoVision }

func newEnroller(Config) (enroller, error) { return nil, errNoVision }
