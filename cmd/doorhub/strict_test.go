package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every file in testdata/config is a config that must be refused; its first lines, each
// beginning with "# want: ", are the error to the letter, with FILE for the file's name.
func TestBadConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files in testdata/config: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := wanted(string(text))
			if len(want) == 0 {
				t.Fatalf("%s does not begin with # want:", file)
			}
			_, err = loadConfig(file)
			if err == nil {
				t.Fatalf("%s was taken; want\n%s", file, strings.Join(want, "\n"))
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), file, "FILE"), "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func wanted(text string) (want []string) {
	for line := range strings.SplitSeq(text, "\n") {
		w, ok := strings.CutPrefix(line, "# want: ")
		if !ok {
			break
		}
		want = append(want, w)
	}
	return want
}

// Whatever is wrong is told with file, line and key, and with what would be right.
func TestErrorsSayWhereAndWhatToDo(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shape := regexp.MustCompile(`^FILE:\d+: .+: .+|^FILE:\d+: .+ is no section: .+|^FILE: its aliases .+: .+`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wanted(string(text)) {
			if !shape.MatchString(w) {
				t.Errorf("%s: %q names no place, or not what would be right", file, w)
			}
		}
	}
}

func TestConfigTooLarge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, bytes.Repeat([]byte("# nothing\n"), maxConfig/10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadConfig(file)
	want := file + ": over 1024 KiB: this is no config of doorhub"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, err := loadConfig("/dev/zero"); err == nil || !strings.Contains(err.Error(), "over 1024 KiB") {
		t.Errorf("a file without end: %v", err)
	}
}

func TestConfigNotThere(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ file, want string }{
		{filepath.Join(dir, "none.yaml"), filepath.Join(dir, "none.yaml") + ": no such file: make one with doorhub init, or name yours with --config"},
		{dir, "config: read " + dir + ": is a directory"},
	} {
		if _, err := loadConfig(c.file); err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

// However deep or wide a file is, it is refused in bounded time.
func TestConfigNestedWithoutEnd(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", 200_000),
		"braces":   strings.Repeat("{a: ", 100_000),
		"dashes":   strings.Repeat("- ", 100_000),
		"items":    "doors:" + strings.Repeat("\n- {}", 30_000),
		"lines":    strings.Repeat("house: {\n", 20_000),
	} {
		if _, err := parseConfig("c.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "c.yaml:") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"window", "window", 0}, {"windw", "window", 1}, {"windowx", "window", 1}, {"wandow", "window", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestBrokenLine(t *testing.T) {
	head := strings.Repeat("# a line\n", 40)
	for _, c := range []struct {
		text string
		want int
	}{
		{"a: 1\nb: [1,\n  2]\nc: ]\nd: 1\n", 4},
		{"a: 1\nb: \"x\ny\"\nc: 'x\n", 4},
		{"a:\n  b: 1\n c: 2\nd: 3\n", 3},
		{"\"", 1},
	} {
		_, err := parseConfig("c.yaml", []byte(head+c.text))
		if want := fmt.Sprintf("c.yaml:%d: this is no YAML", 40+c.want); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", c.text, err, want)
		}
	}
}

// FuzzParseConfig: no text makes it panic, and what it refuses it says in words that name the
// file. What it takes is valid.
func FuzzParseConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, exampleFile) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig("c.yaml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "c.yaml:") {
				t.Errorf("%q does not name the file", err)
			}
			return
		}
		if faults := c.validate(); len(faults) > 0 {
			t.Errorf("taken, though %v", faults)
		}
	})
}
