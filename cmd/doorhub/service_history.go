package main

import (
	"context"
	"errors"
	"time"

	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// historyView is how far the journal is in the database.
type historyView struct {
	URL     string            `json:"url"`
	Running bool              `json:"running"` // a hub sends; else what follows is as the last one left it
	Aside   map[uint64]string `json:"aside"`   // records that the database refused → why
	history.Status
}

var errNoHistory = errors.New("there is no database: set history.url and history.bucket in the config; the journal stays whole meanwhile, see doorhub log")

func (s *service) historyStatus(ctx context.Context, _ struct{}) (v historyView, err error) {
	if s.cfg.History.URL == "" {
		return v, errNoHistory
	}
	v.URL = s.cfg.History.URL
	if v.Aside, err = s.store.Aside(ctx, historyName); err != nil {
		return v, err
	}
	if s.history != nil {
		v.Status, v.Running = s.history.Status(), true
		return v, nil
	}
	if v.Cursor, err = s.store.Cursor(ctx, historyName); err != nil {
		return v, err
	}
	v.Head = s.store.Head().Seq
	v.Backlog = v.Head - min(v.Cursor, v.Head)
	return v, nil
}

type backfillRequest struct {
	From time.Time `json:"from,omitzero"` // records at or after; zero: all
}

// backfill has records sent again; those that were set aside are tried anew.
func (s *service) backfill(ctx context.Context, req backfillRequest) (historyView, error) {
	if s.cfg.History.URL == "" {
		return historyView{}, errNoHistory
	}
	first, err := s.firstFrom(ctx, req.From)
	if err != nil {
		return historyView{}, err
	}
	if err := s.store.ForgetAside(ctx, historyName, first); err != nil {
		return historyView{}, err
	}
	if err := s.sendFrom(ctx, first); err != nil {
		return historyView{}, err
	}
	return s.historyStatus(ctx, struct{}{})
}

// firstFrom is the number of the first record at or after a time.
func (s *service) firstFrom(ctx context.Context, from time.Time) (uint64, error) {
	for r, err := range s.store.Records(ctx, store.Filter{From: from, Limit: 1}) {
		return r.Seq, err
	}
	return s.store.Head().Seq + 1, nil
}

func (s *service) sendFrom(ctx context.Context, first uint64) error {
	if s.history != nil {
		return errors.Join(s.history.Backfill(ctx, first), s.asideChanged(ctx))
	}
	at, err := s.store.Cursor(ctx, historyName)
	if err != nil || at < first {
		return err
	}
	return s.store.SetCursor(ctx, historyName, first-1)
}
