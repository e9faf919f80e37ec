package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
)

// heldJournal writes when it is let.
type heldJournal struct{ let chan struct{} }

func (j heldJournal) Append(_ context.Context, recs []door.Record) ([]door.Record, error) {
	<-j.let
	return recs, nil
}

// A device is told that its reading was heard when what was written down of it is durable, not
// when the house has merely taken it.
func TestDeliverWaitsForTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := heldJournal{make(chan struct{})}
		h := &hub{inputs: make(chan door.Input, 8), stepped: make(chan struct{}, 1), gone: make(chan struct{}),
			recorder: newRecorder(j, "", slog.New(slog.DiscardHandler))}
		h.recorder.written = func([]door.Write) {}
		ctx, stop := context.WithCancel(t.Context())
		go h.recorder.run(ctx)
		heard := make(chan error, 1)
		go func() { heard <- h.deliver(door.Sensor{Sensor: "kitchen", Open: true}) }()
		h.do(<-h.inputs, []door.Effect{door.Write{Record: door.Record{Kind: door.KindIntrusion}}})
		synctest.Wait()
		select {
		case <-heard:
			t.Error("the device was told before the record was durable")
		default:
		}
		close(h.gone) // the house has taken it: its end changes nothing
		close(j.let)
		if err := <-heard; err != nil {
			t.Error(err)
		}
		stop()
		synctest.Wait()
	})
}

// A house that never answers holds up a device for a while, not for ever.
func TestDeliverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{inputs: make(chan door.Input, 8), stepped: make(chan struct{}, 1), gone: make(chan struct{})}
		began := time.Now()
		err := h.deliver(door.Sensor{Sensor: "kitchen"})
		if waited := time.Since(began); waited != deliverPatience || !errors.Is(err, errLate) {
			t.Errorf("gave up after %s with %v", waited, err)
		}
	})
}

// A reading that a house did not take before its end was heard by nobody.
func TestDeliverToNobody(t *testing.T) {
	h := &hub{inputs: make(chan door.Input, 8), stepped: make(chan struct{}, 1), gone: make(chan struct{})}
	close(h.gone)
	if err := h.deliver(door.Sensor{Sensor: "kitchen"}); !errors.Is(err, errGone) {
		t.Errorf("deliver: %v", err)
	}
}
