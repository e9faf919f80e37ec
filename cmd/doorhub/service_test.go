package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// alone is a service without a hub, whose store has Ann (p1) with a PIN and Bob (p2), and what it
// journals.
type alone struct {
	*service
	records []string
}

func newAlone(t *testing.T) *alone {
	t.Helper()
	cfg := testConfig(t.TempDir())
	must(t, store.CreateKey(cfg.Data))
	st, err := store.Open(cfg.Data)
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	for _, name := range []string{"Ann", "Bob"} {
		_, err := st.AddPerson(t.Context(), name, nil, nil)
		must(t, err)
	}
	must(t, st.SetPIN(t.Context(), "p1", annPIN))
	s := &alone{}
	s.service = &service{cfg: cfg, store: st, past: &past{}, changed: func(ctx context.Context) error { return ctx.Err() },
		album: func() (*album.Album, error) { return openAlbum(cfg) },
		note: func(ctx context.Context, r door.Record) error {
			s.records = append(s.records, strings.TrimSpace(fmt.Sprintln(r.Kind, r.Person, r.Factors, r.Reason)))
			return ctx.Err()
		}}
	return s
}

func (s *alone) journalled(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.records); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// like is a face at a distance from that of the same number.
func like(number int, distance float32) *store.Face {
	f := &store.Face{Quality: 1}
	f.Descriptor[number], f.Descriptor[127] = 2, distance
	return f
}

// Who hangs up while somebody is erased does not keep them known to the door.
func TestErasedThoughTheCallerIsGone(t *testing.T) {
	s := newAlone(t)
	ctx, cancel := context.WithCancel(t.Context())
	known := true
	s.changed = func(ctx context.Context) error {
		cancel()
		_, err := s.store.Person(ctx, "p1")
		known = !errors.Is(err, store.ErrNoPerson)
		return ctx.Err()
	}
	_, err := s.removePerson(ctx, whoRequest{Who: "Ann"})
	must(t, err)
	if known {
		t.Error("the door was told of nothing, and knows her still")
	}
	s.journalled(t, "erased p1")
}

// What is taken away is journalled though another credential cannot be.
func TestForgetsWhatCanBe(t *testing.T) {
	s := newAlone(t)
	must(t, s.store.AddFace(t.Context(), "p1", *like(1, 0)))
	must(t, os.WriteFile(filepath.Join(s.cfg.Data, "pictures"), nil, 0o600)) // no folder: pictures in it cannot be removed
	_, err := s.forget(t.Context(), forgetRequest{Who: "Ann", PIN: true, Faces: true})
	if err == nil {
		t.Error("all is well")
	}
	if p, err := s.store.Person(t.Context(), "p1"); err != nil || p.PIN || p.Faces != 1 {
		t.Errorf("left: %+v, %v", p, err)
	}
	s.journalled(t, "changed p1 pin forgotten")
}

// Faces that are stored are journalled, and count, though the next cannot be stored.
func TestAFaceTooMany(t *testing.T) {
	s := newAlone(t)
	for range 48 {
		must(t, s.store.AddFace(t.Context(), "p1", *like(1, 0)))
	}
	results := []pictureResult{{Name: "a", Face: like(1, 0.1)}, {Name: "b", Face: like(1, 0.2)}, {Name: "c", Face: like(1, 0.3)}, {Name: "d", Face: like(1, 0.3)}}
	err := s.takeFaces(t.Context(), "p1", make([]picture, 4), results, false, door.Record{})
	if !errors.Is(err, store.ErrTooManyFaces) {
		t.Errorf("51 faces: %v", err)
	}
	for i, r := range results {
		if taken := r.Refused == ""; taken != (i < 2) {
			t.Errorf("picture %s: %+v", r.Name, r)
		}
	}
	s.journalled(t, "enrolled p1 face")
}

// Of two who are enrolled at the same time with the same face one is refused.
func TestTheSameFaceForTwoAtOnce(t *testing.T) {
	s := newAlone(t)
	var mu sync.Mutex
	note := s.note
	s.note = func(ctx context.Context, r door.Record) error {
		mu.Lock()
		defer mu.Unlock()
		return note(ctx, r)
	}
	var wait sync.WaitGroup
	results := [2][]pictureResult{}
	var errs [2]error
	for i, who := range []string{"p1", "p2"} {
		results[i] = []pictureResult{{Name: who, Face: like(1, 0.1*float32(i))}}
		wait.Go(func() {
			errs[i] = s.takeFaces(t.Context(), who, make([]picture, 1), results[i], false, door.Record{})
		})
	}
	wait.Wait()
	first, second := 0, 1
	if errs[0] != nil {
		first, second = 1, 0
	}
	got := results[second][0]
	if errs[first] != nil || !errors.Is(errs[second], errNoPicture) || got.Reason != face.MatchesOther || !strings.Contains(got.Refused, "who is enrolled already (distance 0.10") {
		t.Errorf("first %v; second %v, %+v", errs[first], errs[second], got)
	}
	s.journalled(t, fmt.Sprintf("enrolled p%d face", first+1))
}

// An older state of the people never follows a newer one into the house.
func TestChangesOfPeopleAtOnce(t *testing.T) {
	running := startTestHub(t)
	h := &hub{cfg: running.hub.cfg, store: running.store, condition: running.condition, vision: running.vision,
		inputs: make(chan door.Input), gone: make(chan struct{})}
	var wait sync.WaitGroup
	change := func() { wait.Go(func() { must(t, h.peopleChanged(t.Context())) }) }
	change()
	until(t, "the first to have read who there is", func() bool { return h.names.of(running.ann) != "" })
	must(t, h.store.RemovePerson(t.Context(), running.ann))
	change()
	for range 50 { // time for the second to overtake the first, which waits for the house
		_, err := h.store.People(t.Context())
		must(t, err)
	}
	var got []string
	for range 4 {
		switch in := (<-h.inputs).(type) {
		case door.People:
			got = append(got, fmt.Sprint("people ", len(in.People)))
		case door.Fault:
			got = append(got, in.Part)
		}
	}
	wait.Wait()
	if diff := cmp.Diff([]string{"people 1", "faces", "people 0", "faces"}, got); diff != "" {
		t.Errorf("the house is told (-want +got):\n%s", diff)
	}
}

// A request that asks for nothing is refused.
func TestDecisionsOfNone(t *testing.T) {
	s := newAlone(t)
	s.decisions = func(n int) ([]face.Decision, error) { return make([]face.Decision, n), nil }
	for _, last := range []int{0, -5} {
		raw, err := json.Marshal(decisionsRequest{last})
		must(t, err)
		if err := callDecisions(t.Context(), s.service, raw, reply{item: func(any) error { return io.ErrShortWrite }}); err == nil || !strings.Contains(err.Error(), "ask for 1") {
			t.Errorf("last %d: %v", last, err)
		}
	}
}
