package door

import (
	"slices"
	"strconv"
	"time"
)

// attempt is what has been shown at one side of a door lately: the claims of people, and the
// faces in view. Factors count together within the window, in any order.
type attempt struct {
	*portal
	side   Side
	claims map[string]*claims       // by person
	tracks map[int]*sighting        // by track
	logged map[string]time.Duration // person ("" is a stranger) → when last logged as seen
	saying Saying
	calmAt time.Duration // what was said is over
}

// claims are the factors of one person but for the face.
type claims struct {
	at       map[Factor]time.Duration
	given    Set     // all since the first, also those too old by now
	faced    bool    // a face came since
	distance float64 // the nearest one came
	spoofed  bool
}

const (
	strangerAfter = 2 * time.Second // a face not identified by then is a stranger's
	refusalShown  = 4 * time.Second
)

func newAttempt(p *portal, side Side) *attempt {
	return &attempt{portal: p, side: side, claims: map[string]*claims{}, tracks: map[int]*sighting{},
		logged: map[string]time.Duration{}, saying: SayReady}
}

func (a *attempt) timers(ts []timer) []timer {
	for _, id := range sortedKeys(a.claims) {
		ts = append(ts, timer{a.claims[id].last() + a.cfgWindow(), func() { a.giveUp(id) }})
	}
	for _, track := range sortedKeys(a.tracks) {
		s := a.tracks[track]
		ts = append(ts, timer{s.last + a.cfgWindow(), func() { delete(a.tracks, track) }})
		ts = add(ts, s.logAt, func() { s.logAt = 0; a.seen(Record{}) })
	}
	return add(ts, a.calmAt, a.calm)
}

func (a *attempt) cfgWindow() time.Duration { return a.House.cfg.Window }

func (a *attempt) fresh(at time.Duration) bool { return a.now.Mono-at < a.cfgWindow() }

func (c *claims) last() time.Duration {
	var last time.Duration
	for _, at := range c.at {
		last = max(last, at)
	}
	return last
}

// record writes a record of this side of the door.
func (a *attempt) record(r Record) {
	r.Side = a.side
	a.portal.record(r)
}

// say tells the person at the door what to do, until so long from now.
func (a *attempt) say(s Saying, person string, until time.Duration) {
	a.calmAt = a.now.Mono + until
	a.saying = s
	a.do(Prompt{Door: a.portal.cfg.ID, Side: a.side, Say: s, Person: person})
}

// unsay ends what is said, if it is this.
func (a *attempt) unsay(s Saying) {
	if a.saying == s {
		a.calm()
	}
}

func (a *attempt) calm() {
	a.calmAt, a.saying = 0, SayReady
	a.do(Prompt{Door: a.portal.cfg.ID, Side: a.side, Say: SayReady})
}

// claim takes a credential that was read at the door.
func (p *portal) claim(in Claim) {
	a := p.side(in.Side)
	if _, ok := p.people[in.Person]; !ok {
		in.Person = ""
	}
	if in.Factor == Remote || in.Factor == FaceID || SetOf(in.Factor) == 0 {
		return // not a thing that a reader reads
	}
	if in.Factor == PIN {
		if !a.mayType(in) {
			return
		}
	} else if in.Person == "" {
		a.deny(Record{Factors: SetOf(in.Factor), Reason: "unknown_" + string(in.Factor), Details: map[string]string{DetailReader: in.Reader}})
		return
	}
	a.claimed(in)
}

func (a *attempt) claimed(in Claim) {
	c := a.claims[in.Person]
	if c == nil {
		c = &claims{at: map[Factor]time.Duration{}}
		a.claims[in.Person] = c
	}
	c.at[in.Factor] = a.now.Mono
	c.given |= SetOf(in.Factor)
	for _, track := range sortedKeys(a.tracks) {
		c.notice(in.Person, a.tracks[track])
	}
	if v := a.judge(in.Person); !v.Opens {
		say := SayMore
		if v.Missing.Has(SetOf(FaceID)) {
			say = SayFace
		}
		a.say(say, in.Person, a.cfgWindow())
	}
}

// notice remembers the nearest that a face came to the claimed person.
func (c *claims) notice(person string, s *sighting) {
	if s.liveness == Spoof {
		c.spoofed = true
		return
	}
	d := s.near[person].distance
	if _, ok := s.near[person]; !ok {
		d = farAway
	}
	if !c.faced || d < c.distance {
		c.faced, c.distance = true, d
	}
}

// farAway stands for a face that is nowhere near a person's.
const farAway = 1.0

// given returns the factors of a person that count now. A face counts when it is the claimed
// person's 1:1 or, with nobody claimed, when it was identified as that person.
func (a *attempt) given(person string) Set {
	var fs []Factor
	if c := a.claims[person]; c != nil {
		for f, at := range c.at {
			if a.fresh(at) {
				fs = append(fs, f)
			}
		}
	}
	claimed := len(fs) > 0
	for _, s := range a.tracks {
		if a.matches(s, person, claimed) {
			fs = append(fs, FaceID)
		}
	}
	return SetOf(fs...)
}

func (a *attempt) matches(s *sighting, person string, claimed bool) bool {
	if !a.counts(s) {
		return false
	}
	if claimed {
		l, ok := s.near[person]
		return ok && a.fresh(l.at) && l.distance <= a.House.cfg.Verify
	}
	return s.who == person && a.fresh(s.whoAt) && !slices.Contains(s.spent, person)
}

// judge grants if the person's factors satisfy a policy.
func (a *attempt) judge(person string) Verdict {
	v := a.House.cfg.Decide(a.people[person], a.given(person), a.blind(a.side))
	if !v.Opens {
		return v
	}
	r := Record{Factors: v.By}
	if v.By.Has(SetOf(FaceID)) {
		r = a.faceDetails(person, r)
	}
	if v.Fallback {
		r.Reason = ReasonNoVision
	}
	a.spend(person)
	a.grant(pass{person: person, side: a.side}, r)
	return v
}

// spend uses up what opened the door: nothing opens it twice. A face still in view needs a
// new look beside a new claim, and opens alone only after it has been away.
func (a *attempt) spend(person string) {
	delete(a.claims, person)
	a.logged[person] = a.now.Mono
	for _, s := range a.tracks {
		if _, near := s.near[person]; near || s.who == person {
			delete(s.near, person)
			s.spent = append(s.spent, person)
			s.logAt = 0
		}
	}
}

// giveUp denies a claim whose window is over.
func (a *attempt) giveUp(person string) {
	c := a.claims[person]
	delete(a.claims, person)
	given := c.given
	if c.faced && c.distance <= a.House.cfg.Verify && !c.spoofed {
		given |= SetOf(FaceID)
	}
	v := a.House.cfg.Decide(a.people[person], given, a.blind(a.side))
	r := Record{Person: person, Factors: given, Reason: a.why(c, v.Missing),
		Details: map[string]string{DetailMissing: v.Missing.String()}}
	if c.faced {
		r.Details[DetailDistance] = distanceText(c.distance)
	}
	a.deny(r)
}

func (a *attempt) why(c *claims, missing Set) string {
	switch {
	case !missing.Has(SetOf(FaceID)):
		return ReasonIncomplete
	case a.blind(a.side):
		return ReasonNoVision
	case c.spoofed:
		return ReasonSpoof
	case !c.faced:
		return ReasonNoFace
	case c.distance > a.House.cfg.Verify:
		return ReasonFaceMismatch
	}
	return ReasonIncomplete
}

func (a *attempt) deny(r Record) {
	r.Kind = KindDenied
	a.record(r)
	say := SayDenied
	if r.Reason == ReasonLockedOut {
		say = SayLockedOut
	}
	a.say(say, r.Person, refusalShown)
}

// faceDetails adds how near the person's face came and how it was judged.
func (a *attempt) faceDetails(person string, r Record) Record {
	best := look{distance: farAway}
	liveness := Unjudged
	for _, track := range sortedKeys(a.tracks) {
		s := a.tracks[track]
		if l, ok := s.near[person]; ok && a.fresh(l.at) && l.distance < best.distance {
			best, liveness = l, s.liveness
		}
	}
	r.Details = map[string]string{DetailDistance: distanceText(best.distance), DetailLiveness: string(liveness)}
	return r
}

func distanceText(d float64) string { return strconv.FormatFloat(d, 'f', 2, 64) }

// forgetStrangers drops what was shown by people who are no longer known.
func (p *portal) forgetStrangers() {
	for _, a := range p.sides {
		for id := range a.claims {
			if _, ok := p.people[id]; !ok {
				delete(a.claims, id)
			}
		}
		for _, s := range a.tracks {
			for id := range s.near {
				if _, ok := p.people[id]; !ok {
					delete(s.near, id)
				}
			}
			if _, ok := p.people[s.who]; !ok {
				s.who = ""
			}
		}
	}
}
