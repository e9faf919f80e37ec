package keypad

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A script's line is a time in ms, or a span "from..to" read every 5 ms ("from..to/step"
// else), and the keys whose contacts conduct ("-": none). "-> 5" is the key told by the
// reading above it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
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
	d := NewDecoder(Defaults())
	var want, got []string
	var last int
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#" || strings.HasPrefix(line, "#"):
		case words[0] == "->":
			want = append(want, fmt.Sprintf("%d ms: %s", last, words[1]))
		default:
			from, to, step := span(t, words[0])
			for last = from; last <= to; last += step {
				if key := d.Scan(time.Duration(last)*time.Millisecond, contacts(t, words[1])); key != 0 {
					got = append(got, fmt.Sprintf("%d ms: %c", last, key))
				}
			}
			last -= step
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if !d.Idle() {
		t.Error("not idle with all keys up")
	}
}

func span(t *testing.T, text string) (from, to, step int) {
	text, every, stepped := strings.Cut(text, "/")
	if !stepped {
		every = "5"
	}
	first, last, ranged := strings.Cut(text, "..")
	if !ranged {
		last = first
	}
	for _, n := range []struct {
		text string
		to   *int
	}{{first, &from}, {last, &to}, {every, &step}} {
		v, err := strconv.Atoi(n.text)
		if err != nil || v < 0 {
			t.Fatalf("time %q: %v", text, err)
		}
		*n.to = v
	}
	return from, to, step
}

func contacts(t *testing.T, keys string) (c Contacts) {
	if keys == "-" {
		return c
	}
	for _, key := range keys {
		i := strings.IndexRune(Defaults().Layout, key)
		if i < 0 {
			t.Fatalf("no key %q", key)
		}
		c[i/Size][i%Size] = true
	}
	return c
}

func TestIdleOnlyAtRest(t *testing.T) {
	d := NewDecoder(Defaults())
	for _, step := range []struct {
		at   time.Duration
		keys string
		idle bool
	}{
		{0, "-", true}, {5, "6", false}, {25, "6", false}, {30, "-", false}, {45, "-", false}, {50, "-", true},
	} {
		d.Scan(step.at*time.Millisecond, contacts(t, step.keys))
		if d.Idle() != step.idle {
			t.Errorf("at %d ms: idle is %v", step.at, d.Idle())
		}
	}
}

// Every choice of three keys that makes a rectangle's fourth corner conduct: none is told.
func TestNoGhostEver(t *testing.T) {
	layout := []rune(Defaults().Layout)
	tried := 0
	for _, a := range layout {
		for _, b := range layout {
			for _, c := range layout {
				w := NewWires(Defaults(), func() time.Duration { return 0 })
				for _, k := range []rune{a, b, c} {
					if err := w.Contact(k, true); err != nil {
						t.Fatal(err)
					}
				}
				seen := conducting(t, w)
				if n := count(seen); n < 4 {
					continue
				}
				tried++
				d := NewDecoder(Defaults())
				for at := time.Duration(0); at < 100*time.Millisecond; at += 5 * time.Millisecond {
					if key := d.Scan(at, seen); key != 0 {
						t.Fatalf("%c, %c, %c pressed: %c was told", a, b, c, key)
					}
				}
			}
		}
	}
	if want := 16 * 9 * 6; tried != want { // corner, its opposite's place, and the orders of three keys
		t.Errorf("%d choices make a ghost, want %d", tried, want)
	}
}

func conducting(t *testing.T, w *Wires) (c Contacts) {
	rows, columns := w.Rows(), w.Columns()
	for r := range rows {
		rows[r].Set(true)
		for k := range columns {
			active, err := columns[k].Active()
			if err != nil {
				t.Fatal(err)
			}
			c[r][k] = active
		}
		rows[r].Set(false)
	}
	return c
}

func count(c Contacts) (n int) {
	for _, row := range c {
		for _, on := range row {
			if on {
				n++
			}
		}
	}
	return n
}
