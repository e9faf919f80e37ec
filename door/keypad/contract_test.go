package keypad

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// rig is a keypad and somebody at its keys.
type rig struct {
	Pad
	press func(t *testing.T, keys string)
}

func clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func wait(d time.Duration) { <-time.After(d) }

func newMatrixRig(t *testing.T) rig {
	w := NewWires(Defaults(), clock())
	m, err := NewMatrix(Defaults(), w.Rows(), w.Columns(), clock())
	if err != nil {
		t.Fatal(err)
	}
	return rig{m, func(t *testing.T, keys string) {
		for _, k := range keys {
			touch(t, w, k, 60*time.Millisecond, 40*time.Millisecond)
		}
	}}
}

func touch(t *testing.T, w *Wires, key rune, down, up time.Duration) {
	t.Helper()
	for _, step := range []struct {
		closed bool
		last   time.Duration
	}{{true, down}, {false, up}} {
		if err := w.Contact(key, step.closed); err != nil {
			t.Fatal(err)
		}
		wait(step.last)
	}
}

func newSimulatorRig(t *testing.T) rig {
	s, err := NewSimulator(Defaults(), clock())
	if err != nil {
		t.Fatal(err)
	}
	return rig{s, func(t *testing.T, keys string) {
		if err := s.Type(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
	}}
}

func newTerminalRig(t *testing.T) rig {
	from, to := io.Pipe()
	t.Cleanup(func() { to.Close() })
	term, err := NewTerminal(Defaults(), from, clock())
	if err != nil {
		t.Fatal(err)
	}
	return rig{term, func(t *testing.T, keys string) {
		if _, err := io.WriteString(to, keys); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}}
}

// TestContract is what every keypad promises.
func TestContract(t *testing.T) {
	for name, build := range map[string]func(*testing.T) rig{
		"matrix on wires": newMatrixRig, "simulator": newSimulatorRig, "terminal": newTerminalRig,
	} {
		t.Run(name, func(t *testing.T) {
			for name, check := range map[string]func(*testing.T, rig){
				"tells secrets": tellsSecrets, "times out": timesOut, "drops the too long": dropsTooLong, "ends": ends,
			} {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { check(t, build(t)) })
				})
			}
		})
	}
}

// run starts the keypad; the func it returns ends it and returns what it told.
func run(t *testing.T, r rig) (stop func() []Event) {
	ctx, cancel := context.WithCancel(t.Context())
	var told []Event
	done := make(chan error)
	go func() { done <- r.Run(ctx, func(e Event) { told = append(told, e) }) }()
	return func() []Event {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
		for i := range told[min(1, len(told)):] {
			if told[i+1].At < told[i].At {
				t.Errorf("event %d at %s, after one at %s", i+1, told[i+1].At, told[i].At)
			}
		}
		return told
	}
}

func same(t *testing.T, want, got []Event) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Event{}, "At")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func digits(n int) (events []Event) {
	for range n {
		events = append(events, Event{Kind: Digit})
	}
	return events
}

func entered(secret string) []Event {
	return append(digits(len(secret)), Event{Kind: Entered, Secret: NewSecret(secret)})
}

func tellsSecrets(t *testing.T, r rig) {
	stop := run(t, r)
	r.press(t, "246810#")
	r.press(t, "#13579#")
	r.press(t, "12*")
	r.press(t, "A33D3#")
	want := append(entered("246810"), entered("13579")...)
	want = append(append(want, digits(2)...), Event{Kind: Cleared}, Event{Kind: Function, Function: 'A'})
	want = append(append(want, digits(2)...), Event{Kind: Function, Function: 'D'}, Event{Kind: Digit})
	same(t, append(want, Event{Kind: Entered, Secret: NewSecret("333")}), stop())
}

func timesOut(t *testing.T, r rig) {
	stop := run(t, r)
	r.press(t, "12")
	wait(11 * time.Second)
	r.press(t, "34#")
	told := stop()
	same(t, append(append(digits(2), Event{Kind: Cleared}), entered("34")...), told)
	if len(told) > 2 && told[2].At-told[1].At != Defaults().Timeout {
		t.Errorf("cleared %s after the last key", told[2].At-told[1].At)
	}
}

func dropsTooLong(t *testing.T, r rig) {
	stop := run(t, r)
	r.press(t, strings.Repeat("7", 13)+"#")
	r.press(t, strings.Repeat("8", 12)+"#")
	same(t, append(append(digits(13), Event{Kind: TooLong}), entered(strings.Repeat("8", 12))...), stop())
}

func ends(t *testing.T, r rig) {
	stop := run(t, r)
	r.press(t, "1")
	same(t, digits(1), stop())
}

// counted counts how often a line is touched.
type counted struct {
	Row
	Column
	n *atomic.Int64
}

func (c counted) Set(active bool) error { c.n.Add(1); return c.Row.Set(active) }
func (c counted) Active() (bool, error) { c.n.Add(1); return c.Column.Active() }

func TestIdleCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		w := NewWires(Defaults(), clock())
		rows, columns := w.Rows(), w.Columns()
		for i := range Size {
			rows[i], columns[i] = counted{Row: rows[i], n: &n}, counted{Column: columns[i], n: &n}
		}
		m, err := NewMatrix(Defaults(), rows, columns, clock())
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, rig{Pad: m})
		touch(t, w, '5', 60*time.Millisecond, time.Second)
		before := n.Load()
		wait(24 * time.Hour)
		if after := n.Load(); before == 0 || after != before {
			t.Errorf("%d touches of a line in a day of rest, after %d", after-before, before)
		}
		touch(t, w, '#', 60*time.Millisecond, time.Second)
		same(t, append(digits(1), Event{Kind: Cleared}), stop())
	})
}

// A key that goes down at any moment while another is coming up is not missed: the readings
// stop and the sleep begins without a gap.
func TestNoKeyFallsIntoTheGap(t *testing.T) {
	for gap := 25 * time.Millisecond; gap < 60*time.Millisecond; gap += 130 * time.Microsecond {
		synctest.Test(t, func(t *testing.T) {
			w := NewWires(Defaults(), clock())
			m, err := NewMatrix(Defaults(), w.Rows(), w.Columns(), clock())
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, rig{Pad: m})
			touch(t, w, '1', 60*time.Millisecond, gap)
			touch(t, w, '2', 60*time.Millisecond, gap)
			touch(t, w, '#', 60*time.Millisecond, gap)
			if told := stop(); len(told) != 3 || !told[2].Secret.Equal(NewSecret("12")) {
				t.Errorf("gap %s: %v", gap, told)
			}
		})
	}
}

// mute is a column whose edges are lost, as when a row's release and its next drive follow too
// fast for the pull-up to raise the column in between.
type mute struct{ Column }

func (mute) Watch(func(bool, time.Duration)) {}

func TestKeyIsReadWithoutItsEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWires(Defaults(), clock())
		columns := w.Columns()
		for i := range columns {
			columns[i] = mute{columns[i]}
		}
		m, err := NewMatrix(Defaults(), w.Rows(), columns, clock())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Contact('8', true); err != nil {
			t.Fatal(err)
		}
		stop := run(t, rig{Pad: m})
		wait(100 * time.Millisecond)
		same(t, digits(1), stop())
	})
}

func TestGhostOnWires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWires(Defaults(), clock())
		m, err := NewMatrix(Defaults(), w.Rows(), w.Columns(), clock())
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, rig{Pad: m})
		for _, closed := range []bool{true, false} {
			for _, k := range "124" {
				if err := w.Contact(k, closed); err != nil {
					t.Fatal(err)
				}
			}
			wait(200 * time.Millisecond)
		}
		touch(t, w, '9', 60*time.Millisecond, 60*time.Millisecond)
		touch(t, w, '#', 60*time.Millisecond, 60*time.Millisecond)
		same(t, entered("9"), stop())
	})
}

// broken fails from the moment it is told to.
type broken struct {
	Row
	Column
	now *atomic.Bool
}

var errBroken = errors.New("wire cut")

func (b broken) Set(active bool) error {
	if b.now.Load() {
		return errBroken
	}
	return b.Row.Set(active)
}

func (b broken) Active() (bool, error) {
	if b.now.Load() {
		return false, errBroken
	}
	return b.Column.Active()
}

func TestLineFails(t *testing.T) {
	for name, cut := range map[string]func(rows *[Size]Row, columns *[Size]Column, now *atomic.Bool){
		"row":    func(rows *[Size]Row, _ *[Size]Column, now *atomic.Bool) { rows[2] = broken{Row: rows[2], now: now} },
		"column": func(_ *[Size]Row, cols *[Size]Column, now *atomic.Bool) { cols[2] = broken{Column: cols[2], now: now} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Bool
				w := NewWires(Defaults(), clock())
				rows, columns := w.Rows(), w.Columns()
				cut(&rows, &columns, &now)
				m, err := NewMatrix(Defaults(), rows, columns, clock())
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				go func() { done <- m.Run(t.Context(), func(Event) {}) }()
				synctest.Wait()
				now.Store(true)
				if err := w.Contact('5', true); err != nil {
					t.Fatal(err)
				}
				if err := <-done; !errors.Is(err, errBroken) || !strings.Contains(err.Error(), name+" 3") {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestTerminalInput(t *testing.T) {
	for name, c := range map[string]struct {
		typed string
		want  []Event
	}{
		"a line":             {"246810\n", entered("246810")},
		"windows line":       {"12\r\n34\r\n", append(entered("12"), entered("34")...)},
		"small letters":      {"a", []Event{{Kind: Function, Function: 'A'}}},
		"spaces and rubbish": {" 1-2\x00\xff\u0663x#", entered("12")},
		"huge":               {strings.Repeat("1", 100000) + "\n2\n", append(append(digits(100000), Event{Kind: TooLong}), entered("2")...)},
		"nothing":            {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			term, err := NewTerminal(Defaults(), strings.NewReader(c.typed), clock())
			if err != nil {
				t.Fatal(err)
			}
			var told []Event
			if err := term.Run(t.Context(), func(e Event) { told = append(told, e) }); !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			same(t, c.want, told)
		})
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	w := NewWires(Defaults(), clock())
	_, matrix := NewMatrix(Config{}, w.Rows(), w.Columns(), clock())
	_, terminal := NewTerminal(Config{}, strings.NewReader(""), clock())
	_, simulator := NewSimulator(Config{}, clock())
	for _, err := range []error{matrix, terminal, simulator} {
		if err == nil || !strings.Contains(err.Error(), "layout") {
			t.Errorf("got %v", err)
		}
	}
	if err := w.Contact('x', true); err == nil {
		t.Error("a key that is not there was pressed")
	}
}
