package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// patience is how long a door waits for its record to be durable. A resident is never kept
// out by a disk: after it, the door opens on a record that is held in memory.
const patience = 200 * time.Millisecond

const (
	maxUnwritten = 100_000 // records held in memory while the journal cannot write
	maxBatch     = 1000    // records written at once, so that a little room on the disk is used, too
	firstPause   = time.Second
	lastPause    = 10 * time.Second
)

// What is wrong with the journal, one word each.
const (
	journalSlow      = "slow"         // a door did not wait for it
	journalUnwritten = "unwritten"    // it cannot write
	journalLost      = "records_lost" // some could not be held
)

// journal makes records durable, in order and all or none.
type journal interface {
	Append(ctx context.Context, recs []door.Record) ([]door.Record, error)
}

// recorder makes records durable in their order, many at once when they come fast, and holds
// what cannot be written until it can be.
type recorder struct {
	journal journal
	boot    string
	written func([]door.Write)          // told of what has become durable, in order
	problem func(reason, detail string) // told of each change of what is wrong, in order; "": nothing
	log     *slog.Logger

	mu      sync.Mutex
	queue   []door.Write
	ready   int           // so many of the queue were committed
	settled chan struct{} // closed when the queue has been written; nil while it is empty
	wrong   string        // reason of the present problem; "" when all is well
	lost    int
	news    []trouble
	more    chan struct{} // something was committed
	told    chan struct{} // there is something in the news
}

type trouble struct{ reason, detail string }

func newRecorder(j journal, boot string, log *slog.Logger) *recorder {
	return &recorder{journal: j, boot: boot, log: log.With("component", "recorder"),
		more: make(chan struct{}, 1), told: make(chan struct{}, 1)}
}

// write queues a record, to be made durable with those that follow at the next commit or
// settle. It never blocks.
func (r *recorder) write(w door.Write) {
	w.Record.Clock.Boot = r.boot
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxUnwritten {
		r.lost++
		return
	}
	r.queue = append(r.queue, w)
	if r.settled == nil {
		r.settled = make(chan struct{})
	}
}

// commit has all that was queued written, and does not wait for it.
func (r *recorder) commit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = len(r.queue)
	nudge(r.more)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// durable returns what closes when all that was queued is durable; nil when it is already, or
// when the journal is known to fail.
func (r *recorder) durable() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wrong != "" {
		return nil
	}
	return r.settled
}

// settle waits until all that was queued is durable, but no longer than a person at the door
// can be asked to wait, and not at all while the journal is known to fail.
func (r *recorder) settle() {
	r.mu.Lock()
	settled, failing := r.settled, r.wrong != ""
	r.mu.Unlock()
	if settled == nil {
		return
	}
	r.commit()
	if failing {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
		r.tooSlow(settled)
	}
}

func (r *recorder) tooSlow(settled chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled == settled && r.wrong == "" {
		r.tell(journalSlow, fmt.Sprintf("the journal took over %s: a door did not wait for it", patience))
	}
}

// tell queues the news of a problem. The caller holds the lock.
func (r *recorder) tell(reason, detail string) {
	r.wrong = reason
	r.news = append(r.news, trouble{reason, detail})
	nudge(r.told)
}

// run writes until ctx ends, and then what is left, once.
func (r *recorder) run(ctx context.Context) {
	var announcing sync.WaitGroup
	announcing.Go(func() { r.announce(ctx) })
	defer announcing.Wait()
	pause := firstPause
	for {
		more, again := r.more, (<-chan time.Time)(nil)
		if r.flush() == nil {
			pause = firstPause
		} else {
			more, again = nil, time.After(pause)
			pause = min(2*pause, lastPause)
		}
		select {
		case <-more:
		case <-again:
		case <-ctx.Done():
			r.commit()
			if err := r.flush(); err != nil {
				r.log.Error("stopping with records that could not be written: they are lost", "unwritten", r.waiting())
			}
			return
		}
	}
}

// announce tells the news, apart from the writing: it may be the house that waits for it, and
// the house that is told.
func (r *recorder) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.told:
		}
		r.mu.Lock()
		news := r.news
		r.news = nil
		r.mu.Unlock()
		for _, n := range news {
			r.problem(n.reason, n.detail)
		}
	}
}

func (r *recorder) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// flush writes all that was committed.
func (r *recorder) flush() error {
	for {
		r.mu.Lock()
		batch := r.queue[:min(r.ready, maxBatch)]
		r.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		kept, done, err := r.append(batch)
		if err != nil {
			r.failed(err)
			return err
		}
		r.taken(done)
		r.written(kept)
	}
}

// append writes the batch, and returns what is durable and how many records are dealt with.
// One that the journal will never take is lost, so that those behind it are not.
func (r *recorder) append(batch []door.Write) (kept []door.Write, done int, err error) {
	kept, err = r.appendAll(batch)
	if refused(err) {
		batch = batch[:1]
		kept, err = r.appendAll(batch)
	}
	if refused(err) {
		r.log.Error("the journal refuses a record for good: it is lost", "kind", batch[0].Record.Kind, "error", err)
		r.mu.Lock()
		r.lost++
		r.mu.Unlock()
		return nil, 1, nil
	}
	return kept, len(batch), err
}

// appendAll writes all or none, and returns them as they are kept.
func (r *recorder) appendAll(batch []door.Write) ([]door.Write, error) {
	recs, err := r.journal.Append(context.Background(), recordsOf(batch))
	kept := make([]door.Write, len(recs))
	for i, rec := range recs {
		kept[i] = door.Write{Record: rec, Track: batch[i].Track}
	}
	return kept, err
}

func recordsOf(ws []door.Write) []door.Record {
	recs := make([]door.Record, len(ws))
	for i, w := range ws {
		recs[i] = w.Record
	}
	return recs
}

// refused tells a record that cannot be kept from a disk that cannot be written.
func refused(err error) bool { return errors.Is(err, store.ErrTime) || errors.Is(err, store.ErrSealed) }

func (r *recorder) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Error("the journal cannot write; records are held in memory and go with the power", "unwritten", len(r.queue), "error", err)
	if r.wrong == "" || r.wrong == journalSlow {
		r.tell(journalUnwritten, err.Error()+"; what happens is held in memory and goes with the power")
	}
}

// taken drops what is durable from the queue; when that is all, all is well.
func (r *recorder) taken(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.ready = r.queue[n:], r.ready-n
	if len(r.queue) > 0 {
		return
	}
	r.queue = nil
	close(r.settled)
	r.settled = nil
	if r.lost > 0 {
		r.log.Error("records were lost", "lost", r.lost)
		r.tell(journalLost, fmt.Sprintf("%d records could neither be written nor held: they are lost", r.lost))
		r.lost = 0
	}
	if r.wrong != "" {
		r.tell("", "")
	}
}
