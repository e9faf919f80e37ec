//go:build vision

package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

const benchLooks = 12

// BenchmarkKnown measures from a person standing before a camera at 720p to the record that
// says who it is, durable, with a second camera inside that shares the recogniser.
func BenchmarkKnown(b *testing.B) {
	was := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(was)
	cfg := demoConfig(shortTempDir(b))
	cfg.Broker.Listen, cfg.House.Quiet = "127.0.0.1:0", 0 // each time is logged
	ctx := context.Background()
	if err := store.CreateKey(cfg.Data); err != nil {
		b.Fatal(err)
	}
	if err := enrolDemo(ctx, cfg); err != nil {
		b.Fatal(err)
	}
	hub, err := startHub(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer hub.close()
	h := &benchHub{hub: hub, b: b, records: make(chan door.Record, 1024)}
	h.watch(func(r door.Record) { h.records <- r })
	var took []time.Duration
	for b.Loop() {
		for range benchLooks {
			h.empty(cfg.Face.Gone)
			took = append(took, h.known("obama2.jpg"))
		}
	}
	b.ReportMetric(median(took).Seconds()*1e3, "known-p50-ms")
	b.ReportMetric(slices.Max(took).Seconds()*1e3, "known-max-ms")
	b.ReportMetric(0, "ns/op")
}

// empty clears the doorway until whoever stood there is gone, and a little longer by chance,
// so that the next comes at any moment between two looks.
func (h *benchHub) empty(gone time.Duration) {
	if err := h.vision.stage("front", door.Entry, ""); err != nil {
		h.b.Fatal(err)
	}
	<-time.After(gone + time.Second + rand.N(300*time.Millisecond))
	for len(h.records) > 0 {
		<-h.records
	}
}

// known shows a picture and times until it is known who that is.
func (h *benchHub) known(picture string) time.Duration {
	start := time.Now()
	if err := h.vision.stage("front", door.Entry, picture); err != nil {
		h.b.Fatal(err)
	}
	h.await(func(r door.Record) bool { return r.Kind == door.KindSeen && r.Person != "" })
	return time.Since(start)
}
