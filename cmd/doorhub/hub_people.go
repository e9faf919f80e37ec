package main

import (
	"context"
	"fmt"

	"github.com/doorhub/doorhub/door"
)

// people reads who there is, and takes the names along.
func (h *hub) people(ctx context.Context) ([]door.Person, error) {
	all, err := h.store.People(ctx)
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	h.names.set(all)
	people := make([]door.Person, len(all))
	for i, p := range all {
		people[i] = p.Person
	}
	return people, nil
}

// peopleChanged has a change of people or faces take effect. Of changes at once each takes effect
// whole before the next is read: an older state must not follow a newer one.
func (h *hub) peopleChanged(ctx context.Context) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	before := h.names.all()
	people, err := h.people(ctx)
	if err != nil {
		return err
	}
	h.introduce(before, h.names.all())
	h.condition.known()
	h.send(door.People{People: people})
	h.reloadFaces(ctx)
	return nil
}

// reloadFaces has a change of faces take effect. One that cannot be read is a problem that
// costs nobody else.
func (h *hub) reloadFaces(ctx context.Context) {
	f := door.Fault{Part: "faces"}
	if err := h.vision.reload(ctx); err != nil {
		f.Reason, f.Detail = "unreadable", err.Error()
	}
	h.send(f)
}
