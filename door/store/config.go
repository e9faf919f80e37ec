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
}

// Defaults returns the settings of an owner who has chosen none.
func Defaults() Config {
	return Config{MinPIN: 6, BusyTimeout: 5 * time.Second}
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
	return errors.Join(errs...)
}

// Option changes how Open opens a store.
type Option func(*Config)

// With opens the store by c in place of the defaults.
func With(c Config) Option {
	return func(to *Config) { *to = c }
}
