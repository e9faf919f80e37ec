package door

import (
	"maps"
	"math"
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
	usedAt map[string]time.Duration // person → when last seen by a face that let them in
	saying Saying
	calmAt time.Duration // what was said is over

	challenge *challenge               // nil: none
	turns     map[string][]Way         // person → what they will be asked for
	unasked   map[string]time.Duration // person → not asked without a claim before
}

// claims are the factors of one person but for the face.
type claims struct {
	at      map[Factor]time.Duration
	given   Set  // all since the first, also those too old by now
	faced   bool // a face came since
	look    look // by which it came nearest
	spoofed bool
	track   int   // the face that was a picture, else the nearest
	proven  proof // the most that spoke for one that came near enough
}

const refusalShown = 4 * time.Second

func newAttempt(p *portal, side Side) *attempt {
	return &attempt{portal: p, side: side, claims: map[string]*claims{}, tracks: map[int]*sighting{},
		logged: map[string]time.Duration{}, usedAt: map[string]time.Duration{}, saying: SayReady,
		turns: map[string][]Way{}, unasked: map[string]time.Duration{}}
}

func (a *attempt) timers(ts []timer) []timer {
	for _, id := range sortedKeys(a.claims) {
		ts = append(ts, timer{a.claims[id].last() + a.cfgWindow(), func() { a.giveUp(id) }})
	}
	for _, track := range sortedKeys(a.tracks) {
		s := a.tracks[track]
		ts = append(ts, timer{s.last + a.cfgWindow(), func() { delete(a.tracks, track); a.lose(track, WhyLost) }})
		ts = add(ts, s.logAt, func() { a.lapse(s) })
	}
	if a.challenge != nil {
		ts = append(ts, timer{a.challenge.due, a.unanswered})
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
func (a *attempt) record(r Record) { a.write(Write{Record: r}) }

func (a *attempt) write(w Write) {
	w.Record.Side = a.side
	a.portal.write(w)
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
	if c := a.challenge; c != nil { // somebody else's answer was shown for a moment
		a.say(c.turns[c.done].saying(), c.person, c.due-a.now.Mono)
		return
	}
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
		a.denyUnknown(in)
		return
	}
	a.claimed(in)
}

// denyUnknown answers a thing that is nobody's.
func (a *attempt) denyUnknown(in Claim) {
	id := a.portal.cfg.ID
	if a.flooded(id, "unknown/"+id+"/"+in.Reader, nil) {
		a.say(SayDenied, "", refusalShown)
		return
	}
	a.deny(Write{Record: Record{Factors: SetOf(in.Factor), Reason: "unknown_" + string(in.Factor),
		Details: map[string]string{DetailReader: in.Reader}}}, SayDenied)
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
		a.notice(in.Person, c, a.tracks[track])
	}
	if v := a.judge(in.Person); !v.Opens {
		a.ask(in.Person, v)
	}
}

// ask says what is still wanted.
func (a *attempt) ask(person string, v Verdict) {
	if a.challenge != nil && a.challenge.person == person {
		return // which has been said
	}
	say := SayMore
	switch {
	case v.Unproven != "" && a.counters[personKey(person)].locked(a.now.Mono):
		say = SayLockedOut
	case v.Missing.Has(SetOf(FaceID)):
		say = SayFace
	}
	a.say(say, person, a.cfgWindow())
}

// judgeAll judges everybody anew, after something else than what they have shown has changed.
func (a *attempt) judgeAll() {
	for _, id := range sortedKeys(a.claims) {
		a.judge(id)
	}
}

// notice remembers the nearest that a face came to the claimed person.
func (a *attempt) notice(person string, c *claims, s *sighting) {
	sure := a.proof(s)
	if sure == noProof {
		c.spoofed, c.track = true, s.track
		return
	}
	l := s.to(person)
	if !c.faced || l.distance < c.look.distance {
		c.faced, c.look = true, l
		if !c.spoofed {
			c.track = s.track
		}
	}
	if l.distance <= a.House.cfg.Verify {
		c.proven = max(c.proven, sure)
	}
}

// others returns the factors of a person that count now, but for the face.
func (a *attempt) others(person string) Set {
	var given Set
	if c := a.claims[person]; c != nil {
		for f, at := range c.at {
			if a.fresh(at) {
				given |= SetOf(f)
			}
		}
	}
	return given
}

// judge grants if the person's factors satisfy a policy, and uses up what opened the door:
// nothing opens it twice.
func (a *attempt) judge(person string) Verdict {
	given, sure := a.others(person), noProof
	s, l := a.best(person)
	if s != nil {
		given |= SetOf(FaceID)
		sure = a.proof(s)
	}
	v := a.House.cfg.decide(a.people[person], given, sure, a.blind(a.side))
	if v.Unproven != "" {
		a.prove(person, s, v.Unproven)
	}
	if !v.Opens {
		return v
	}
	if a.challenge != nil && a.challenge.person == person { // no longer needed
		a.endChallenge()
	}
	w := Write{Record: Record{Factors: v.By}}
	if v.By.Has(SetOf(FaceID)) {
		w.Track, w.Record.Details = s.track, a.faceDetails(s, l)
		s.grantee, s.granted = person, l
	}
	if v.Fallback {
		w.Record.Reason = ReasonNoVision
	}
	delete(a.claims, person)
	a.spend(person)
	a.grant(pass{person: person, side: a.side}, w)
	return v
}

// giveUp denies a claim whose window is over.
func (a *attempt) giveUp(person string) {
	c := a.claims[person]
	delete(a.claims, person)
	given := c.given
	if c.proven > noProof && !c.spoofed {
		given |= SetOf(FaceID)
	}
	v := a.House.cfg.decide(a.people[person], given, c.proven, a.blind(a.side))
	if v.Missing.Has(SetOf(FaceID)) {
		given &^= SetOf(FaceID)
	}
	r := Record{Person: person, Factors: given, Reason: a.why(c, v),
		Details: map[string]string{DetailMissing: v.Missing.String()}}
	if c.faced {
		maps.Copy(r.Details, c.look.details())
	}
	a.deny(Write{Record: r, Track: c.track}, SayDenied)
}

func (a *attempt) why(c *claims, v Verdict) string {
	switch {
	case !v.Missing.Has(SetOf(FaceID)):
		return ReasonIncomplete
	case a.blind(a.side):
		return ReasonNoVision
	case c.spoofed:
		return ReasonSpoof
	case !c.faced:
		return ReasonNoFace
	case c.look.distance > a.House.cfg.Verify:
		return ReasonFaceMismatch
	case v.Unproven != "":
		return ReasonUnsure
	}
	return ReasonIncomplete
}

func (a *attempt) deny(w Write, say Saying) {
	w.Record.Kind = KindDenied
	a.write(w)
	a.say(say, w.Record.Person, refusalShown)
}

// distanceText has two digits, and no minus before nothing.
func distanceText(d float64) string {
	return strconv.FormatFloat(math.Round(d*100)/100+0, 'f', 2, 64)
}

// forgetStrangers drops what was shown by people who are no longer known.
func (p *portal) forgetStrangers() {
	stranger := func(id string) bool { _, ok := p.people[id]; return !ok }
	for _, a := range p.sides {
		if c := a.challenge; c != nil && stranger(c.person) {
			a.endChallenge()
			a.calm()
		}
		maps.DeleteFunc(a.turns, func(id string, _ []Way) bool { return stranger(id) })
		maps.DeleteFunc(a.unasked, func(id string, _ time.Duration) bool { return stranger(id) })
		maps.DeleteFunc(a.claims, func(id string, _ *claims) bool { return stranger(id) })
		maps.DeleteFunc(a.logged, func(id string, _ time.Duration) bool { return id != "" && stranger(id) })
		maps.DeleteFunc(a.usedAt, func(id string, _ time.Duration) bool { return stranger(id) })
		for _, s := range a.tracks {
			maps.DeleteFunc(s.near, func(id string, _ look) bool { return stranger(id) })
			if stranger(s.who) {
				s.who = ""
			}
			if stranger(s.nearest.Person) || stranger(s.second.Person) {
				s.nearest, s.second = Match{}, Match{} // till the next look
			}
		}
	}
}
