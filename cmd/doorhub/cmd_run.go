package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/doorhub/doorhub/door/store"
)

type runCmd struct {
	Demo    bool `help:"Play a scene on simulated hardware, then take typed commands."`
	Once    bool `help:"With --demo: end after the scene."`
	Verbose bool `short:"v" help:"Log more."`
}

// Run runs the hub until it is told to stop.
func (c runCmd) Run(a *app) error {
	if c.Demo {
		return runDemo(a, c)
	}
	if c.Once {
		return exit{exitUsage, errors.New("--once goes with --demo")}
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	slog.SetDefault(newLog(a.errOut, c.Verbose))
	h, err := startHub(a.ctx, cfg, slog.Default())
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w: a hub is running on it already", err)
	}
	if err != nil {
		return err
	}
	h.log.Info("ready", "component", "hub", "doors", len(cfg.Doors), "vision", hasVision, "data", cfg.Data)
	<-a.ctx.Done()
	h.log.Info("stopping", "component", "hub")
	return h.close()
}
