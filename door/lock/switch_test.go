package lock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A script's line is a time and the level reached then, or "." for a moment without an edge.
// "-> 0 since 3ms" is the change told by the line above it.
func TestDebounceScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("scripts: %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := debouncer{hold: ContactDefaults().Debounce}
	var want, got []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "start":
			d.raw, d.stable = words[1] == "1", words[1] == "1"
		case words[0] == "->":
			want = append(want, words[1]+" since "+parse(t, words[3]).String())
		default:
			if since, changed := feed(&d, parse(t, words[0]), words[1]); changed {
				got = append(got, fmt.Sprintf("%s since %s", level(d.stable), since))
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func feed(d *debouncer, at time.Duration, what string) (time.Duration, bool) {
	if what == "." {
		return d.settle(at)
	}
	return d.edge(at, what == "1")
}

func parse(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func level(active bool) string {
	if active {
		return "1"
	}
	return "0"
}

func clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// watch makes a switch that collects its changes.
func watch(t *testing.T, c SwitchConfig, in Input) (*Switch, *[]Change) {
	t.Helper()
	told := new([]Change)
	s, err := NewSwitch(c, in, func(c Change) { *told = append(*told, c) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, told
}

const ms = time.Millisecond

func TestContactOnDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(Defaults(), clock())
		contact, told := watch(t, ContactDefaults(), sim.Contact())
		if contact.Tripped() {
			t.Error("a closed door is open")
		}
		wait(100 * ms)
		sim.Force()
		wait(49 * ms)
		if contact.Tripped() {
			t.Error("told before it lasted")
		}
		wait(51 * ms)
		if err := sim.Shut(); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		want := []Change{{Tripped: true, At: 100 * ms}, {Tripped: false, At: 200 * ms}}
		if diff := cmp.Diff(want, *told); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

func TestSwitchStartsFromWhatItFinds(t *testing.T) {
	for _, c := range []struct {
		normally Normally
		active   bool
		tripped  bool
	}{{Closed, true, false}, {Closed, false, true}, {Open, true, true}, {Open, false, false}} {
		synctest.Test(t, func(t *testing.T) {
			sim := NewSimulator(Defaults(), clock())
			sim.Press(c.active)
			s, told := watch(t, SwitchConfig{Normally: c.normally, Debounce: 20 * ms}, sim.Button())
			wait(time.Second)
			if s.Tripped() != c.tripped || len(*told) != 0 {
				t.Errorf("%+v: tripped is %v, told %v", c, s.Tripped(), *told)
			}
		})
	}
}

func TestREXPressedAndStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(Defaults(), clock())
		_, told := watch(t, REXDefaults(), sim.Button())
		press := func(d time.Duration) {
			sim.Press(true)
			wait(d)
			sim.Press(false)
			wait(time.Second)
		}
		press(10 * ms) // a spike
		press(200 * ms)
		press(24 * time.Hour) // a match in the button
		press(200 * ms)
		var got []string
		for _, c := range *told {
			got = append(got, fmt.Sprintf("pressed %v stuck %v", c.Tripped, c.Stuck))
		}
		want := []string{
			"pressed true stuck false", "pressed false stuck false",
			"pressed true stuck false", "pressed true stuck true", "pressed false stuck false",
			"pressed true stuck false", "pressed false stuck false",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

func TestStuckFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(Defaults(), clock())
		sim.Press(true)
		_, told := watch(t, REXDefaults(), sim.Button())
		wait(time.Hour)
		if diff := cmp.Diff([]Change{{Tripped: true, Stuck: true}}, *told); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

func TestBouncingSwitchTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(Defaults(), clock())
		_, told := watch(t, REXDefaults(), sim.Button())
		for range 20 {
			sim.Press(true)
			wait(3 * ms)
			sim.Press(false)
			wait(3 * ms)
		}
		sim.Press(true)
		wait(time.Second)
		if diff := cmp.Diff([]Change{{Tripped: true, At: 120 * ms}}, *told); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

// Edges that come in the very moment in which a level has lasted: timer and edge race, and
// neither may tell a level that is only beginning.
func TestEdgeRacesTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		sim := NewSimulator(Defaults(), now)
		hold := REXDefaults().Debounce
		told := 0
		s, err := NewSwitch(REXDefaults(), sim.Button(), func(c Change) {
			told++
			if lasted := now() - c.At; lasted < hold {
				t.Errorf("%+v told after %s", c, lasted)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range 500 {
			sim.Press(i%2 == 0)
			<-time.After(hold)
		}
		wait(time.Second)
		if told != 500 {
			t.Errorf("%d changes told of 500", told)
		}
	})
}

func TestClosedSwitchIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := NewSimulator(Defaults(), clock())
		s, told := watch(t, REXDefaults(), sim.Button())
		sim.Press(true) // still settling
		s.Close()
		wait(time.Hour)
		sim.Press(false)
		wait(time.Hour)
		if len(*told) != 0 {
			t.Errorf("told %v", *told)
		}
	})
}

type deadInput struct{ err error }

func (d deadInput) Active() (bool, error)         { return false, d.err }
func (deadInput) Watch(func(bool, time.Duration)) {}

func TestSwitchRefusals(t *testing.T) {
	errCut := errors.New("cut")
	if _, err := NewSwitch(REXDefaults(), deadInput{errCut}, func(Change) {}); !errors.Is(err, errCut) {
		t.Errorf("a dead input: %v", err)
	}
	_, err := NewSwitch(SwitchConfig{Normally: "never", Stuck: 1}, deadInput{}, func(Change) {})
	for _, key := range []string{"normally", "debounce", "stuck"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%v does not name %s", err, key)
		}
	}
	if err := errors.Join(ContactDefaults().Validate(), REXDefaults().Validate()); err != nil {
		t.Error(err)
	}
}
