package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// keeper stores lockouts behind the house's back: only the newest of each key matters.
type keeper struct {
	store *store.Store
	log   *slog.Logger

	mu    sync.Mutex
	newer map[string]door.Lockout
	more  chan struct{}
}

func newKeeper(st *store.Store, log *slog.Logger) *keeper {
	return &keeper{store: st, log: log.With("component", "lockouts"), newer: map[string]door.Lockout{}, more: make(chan struct{}, 1)}
}

// keep never blocks.
func (k *keeper) keep(key string, l door.Lockout) {
	k.mu.Lock()
	k.newer[key] = l
	k.mu.Unlock()
	select {
	case k.more <- struct{}{}:
	default:
	}
}

// run stores until ctx ends, and then what is left.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			k.flush()
			return
		case <-k.more:
			k.flush()
		}
	}
}

func (k *keeper) flush() {
	k.mu.Lock()
	newer := k.newer
	k.newer = map[string]door.Lockout{}
	k.mu.Unlock()
	for _, key := range sortedKeys(newer) {
		if err := k.store.KeepLockout(context.Background(), key, newer[key]); err != nil {
			k.log.Error("a lockout is not stored: a restart would forget it", "error", err)
		}
	}
}
