package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

func TestTryTellsOfLockouts(t *testing.T) {
	locked := func(h *cliHouse) {
		h.ok("people", "add", "Ann", "--policy", "pin")
		if got := h.do("864203\n", "people", "enrol", "Ann", "--pin"); got.code != 0 {
			h.t.Fatal(got)
		}
		st := h.store()
		err := st.KeepLockout(h.t.Context(), "reader:front/keypad", door.Lockout{Wrong: 6, Remaining: time.Minute})
		must(h.t, errors.Join(err, st.Close()))
	}
	bothWays(t, locked, func(t *testing.T, h *cliHouse) {
		got := h.do("", "try", "Ann", "--with", "pin")
		want := outcome{exitRefused, `Ann would not get in with pin
  - the keypad takes no PIN for up to 1m0s: too many wrong tries
  - with nothing, pin is missing
  (opens for Ann: pin)
`, ""}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// try judges as the house does; these are the cases in which faces cannot be seen.
func TestTryWhileBlind(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t, "fallback: []", "fallback: [pin+card]")
	h.ok("people", "add", "Ann")
	if got := h.do("864203\n", "people", "enrol", "Ann", "--pin"); got.code != 0 {
		t.Fatal(got)
	}
	cfg, err := loadConfig(h.config)
	must(t, err)
	st := h.store()
	defer st.Close()
	s := &service{cfg: cfg, store: st, blind: func(id string) bool { return id == "front" }}
	got, err := s.try(t.Context(), tryRequest{Who: "Ann", Factors: door.SetOf(door.PIN, door.Card)})
	must(t, err)
	want := tryAnswer{Name: "Ann", Missing: door.SetOf(door.Card), Policy: cfg.House.Policy, Why: []string{
		"faces cannot be seen at this door now: vision reports a problem",
		"Ann has no card enrolled",
		"with pin, card is missing"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What counts is what is enrolled, can be seen, and is not locked out.
func TestTryCountsFactors(t *testing.T) {
	t.Parallel()
	ann := store.Person{Person: door.Person{ID: "p1"}, Name: "Ann", PIN: true, Faces: 2}
	pin, face := door.SetOf(door.PIN), door.SetOf(door.FaceID)
	at := doorDefaults()
	at.ID = "front"
	outside, inside := keypadDefaults(), keypadDefaults()
	inside.Name, inside.Side = "inside", door.Exit
	at.Keypads = []Keypad{outside, inside}
	locked := door.Lockout{Wrong: 5, Remaining: 30e9}
	for _, c := range []struct {
		name     string
		given    door.Set
		blind    bool
		lockouts map[string]door.Lockout
		want     door.Set
		why      []string
	}{
		{"all", pin | face, false, nil, pin | face, nil},
		{"blind", pin | face, true, nil, pin, nil},
		{"finger", pin | door.SetOf(door.Finger), false, nil, pin, []string{"Ann has no finger enrolled"}},
		{"reader locked", pin, false, map[string]door.Lockout{"reader:front/keypad": locked}, 0, []string{"the keypad takes no PIN for up to 30s: too many wrong tries"}},
		{"reader inside locked", pin, false, map[string]door.Lockout{"reader:front/inside": locked}, pin, nil},
		{"reader of another door locked", pin, false, map[string]door.Lockout{"reader:back/keypad": locked}, pin, nil},
		{"reader locked, known by face", pin | face, false, map[string]door.Lockout{"reader:front/keypad": locked}, pin | face, nil},
		{"person locked, known by face", pin | face, false, map[string]door.Lockout{"person:p1": locked}, face, []string{"no PIN of Ann is taken for up to 30s: too many wrong tries"}},
		{"person locked, not known", pin, false, map[string]door.Lockout{"person:p1": locked}, pin, nil},
		{"somebody else locked", pin | face, false, map[string]door.Lockout{"person:p2": locked}, pin | face, nil},
	} {
		var a tryAnswer
		got := a.shown(ann, c.given, c.blind)
		if got.Has(pin) && a.lockedOut(ann, at, got, c.lockouts) {
			got &^= pin
		}
		if got != c.want {
			t.Errorf("%s: %q counts, want %q", c.name, got, c.want)
		}
		if diff := cmp.Diff(c.why, a.Why); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestTrySaysWhatSatisfies(t *testing.T) {
	t.Parallel()
	set := door.SetOf(door.PIN, door.Card)
	for _, c := range []struct {
		v    door.Verdict
		want string
	}{
		{door.Verdict{Opens: true, By: set}, "the policy pin+card is satisfied"},
		{door.Verdict{Opens: true, By: set, Fallback: true}, "faces cannot be seen, and the fallback pin+card is satisfied"},
		{door.Verdict{Missing: set}, "with face, pin+card is missing"},
	} {
		var a tryAnswer
		a.decide(c.v, door.SetOf(door.FaceID))
		if diff := cmp.Diff([]string{c.want}, a.Why); diff != "" || a.Opens != c.v.Opens {
			t.Errorf("%+v: opens %v (-want +got):\n%s", c.v, a.Opens, diff)
		}
	}
}
