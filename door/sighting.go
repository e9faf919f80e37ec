package door

import (
	"slices"
	"time"
)

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
