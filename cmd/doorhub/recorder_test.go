package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// scripted is a journal that does as each of its answers says, and what the last one says
// from then on.
type scripted struct {
	mu      sync.Mutex
	answers []answered
	kept    []door.Record
	largest int // batch
}

type answered struct {
	err   error
	after time.Duration
}

func (s *scripted) Append(_ context.Context, recs []door.Record) ([]door.Record, error) {
	s.mu.Lock()
	var a answered
	if len(s.answers) > 0 {
		a = s.answers[0]
	}
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.largest = max(s.largest, len(recs))
	s.mu.Unlock()
	time.Sleep(a.after) // by the bubble's clock
	if a.err != nil {
		return nil, a.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, recs...)
	return recs, nil
}

func (s *scripted) answer(as ...answered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = as
}

func (s *scripted) reasons() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.kept {
		all = append(all, r.Reason)
	}
	return all
}

// tape is a recorder on a scripted journal, and what it told.
type tape struct {
	*recorder
	journal *scripted
	n       int

	mu       sync.Mutex
	problems []string
	told     int
	tracks   []string // "reason/track" of what came of a face
	stop     func()
}

// onTape runs f in a bubble of time with a recorder that is stopped at the end.
func onTape(t *testing.T, f func(*testing.T, *tape)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		p := &tape{recorder: newRecorder(s, "boot", logOf(t)), journal: s}
		p.problem = func(reason, _ string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.problems = append(p.problems, reason)
		}
		p.written = func(ws []door.Write) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told += len(ws)
			for _, w := range ws {
				if w.Track != 0 {
					p.tracks = append(p.tracks, w.Record.Reason+"/"+strconv.Itoa(w.Track))
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.run(ctx) })
		p.stop = func() { cancel(); running.Wait() }
		f(t, p)
		p.stop()
	})
}

// writes commits n records, each with its number as its reason.
func (p *tape) writes(n int) {
	for range n {
		p.n++
		p.write(door.Write{Record: door.Record{Kind: door.KindGranted, Reason: strconv.Itoa(p.n)}})
	}
	p.commit()
}

// waits settles and returns how long that took.
func (p *tape) waits() time.Duration {
	began := time.Now()
	p.settle()
	return time.Since(began)
}

func (p *tape) wantAll(t *testing.T) {
	t.Helper()
	synctest.Wait()
	var want []string
	for i := range p.n {
		want = append(want, strconv.Itoa(i+1))
	}
	if diff := cmp.Diff(want, p.journal.reasons()); diff != "" {
		t.Errorf("kept (-want +got):\n%.2000s", diff)
	}
	if p.told != p.n {
		t.Errorf("%d records were told as durable, want %d", p.told, p.n)
	}
}

func (p *tape) wantProblems(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(want, p.problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestRecorderWaitsUntilDurable(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{after: patience - time.Millisecond})
		p.writes(3)
		if took := p.waits(); took == 0 || took >= patience {
			t.Errorf("settled after %s", took)
		}
		p.wantAll(t)
		p.wantProblems(t)
		if took := p.waits(); took != 0 {
			t.Errorf("settled after %s with nothing to wait for", took)
		}
		if p.journal.kept[0].Clock.Boot != "boot" {
			t.Error("a record has no boot id")
		}
	})
}

// What one step writes is written at once, however the writing is disturbed meanwhile.
func TestRecorderBatches(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		for range 20 {
			p.write(door.Write{})
			synctest.Wait()
		}
		if n := len(p.journal.reasons()); n != 0 {
			t.Errorf("%d records were written before the step was over", n)
		}
		p.waits()
		if p.journal.largest != 20 {
			t.Errorf("%d records in one go, want 20", p.journal.largest)
		}
	})
}

// A slow journal keeps a door waiting no longer than patience, and the next one not at all;
// once it has caught up, doors wait again.
func TestRecorderSlow(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{after: 3 * time.Second}, answered{})
		p.writes(1)
		if took := p.waits(); took != patience {
			t.Errorf("the first waited %s", took)
		}
		p.writes(5)
		if took := p.waits(); took != 0 {
			t.Errorf("the next waited %s", took)
		}
		p.wantProblems(t, journalSlow)
		time.Sleep(3 * time.Second)
		p.wantAll(t)
		p.wantProblems(t, journalSlow, "")
		p.journal.answer(answered{after: patience / 2})
		p.writes(1)
		if took := p.waits(); took != patience/2 {
			t.Errorf("afterwards one waited %s", took)
		}
		p.wantAll(t)
	})
}

func TestRecorderFailsAndRecovers(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{err: store.ErrFull})
		p.writes(2)
		p.waits()
		p.wantProblems(t, journalUnwritten)
		for range 100 {
			p.writes(10)
			if took := p.waits(); took != 0 {
				t.Fatalf("a door waited %s for a journal that is known to fail", took)
			}
			time.Sleep(time.Second)
		}
		p.wantProblems(t, journalUnwritten)
		if len(p.journal.reasons()) != 0 {
			t.Fatal("something was kept")
		}
		p.journal.answer(answered{})
		time.Sleep(lastPause)
		p.wantAll(t)
		p.wantProblems(t, journalUnwritten, "")
	})
}

// What begins as slow and turns out to fail is told as what it is.
func TestRecorderSlowThenFails(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{after: time.Second, err: store.ErrReadOnly}, answered{after: time.Second, err: store.ErrReadOnly}, answered{})
		p.writes(1)
		p.waits()
		time.Sleep(10 * time.Second)
		p.wantAll(t)
		p.wantProblems(t, journalSlow, journalUnwritten, "")
	})
}

// Records come while earlier ones are being written.
func TestRecorderKeepsOrderWhileWriting(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{after: 10 * time.Millisecond})
		for range 200 {
			p.writes(1)
			time.Sleep(3 * time.Millisecond)
		}
		p.waits()
		p.wantAll(t)
	})
}

func TestRecorderManyAtOnce(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{err: store.ErrFull}, answered{})
		p.writes(1)
		synctest.Wait()
		p.writes(10 * maxBatch)
		time.Sleep(lastPause)
		p.wantAll(t)
		if p.journal.largest > maxBatch {
			t.Errorf("%d records in one go, want at most %d", p.journal.largest, maxBatch)
		}
	})
}

// Memory is bounded; what does not fit is counted and told.
func TestRecorderBound(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{err: store.ErrFull})
		p.writes(maxUnwritten)
		p.waits()
		for range 7 {
			p.write(door.Write{Record: door.Record{Kind: door.KindDenied, Reason: "too many"}})
		}
		p.commit()
		p.journal.answer(answered{})
		time.Sleep(lastPause)
		p.wantAll(t)
		p.wantProblems(t, journalUnwritten, journalLost, "")
		p.writes(1)
		p.wantAll(t)
	})
}

// refusing takes no record with a reason of "bad", and then none of the batch.
type refusing struct{ *scripted }

func (r refusing) Append(ctx context.Context, recs []door.Record) ([]door.Record, error) {
	for _, rec := range recs {
		if rec.Reason == "bad" {
			return nil, fmt.Errorf("append: %w", store.ErrTime)
		}
	}
	return r.scripted.Append(ctx, recs)
}

// One record that the journal will never take does not stop the others.
func TestRecorderDropsWhatIsRefused(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.recorder.journal = refusing{p.journal}
		p.journal.answer(answered{after: 10 * time.Millisecond})
		p.writes(1)
		synctest.Wait()
		p.writes(3)
		p.write(door.Write{Record: door.Record{Reason: "bad"}})
		p.writes(4)
		time.Sleep(time.Second)
		p.wantAll(t)
		p.wantProblems(t, journalLost, "")
	})
}

// What is durable comes with the face that it came of, also where a record between was refused.
func TestRecorderTellsOfWhichFace(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.recorder.journal = refusing{p.journal}
		for i, reason := range []string{"a", "b", "bad", "c", "d"} {
			p.write(door.Write{Record: door.Record{Reason: reason}, Track: i % 4})
		}
		p.commit()
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if diff := cmp.Diff([]string{"b/1", "c/3"}, p.tracks); diff != "" {
			t.Errorf("faces (-want +got):\n%s", diff)
		}
	})
}

// The stop itself is one more try, and the last.
func TestRecorderStops(t *testing.T) {
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{err: store.ErrFull})
		p.writes(3)
		synctest.Wait()
		p.journal.answer(answered{})
		p.stop()
		p.wantAll(t)
	})
	onTape(t, func(t *testing.T, p *tape) {
		p.journal.answer(answered{err: errors.New("no disk")})
		p.writes(3)
		p.stop()
		if kept := strings.Join(p.journal.reasons(), " "); kept != "" {
			t.Errorf("kept %s", kept)
		}
	})
}
