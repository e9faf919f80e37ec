package album

import (
	"errors"
	"fmt"
	"time"
)

// Config says how long pictures are kept, how many, and how large.
type Config struct {
	Keep  time.Duration `yaml:"keep"`  // each is kept so long, 1h to 87600h; 0: none is
	Most  int           `yaml:"most"`  // MB that all may take; the oldest go first, 1 to 1000000
	Width int           `yaml:"width"` // pixels that they are scaled down to, 160 to 1920
	Show  bool          `yaml:"show"`  // tell the last one of each door over the bus
}

// Defaults returns the settings of an owner who has chosen none.
func Defaults() Config {
	return Config{Keep: 7 * 24 * time.Hour, Most: 500, Width: 640, Show: true}
}

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	var errs []error
	if c.Keep != 0 && (c.Keep < time.Hour || c.Keep > 87_600*time.Hour) {
		errs = append(errs, fmt.Errorf("keep: %s: use 1h to 87600h (ten years), or 0s to keep none", c.Keep))
	}
	if c.Most < 1 || c.Most > 1_000_000 {
		errs = append(errs, fmt.Errorf("most: %d: use 1 to 1000000 MB", c.Most))
	}
	if c.Width < 160 || c.Width > 1920 {
		errs = append(errs, fmt.Errorf("width: %d: use 160 to 1920 pixels", c.Width))
	}
	return errors.Join(errs...)
}
