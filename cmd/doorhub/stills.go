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
	told := stills{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i, p := range h.vision.placed {
			if still := h.stillOf(p); told.news(i, still) {
				h.tellStill(ctx, message(discovery.Still(p.door, still)))
			}
		}
	}
}

// stills are those told last: by camera, since one that sees nobody any more keeps its last, where
// it is kept.
type stills map[int]*byte

// news reports whether a camera's still was not told yet.
func (s stills) news(camera int, still []byte) bool {
	if len(still) == 0 || s[camera] == &still[0] {
		return false
	}
	s[camera] = &still[0]
	return true
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
