package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// pastKey names the kept snapshot of the past, from which a start reads on.
const pastKey = "past"

// snapshotEvery is how many records lie between two snapshots at most, so that a start
// after a crash reads no more than these.
const snapshotEvery = 5000

// past follows the journal: who is inside, and which sensors are open.
type past struct {
	store *store.Store

	mu   sync.Mutex
	past door.Past
	seq  uint64 // applied up to it
	kept uint64
}

type pastSnapshot struct {
	Seq  uint64    `json:"seq"`
	Past door.Past `json:"past"`
}

// readPast reads the snapshot and what was journalled since.
func readPast(ctx context.Context, st *store.Store) (*past, error) {
	p := &past{store: st}
	text, err := st.Meta(ctx, pastKey)
	if err != nil {
		return nil, err
	}
	var snap pastSnapshot
	if text != "" {
		if err := json.Unmarshal([]byte(text), &snap); err != nil || snap.Seq > st.Head().Seq {
			snap = pastSnapshot{} // the journal itself knows
		}
	}
	p.past, p.seq, p.kept = snap.Past, snap.Seq, snap.Seq
	for r, err := range st.Records(ctx, store.Filter{After: snap.Seq}) {
		if err != nil {
			return nil, fmt.Errorf("journal: %w: run doorhub log verify", err)
		}
		p.past.Apply(r)
		p.seq = r.Seq
	}
	return p, nil
}

// written takes new records into account.
func (p *past) written(ctx context.Context, recs []door.Record) error {
	p.mu.Lock()
	for _, r := range recs {
		p.past.Apply(r)
		p.seq = r.Seq
	}
	due := p.seq-p.kept >= snapshotEvery
	p.mu.Unlock()
	if due {
		return p.keep(ctx)
	}
	return nil
}

// keep stores a snapshot.
func (p *past) keep(ctx context.Context) error {
	p.mu.Lock()
	snap := pastSnapshot{p.seq, p.past.Clone()}
	p.kept = p.seq
	p.mu.Unlock()
	text, err := json.Marshal(snap)
	if err != nil {
		return err
	}
	return p.store.SetMeta(ctx, pastKey, string(text))
}

// now returns a copy of the past.
func (p *past) now() door.Past {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.past.Clone()
}
