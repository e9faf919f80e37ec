package face

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateSaysWhatWouldBeRight(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"min_face":     {func(c *Config) { c.MinFace = 0 }, "min_face: 0: use 40"},
		"max_pictures": {func(c *Config) { c.MaxPictures = 11 }, "max_pictures: 11: use 1 to 10"},
		"blur":         {func(c *Config) { c.Blur = math.NaN() }, "blur: NaN: use 0"},
		"idle":         {func(c *Config) { c.Idle = 0 }, "idle: 0s: use 50ms"},
		"every":        {func(c *Config) { c.Every = time.Hour }, "every: 1h0m0s: use 50ms"},
		"recognisers":  {func(c *Config) { c.Recognisers = 0 }, "recognisers: 0: use 1 to 8"},
		"faces":        {func(c *Config) { c.Faces = 65 }, "faces: 65: use 1 to 64"},
		"smallest":     {func(c *Config) { c.Smallest = 39 }, "smallest: 39: use 40 to 1000"},
		"full":         {func(c *Config) { c.Full = 0 }, "full: 0s: use 500ms"},
		"refresh":      {func(c *Config) { c.Refresh = time.Hour }, "refresh: 1h0m0s: use 500ms"},
		"decisions":    {func(c *Config) { c.Decisions = -1 }, "decisions: -1: use 0 (none)"},
		"gone":         {func(c *Config) { c.Gone = 0 }, "gone: 0s: use 500ms"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			tt.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestModelFolder(t *testing.T) {
	cache, home := t.TempDir(), t.TempDir()
	t.Setenv("DOORHUB_CACHE", cache)
	t.Setenv("HOME", home)
	if dir, err := (Config{Models: "/mine"}).ModelFolder(); dir != "/mine" || err != nil {
		t.Errorf("the folder in the settings: %q, %v", dir, err)
	}
	place := func(dir string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, models()[0].name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{filepath.Join(home, ".cache/doorhub/models"), filepath.Join(cache, "models")} {
		place(want) // the second goes before the first
		if dir, err := (Config{}).ModelFolder(); dir != want || err != nil {
			t.Errorf("got %q, %v; want %q", dir, err, want)
		}
	}
}

func TestModelsThatAreNotThere(t *testing.T) {
	dir := t.TempDir()
	damaged := filepath.Join(dir, models()[1].name)
	if err := os.WriteFile(damaged, []byte("cut off"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := checkModels(dir)
	if !errors.Is(err, ErrModels) {
		t.Fatalf("got %v, want ErrModels", err)
	}
	for _, want := range []string{filepath.Join(dir, models()[0].name) + " is missing", damaged + " is damaged",
		models()[1].sha256, "make models"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// The hub expects the very files that the fetch script installs.
func TestModelsAreThoseThatAreFetched(t *testing.T) {
	list, err := os.ReadFile("../../deploy/models/models.sha256")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, m := range models() {
		want.WriteString(m.sha256 + "  " + m.name + "\n")
	}
	if d := cmp.Diff(want.String(), string(list)); d != "" {
		t.Error(d)
	}
}
