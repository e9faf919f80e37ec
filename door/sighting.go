package door

import (
	"cmp"
	"slices"
	"time"
)

// sighting is one face, over the looks at it.
type sighting struct {
	near     map[string]look // by person, the last look that was theirs 1:1, else the nearest
	nearest  Match           // of all people, in the last look; Person "": nobody, with
	second   Match           // the next
	last     time.Duration
	track    int
	liveness Liveness
	turned   bool // in a challenge, at
	turnedAt time.Duration
	who      string // identified 1:N by the last look that could
	whoLook  look
	told     string   // who was logged as seen by it
	spent    []string // people who were granted by it already
	granted  look     // the look by which somebody was granted, with
	grantee  string   // who it was: nobody else is let in by it from as far or farther
	logAt    time.Duration
}

type look struct {
	distance float64
	at       time.Duration
	rival    Match // the nearest of all others; Person "": nobody
}

const (
	strangerAfter = 2 * time.Second // a face not identified by then is a stranger's
	away          = 2 * time.Second // a face lost for less has been in view all the time
	farAway       = 1.0             // the distance of a face that is nowhere near a person's
)

// to returns the look by which the face came nearest to a person's.
func (s *sighting) to(person string) look {
	if l, ok := s.near[person]; ok {
		return l
	}
	return look{distance: farAway, rival: s.nearest}
}

// distance returns how near the face came to a person's.
func (s *sighting) distance(person string) float64 { return s.to(person).distance }

// face takes one look at one face. Where it could be the face of several who are claimed, the
// nearest is judged first.
func (p *portal) face(in Face) {
	a := p.side(in.Side)
	s := a.tracks[in.Track]
	if s == nil {
		s = &sighting{track: in.Track, near: map[string]look{}, logAt: a.now.Mono + strangerAfter}
		a.tracks[in.Track] = s
	}
	a.look(s, in)
	claimed := sortedKeys(a.claims)
	slices.SortStableFunc(claimed, func(x, y string) int { return cmp.Compare(s.distance(x), s.distance(y)) })
	for _, id := range claimed {
		if c := a.claims[id]; c != nil { // whom a challenge that fails has not denied meanwhile
			a.notice(id, c, s)
			a.judge(id)
		}
	}
	if s.who != "" && a.fresh(s.whoLook.at) && a.counts(s) && a.claims[s.who] == nil {
		a.greet(s)
	}
}

func (a *attempt) look(s *sighting, in Face) {
	now := a.now.Mono
	s.last, s.liveness = now, in.Liveness
	if in.Liveness == Spoof { // nothing that this face showed before counts either
		s.near, s.who, s.turned = map[string]look{}, "", false
		s.nearest, s.second = Match{}, Match{}
		a.lose(in.Track, WhySpoof)
		return
	}
	s.nearest, s.second = a.nearestTwo(in.Near)
	for i, m := range in.Near {
		if !a.credible(m) {
			continue
		}
		l := look{m.Distance, now, s.nearest}
		if m.Person == s.nearest.Person {
			l.rival = s.second
		}
		if old, ok := s.near[m.Person]; !ok || m.Distance <= max(old.distance, a.House.cfg.Verify) || !a.fresh(old.at) {
			s.near[m.Person] = l
		}
		if i == 0 && m.Distance <= a.House.cfg.Identify {
			s.who, s.whoLook = m.Person, l
		}
	}
	if s.who != "" && a.counts(s) {
		s.logAt = 0
	}
}

// credible reports whether a match is with somebody known, at a distance that can be.
func (a *attempt) credible(m Match) bool {
	_, known := a.people[m.Person]
	return known && m.Distance >= 0 && m.Distance <= farAway // also refuses NaN
}

func (a *attempt) nearestTwo(near []Match) (nearest, second Match) {
	for _, m := range near {
		switch {
		case !a.credible(m), m.Person == nearest.Person:
		case nearest.Person == "":
			nearest = m
		case second.Person == "":
			second = m
		}
	}
	return nearest, second
}

// counts reports whether a face is judged as far as it will be without a challenge.
func (a *attempt) counts(s *sighting) bool {
	sure := a.proof(s)
	return sure > bySight || sure == bySight && (s.liveness == Unsure || a.House.cfg.Liveness == LivenessOff)
}

// known reports whether a face tells who is there, for all but opening.
func (a *attempt) known(s *sighting) bool {
	return s.who != "" && a.fresh(s.whoLook.at) && a.proof(s) >= min(byMotion, a.House.cfg.Liveness.needs())
}

// matches reports whether a face counts for a person, and by which look: 1:1 for one who is
// claimed, else only for the one it was identified as, and once.
func (a *attempt) matches(s *sighting, person string, claimed bool) (l look, ok bool) {
	if claimed {
		l, ok = s.near[person]
		ok = ok && l.distance <= a.House.cfg.Verify
	} else {
		l = s.whoLook
		ok = s.who == person && !slices.Contains(s.spent, person)
	}
	another := s.grantee != "" && s.grantee != person && l.distance >= s.granted.distance
	return l, ok && a.fresh(l.at) && a.proof(s) > noProof && !another
}

// best returns the face that counts for a person, of several the surest to be a head, of those
// the nearest; nil when there is none.
func (a *attempt) best(person string) (best *sighting, by look) {
	claimed := a.others(person) != 0
	for _, track := range sortedKeys(a.tracks) {
		s := a.tracks[track]
		l, ok := a.matches(s, person, claimed)
		if !ok {
			continue
		}
		surer := -1
		if best != nil {
			surer = cmp.Compare(a.proof(best), a.proof(s))
		}
		if surer < 0 || surer == 0 && l.distance < by.distance {
			best, by = s, l
		}
	}
	return best, by
}

// spend uses up the faces of a person whom they have let in. Each needs a new look beside a
// new claim, and opens alone only after it has been away.
func (a *attempt) spend(person string) {
	a.logged[person], a.usedAt[person] = a.now.Mono, a.now.Mono
	for _, s := range a.tracks {
		if s.who != person && s.distance(person) > a.House.cfg.Verify {
			continue
		}
		delete(s.near, person)
		s.use(person)
		s.logAt = 0
	}
}

func (s *sighting) use(person string) {
	if !slices.Contains(s.spent, person) {
		s.spent = append(s.spent, person)
	}
}

// used reports whether the one a face was identified as was granted by it already. A face that
// was lost for a moment and found again as another is the same.
func (a *attempt) used(s *sighting) bool {
	if at, ok := a.usedAt[s.who]; ok && a.now.Mono-at < away {
		s.use(s.who)
	}
	if !slices.Contains(s.spent, s.who) {
		return false
	}
	a.usedAt[s.who] = a.now.Mono
	return true
}

// greet is for a face that was identified with nobody claimed: it opens if the person's
// policy takes a face alone, else the person is asked for more, and it is logged once.
func (a *attempt) greet(s *sighting) {
	if a.used(s) || a.judge(s.who).Opens || s.told == s.who {
		return
	}
	if !a.seen(s, Record{Person: s.who, Factors: SetOf(FaceID), Details: a.faceDetails(s, s.whoLook)}) {
		return
	}
	s.told = s.who
	if a.saying == SayReady {
		a.say(SayMore, s.who, a.cfgWindow())
	}
}

// seen logs a face, but not the same one again and again.
func (a *attempt) seen(s *sighting, r Record) bool {
	last, ok := a.logged[r.Person]
	if ok && a.now.Mono-last < a.House.cfg.Quiet {
		return false
	}
	a.logged[r.Person] = a.now.Mono
	r.Kind = KindSeen
	a.write(Write{Record: r, Track: s.track})
	return true
}

// faceDetails tells how near a face came and how it was judged.
func (a *attempt) faceDetails(s *sighting, l look) map[string]string {
	alive := string(s.liveness)
	if a.proof(s) == byChallenge {
		alive = string(LivenessChallenge)
	}
	details := l.details()
	details[DetailLiveness] = alive
	return details
}

// details tells how near a look came to a person, and that of all others who came nearest.
func (l look) details() map[string]string {
	details := map[string]string{DetailDistance: distanceText(l.distance)}
	if l.rival.Person != "" {
		details[DetailRunnerUp], details[DetailMargin] = l.rival.Person, distanceText(l.rival.Distance-l.distance)
	}
	return details
}

// strangerDetails tells who came nearest to a face that was taken for nobody.
func (s *sighting) strangerDetails() map[string]string {
	if s.nearest.Person == "" {
		return nil
	}
	details := map[string]string{DetailNearest: s.nearest.Person, DetailNearness: distanceText(s.nearest.Distance)}
	if s.second.Person != "" {
		details[DetailRunnerUp], details[DetailMargin] = s.second.Person, distanceText(s.second.Distance-s.nearest.Distance)
	}
	return details
}

// lapse logs a face that nobody was identified by in time.
func (a *attempt) lapse(s *sighting) {
	s.logAt = 0
	switch {
	case s.liveness == Spoof:
		a.seen(s, Record{Reason: ReasonSpoof})
	case s.who == "":
		a.seen(s, Record{Details: s.strangerDetails()})
	case a.claims[s.who] == nil: // else what becomes of the claim says it
		a.greet(s)
	}
}

// forgetFace drops the looks by which faces were a person's.
func (p *portal) forgetFace(person string) {
	for _, a := range p.sides {
		for _, s := range a.tracks {
			delete(s.near, person)
			if s.who == person {
				s.who = ""
			}
			if s.nearest.Person == person || s.second.Person == person {
				s.nearest, s.second = Match{}, Match{} // till the next look
			}
		}
	}
}

// gone ends the wait for a better look at a face.
func (p *portal) gone(in Gone) {
	for _, a := range p.sides {
		s := a.tracks[in.Track]
		if s == nil {
			continue
		}
		if s.logAt != 0 {
			a.lapse(s)
		}
		a.lose(in.Track, WhyLost)
	}
}
