package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/doorhub/doorhub/door"
)

// step is one thing that happens in the scene, and the record that must follow.
type step struct {
	say    string // what people see
	do     func(context.Context) error
	want   door.Kind // "": nothing to wait for
	person bool      // and it must name somebody
	face   bool      // left out by a hub without vision
}

// scene plays one scene at the front door. Every step waits for its record, so that a hub
// that does not do its work fails here.
func (d *demo) scene(ctx context.Context) error {
	if hasVision {
		fmt.Fprintln(d.out, "The camera shows flat portraits, so liveness is off here; a real door should not trust a picture.")
	} else {
		fmt.Fprintf(d.out, "%v; here a PIN alone opens.\n", errNoVision)
	}
	for _, s := range d.steps() {
		if s.face && !hasVision {
			continue
		}
		if s.say != "" {
			fmt.Fprintln(d.out, s.say)
		}
		before := d.seen()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("the scene: %s: %w", s.say, err)
		}
		if s.want == "" {
			continue
		}
		fits := func(r door.Record) bool { return r.Kind == s.want && (!s.person || r.Person != "") }
		if err := d.await(ctx, string(s.want), before, fits); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) steps() []step {
	show := func(side door.Side, name string) func(context.Context) error {
		return func(context.Context) error { return d.hub.vision.stage("front", side, name) }
	}
	pin := func(pad, digits string) func(context.Context) error {
		return func(ctx context.Context) error { return d.typePIN(ctx, pad, digits) }
	}
	leaf := d.hub.doors["front"].sim
	open := d.push
	shut := func(context.Context) error { return leaf.Shut() }
	return []step{
		{say: "Barack comes to the door and types his PIN.", do: show(door.Entry, "obama2.jpg"), want: door.KindSeen, person: true, face: true},
		{do: pin("keypad", demoPIN), want: door.KindGranted, person: true},
		{say: "He opens the door, comes in and closes it.", do: open, want: door.KindEntry, person: true},
		{do: shut, want: door.KindLocked},
		{do: show(door.Entry, ""), face: true},
		{say: "Later he leaves, by the reader inside.", do: show(door.Exit, "obama.jpg"), want: door.KindSeen, person: true, face: true},
		{do: pin("inside", demoPIN), want: door.KindGranted, person: true},
		{do: open, want: door.KindExit, person: true},
		{do: shut, want: door.KindLocked},
		{do: show(door.Exit, ""), face: true},
		{say: "A stranger tries a PIN.", do: show(door.Entry, "biden.jpg"), want: door.KindSeen, face: true},
		{do: pin("keypad", wrongPIN), want: door.KindDenied},
		{say: "Now he types Barack's PIN, which he has watched: the face is not Barack's.", do: pin("keypad", demoPIN), want: door.KindDenied, face: true, person: true},
		{do: show(door.Entry, ""), face: true},
		{say: "Somebody opens the kitchen window.", do: func(ctx context.Context) error { return d.window(ctx, true) }, want: door.KindIntrusion},
		{do: func(ctx context.Context) error { return d.window(ctx, false) }, want: door.KindSensorClosed},
	}
}

// typePIN presses the keys of a simulated keypad, through its matrix and decoder.
func (d *demo) typePIN(ctx context.Context, pad, digits string) error {
	return d.hub.doors["front"].press(ctx, pad, digits+"#")
}

// press presses the keys of a simulated keypad, each until it was read.
func (w *doorway) press(ctx context.Context, pad, keys string) error {
	p := w.pads[pad]
	if p == nil {
		return fmt.Errorf("there is no keypad %q", pad)
	}
	return p.Type(ctx, keys)
}

// push pushes the door for a moment, as people do until the lock lets go.
func (d *demo) push(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.hub.doors["front"].sim.Open()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

var errTyped = errors.New("type pin 246810, show obama.jpg, open, close, rex, window open, log or quit")

// typed does one typed command.
func (d *demo) typed(ctx context.Context, words []string) error {
	inside := len(words) > 2 && words[1] == "inside"
	last := words[len(words)-1]
	leaf := d.hub.doors["front"].sim
	switch words[0] {
	case "pin":
		if len(words) < 2 {
			return errTyped
		}
		return d.typePIN(ctx, map[bool]string{false: "keypad", true: "inside"}[inside], last)
	case "show":
		return d.typedShow(inside, words)
	case "open":
		if err := leaf.Open(); err != nil {
			return fmt.Errorf("%w (force opens it all the same)", err)
		}
		return nil
	case "force":
		leaf.Force()
		return nil
	case "close":
		return leaf.Shut()
	case "rex":
		leaf.Press(true)
		defer leaf.Press(false)
		return d.await(ctx, "the button", d.seen(), func(r door.Record) bool { return r.Kind == door.KindREX })
	case "window":
		return d.window(ctx, last == "open")
	case "log":
		return d.table(ctx)
	}
	return errTyped
}

func (d *demo) typedShow(inside bool, words []string) error {
	if len(words) < 2 {
		return errTyped
	}
	side, name := door.Entry, words[len(words)-1]
	if inside {
		side = door.Exit
	}
	if name == "nobody" {
		name = ""
	}
	return d.hub.vision.stage("front", side, name)
}
