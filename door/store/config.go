package store

import (
	"errors"
	"fmt"
	"time"
)

// Config says how the store keeps what it keeps.
type Config struct {
	Head        string        `yaml:"head"`         // file for the journal's head, best on another disk; "": head in the data folder
	MinPIN      int           `yaml:"min_pin"`      // digits a new PIN needs at least, 4 to 12
	BusyTimeout time.Duration `yaml:"busy_timeout"` // wait for another program that holds the database, 100ms to 1m
	KeepLooks   time.Duration `yaml:"keep_looks"`   // the face behind a record is kept so long, sealed; 1h to 87600h, 0: none is
	MostLooks   int           `yaml:"most_looks"`   // so many of these at most, 100 to 1000000
}

// Defaults returns the settings of an owner who has chosen none.
func Defaults() Config {
	return Config{MinPIN: 6, BusyTimeout: 5 * time.Second, KeepLooks: 90 * 24 * time.Hour, MostLooks: 10_000}
}

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	var errs []error
	if c.MinPIN < shortestPIN || c.MinPIN > longestPIN {
		errs = append(errs, fmt.Errorf("min_pin: %d: use %d to %d digits", c.MinPIN, shortestPIN, longestPIN))
	}
	if c.BusyTimeout < 100*time.Millisecond || c.BusyTimeout > time.Minute {
		errs = append(errs, fmt.Errorf("busy_timeout: %s: use 100ms to 1m", c.BusyTimeout))
	}
	if c.KeepLooks != 0 && (c.KeepLooks < time.Hour || c.KeepLooks > 87_600*time.Hour) {
		errs = append(errs, fmt.Errorf("keep_looks: %s: use 1h to 87600h (ten years), or 0s to keep none", c.KeepLooks))
	}
	if c.MostLooks < 100 || c.MostLooks > 1_000_000 {
		errs = append(errs, fmt.Errorf("most_looks: %d: use 100 to 1000000", c.MostLooks))
	}
	return errors.Join(errs...)
}

// Option changes how Open opens a store.
type Option func(*Config)

// With opens the store by c in place of the defaults.
func With(c Config) Option {
	return func(to *Config) { *to = c }
}
