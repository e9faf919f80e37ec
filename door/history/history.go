// Package history sends the journal to InfluxDB, 2.x or 1.8, for Grafana to show: each record
// as one point, in order, once, however long the database was away.
package history

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Journal is what is read, and where it is kept how far.
type Journal interface {
	// After streams the records with a greater seq, oldest first. One that cannot be read comes
	// as an error beside its seq, and the stream goes on; an error without a seq ends it.
	After(ctx context.Context, seq uint64) iter.Seq2[door.Record, error]
	// Before streams the records with a smaller seq, newest first, in the same way.
	Before(ctx context.Context, seq uint64) iter.Seq2[door.Record, error]
	// Of streams the records of a person, oldest first, in the same way.
	Of(ctx context.Context, person string) iter.Seq2[door.Record, error]
	// Passed returns the newest entry or exit of a person with a smaller seq; a zero record when
	// there is none.
	Passed(ctx context.Context, person string, before uint64) (door.Record, error)
	Head() uint64
	Cursor(ctx context.Context) (uint64, error)
	SetCursor(ctx context.Context, seq uint64) error
	// SetAside notes a record that the database refuses, and why.
	SetAside(ctx context.Context, seq uint64, reason string) error
}

// World is what a History wants to know and tell.
type World struct {
	Journal Journal
	Called  func(person string) string           // what a person is called; "" for one who is not known
	Now     func() door.Instant                  //
	Boot    string                               // the kernel's boot id, as in records
	Zone    *time.Location                       // of the house, for FieldHour
	Problem func(reason, detail string)          // told of each change of the reason; "": all is well. It must not block
	Log     *slog.Logger                         //
	Took    func(time.Duration)                  // told how long each request took that went well; nil: nobody wants to know
	Pause   func(context.Context, time.Duration) // nil: that of the clock on the wall
}

// Status says how far a History is.
type Status struct {
	Cursor  uint64    `json:"cursor"`        // sent up to this record
	Head    uint64    `json:"head"`          // the journal's last
	Backlog uint64    `json:"backlog"`       // records yet to be sent
	Sent    uint64    `json:"sent"`          // points since the start, corrections among them
	Expired uint64    `json:"expired"`       // of these, older than the database keeps any
	Last    time.Time `json:"last,omitzero"` // when the database last took something; zero: not yet
	Reason  string    `json:"reason"`        // what is wrong, one word; "": nothing
	Problem string    `json:"problem"`       // the same for people
}

// History sends the journal to one database.
type History struct {
	cfg   Config
	world World
	log   *slog.Logger
	wake  chan struct{}

	mu     sync.Mutex
	status Status
	kept   uint64  // the journal's cursor
	from   *uint64 // send again what follows it; nil: nobody asked
}

const (
	unsyncedPatience = 10 * time.Minute // after the boot, records of a clock not yet right are held back no more
	firstPause       = time.Second
	longestPause     = time.Minute
	tidyEvery        = 5 * time.Second // between two writes of the cursor while there is much to send
)

// Open makes a History that sends nothing before Run. The error tells of settings that can
// never work; that the database is not there, or a file cannot be used, is no error.
func Open(cfg Config, w World) (*History, error) {
	if err := cfg.form(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if w.Took == nil {
		w.Took = func(time.Duration) {}
	}
	if w.Pause == nil {
		w.Pause = pause
	}
	h := &History{cfg: cfg, world: w, log: w.Log.With("component", "history"), wake: make(chan struct{}, 1)}
	h.Wrote() // what is there already
	return h, nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Wrote says that there is more in the journal. It never blocks.
func (h *History) Wrote() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Status says how far it is.
func (h *History) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	if h.from != nil {
		s.Cursor = min(s.Cursor, *h.from)
	}
	s.Head = h.world.Journal.Head()
	s.Backlog = s.Head - min(s.Cursor, s.Head)
	return s
}

// Backfill sends all records from seq on again; they overwrite themselves. Without an error it
// outlasts a restart.
func (h *History) Backfill(ctx context.Context, seq uint64) error {
	before := max(seq, 1) - 1
	h.mu.Lock()
	defer h.mu.Unlock()
	at, err := h.world.Journal.Cursor(ctx)
	if err != nil || at <= before && h.status.Cursor <= before {
		return err
	}
	if at > before {
		if err := h.world.Journal.SetCursor(ctx, before); err != nil {
			return err
		}
		h.kept = before
	}
	if h.from == nil || before < *h.from {
		h.from = &before
	}
	h.Wrote()
	return nil
}

// Run sends until ctx ends, then keeps how far it came.
func (h *History) Run(ctx context.Context) {
	s := &sender{History: h, line: newLine()}
	defer s.hangUp()
	for again := firstPause; ; {
		before := s.cursor
		wait, err := s.send(ctx)
		if s.cursor > before {
			again = firstPause
		}
		switch {
		case ctx.Err() != nil:
			s.keep(context.WithoutCancel(ctx))
			return
		case err != nil:
			wait = max(again, retryAfter(err))
			again = min(2*again, longestPause)
			h.tell(err)
			h.world.Pause(ctx, wait)
			continue
		}
		again = firstPause
		h.tell(nil)
		s.keep(ctx)
		h.sleep(ctx, wait)
	}
}

// sleep waits until there may be something to send: for the given time, if any is given, else
// for a record and a moment more, in which others may come.
func (h *History) sleep(ctx context.Context, d time.Duration) {
	if d > 0 {
		h.world.Pause(ctx, d)
		return
	}
	select {
	case <-ctx.Done():
	case <-h.wake:
		h.world.Pause(ctx, h.cfg.Every)
	}
}

// tell tells of a change of what is wrong.
func (h *History) tell(err error) {
	reason, detail := "", ""
	if err != nil {
		reason, detail = explain(err)
	}
	h.mu.Lock()
	same := h.status.Reason == reason // details may differ each time, as by a port
	h.status.Reason, h.status.Problem = reason, detail
	h.mu.Unlock()
	if same {
		return
	}
	if err != nil {
		h.log.Warn("history is not sent", "error", detail)
	}
	h.world.Problem(reason, detail)
}

func (h *History) sent(points int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Sent += uint64(points)
	h.status.Last = at
}

func (h *History) expired(points int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Expired += uint64(points)
}

func (h *History) reached(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Cursor = seq
}

// asked returns from where to send again, once.
func (h *History) asked() (seq uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from == nil {
		return 0, false
	}
	seq, h.from = *h.from, nil
	return seq, true
}
