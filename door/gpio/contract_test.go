package gpio

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rig is a chip with two free pins and somebody at them with a wire and a meter.
type rig interface {
	OpenOutput(l Line, consumer string, active bool) (*Output, error)
	OpenInput(l Line, consumer string) (*Input, error)
	chip() string
	pins() [2]string
	drive(t *testing.T, pin string, high bool) // puts a level on an input
	high(t *testing.T, pin string) bool        // measures an output
}

type simRig struct{ *Simulator }

func (simRig) chip() string    { return "gpiochip0" }
func (simRig) pins() [2]string { return [2]string{"17", "27"} }

func (r simRig) offset(t *testing.T, name string) int {
	o, err := Line{Pin: name}.offset(simChip{r.Simulator})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (r simRig) drive(t *testing.T, pin string, high bool) { r.Drive(r.offset(t, pin), high) }
func (r simRig) high(t *testing.T, pin string) bool        { return r.High(r.offset(t, pin)) }

func TestSimulatorContract(t *testing.T) {
	contract(t, synctest.Test, func(*testing.T) rig { return simRig{NewSimulator(28, Now)} })
}

// inRealTime runs the contract on hardware, as synctest.Test does on a simulator.
func inRealTime(t *testing.T, check func(*testing.T)) { check(t) }

// contract is what Output and Input promise on any chip.
func contract(t *testing.T, in func(*testing.T, func(*testing.T)), build func(*testing.T) rig) {
	for name, check := range map[string]func(*testing.T, rig){
		"output starts at its level":        outputStarts,
		"output is set and read back":       outputSets,
		"open drain drives low only":        openDrainDrivesLow,
		"output is let go by close":         outputCloses,
		"input follows its pin":             inputFollows,
		"input tells edges in order":        inputTells,
		"input debounces":                   inputDebounces,
		"a line has one holder":             lineHasOneHolder,
		"close ends the watch":              closeEndsWatch,
		"a pin the chip lacks is refused":   pinIsThere,
		"an unknown chip is refused":        chipIsThere,
		"settings that cannot be are named": settingsFit,
	} {
		t.Run(name, func(t *testing.T) { in(t, func(t *testing.T) { check(t, build(t)) }) })
	}
}

func must[T interface{ Close() error }](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		return v
	}
}

func outputStarts(t *testing.T, r rig) {
	for _, active := range []bool{false, true} {
		for _, low := range []bool{false, true} {
			l := Line{Chip: r.chip(), Pin: r.pins()[0], ActiveLow: low}
			out, err := r.OpenOutput(l, "test", active)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.high(t, l.Pin); got != (active != low) {
				t.Errorf("active %v, active low %v: pin high is %v", active, low, got)
			}
			out.Close()
		}
	}
}

func outputSets(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[0], ActiveLow: true}
	out := must[*Output](t)(r.OpenOutput(l, "test", false))
	for _, want := range []bool{true, true, false, true, false} {
		if err := out.Set(want); err != nil {
			t.Fatal(err)
		}
		got, err := out.Active()
		if err != nil || got != want {
			t.Errorf("read back %v, %v after Set(%v)", got, err, want)
		}
		if high := r.high(t, l.Pin); high == want {
			t.Errorf("pin high is %v at active %v, active low", high, want)
		}
	}
}

func openDrainDrivesLow(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[0], ActiveLow: true, OpenDrain: true}
	out := must[*Output](t)(r.OpenOutput(l, "test", true))
	if r.high(t, l.Pin) {
		t.Error("an active open drain does not pull low")
	}
	if err := out.Set(false); err != nil {
		t.Fatal(err)
	}
	for _, high := range []bool{false, true} {
		r.drive(t, l.Pin, high)
		if r.high(t, l.Pin) != high {
			t.Errorf("an inactive open drain holds against a wire at %v", high)
		}
	}
}

func outputCloses(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[0]}
	out := must[*Output](t)(r.OpenOutput(l, "test", true))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if err := out.Set(true); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
	must[*Output](t)(r.OpenOutput(l, "test", false))
}

func inputFollows(t *testing.T, r rig) {
	for _, low := range []bool{false, true} {
		l := Line{Chip: r.chip(), Pin: r.pins()[1], ActiveLow: low, Pull: "up"}
		in := must[*Input](t)(r.OpenInput(l, "test"))
		for _, high := range []bool{true, false, true} {
			r.drive(t, l.Pin, high)
			got, err := in.Active()
			if err != nil || got != (high != low) {
				t.Errorf("pin high %v, active low %v: active is %v, %v", high, low, got, err)
			}
		}
		in.Close()
	}
}

// watch collects edges.
func watch(in *Input) <-chan edge {
	seen := make(chan edge, 2*pending)
	in.Watch(func(active bool, at time.Duration) { seen <- edge{active, at} })
	return seen
}

func next(t *testing.T, seen <-chan edge) edge {
	t.Helper()
	select {
	case e := <-seen:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no edge came")
		return edge{}
	}
}

func inputTells(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[1]}
	r.drive(t, l.Pin, false)
	before := Now()
	in := must[*Input](t)(r.OpenInput(l, "test"))
	seen := watch(in)
	var got, want []bool
	last := before
	for i := range 20 {
		high := i%2 == 0
		r.drive(t, l.Pin, high)
		e := next(t, seen)
		if e.at < last {
			t.Errorf("edge %d at %s, after one at %s", i, e.at, last)
		}
		last = e.at
		got, want = append(got, e.active), append(want, high)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
	if now := Now(); last > now {
		t.Errorf("the last edge came at %s, and now it is only %s", last, now)
	}
	if n := in.Lost(); n != 0 {
		t.Errorf("%d edges lost", n)
	}
}

func inputDebounces(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[1], Debounce: 200 * time.Millisecond}
	r.drive(t, l.Pin, false)
	in := must[*Input](t)(r.OpenInput(l, "test"))
	seen := watch(in)
	for i := range 7 {
		r.drive(t, l.Pin, i%2 == 0) // ends high
	}
	if e := next(t, seen); !e.active {
		t.Errorf("the first edge told is %+v", e)
	}
	r.drive(t, l.Pin, false)
	if e := next(t, seen); e.active {
		t.Errorf("the second edge told is %+v: a bounce came through", e)
	}
}

func lineHasOneHolder(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[0]}
	must[*Output](t)(r.OpenOutput(l, "the first", false))
	_, err := r.OpenInput(l, "the second")
	if !errors.Is(err, ErrBusy) {
		t.Errorf("a held line: %v", err)
	}
}

func closeEndsWatch(t *testing.T, r rig) {
	l := Line{Chip: r.chip(), Pin: r.pins()[1]}
	r.drive(t, l.Pin, false)
	in := must[*Input](t)(r.OpenInput(l, "test"))
	seen := watch(in)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	r.drive(t, l.Pin, true)
	if len(seen) != 0 {
		t.Errorf("an edge came after Close: %+v", <-seen)
	}
	if _, err := in.Active(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Active after Close: %v", err)
	}
}

func pinIsThere(t *testing.T, r rig) {
	for _, pin := range []string{"4000", "NO_SUCH_LINE"} {
		_, err := r.OpenOutput(Line{Chip: r.chip(), Pin: pin}, "test", false)
		if !errors.Is(err, ErrNoLine) {
			t.Errorf("pin %s: %v", pin, err)
		}
	}
}

func chipIsThere(t *testing.T, r rig) {
	_, err := r.OpenInput(Line{Chip: "gpiochip4000", Pin: "1"}, "test")
	if !errors.Is(err, ErrNoChip) {
		t.Errorf("no such chip: %v", err)
	}
}

func settingsFit(t *testing.T, r rig) {
	pin := r.pins()[0]
	_, out := r.OpenOutput(Line{Chip: r.chip(), Pin: pin, Pull: "up"}, "test", false)
	_, bounced := r.OpenOutput(Line{Chip: r.chip(), Pin: pin, Debounce: time.Millisecond}, "test", false)
	_, in := r.OpenInput(Line{Chip: r.chip(), Pin: pin, OpenDrain: true}, "test")
	for _, err := range []error{out, bounced, in} {
		if err == nil {
			t.Error("a setting that cannot be was taken")
		}
	}
}
