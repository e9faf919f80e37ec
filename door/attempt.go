package door

import (
	"slices"
	"strconv"
	"strings"
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

// sighting is one face, over the looks at it.
type sighting struct {
	near     map[string]look // by person, the best look within the window
	last     time.Duration
	liveness Liveness
	who      string // identified 1:N by the last look that could
	whoAt    time.Duration
	spent    []string      // people who were granted by it already
	logAt    time.Duration // when a stranger is logged as one
}

type look struct {
	distance float64
	at       time.Duration
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

// face takes one look at one face.
func (p *portal) face(in Face) {
	a := p.side(in.Side)
	s := a.tracks[in.Track]
	if s == nil {
		s = &sighting{near: map[string]look{}, logAt: a.now.Mono + strangerAfter}
		a.tracks[in.Track] = s
	}
	a.look(s, in)
	for _, id := range sortedKeys(a.claims) {
		a.claims[id].notice(id, s)
		a.judge(id)
	}
	if s.who != "" && a.fresh(s.whoAt) && a.counts(s) && a.claims[s.who] == nil {
		a.greet(s)
	}
}

func (a *attempt) look(s *sighting, in Face) {
	now := a.now.Mono
	s.last, s.liveness = now, in.Liveness
	if in.Liveness == Spoof { // nothing that this face showed before counts either
		s.near, s.who = map[string]look{}, ""
		return
	}
	for i, m := range in.Near {
		if _, ok := a.people[m.Person]; !ok || !(m.Distance >= 0) {
			continue
		}
		if old, ok := s.near[m.Person]; !ok || m.Distance <= old.distance || !a.fresh(old.at) {
			s.near[m.Person] = look{m.Distance, now}
		}
		if i == 0 && m.Distance <= a.House.cfg.Identify {
			s.who, s.whoAt = m.Person, now
		}
	}
	if s.who != "" && a.counts(s) {
		s.logAt = 0
	}
}

// counts reports whether a face is good enough to be a factor: with liveness off one that
// nobody has judged is.
func (a *attempt) counts(s *sighting) bool {
	return s.liveness == Live || s.liveness == Unjudged && a.House.cfg.Liveness == "off"
}

// greet is for a face that was identified with nobody claimed: it opens if the person's
// policy takes a face alone, else the person is asked for more, and it is logged once.
func (a *attempt) greet(s *sighting) {
	if slices.Contains(s.spent, s.who) {
		return
	}
	v := a.judge(s.who)
	if v.Opens || !a.seen(a.faceDetails(s.who, Record{Person: s.who, Factors: SetOf(FaceID)})) {
		return
	}
	if a.saying == SayReady {
		a.say(SayMore, s.who, a.cfgWindow())
	}
}

// seen logs a face, but not the same one again and again.
func (a *attempt) seen(r Record) bool {
	last, ok := a.logged[r.Person]
	if ok && a.now.Mono-last < a.House.cfg.Quiet {
		return false
	}
	a.logged[r.Person] = a.now.Mono
	r.Kind = KindSeen
	a.record(r)
	return true
}

func (p *portal) gone(in Gone) {
	for _, a := range p.sides {
		s := a.tracks[in.Track]
		if s == nil {
			continue
		}
		if s.logAt != 0 {
			s.logAt = 0
			a.seen(Record{})
		}
	}
}

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
		if s.who != "" && a.fresh(s.whoAt) && a.counts(s) {
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
		a.clear(personKey(in.Person))
		return true
	}
	var free []string
	for _, id := range known {
		if !a.counters[personKey(id)].locked(a.now.Mono) {
			free = append(free, id)
		}
	}
	switch {
	case in.Person == "" && len(free) > 0:
		a.denyTyped(in, known)
		for _, id := range free {
			a.count(in, personKey(id), id)
		}
		return false
	case a.counters[reader].locked(a.now.Mono):
		a.refuseTyped(in, reader, known)
		return false
	case in.Person == "":
		a.denyTyped(in, known)
		a.count(in, reader, "")
		return false
	}
	return true // somebody's, who was not known before; it clears nobody's count
}

func (a *attempt) denyTyped(in Claim, known []string) {
	a.deny(Record{Factors: SetOf(in.Factor), Reason: ReasonWrongPIN, Details: typedDetails(in, known)})
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
	a.deny(Record{Factors: SetOf(in.Factor), Reason: ReasonLockedOut, Details: typedDetails(in, known)})
}

// count adds one wrong try and records the lockout that it may begin.
func (a *attempt) count(in Claim, key, person string) {
	d := a.wrong(key)
	if d == 0 {
		return
	}
	a.record(Record{Kind: KindLockout, Person: person,
		Details: map[string]string{DetailReader: in.Reader, DetailFor: d.String()}})
	a.say(SayLockedOut, person, refusalShown)
}

func typedDetails(in Claim, known []string) map[string]string {
	d := map[string]string{DetailReader: in.Reader}
	if len(known) > 0 {
		d[DetailKnown] = strings.Join(known, " ")
	}
	return d
}
