//go:build vision

package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// evidence keeps what records came of: the look at a face in the store, and a picture in the
// album. It works beside the doors, which never wait for it: what comes faster than it can be
// drawn is left out.
type evidence struct {
	cfg      Config
	seen     *face.Witness
	pen      *face.Pen
	watchers []placed
	store    *store.Store
	pictures *pictures
	names    *names
	clock    clock
	log      *slog.Logger

	queue chan door.Write
	left  atomic.Uint64 // records that found no room
}

// placed is a watcher of one door's camera.
type placed struct {
	door    string
	side    door.Side
	watcher *face.Watcher
}

const (
	evidenceQueue = 64
	shotPatience  = 2 * time.Second // for a picture of what is before a camera now
	shotFresh     = 5 * time.Second // older records get no picture of now
	lastEvidence  = 2 * time.Second // for what is left when the hub stops
)

// wrote is told of what has become durable. It never blocks.
func (e *evidence) wrote(w door.Write) {
	if !slices.Contains(picturedKinds(), w.Record.Kind) {
		return
	}
	select {
	case e.queue <- w:
	default:
		e.left.Add(1)
	}
}

func (e *evidence) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastEvidence)
			defer cancel()
			for len(e.queue) > 0 && last.Err() == nil {
				e.secure(last, <-e.queue)
			}
			return
		case w := <-e.queue:
			e.secure(ctx, w)
		}
		if n := e.left.Load(); n > 0 && len(e.queue) == 0 {
			e.left.Add(-n)
			e.log.Warn("events came faster than their pictures could be drawn", "without", n)
		}
	}
}

// secure keeps the look and the picture of one record.
func (e *evidence) secure(ctx context.Context, w door.Write) {
	sight, known := face.Sight{}, false
	if w.Track != 0 {
		sight, known = e.seen.Of(w.Track)
	}
	if known {
		e.keepLook(ctx, w.Record, sight)
	}
	if e.cfg.Pictures.Keep == 0 {
		return
	}
	shots := []*face.Picture{sight.Picture}
	if !known {
		shots = e.shoot(ctx, w.Record)
	}
	e.keepPicture(ctx, w, shots)
}

// takenFor is the person that the face of a record was taken for; "" for nobody. A picture of
// somebody is taken for nobody.
func takenFor(r door.Record) string {
	if r.Reason == door.ReasonFaceMismatch || r.Reason == door.ReasonSpoof {
		return ""
	}
	return r.Person
}

func (e *evidence) keepLook(ctx context.Context, r door.Record, s face.Sight) {
	l := store.Look{Seq: r.Seq, Time: r.Time, Person: takenFor(r), Near: s.Near, Liveness: string(s.Liveness), Descriptor: s.Descriptor}
	if word := r.Details[door.DetailLiveness]; word != "" {
		l.Liveness = word
	}
	err := e.store.KeepLook(ctx, l)
	if err != nil && !errors.Is(err, store.ErrNoPerson) { // who was erased meanwhile
		e.log.Error("the look of a record is not kept", "seq", r.Seq, "error", err)
	}
}

// shoot takes pictures now, before the cameras that a record is about.
func (e *evidence) shoot(ctx context.Context, r door.Record) []*face.Picture {
	if e.clock.now().Mono-r.Clock.Mono > shotFresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, shotPatience)
	defer cancel()
	at := e.cameras(r)
	shots := make([]*face.Picture, len(at))
	var wait sync.WaitGroup
	for i, c := range at {
		wait.Go(func() { shots[i], _ = c.watcher.Picture(ctx) })
	}
	wait.Wait()
	return slices.DeleteFunc(shots, func(p *face.Picture) bool { return p == nil })
}

// cameras are those on the side of the door that a record names, else all of the door, else of
// the house.
func (e *evidence) cameras(r door.Record) []placed {
	id := e.doorOf(r)
	var side, all []placed
	for _, c := range e.watchers {
		if c.door == id || id == "" {
			all = append(all, c)
			if c.side == r.Side {
				side = append(side, c)
			}
		}
	}
	if len(side) > 0 {
		return side
	}
	return all
}

// doorOf is the door whose cameras see what a record is about; "" for all.
func (e *evidence) doorOf(r door.Record) string {
	if r.Door != "" {
		return r.Door
	}
	for _, s := range e.cfg.Sensors {
		if s.ID == r.Details[door.DetailSensor] {
			return s.Door
		}
	}
	return ""
}

// keepPicture draws the boxes, and the names that are known now.
func (e *evidence) keepPicture(ctx context.Context, w door.Write, shots []*face.Picture) {
	entry := album.Entry{Seq: w.Record.Seq, At: w.Record.Time, Door: e.doorOf(w.Record)}
	if who := w.Record.Person; who != "" && !e.about(&entry, who) || e.mayShowErased(shots) {
		return // erased meanwhile
	}
	jpeg, err := e.pen.Draw(ctx, shots, func(b face.Boxed) string {
		who := e.whose(w, b)
		if who == "" || !e.about(&entry, who) {
			e.maybe(&entry, b)
			return ""
		}
		if called := e.names.of(who); e.pen.Writes(called) {
			return called
		}
		return who
	})
	switch {
	case errors.Is(err, face.ErrNoPicture), ctx.Err() != nil:
	case err != nil:
		e.log.Error("a picture cannot be drawn", "seq", w.Record.Seq, "error", err)
	default:
		e.pictures.keep(entry, jpeg)
	}
}

// mayShowErased reports whether a face in a picture may be that of somebody who is not known any
// more: of a claim that is denied it is as old as the window.
func (e *evidence) mayShowErased(shots []*face.Picture) bool {
	for _, p := range shots {
		for _, b := range p.Faces {
			if slices.ContainsFunc(b.Near, func(m door.Match) bool { return m.Distance <= face.Limit && e.names.of(m.Person) == "" }) {
				return true
			}
		}
	}
	return false
}

// about notes that a picture shows somebody, so that it goes with them; false for who is not
// known, or is one too many.
func (e *evidence) about(entry *album.Entry, id string) bool {
	if e.names.of(id) == "" {
		return false
	}
	if slices.Contains(entry.People, id) {
		return true
	}
	if len(entry.People) == album.MostPeople {
		return false
	}
	entry.People = append(entry.People, id)
	return true
}

// maybe has a picture go with whom a face may be that was taken for nobody.
func (e *evidence) maybe(entry *album.Entry, b face.Boxed) {
	if len(b.Near) > 0 && b.Near[0].Distance <= face.Limit {
		e.about(entry, b.Near[0].Person)
	}
}

// whose is the id of whom a face in a picture is taken for: the one of the record as the house
// took it, the others as it would identify them.
func (e *evidence) whose(w door.Write, b face.Boxed) string {
	if b.Track == w.Track && w.Track != 0 {
		if who := takenFor(w.Record); who != "" || w.Record.Reason == door.ReasonSpoof {
			return who
		}
	}
	if len(b.Near) > 0 && b.Near[0].Distance <= e.cfg.House.Identify && b.Liveness != door.Spoof {
		return b.Near[0].Person
	}
	return ""
}
