package keypad

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Terminal is a keypad for demonstrations: it reads characters. The keys of the layout are
// themselves, in either case; the end of a line enters like #, and anything else is ignored.
type Terminal struct {
	config Config
	from   io.Reader
	now    func() time.Duration
}

// NewTerminal returns a keypad that reads from. Events carry the time that now tells.
func NewTerminal(c Config, from io.Reader, now func() time.Duration) (*Terminal, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("keypad: %w", err)
	}
	return &Terminal{config: c, from: from, now: now}, nil
}

// Run reads until the context ends, or to the end of the reader, which is io.EOF. A Read that
// is under way when the context ends is left to itself: what it brings is lost.
func (t *Terminal) Run(ctx context.Context, emit func(Event)) error {
	typed, failed := make(chan rune), make(chan error, 1)
	go func() { failed <- t.read(ctx, typed) }()
	entry := NewEntry(t.config)
	expire := time.NewTimer(time.Hour)
	defer expire.Stop()
	for {
		expire.Stop()
		if due, pending := entry.Deadline(); pending {
			expire.Reset(max(0, due-t.now()))
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case key := <-typed:
			tell(emit, entry.Key(t.now(), key))
		case <-expire.C:
			tell(emit, entry.Expire(t.now()))
		}
	}
}

func (t *Terminal) read(ctx context.Context, typed chan<- rune) error {
	in := bufio.NewReader(t.from)
	for {
		key, _, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("keypad: read the terminal: %w", err)
		}
		if key = t.key(key); key == 0 {
			continue
		}
		select {
		case typed <- key:
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Terminal) key(typed rune) rune {
	if typed == '\n' || typed == '\r' {
		return '#'
	}
	if key := unicode.ToUpper(typed); strings.ContainsRune(t.config.Layout, key) {
		return key
	}
	return 0
}
