package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

type tryRequest struct {
	Who     string   `json:"who"`
	Factors door.Set `json:"factors"`
	Door    string   `json:"door"`
}

type tryAnswer struct {
	Name    string     `json:"name"`
	Opens   bool       `json:"opens"`
	By      door.Set   `json:"by,omitzero"`
	Missing door.Set   `json:"missing,omitzero"`
	Why     []string   `json:"why"`
	Policy  []door.Set `json:"policy"`
}

// try says whether somebody would get in, and why not. It opens nothing and writes nothing.
func (s *service) try(ctx context.Context, req tryRequest) (tryAnswer, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return tryAnswer{}, err
	}
	if req.Door == "" && len(s.cfg.Doors) > 0 {
		req.Door = s.cfg.Doors[0].ID
	}
	i := slices.IndexFunc(s.cfg.Doors, func(d Door) bool { return d.ID == req.Door })
	if i < 0 {
		return tryAnswer{}, fmt.Errorf("there is no door %.40q in the config: use one of %s", req.Door, doorIDs(s.cfg))
	}
	lockouts, err := s.store.Lockouts(ctx)
	if err != nil {
		return tryAnswer{}, err
	}
	a := tryAnswer{Name: p.Name, Policy: p.Policies}
	if len(a.Policy) == 0 {
		a.Policy = s.cfg.House.Policy
	}
	blind := s.blind(req.Door)
	if blind {
		a.because("faces cannot be seen at this door now: vision reports a problem")
	}
	counts := a.shown(p, req.Factors, blind)
	if counts.Has(door.SetOf(door.PIN)) && a.lockedOut(p, s.cfg.Doors[i], counts, lockouts) {
		counts &^= door.SetOf(door.PIN)
	}
	a.decide(s.cfg.House.Decide(p.Person, counts, door.Live, blind), counts)
	return a, nil
}

func doorIDs(c Config) string {
	var ids []string
	for _, d := range c.Doors {
		ids = append(ids, d.ID)
	}
	return strings.Join(ids, ", ")
}

func (a *tryAnswer) because(format string, args ...any) {
	a.Why = append(a.Why, fmt.Sprintf(format, args...))
}

// shown returns which of the given factors would count, and says why the others would not.
func (a *tryAnswer) shown(p store.Person, given door.Set, blind bool) (counts door.Set) {
	enrolled := map[door.Factor]bool{door.PIN: p.PIN, door.FaceID: p.Faces > 0}
	for _, f := range given.Factors() {
		switch {
		case f == door.Remote:
			a.because("a remote code counts over the bus alone, never at the door")
		case !enrolled[f]:
			a.because("%s has no %s enrolled", p.Name, f)
		case f != door.FaceID || !blind:
			counts |= door.SetOf(f)
		}
	}
	return counts
}

// lockedOut tells of lockouts that hold against the person's PIN. Whoever is known by their
// face types against a counter of their own, everybody else against the keypad's.
func (a *tryAnswer) lockedOut(p store.Person, at Door, counts door.Set, lockouts map[string]door.Lockout) bool {
	if counts.Has(door.SetOf(door.FaceID)) {
		left := lockouts["person:"+p.ID].Remaining
		if left > 0 {
			a.because("no PIN of %s is taken for up to %s: too many wrong tries", p.Name, left.Round(time.Second))
		}
		return left > 0
	}
	var least time.Duration
	for _, k := range at.Keypads {
		left := lockouts["reader:"+at.ID+"/"+k.Name].Remaining
		switch {
		case k.Side != door.Entry:
		case left == 0:
			return false
		case least == 0 || left < least:
			least = left
		}
	}
	if least > 0 {
		a.because("the keypad takes no PIN for up to %s: too many wrong tries", least.Round(time.Second))
	}
	return least > 0
}

func (a *tryAnswer) decide(v door.Verdict, counts door.Set) {
	a.Opens, a.By, a.Missing = v.Opens, v.By, v.Missing
	switch {
	case v.Opens && v.Fallback:
		a.because("faces cannot be seen, and the fallback %s is satisfied", v.By)
	case v.Opens:
		a.because("the policy %s is satisfied", v.By)
	case v.Unproven == door.LivenessChallenge:
		a.because("with %s, the door asks for turns of the head, and opens after them", orNothing(counts))
	default:
		a.because("with %s, %s is missing", orNothing(counts), v.Missing)
	}
}

func orNothing(s door.Set) string {
	if s == 0 {
		return "nothing"
	}
	return s.String()
}
