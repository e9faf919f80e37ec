package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorhub/doorhub/door"
)

func enrolledRecord(person string) door.Record {
	return door.Record{Kind: door.KindEnrolled, Person: person, Reason: "person"}
}

func TestNoteWaitsForItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ns notes
		ann, twin := ns.expect(enrolledRecord("ann")), ns.expect(enrolledRecord("ann"))
		answers := make(chan error, 1)
		go func() { answers <- ns.await(t.Context(), ann) }()
		ns.written([]door.Record{enrolledRecord("bob"), {Kind: door.KindEnrolled, Person: "ann", Factors: door.SetOf(door.PIN)}})
		synctest.Wait()
		select {
		case err := <-answers:
			t.Fatalf("answered %v by the records of others", err)
		default:
		}
		ns.written([]door.Record{{Kind: door.KindStarted}, enrolledRecord("ann")})
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
		select {
		case <-twin.done:
			t.Error("one record answered two commands")
		default:
		}
	})
}

func TestNoteGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ns notes
		start := time.Now()
		if err := ns.await(t.Context(), ns.expect(enrolledRecord("ann"))); !errors.Is(err, errNotNoted) {
			t.Errorf("answered %v", err)
		}
		if waited := time.Since(start); waited != notePatience {
			t.Errorf("waited %s, not %s", waited, notePatience)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ns.await(gone, ns.expect(enrolledRecord("ann"))); !errors.Is(err, context.Canceled) {
			t.Errorf("to a caller who has gone: %v", err)
		}
		if len(ns.waiting) != 0 {
			t.Errorf("%d are still looked out for", len(ns.waiting))
		}
		ns.written([]door.Record{enrolledRecord("ann")})
	})
}
