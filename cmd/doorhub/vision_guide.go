//go:build vision

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/camera"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// lens is a door's camera as enrolment uses it: it takes frames beside whoever watches there,
// each frame going to one of the two, so that the door goes on to know its people.
type lens struct {
	door    string
	side    door.Side
	frames  <-chan camera.Frame
	trouble atomic.Pointer[string] // what the camera says is wrong with it
	free    chan struct{}          // holds one while nobody enrols here
}

func newLens(doorID string, side door.Side) *lens {
	l := &lens{door: doorID, side: side, free: make(chan struct{}, 1)}
	l.free <- struct{}{}
	return l
}

// leaving is how long one enrolment waits for the one before, which may have been ended just
// now.
const leaving = 2 * time.Second

func (l *lens) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leaving, errGuiding)
	defer cancel()
	select {
	case <-l.free:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hears listens to what a camera reports.
func (l *lens) hears(next func(reason, detail string)) func(reason, detail string) {
	return func(reason, detail string) {
		if reason == "" {
			detail = ""
		}
		l.trouble.Store(&detail)
		next(reason, detail)
	}
}

// explained adds what the camera says to the end of an enrolment that saw nothing.
func (l *lens) explained(err error) error {
	var late *face.LateError
	unseen := errors.As(err, &late) && late.Most == face.HintNoPicture || errors.Is(err, face.ErrNoFrames)
	if d := l.trouble.Load(); unseen && d != nil && *d != "" {
		return fmt.Errorf("%w (%s)", err, *d)
	}
	return err
}

// mount has a lens see what a camera sees. The first camera on a side is the one for enrolment.
func (v *vision) mount(l *lens, cam *camera.Camera) {
	l.frames = cam.Frames()
	if at := l.door + "/" + string(l.side); v.lenses[at] == nil {
		v.lenses[at] = l
	}
}

var errGuiding = errors.New("somebody is being enrolled before this camera: wait until they are done")

// lens returns the camera on a side of a door, and what gives it back. Without a hub it is
// opened for the time.
func (v *vision) lens(ctx context.Context, doorID string, side door.Side) (l *lens, release func(), err error) {
	if v.alone {
		return v.openLens(doorID, side)
	}
	l = v.lenses[doorID+"/"+string(side)]
	if l == nil { // the command line was checked: it could not be opened
		return nil, nil, fmt.Errorf("door %s: its camera could not be opened: doorhub log --all --type problem tells why", doorID)
	}
	return l, func() { l.free <- struct{}{} }, l.take(ctx)
}

func (v *vision) openLens(doorID string, side door.Side) (*lens, func(), error) {
	i := slices.IndexFunc(v.cfg.Doors, func(d Door) bool { return d.ID == doorID })
	c := slices.IndexFunc(v.cfg.Doors[i].Cameras, func(c Camera) bool { return c.Side == side })
	l := newLens(doorID, side)
	cam, err := camera.Open(v.cfg.Doors[i].Cameras[c].Config, l.hears(func(string, string) {}))
	if err != nil {
		return nil, nil, err
	}
	l.frames = cam.Frames()
	return l, func() { _ = cam.Close() }, nil // it always closes
}

// Guide enrols somebody before a door's camera.
func (v *vision) Guide(ctx context.Context, o guideOrder, known []store.PersonFace, tell func(face.Guided)) ([]picture, []pictureResult, error) {
	rec, g, err := v.ready(known)
	if err != nil {
		return nil, nil, err
	}
	l, release, err := v.lens(ctx, o.door, o.side)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	t, err := face.GuideEnrol(ctx, rec, l.frames, o.person, g, v.cfg.House.Identify, o.poses, o.patience, tell)
	if err != nil {
		return nil, nil, l.explained(err)
	}
	var pictures []picture
	for i, p := range t.Poses {
		pictures = append(pictures, picture{Name: string(p), Data: t.Pictures[i]})
	}
	return pictures, pictureResults(pictures, t.Enrolment), nil
}
