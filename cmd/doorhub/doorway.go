package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/gpio"
	"github.com/doorhub/doorhub/door/keypad"
	"github.com/doorhub/doorhub/door/lock"
)

// doorway is the hardware of one door, real or simulated.
type doorway struct {
	cfg  Door
	lock *lock.Lock
	sim  *lock.Simulator              // nil on real hardware
	pads map[string]*keypad.Simulator // by name; none on real hardware
	undo closers
	log  *slog.Logger

	send  func(door.Input)                        // to the house
	typed func(d Door, k Keypad, s keypad.Secret) // a secret was entered
	shows atomic.Pointer[func(door.Prompt)]       // shows prompts to whoever types on a terminal
}

// openDoorway takes the door's lines; on any error it gives them all back.
func openDoorway(ctx context.Context, cfg Door, send func(door.Input), typed func(Door, Keypad, keypad.Secret), log *slog.Logger) (*doorway, error) {
	w := &doorway{cfg: cfg, pads: map[string]*keypad.Simulator{}, send: send, typed: typed,
		log: log.With("component", "door", "door", cfg.ID)}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("door %s: %w", cfg.ID, err), w.undo.undo())
	}
	return w, nil
}

func (w *doorway) open(ctx context.Context) error {
	lines, contact, rex, err := w.lines()
	if err != nil {
		return err
	}
	if contact != nil {
		if lines.Open, err = w.watchContact(contact); err != nil {
			return fmt.Errorf("contact: %w", err)
		}
	}
	if w.lock, err = lock.New(w.cfg.Lock.Config, lines, w.lockState); err != nil {
		return err
	}
	w.undo.add("lock", w.lock.Close)
	if rex != nil {
		if _, err := w.watch(w.cfg.REX, rex, w.pressed); err != nil {
			return fmt.Errorf("rex: %w", err)
		}
	}
	for _, k := range w.cfg.Keypads {
		if err := w.openKeypad(ctx, k); err != nil {
			return fmt.Errorf("keypad %s: %w", k.Name, err)
		}
	}
	return nil
}

// lines returns the ends of the door's wires; contact and rex are nil where there is none.
func (w *doorway) lines() (lines lock.Lines, contact, rex lock.Input, err error) {
	if w.cfg.Hardware == simulated {
		w.sim = lock.NewSimulator(w.cfg.Lock.Config, bootTime)
		if w.cfg.has(w.cfg.Contact) {
			contact = w.sim.Contact()
		}
		if w.cfg.has(w.cfg.REX) {
			rex = w.sim.Button()
		}
		return w.sim.Lines(), contact, rex, nil
	}
	l := w.cfg.Lock
	if lines.Drive, err = w.output(l.Line, "lock", l.LockedActive()); err != nil {
		return lines, nil, nil, err
	}
	if l.RelockLine.Wired() {
		if lines.Relock, err = w.output(l.RelockLine, "relock", false); err != nil {
			return lines, nil, nil, err
		}
	}
	lines.Bolt, err = w.input(l.BoltLine, "bolt")
	if err == nil {
		contact, err = w.input(w.cfg.Contact.Line, "contact")
	}
	if err == nil {
		rex, err = w.input(w.cfg.REX.Line, "rex")
	}
	return lines, contact, rex, err
}

func (w *doorway) output(l gpio.Line, name string, active bool) (lock.Output, error) {
	out, err := (gpio.Kernel{}).OpenOutput(l, "doorhub "+w.cfg.ID+" "+name, active)
	if err != nil {
		return nil, err
	}
	w.undo.add(name, out.Close)
	return out, nil
}

// input opens a line; one that is not wired is nil.
func (w *doorway) input(l gpio.Line, name string) (lock.Input, error) {
	if !l.Wired() {
		return nil, nil
	}
	in, err := (gpio.Kernel{}).OpenInput(l, "doorhub "+w.cfg.ID+" "+name)
	if err != nil {
		return nil, err
	}
	w.undo.add(name, in.Close)
	return in, nil
}

// watchContact tells the present position of the door and every change of it, and returns
// what tells the position.
func (w *doorway) watchContact(in lock.Input) (tripped func() bool, err error) {
	tell := func(open bool) { w.send(door.Contact{Door: w.cfg.ID, Open: open}) }
	sw, err := w.watch(w.cfg.Contact, in, func(c lock.Change) { tell(c.Tripped) })
	if err != nil {
		return nil, err
	}
	open := sw.Tripped()
	tell(open)
	if now := sw.Tripped(); now != open { // that change may have been told before
		tell(now)
	}
	return sw.Tripped, nil
}

func (w *doorway) watch(s Switch, in lock.Input, on func(lock.Change)) (*lock.Switch, error) {
	sw, err := lock.NewSwitch(s.SwitchConfig, in, on)
	if err != nil {
		return nil, err
	}
	w.undo.add("switch", func() error { sw.Close(); return nil })
	return sw, nil
}

// pressed takes a press of the REX button. One that is down as the hub starts is no press:
// a stuck button must not open the door at every start.
func (w *doorway) pressed(c lock.Change) {
	part := "rex/" + w.cfg.ID
	switch {
	case c.Stuck:
		w.send(door.Fault{Part: part, Reason: "stuck", Detail: "the button has been pressed for long: is it jammed?"})
	case c.Tripped:
		w.send(door.REX{Door: w.cfg.ID})
	default:
		w.send(door.Fault{Part: part})
	}
}

func (w *doorway) lockState(s door.LockState) {
	w.send(door.Jam{Door: w.cfg.ID, Jammed: s == door.Jammed})
}

func (w *doorway) openKeypad(ctx context.Context, k Keypad) error {
	pad, err := w.pad(k)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	secrets := make(chan keypad.Secret, 4)
	var wg sync.WaitGroup
	wg.Go(func() { w.lookUp(k, secrets) })
	wg.Go(func() {
		defer close(secrets)
		if err := pad.Run(ctx, func(e keypad.Event) { w.key(e, secrets) }); err != nil {
			w.log.Error("keypad failed", "keypad", k.Name, "error", err)
			w.send(door.Fault{Part: "keypad/" + w.cfg.ID + "/" + k.Name, Reason: "failed", Detail: err.Error()})
		}
	})
	w.undo.add("keypad", func() error { cancel(); wg.Wait(); return nil })
	return nil
}

// key passes secrets on without waiting: the keys must go on being read.
func (w *doorway) key(e keypad.Event, secrets chan<- keypad.Secret) {
	if e.Kind != keypad.Entered {
		return
	}
	select {
	case secrets <- e.Secret:
	default: // faster than secrets can be looked up: nobody's finger
	}
}

// lookUp takes the secrets of one keypad one after the other, so that none overtakes another.
func (w *doorway) lookUp(k Keypad, secrets <-chan keypad.Secret) {
	for s := range secrets {
		w.typed(w.cfg, k, s)
	}
}

func (w *doorway) pad(k Keypad) (keypad.Pad, error) {
	if w.cfg.Hardware == simulated {
		sim, err := keypad.NewSimulator(k.Config, bootTime)
		w.pads[k.Name] = sim
		return sim, err
	}
	var rows [keypad.Size]keypad.Row
	var columns [keypad.Size]keypad.Column
	for i := range keypad.Size {
		row := gpio.Line{Chip: k.Chip, Pin: k.Rows[i], ActiveLow: true, OpenDrain: true}
		out, err := w.output(row, fmt.Sprintf("%s row %d", k.Name, i+1), false)
		if err != nil {
			return nil, err
		}
		column := gpio.Line{Chip: k.Chip, Pin: k.Columns[i], ActiveLow: true, Pull: "up"}
		in, err := w.input(column, fmt.Sprintf("%s column %d", k.Name, i+1))
		if err != nil {
			return nil, err
		}
		rows[i], columns[i] = out, in
	}
	return keypad.NewMatrix(k.Config, rows, columns, gpio.Now)
}

// spoken is what a prompt says to people.
func spoken(s door.Saying) string {
	return map[door.Saying]string{
		door.SayFace:      "look at the camera",
		door.SayMore:      "your PIN or card, please",
		door.SayLeft:      "turn your head to the left, and back",
		door.SayRight:     "turn your head to the right, and back",
		door.SayUp:        "look up, and back",
		door.SayDown:      "look down, and back",
		door.SayWelcome:   "welcome",
		door.SayDenied:    "no",
		door.SayLockedOut: "too many wrong tries: wait",
	}[s]
}

// say shows a prompt on the terminal that stands for the door's keypad, if there is one.
func (w *doorway) say(p door.Prompt) {
	if show := w.shows.Load(); show != nil {
		(*show)(p)
	}
}

// typeFrom takes what is typed on a terminal for the first keypad of a simulated door, shows
// what that says, and reports whether there is one. It ends with ctx, or with the end of from.
func (w *doorway) typeFrom(ctx context.Context, from io.Reader, to io.Writer) bool {
	if w.sim == nil || len(w.cfg.Keypads) == 0 {
		return false
	}
	k := w.cfg.Keypads[0]
	t, err := keypad.NewTerminal(k.Config, from, bootTime)
	if err != nil { // its config was validated
		w.log.Error("nobody can type here", "error", err)
		return false
	}
	show := func(p door.Prompt) {
		if p.Side == k.Side && p.Say != door.SayReady {
			fmt.Fprintf(to, "%s: %s\n", w.cfg.ID, spoken(p.Say))
		}
	}
	w.shows.Store(&show)
	go func() {
		err := t.Run(ctx, func(e keypad.Event) {
			if e.Kind == keypad.Entered {
				w.typed(w.cfg, k, e.Secret)
			}
		})
		if err != nil && !errors.Is(err, io.EOF) {
			w.log.Error("nobody can type here any more", "error", err)
		}
	}()
	return true
}

// close locks the door and gives its lines back.
func (w *doorway) close() error { return w.undo.undo() }
