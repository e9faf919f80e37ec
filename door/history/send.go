package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/doorhub/doorhub/door"
)

// sender is what Run's goroutine alone knows.
type sender struct {
	*History
	link
	begun  bool
	cursor uint64
	keptAt time.Time
	doubt  []refused    // records refused while nothing else was taken: perhaps it is not them
	ahead  <-chan batch // being read; nil: none
	stays  stays        // of whoever reads
	line   line         // likewise
}

// item is a record on its way.
type item struct {
	rec  door.Record
	line []byte
	err  error // it cannot be written as a line
}

// refused is a record that the database does not take.
type refused struct {
	item
	why error
}

// send sends all there is to send. wait is after how long to look again though nothing is
// written: for records that are held back; 0: not.
func (s *sender) send(ctx context.Context) (wait time.Duration, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	for {
		b, err := s.next(ctx)
		if err != nil {
			return 0, err
		}
		s.readAhead(ctx, b)
		if err := s.post(ctx, b.items); err != nil {
			return 0, err
		}
		if err := s.follow(ctx, b.last); err != nil {
			return 0, err
		}
		s.cursor = max(s.cursor, b.upTo)
		s.reached(s.cursor)
		if time.Since(s.keptAt) > tidyEvery {
			s.keep(ctx)
		}
		if b.end {
			return b.wait, s.doubted()
		}
	}
}

func (s *sender) begin(ctx context.Context) (err error) {
	if s.begun {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept, err = s.world.Journal.Cursor(ctx); err != nil {
		return err
	}
	s.cursor = min(s.kept, s.world.Journal.Head()) // a journal from a backup may be shorter
	s.status.Cursor = s.cursor
	s.begun = true
	return nil
}

// keep keeps how far it came. While that fails, a restart sends again, which does no harm.
func (s *sender) keep(ctx context.Context) {
	s.keptAt = time.Now()
	upTo := s.cursor
	if len(s.doubt) > 0 {
		upTo = min(upTo, s.doubt[0].rec.Seq-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from != nil {
		upTo = min(upTo, *s.from)
	}
	if upTo == s.kept || !s.begun {
		return
	}
	if err := s.world.Journal.SetCursor(ctx, upTo); err != nil {
		s.log.Warn("cannot keep how far the history came", "error", err)
		return
	}
	s.kept = upTo
}

// next returns what is to be sent after the cursor: what was read ahead, or else is read now.
func (s *sender) next(ctx context.Context) (b batch, err error) {
	if seq, ok := s.asked(); ok && seq < s.cursor {
		s.cursor = seq
	}
	if s.ahead != nil {
		b = <-s.ahead
		s.ahead = nil
	}
	if b.upTo == 0 || b.after != s.cursor {
		b = s.read(ctx, s.cursor)
	}
	return b, b.err
}

// readAhead reads what follows a batch while that is sent.
func (s *sender) readAhead(ctx context.Context, b batch) {
	if b.end || b.last != nil {
		return
	}
	ahead := make(chan batch, 1)
	go func() { ahead <- s.read(ctx, b.upTo) }()
	s.ahead = ahead
}

// batch is what goes in one request.
type batch struct {
	items []item
	after uint64        // of the records behind it
	upTo  uint64        // with it the cursor may go here
	last  *door.Record  // which changes earlier points: nothing follows it in this batch
	end   bool          // of the journal, or of what may be sent by now
	wait  time.Duration // until more may be sent
	err   error         // why it could not be read
}

func (s *sender) read(ctx context.Context, after uint64) (b batch) {
	b.after = after
	s.stays.begin(after)
	for r, err := range s.world.Journal.After(ctx, after) {
		if err != nil && r.Seq == 0 {
			return batch{err: err}
		}
		if err != nil { // one that is damaged costs no other
			s.log.Error("a record cannot be read", "error", err)
			b.upTo = r.Seq
			continue
		}
		if b.wait = s.heldFor(r); b.wait > 0 {
			b.end = true
			return b
		}
		i, err := s.item(ctx, r)
		if err != nil {
			return batch{err: err}
		}
		b.items = append(b.items, i)
		b.upTo = r.Seq
		if changesPast(r) {
			b.last = &r
			return b
		}
		if len(b.items) >= s.cfg.Batch {
			return b
		}
	}
	b.end = true
	return b
}

// item makes the point of a record. The error is the journal's.
func (s *sender) item(ctx context.Context, r door.Record) (item, error) {
	inside, err := s.stays.add(ctx, s.world.Journal, r)
	if err != nil {
		return item{}, err
	}
	line, bad := s.line.point(r, telling{name: s.world.Called(r.Person), inside: inside, zone: s.world.Zone})
	return item{r, line, bad}, nil
}

// heldFor returns how long to hold back a record whose time may soon be known better.
func (s *sender) heldFor(r door.Record) time.Duration {
	now := s.world.Now()
	if r.Clock.Synced || now.Synced || r.Clock.Boot != s.world.Boot || r.Kind == door.KindClockSet {
		return 0
	}
	return min(max(unsyncedPatience-now.Mono, 0), time.Minute)
}

func changesPast(r door.Record) bool { return r.Kind == door.KindErased || r.Kind == door.KindClockSet }

// follow carries out what a record means for points that were sent before it.
func (s *sender) follow(ctx context.Context, r *door.Record) error {
	switch {
	case r == nil:
		return nil
	case r.Kind == door.KindErased:
		return s.erase(ctx, *r)
	}
	return s.correct(ctx, *r)
}

// erase takes the name out of all earlier points of a person.
func (s *sender) erase(ctx context.Context, erased door.Record) error {
	w := rewriter{s: s, line: newLine()}
	for r, err := range s.world.Journal.Of(ctx, erased.Person) {
		if err != nil && r.Seq == 0 {
			return err
		}
		if r.Seq >= erased.Seq {
			break
		}
		if err != nil {
			continue
		}
		line, err := w.line.nameless(r)
		if err := w.add(ctx, item{r, line, err}); err != nil {
			return err
		}
	}
	return w.flush(ctx)
}

// correct adds to the earlier points of a boot, made before its clock was right, by how much it
// was wrong.
func (s *sender) correct(ctx context.Context, set door.Record) error {
	offset, err := time.ParseDuration(set.Details[door.DetailOffset])
	if err != nil {
		s.log.Warn("a clock_set without its offset corrects nothing", "seq", set.Seq)
		return nil
	}
	w := rewriter{s: s, line: newLine()}
	for r, err := range s.world.Journal.Before(ctx, set.Seq) {
		if err != nil && r.Seq == 0 {
			return err
		}
		if err != nil {
			continue
		}
		if r.Clock.Boot != set.Clock.Boot {
			break
		}
		if earlier, err := time.ParseDuration(r.Details[door.DetailOffset]); err == nil && r.Kind == door.KindClockSet {
			offset += earlier
		}
		if r.Clock.Synced {
			continue
		}
		line, err := w.line.corrected(r, offset)
		if err := w.add(ctx, item{r, line, err}); err != nil {
			return err
		}
	}
	return w.flush(ctx)
}

// rewriter sends what it is given in batches.
type rewriter struct {
	s     *sender
	line  line
	items []item
}

func (w *rewriter) add(ctx context.Context, i item) error {
	w.items = append(w.items, i)
	if len(w.items) < w.s.cfg.Batch {
		return nil
	}
	return w.flush(ctx)
}

func (w *rewriter) flush(ctx context.Context) error {
	items := w.items
	w.items = nil
	return w.s.post(ctx, items)
}

// post sends items, and sets those aside that the database refuses while it takes others.
func (s *sender) post(ctx context.Context, items []item) error {
	if len(items) == 0 {
		return nil
	}
	bad, err := s.narrow(ctx, items)
	if err != nil {
		return err
	}
	taken := len(bad) < len(items)
	bad = append(s.doubt, bad...)
	s.doubt = nil
	if !taken { // is it them, or all?
		s.doubt = bad
		return nil
	}
	for _, r := range bad {
		s.log.Error("the database refuses a record: it is set aside", "seq", r.rec.Seq, "error", r.why)
		if err := s.world.Journal.SetAside(ctx, r.rec.Seq, r.why.Error()); err != nil {
			return err
		}
	}
	return nil
}

// doubted is the error of records that were refused while nothing else was taken.
func (s *sender) doubted() error {
	if len(s.doubt) == 0 {
		return nil
	}
	first := s.doubt[0]
	s.cursor = first.rec.Seq - 1
	s.doubt = nil
	return fmt.Errorf("%w: record %d and all that could be tried: %w", errRefused, first.rec.Seq, first.why)
}

// narrow sends items, all at once or, when the database refuses, in halves, until those are
// found that it does not take.
func (s *sender) narrow(ctx context.Context, items []item) (bad []refused, err error) {
	err = s.request(ctx, items)
	switch {
	case err == nil:
		s.sent(len(items), time.Now())
		return nil, nil
	case !refuses(err):
		return nil, err
	case len(items) == 1:
		return []refused{{items[0], err}}, nil
	}
	for _, half := range [][]item{items[:len(items)/2], items[len(items)/2:]} {
		more, err := s.narrow(ctx, half)
		if err != nil {
			return nil, err
		}
		bad = append(bad, more...)
	}
	return bad, nil
}

var (
	errRefused = errors.New("the database refuses")
	errLine    = errors.New("not sent")
)
