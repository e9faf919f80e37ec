package keypad

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slow is a row of a machine that has no time.
type slow struct {
	Row
	by time.Duration
}

func (s slow) Set(active bool) error { wait(s.by); return s.Row.Set(active) }

// The finger waits for the readings, however late they come: no key is lost and none is two,
// also where one follows itself.
func TestTypingWaitsForTheReader(t *testing.T) {
	for _, by := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 97 * time.Millisecond, time.Second / 2} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := Defaults()
				c.Timeout = time.Minute
				s, err := NewSimulator(c, clock())
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range s.Rows() {
					s.Matrix.rows[i] = slow{r, by}
				}
				typed := make(chan error, 1)
				go func() { typed <- s.Type(t.Context(), "1133570#") }()
				wait(time.Second) // nobody reads yet
				stop := run(t, rig{Pad: s})
				if err := <-typed; err != nil {
					t.Fatal(err)
				}
				same(t, entered("1133570"), stop())
			})
		})
	}
}

// Nobody reads: typing ends with its context, and leaves no key down.
func TestTypingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSimulator(Defaults(), clock())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Type(ctx, "12#"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		stop := run(t, rig{Pad: s})
		wait(time.Second)
		same(t, nil, stop())
		if s.held.Load() {
			t.Error("a key is still down")
		}
	})
}

// A contact that bounces is found moved, and not, in turn; then it has settled.
func TestBouncesShowInReadings(t *testing.T) {
	w := NewWires(Defaults(), clock())
	row, column := w.Rows()[0], w.Columns()[1]
	for _, closed := range []bool{true, false} {
		if err := w.move('2', closed, 4); err != nil {
			t.Fatal(err)
		}
		var got []bool
		for range 6 {
			if err := row.Set(true); err != nil {
				t.Fatal(err)
			}
			active, err := column.Active()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, active)
			if err := row.Set(false); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]bool{!closed, closed, !closed, closed, closed, closed}, got); diff != "" {
			t.Errorf("closed %t (-want +got):\n%s", closed, diff)
		}
	}
}
