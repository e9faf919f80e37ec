package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// patience is how long a door waits for its record to be durable. A resident is never kept
// out by a disk: after it, the door opens on a record that is held in memory.
const patience = 200 * time.Millisecond

// maxUnwritten bounds what is held in memory while the journal cannot write.
const maxUnwritten = 100_000

// recorder makes records durable in their order, many at once when they come fast, and holds
// what cannot be written until it can be.
type recorder struct {
	journal interface {
		Append(ctx context.Context, recs []door.Record) ([]door.Record, error)
	}
	boot    string
	written func([]door.Record)         // told of what has become durable, in order
	problem func(reason, detail string) // told when writing fails, and with "" when it works again
	log     *slog.Logger

	mu      sync.Mutex
	queue   []door.Record
	settled chan struct{} // closed when the queue has been written; nil while it is empty
	failing bool
	lost    int
	more    chan struct{} // there is something in the queue
}

func newRecorder(boot string, log *slog.Logger) *recorder {
	return &recorder{boot: boot, log: log.With("component", "recorder"), more: make(chan struct{}, 1)}
}

// write queues a record. It never blocks.
func (r *recorder) write(rec door.Record) {
	rec.Clock.Boot = r.boot
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxUnwritten {
		r.lost++
		return
	}
	r.queue = append(r.queue, rec)
	if r.settled == nil {
		r.settled = make(chan struct{})
	}
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// settle waits until all that was queued is durable, but no longer than a person at the door
// can be asked to wait, and not at all while the journal is known to fail.
func (r *recorder) settle() {
	r.mu.Lock()
	settled, failing := r.settled, r.failing
	r.mu.Unlock()
	if settled == nil || failing {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
		r.fail("slow", fmt.Sprintf("the journal took over %s: a door did not wait for it", patience))
	}
}

// run writes until ctx ends, and then what is left, once.
func (r *recorder) run(ctx context.Context) {
	pause := time.Second
	for {
		select {
		case <-ctx.Done():
			r.flush()
			return
		case <-r.more:
		}
		for r.flush() != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
				pause = min(2*pause, 10*time.Second)
			}
		}
		pause = time.Second
	}
}

// flush writes all that is queued.
func (r *recorder) flush() error {
	r.mu.Lock()
	batch := r.queue
	r.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	kept, err := r.journal.Append(context.Background(), batch)
	if err != nil {
		r.log.Error("the journal cannot write; records are held in memory and go with the power", "unwritten", len(batch), "error", err)
		r.fail("unwritten", err.Error())
		return err
	}
	r.mu.Lock()
	r.queue = r.queue[len(batch):]
	if len(r.queue) == 0 {
		r.queue = nil
		close(r.settled)
		r.settled = nil
	}
	well := r.failing
	r.failing = false
	lost := r.lost
	r.lost = 0
	r.mu.Unlock()
	r.written(kept)
	if lost > 0 {
		r.log.Error("records were lost: more than could be held in memory", "lost", lost)
	}
	if well {
		r.problem("", "")
	}
	return nil
}

func (r *recorder) fail(reason, detail string) {
	r.mu.Lock()
	first := !r.failing
	r.failing = true
	r.mu.Unlock()
	if first {
		r.problem(reason, detail)
	}
}
