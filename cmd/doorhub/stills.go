//go:build vision

package main

import (
	"context"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
)

const (
	stillBeat     = time.Second // from one still to the next
	stillPatience = time.Second // with a broker that does not take it; then it is old
)

// tellStills shows Home Assistant what the cameras outside see while somebody is there. Nothing
// keeps a still: the bus hands it on to who listens, and forgets it.
func (h *hub) tellStills(ctx context.Context) {
	tick := time.NewTicker(stillBeat)
	defer tick.Stop()
	told := map[string]*byte{} // door → where the last still is kept
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range h.vision.placed {
			if still := h.stillOf(p); len(still) > 0 && told[p.door] != &still[0] {
				told[p.door] = &still[0]
				h.tellStill(ctx, message(discovery.Still(p.door, still)))
			}
		}
	}
}

// stillOf is the newest picture with a face in it; of a camera inside there is none.
func (h *hub) stillOf(p placed) []byte {
	if p.side != door.Entry || !h.panel.client.Up() {
		return nil
	}
	return p.watcher.Snapshot()
}

func (h *hub) tellStill(ctx context.Context, m broker.Message) {
	ctx, cancel := context.WithTimeout(ctx, stillPatience)
	defer cancel()
	_ = h.panel.client.Publish(ctx, m) // the next one is newer
}
