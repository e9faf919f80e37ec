package door

import (
	"slices"
	"strings"
)

// knownNow lists those known by a card or a face that counts, who type against counters of
// their own.
func (a *attempt) knownNow() []string {
	var ids []string
	for id, c := range a.claims {
		if at, ok := c.at[Card]; ok && a.fresh(at) {
			ids = append(ids, id)
		}
	}
	for _, s := range a.tracks {
		if a.known(s) {
			ids = append(ids, s.who)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// mayType decides whether a typed secret is taken. A child at the keypad may lock the reader
// for secrets typed with nobody known, but not those who are known by card or face: they type
// against counters of their own.
func (a *attempt) mayType(in Claim) bool {
	known := a.knownNow()
	reader := readerKey(a.portal.cfg.ID, in.Reader)
	if slices.Contains(known, in.Person) {
		if a.counters[personKey(in.Person)].locked(a.now.Mono) {
			a.refuseTyped(in, personKey(in.Person), known)
			return false
		}
		a.takeBack(personKey(in.Person))
		return true
	}
	free := slices.DeleteFunc(slices.Clone(known), func(id string) bool { return a.counters[personKey(id)].locked(a.now.Mono) })
	switch {
	case in.Person == "" && len(free) > 0:
		a.denyTyped(in, known, SayDenied)
		for _, id := range free {
			a.count(in.Reader, personKey(id), id)
		}
		return false
	case a.counters[reader].locked(a.now.Mono):
		a.refuseTyped(in, reader, known)
		return false
	case in.Person == "":
		say := SayDenied
		if len(known) > 0 { // the same as to the right secret of those whose counters are locked
			say = SayLockedOut
		}
		a.denyTyped(in, known, say)
		a.count(in.Reader, reader, "")
		return false
	}
	return true // somebody's, who was not known before; it clears nobody's count
}

func (a *attempt) denyTyped(in Claim, known []string, say Saying) {
	a.deny(Write{Record: Record{Factors: SetOf(in.Factor), Reason: ReasonWrongPIN, Details: typedDetails(in, known)}}, say)
}

// refuseTyped answers a secret typed during a lockout without looking at it. Only the first
// of a lockout is logged: a child hammering keys shall not wear out the disk.
func (a *attempt) refuseTyped(in Claim, key string, known []string) {
	c := a.counters[key]
	if c.refused == c.until {
		a.say(SayLockedOut, "", refusalShown)
		return
	}
	c.refused = c.until
	a.deny(Write{Record: Record{Factors: SetOf(in.Factor), Reason: ReasonLockedOut, Details: typedDetails(in, known)}}, SayLockedOut)
}

// count adds one wrong try and records the lockout that it may begin.
func (a *attempt) count(reader, key, person string) {
	d := a.wrong(key)
	if d == 0 {
		return
	}
	a.record(Record{Kind: KindLockout, Person: person,
		Details: map[string]string{DetailReader: reader, DetailFor: d.String()}})
	a.say(SayLockedOut, person, refusalShown)
}

func typedDetails(in Claim, known []string) map[string]string {
	d := map[string]string{DetailReader: in.Reader}
	if len(known) > 0 {
		d[DetailKnown] = strings.Join(known, " ")
	}
	return d
}
