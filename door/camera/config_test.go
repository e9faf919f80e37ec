package camera

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestKind(t *testing.T) {
	got := map[string]kind{}
	want := map[string]kind{
		"/dev/video0": kindDevice, "0": kindDevice, "12": kindDevice,
		"rtsp://cam/1": kindStream, "https://cam:8443/mjpeg": kindStream,
		"/srv/faces": kindFile, "/srv/v1.2": kindFile, "ann.jpg": kindFile, "film.avi": kindFile, "1234": kindFile,
	}
	for source := range want {
		k, err := Config{Source: source}.kind()
		if err != nil {
			t.Error(err)
		}
		got[source] = k
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestValidateSaysWhatWouldBeRight(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no source":   {func(c *Config) { c.Source = "" }, "source: empty: use /dev/video0"},
		"newline":     {func(c *Config) { c.Source = "a\nb" }, "use a plain path"},
		"scheme":      {func(c *Config) { c.Source = "ftp://cam/1" }, `"ftp" is no scheme known here: use rtsp`},
		"no host":     {func(c *Config) { c.Source = "rtsp:///1" }, "names no host"},
		"bad address": {func(c *Config) { c.Source = "rtsp://a:%zz@cam" }, "percent-encoded"},
		"width":       {func(c *Config) { c.Width = 0 }, "width: 0: use 160"},
		"height":      {func(c *Config) { c.Height = 9000 }, "height: 9000: use 120"},
		"fps":         {func(c *Config) { c.FPS = -1 }, "fps: -1: use 1 to 60"},
		"rotate":      {func(c *Config) { c.Rotate = 45 }, "rotate: 45: use 0, 90, 180 or 270"},
		"hold":        {func(c *Config) { c.Hold = 0 }, "hold: 0s: use 100ms"},
		"black":       {func(c *Config) { c.Black = math.NaN() }, "black: NaN: use 0"},
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

func TestSecretsOfAnAddressAreNeverShown(t *testing.T) {
	for source, want := range map[string]string{
		"rtsp://ann:hunter2@cam:554/1":                   "rtsp://cam:554",
		"http://cam/video?user=ann&password=hunter2":     "http://cam",
		"rtsp://cam/user=ann_password=hunter2_channel=1": "rtsp://cam",
		"rtsp://ann:hunter2%zz@cam/":                     "the address in source",
		"ftp://ann:hunter2@cam/1":                        "ftp://cam",
		"rtsp://ann:hunter2@/1":                          "the address in source",
		"/srv/faces":                                     "/srv/faces",
	} {
		c := Defaults()
		c.Source = source
		if d := cmp.Diff(want, c.Where()); d != "" {
			t.Error(d)
		}
		if err := c.Validate(); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
