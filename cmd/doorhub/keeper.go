package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

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
	nudge(k.more)
}

// keepAgain is when what could not be stored is tried again.
const keepAgain = 10 * time.Second

// run stores until ctx ends, and then what is left.
func (k *keeper) run(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			k.flush()
			return
		case <-k.more:
		case <-again:
		}
		again = nil
		if !k.flush() {
			again = time.After(keepAgain)
		}
	}
}

// flush stores what is new, and puts back what could not be stored.
func (k *keeper) flush() (all bool) {
	k.mu.Lock()
	newer := k.newer
	k.newer = map[string]door.Lockout{}
	k.mu.Unlock()
	all = true
	for _, key := range sortedKeys(newer) {
		err := k.store.KeepLockout(context.Background(), key, newer[key])
		if err == nil {
			continue
		}
		all = false
		k.log.Error("a lockout is not stored: a restart would forget it", "error", err)
		k.mu.Lock()
		if _, since := k.newer[key]; !since {
			k.newer[key] = newer[key]
		}
		k.mu.Unlock()
	}
	return all
}
