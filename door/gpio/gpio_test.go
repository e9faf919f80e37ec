package gpio

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/warthog618/go-gpiocdev"
	"gopkg.in/yaml.v3"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name  string
		line  Line
		op    Op
		fault error
		is    error
		says  []string
	}{
		{"chip missing", Line{Chip: "gpiochip4", Pin: "17"}, "", nil, ErrNoChip, []string{"/dev/gpiochip4", "gpiochip0"}},
		{"no permission on the chip", Line{Pin: "17"}, OpOpen, syscall.EACCES, fs.ErrPermission, []string{"/dev/gpiochip0", "sudo usermod -aG gpio " + userName()}},
		{"no permission for the line", Line{Pin: "17"}, OpRequest, syscall.EPERM, fs.ErrPermission, []string{"group gpio"}},
		{"chip gone", Line{Pin: "17"}, OpRequest, syscall.ENODEV, ErrNoChip, []string{"has gone"}},
		{"no edges", Line{Pin: "17"}, OpRequest, syscall.ENXIO, ErrEdges, []string{"interrupts"}},
		{"busy", Line{Pin: "5"}, "", nil, ErrBusy, []string{`"heating"`, "another pin"}},
		{"busy by name", Line{Pin: "GPIO5"}, "", nil, ErrBusy, []string{`"heating"`}},
		{"offset too large", Line{Pin: "54"}, "", nil, ErrNoLine, []string{"lines 0 to 27"}},
		{"no such name", Line{Pin: "GPIO99"}, "", nil, ErrNoLine, []string{"gpioinfo"}},
		{"something else", Line{Pin: "17"}, OpRequest, syscall.EIO, syscall.EIO, []string{"gpiochip0 17"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim := NewSimulator(28, Now)
			must[*Output](t)(sim.OpenOutput(Line{Pin: "5"}, "heating", false))
			sim.Fail(c.op, c.fault)
			_, err := sim.OpenInput(c.line, "doorhub")
			if !errors.Is(err, c.is) {
				t.Fatalf("got %v, want %v", err, c.is)
			}
			if c.fault != nil && !errors.Is(err, c.fault) {
				t.Errorf("the kernel's %v is lost in %v", c.fault, err)
			}
			for _, say := range c.says {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("%q does not say %q", err, say)
				}
			}
		})
	}
}

func TestFaultsWhileInUse(t *testing.T) {
	sim := NewSimulator(28, Now)
	out := must[*Output](t)(sim.OpenOutput(Line{Pin: "4"}, "test", false))
	in := must[*Input](t)(sim.OpenInput(Line{Pin: "5"}, "test"))
	sim.Fail(OpSet, syscall.ENODEV)
	sim.Fail(OpGet, syscall.ENODEV)
	_, readBack := out.Active()
	_, read := in.Active()
	for _, err := range []error{out.Set(true), readBack, read} {
		if !errors.Is(err, syscall.ENODEV) {
			t.Errorf("got %v", err)
		}
	}
	if sim.High(4) {
		t.Error("a failed Set moved the pin")
	}
	sim.Fail(OpSet, nil)
	if err := out.Set(true); err != nil || !sim.High(4) {
		t.Errorf("well again: %v, high is %v", err, sim.High(4))
	}
}

// otherChips is a machine whose named line sits on its second chip.
type otherChips struct{ *Simulator }

func (o otherChips) chips() []string { return []string{"gpiochip0", "gpiochip4"} }

func (o otherChips) open(name string) (chip, error) {
	if name == "gpiochip4" {
		return simChip{o.Simulator}, nil
	}
	return simChip{NewSimulator(0, Now)}, nil
}

func TestNameOnAnotherChip(t *testing.T) {
	_, err := openInput(otherChips{NewSimulator(28, Now)}, Line{Pin: "GPIO17"}, "test")
	if !errors.Is(err, ErrNoLine) || !strings.Contains(err.Error(), "set chip: gpiochip4") {
		t.Errorf("got %v", err)
	}
}

func TestPull(t *testing.T) {
	sim := NewSimulator(28, Now)
	for pull, want := range map[string]bool{"up": true, "down": false, "none": false, "": false} {
		in, err := sim.OpenInput(Line{Pin: "7", Pull: pull}, "test")
		if err != nil {
			t.Fatal(err)
		}
		if got := must1(t)(in.Active()); got != want {
			t.Errorf("an open pin with pull %q is active: %v", pull, got)
		}
		in.Close()
	}
}

// oldKernel has no debounce, as before Linux 5.10.
type oldKernel struct{ *Simulator }

func (o oldKernel) open(name string) (chip, error) {
	c, err := o.Simulator.open(name)
	return oldChip{c}, err
}

type oldChip struct{ chip }

func (o oldChip) RequestLine(offset int, options ...gpiocdev.LineReqOption) (line, error) {
	for _, option := range options {
		if _, ok := option.(gpiocdev.DebounceOption); ok {
			return nil, gpiocdev.ErrUapiIncompatibility{Feature: "debounce", AbiVersion: 1}
		}
	}
	return o.chip.RequestLine(offset, options...)
}

func TestOldKernelDoesWithoutDebounce(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	sim := NewSimulator(28, Now)
	in := must[*Input](t)(openInput(oldKernel{sim}, Line{Pin: "7", Debounce: time.Second}, "test"))
	seen := watch(in)
	sim.Drive(7, true)
	if e := next(t, seen); !e.active {
		t.Errorf("got %+v", e)
	}
	if !strings.Contains(log.String(), "component=gpio") || !strings.Contains(log.String(), "gpiochip0 7") {
		t.Errorf("log: %q", &log)
	}
}

func TestSlowWatcherLosesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const extra = 77
		sim := NewSimulator(28, Now)
		in := must[*Input](t)(sim.OpenInput(Line{Pin: "7"}, "test"))
		hold, seen := make(chan bool), make(chan edge, 2*pending)
		in.Watch(func(active bool, at time.Duration) {
			seen <- edge{active, at}
			<-hold
		})
		sim.Drive(7, true)
		synctest.Wait() // the watcher has the first edge and sits on it
		for i := range pending + extra {
			sim.Drive(7, i%2 == 1) // nobody waits for the watcher
		}
		close(hold)
		synctest.Wait()
		if in.Lost() != extra || len(seen) != 1+pending {
			t.Errorf("%d lost, %d told", in.Lost(), len(seen))
		}
		var last edge
		for range len(seen) {
			last = <-seen
		}
		if now := must1(t)(in.Active()); last.active != now {
			t.Errorf("the last edge told is %v, the line is %v", last.active, now)
		}
	})
}

func TestKernelLossIsCounted(t *testing.T) {
	in := &Input{edges: make(chan edge, pending)}
	for _, seq := range []uint32{1, 2, 5, 6} {
		in.take(gpiocdev.LineEvent{Type: gpiocdev.LineEventRisingEdge, LineSeqno: seq})
	}
	if in.Lost() != 2 {
		t.Errorf("%d lost of edges 3 and 4", in.Lost())
	}
}

func TestSimulatedDebounceIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		sim := NewSimulator(28, func() time.Duration { return time.Since(start) })
		in := must[*Input](t)(sim.OpenInput(Line{Pin: "7", Debounce: 50 * time.Millisecond}, "test"))
		seen := watch(in)
		for _, at := range []int{0, 3, 4, 9, 12} { // high from 12 ms
			<-time.After(time.Duration(at)*time.Millisecond - time.Since(start))
			sim.Drive(7, !sim.High(7))
		}
		if diff := cmp.Diff(edge{true, 62 * time.Millisecond}, next(t, seen), cmp.AllowUnexported(edge{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := (Line{Pin: "GPIO17", Pull: "up"}).Validate(); err != nil {
		t.Error(err)
	}
	bad := Line{Pin: "-1", Pull: "sideways", Debounce: time.Minute}
	for _, want := range []string{"as GPIO17", "up, down or none", "0s to 1s"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if l := Defaults(); l.Wired() || !errorsSay(l.Validate(), "pin") {
		t.Errorf("%+v is wired or valid", l)
	}
}

func errorsSay(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }

func TestYAML(t *testing.T) {
	got := Defaults()
	text := "pin: 17\nactive_low: true\npull: up\ndebounce: 5ms\nopen_drain: true\n"
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := Line{Chip: "gpiochip0", Pin: "17", ActiveLow: true, Pull: "up", Debounce: 5 * time.Millisecond, OpenDrain: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
