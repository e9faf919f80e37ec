package gpio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loopback names two lines of one chip joined by a wire with nothing else on them, as
// "gpiochip0:5,6". The contract drives both, so it never picks lines by itself.
const loopback = "DOORHUB_GPIO_LOOPBACK"

const configfs = "/sys/kernel/config/gpio-sim"

// TestKernelContract runs the contract on the kernel's own lines where there are any.
func TestKernelContract(t *testing.T) {
	wired := os.Getenv(loopback)
	_, err := os.Stat(configfs)
	switch {
	case wired != "":
		contract(t, inRealTime, func(t *testing.T) rig { return newWireRig(t, wired) })
	case err == nil && os.Geteuid() == 0:
		r := newGPIOSim(t)
		contract(t, inRealTime, func(*testing.T) rig { return r })
	default:
		why := fmt.Sprintf("SKIPPED: the GPIO contract did not run on a real driver: chips here: %q; gpio-sim: %v, uid %d. "+
			"To run it: as root after modprobe gpio-sim, or with %s=gpiochip0:5,6 naming two lines joined by a wire.",
			Chips(), err, os.Geteuid(), loopback)
		fmt.Fprintln(os.Stderr, why)
		t.Skip(why)
	}
}

// gpioSim is a chip of the kernel's GPIO simulator (Linux, admin-guide/gpio/gpio-sim).
type gpioSim struct {
	Kernel
	name string
	dir  string // of the chip in sysfs, with a folder for each line
}

func (r *gpioSim) chip() string    { return r.name }
func (r *gpioSim) pins() [2]string { return [2]string{"1", "2"} }

func (r *gpioSim) drive(t *testing.T, pin string, high bool) {
	pull := "pull-down"
	if high {
		pull = "pull-up"
	}
	write(t, filepath.Join(r.dir, "sim_gpio"+pin, "pull"), pull)
}

func (r *gpioSim) high(t *testing.T, pin string) bool {
	return read(t, filepath.Join(r.dir, "sim_gpio"+pin, "value")) == "1"
}

func newGPIOSim(t *testing.T) *gpioSim {
	device := filepath.Join(configfs, fmt.Sprintf("doorhub-test-%d", os.Getpid()))
	bank := filepath.Join(device, "bank0")
	for _, dir := range []string{device, bank} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(dir) })
	}
	write(t, filepath.Join(bank, "num_lines"), "8")
	write(t, filepath.Join(device, "live"), "1")
	t.Cleanup(func() { write(t, filepath.Join(device, "live"), "0") })
	name := read(t, filepath.Join(bank, "chip_name"))
	dir := filepath.Join("/sys/devices/platform", read(t, filepath.Join(device, "dev_name")), name)
	return &gpioSim{name: name, dir: dir}
}

// wireRig is two real lines joined by a wire: the one measures and drives the other.
type wireRig struct {
	Kernel
	name  string
	wired [2]string
	hand  *Output
}

func newWireRig(t *testing.T, spec string) *wireRig {
	name, pins, _ := strings.Cut(spec, ":")
	a, b, ok := strings.Cut(pins, ",")
	if !ok {
		t.Fatalf("%s=%q: write it as gpiochip0:5,6", loopback, spec)
	}
	r := &wireRig{name: name, wired: [2]string{a, b}}
	t.Cleanup(r.letGo)
	return r
}

func (r *wireRig) chip() string    { return r.name }
func (r *wireRig) pins() [2]string { return r.wired }

func (r *wireRig) other(pin string) Line {
	if pin == r.wired[0] {
		return Line{Chip: r.name, Pin: r.wired[1]}
	}
	return Line{Chip: r.name, Pin: r.wired[0]}
}

func (r *wireRig) letGo() {
	if r.hand != nil {
		r.hand.Close()
		r.hand = nil
	}
}

func (r *wireRig) drive(t *testing.T, pin string, high bool) {
	if r.hand == nil {
		out, err := r.OpenOutput(r.other(pin), "test wire", high)
		if err != nil {
			t.Fatal(err)
		}
		r.hand = out
	}
	if err := r.hand.Set(high); err != nil {
		t.Fatal(err)
	}
}

func (r *wireRig) high(t *testing.T, pin string) bool {
	if r.hand != nil {
		return must1(t)(r.hand.Active())
	}
	in, err := r.OpenInput(r.other(pin), "test meter")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	return must1(t)(in.Active())
}

func must1(t *testing.T) func(bool, error) bool {
	return func(v bool, err error) bool {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	} else if err != nil {
		t.Fatalf("%v: is the kernel's gpio-sim laid out otherwise?", err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
