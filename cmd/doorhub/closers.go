package main

import (
	"errors"
	"fmt"
	"time"
)

// closers undo what was built, the last first. A failed start and a stop use the same.
type closers struct{ steps []closeStep }

type closeStep struct {
	name  string
	close func() error
}

const closePatience = 10 * time.Second // for each step

func (c *closers) add(name string, close func() error) {
	c.steps = append(c.steps, closeStep{name, close})
}

// undo closes all, each within its time, and joins what went wrong.
func (c *closers) undo() error {
	var errs []error
	for len(c.steps) > 0 {
		step := c.steps[len(c.steps)-1]
		c.steps = c.steps[:len(c.steps)-1]
		done := make(chan error, 1)
		go func() { done <- step.close() }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
			}
		case <-time.After(closePatience):
			errs = append(errs, fmt.Errorf("%s: did not end within %s", step.name, closePatience))
		}
	}
	return errors.Join(errs...)
}
