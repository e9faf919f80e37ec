package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/store"
)

type pictureRequest struct {
	Seq uint64 `json:"seq"`
}

// picture returns the picture of a record.
func (s *service) picture(ctx context.Context, req pictureRequest) (picture, error) {
	pictures, err := s.album()
	if err != nil {
		return picture{}, err
	}
	jpeg, err := pictures.Read(req.Seq)
	if errors.Is(err, album.ErrNone) {
		err = fmt.Errorf("%w: it may be older than pictures.keep, or no camera saw anything", err)
	}
	return picture{Name: fmt.Sprintf("%d.jpg", req.Seq), Data: jpeg}, err
}

// erasePictures removes the pictures of events that name somebody who was erased.
func (s *service) erasePictures(person string) error {
	pictures, err := s.album()
	return errors.Join(err, pictures.Erase(person))
}

type notRequest struct {
	Seq  uint64 `json:"seq"`
	Undo bool   `json:"undo,omitempty"`
}

// notView is a face that was taken for somebody.
type notView struct {
	Seq    uint64 `json:"seq"`
	Person string `json:"person"`
	Name   string `json:"name"`
	Undone bool   `json:"undone,omitempty"` // it counts as theirs again
}

// What a changed record says of a look.
const (
	reasonNotThem = "not_this_person"
	reasonAgain   = "this_person_again"
)

// notThem takes the face of a record back: it was not that of whom it was taken for. The
// record stays; another says so.
func (s *service) notThem(ctx context.Context, req notRequest) (notView, error) {
	rec, err := s.record(ctx, req.Seq)
	if err != nil {
		return notView{}, err
	}
	l, err := s.store.MarkLook(ctx, req.Seq, !req.Undo)
	switch {
	case errors.Is(err, store.ErrNoLook) && !cameOfFace(rec):
		return notView{}, fmt.Errorf("record %d (%s) came of no face: doorhub log --all --type seen --type granted --type denied lists those that may", req.Seq, rec.Kind)
	case errors.Is(err, store.ErrNoLook):
		return notView{}, fmt.Errorf("%w: it may be older than store.keep_looks", err)
	case errors.Is(err, store.ErrNobody):
		return notView{}, fmt.Errorf("%w: there is nothing to take back", err)
	case errors.Is(err, store.ErrMarked) && req.Undo:
		return notView{}, fmt.Errorf("record %d: %w: it was not said that the face is somebody else's", req.Seq, store.ErrMarked)
	case errors.Is(err, store.ErrMarked):
		return notView{}, fmt.Errorf("record %d: %w: it was said before (--undo takes it back)", req.Seq, store.ErrMarked)
	case err != nil:
		return notView{}, err
	}
	p, err := s.store.Person(ctx, l.Person)
	if err != nil {
		return notView{}, err
	}
	reason := reasonNotThem
	if req.Undo {
		reason = reasonAgain
	}
	return notView{req.Seq, p.ID, p.Name, req.Undo}, s.tell(ctx, door.Record{Kind: door.KindChanged, Person: p.ID,
		Factors: door.SetOf(door.FaceID), Reason: reason, Details: map[string]string{door.DetailRecord: strconv.FormatUint(req.Seq, 10)}})
}

// record returns one record of the journal.
func (s *service) record(ctx context.Context, seq uint64) (door.Record, error) {
	if seq > 0 {
		for r, err := range s.store.Records(ctx, store.Filter{After: seq - 1, Before: seq + 1}) {
			return r, err
		}
	}
	return door.Record{}, noRecord(seq)
}

func noRecord(seq uint64) error {
	return fmt.Errorf("there is no record %d: doorhub log --all lists them", seq)
}

// cameOfFace reports whether a face had to do with a record.
func cameOfFace(r door.Record) bool {
	_, near := r.Details[door.DetailDistance]
	faced := []string{door.ReasonFaceMismatch, door.ReasonSpoof, door.ReasonUnsure, door.ReasonChallenge}
	return r.Kind == door.KindSeen || near || slices.Contains(faced, r.Reason) ||
		r.Kind == door.KindGranted && r.Factors.Has(door.SetOf(door.FaceID))
}
