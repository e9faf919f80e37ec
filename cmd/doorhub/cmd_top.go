package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// topBeat is from look to look, over which rates are taken.
const topBeat = time.Second

type brokerTop struct {
	Once bool `help:"Print one table and end, on a terminal, too."`
}

// Run shows who is connected to the bus, the busiest first.
func (c brokerTop) Run(a *app) error {
	return a.connected(func(hub caller) error {
		if out, ok := a.out.(*os.File); ok && !c.Once && !a.cli.JSON && term.IsTerminal(int(out.Fd())) {
			return a.watchTop(hub, out)
		}
		return a.printTop(hub)
	})
}

func (a *app) lookAtBus(hub caller) (busView, error) {
	return callOne[busView](a, hub, "broker.top", struct{}{})
}

// printTop prints one table, of the traffic within one beat.
func (a *app) printTop(hub caller) error {
	before, err := a.lookAtBus(hub)
	if err != nil {
		return err
	}
	now := before
	if before.Broker != nil {
		select {
		case <-time.After(topBeat):
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
		if now, err = a.lookAtBus(hub); err != nil {
			return err
		}
	}
	v := newTopView(now, before)
	if a.cli.JSON {
		return a.printJSON(v)
	}
	for _, l := range v.lines(time.Now()) {
		if _, err := fmt.Fprintln(a.out, l.text); err != nil {
			return err
		}
	}
	return nil
}

// What tells a terminal (ECMA-48, and xterm's private modes).
const (
	screenOwn  = "\x1b[?1049h\x1b[?25l" // a screen of its own, without cursor
	screenBack = "\x1b[?25h\x1b[?1049l"
	screenHome = "\x1b[H"
	clearLine  = "\x1b[K"
	clearRest  = "\x1b[J"
)

// watchTop shows the table anew at each beat until q, Ctrl-C or the end of the hub.
func (a *app) watchTop(hub caller, out *os.File) error {
	ctx, restore, err := a.untilKey()
	if err != nil {
		return fmt.Errorf("terminal: %w: try --once", err)
	}
	defer restore()
	if _, err := io.WriteString(out, screenOwn); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(out, screenBack) }()
	tick := time.NewTicker(topBeat)
	defer tick.Stop()
	for before := (busView{}); ; {
		now, err := a.lookAtBus(hub)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := draw(out, newTopView(now, before).lines(time.Now())); err != nil {
			return err
		}
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// untilKey has the terminal give each key at once, and returns a context that ends with the
// command or with a key that means so. Without a terminal there are no keys.
func (a *app) untilKey() (ctx context.Context, restore func(), err error) {
	ctx, stop := context.WithCancel(a.ctx)
	in := int(a.in.Fd())
	if !term.IsTerminal(in) {
		return ctx, stop, nil
	}
	cooked, err := term.MakeRaw(in)
	if err != nil {
		stop()
		return nil, nil, err
	}
	go quitOnKey(a.in, stop)
	return ctx, func() {
		stop()
		_ = term.Restore(in, cooked) // fails when the terminal is gone
	}, nil
}

// quitOnKey reads keys until one of them means the end; Ctrl-C is one in raw mode.
func quitOnKey(in io.Reader, quit func()) {
	key := make([]byte, 1)
	for {
		if n, err := in.Read(key); err != nil || n == 1 && strings.ContainsRune("qQ\x03\x04", rune(key[0])) {
			quit()
			return
		}
	}
}

func draw(out *os.File, lines []topLine) error {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	_, err = io.WriteString(out, frame(lines, width, height, os.Getenv("NO_COLOR") == ""))
	return err
}

// frame draws lines over what the screen showed before, as many and as much as it holds.
func frame(lines []topLine, width, height int, colours bool) string {
	var b strings.Builder
	b.WriteString(screenHome)
	for i, l := range lines[:min(len(lines), height-1)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		text := []rune(l.text)
		cut := string(text[:min(len(text), width)])
		if colours && l.colour != "" {
			cut = l.colour + cut + plain
		}
		b.WriteString(cut + clearLine)
	}
	b.WriteString("\r\n" + clearRest)
	return b.String()
}
