package main

import (
	"context"
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

// Run runs the hub until it is told to stop, which is no failure.
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
	log := newLog(a.errOut, c.Verbose)
	slog.SetDefault(log)
	h, err := startWhenFree(a.ctx, cfg, log)
	if err != nil && a.ctx.Err() != nil {
		log.Info("stopped before it was ready", "component", "hub", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	h.log.Info("ready", "component", "hub", "doors", len(cfg.Doors), "vision", hasVision, "data", cfg.Data)
	for _, d := range cfg.Doors {
		if h.doors[d.ID].typeFrom(a.ctx, a.in, a.errOut) {
			fmt.Fprintf(a.errOut, "doorhub: door %s is simulated: type a PIN here, and Enter\n", d.ID)
			break
		}
	}
	<-a.ctx.Done()
	h.log.Info("stopping", "component", "hub")
	return h.close()
}

// startWhenFree starts the hub, after a command that happens to hold the store just then.
func startWhenFree(ctx context.Context, cfg Config, log *slog.Logger) (h *hub, err error) {
	err = whenFree(ctx, cfg, func() error {
		h, err = startHub(ctx, cfg, log)
		if errors.Is(err, store.ErrInUse) && errors.Is(listens(ctx, cfg.socket()), errSilent) {
			return fmt.Errorf("%w (%w)", err, errSilent)
		}
		return err
	})
	return h, err
}
