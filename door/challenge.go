package door

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Way is a direction in which somebody is asked to turn the head, as they see it themselves.
type Way string

// The directions.
const (
	Left  Way = "left"
	Right Way = "right"
	Up    Way = "up"
	Down  Way = "down"
)

// saying is how a person is asked to turn.
func (w Way) saying() Saying {
	return map[Way]Saying{Left: SayLeft, Right: SayRight, Up: SayUp, Down: SayDown}[w]
}

// challenge asks one face for a row of turns that nobody can have recorded beforehand. There is
// one at a time on each side of a door, where everybody sees the same prompt.
type challenge struct {
	track  int
	person string
	turns  []Way
	done   int
	due    time.Duration
}

// readerCamera stands for the camera where others name the reader.
const readerCamera = "camera"

// patience is how many times the time of a turn somebody has for the first, who does not
// expect to be asked.
const patience = 2

// drawTurns chooses the turns that a person is asked for next. Those that nobody has answered
// are asked for again: else somebody with a recording could wait for turns that fit.
func (a *attempt) drawTurns(person string) []Way {
	if turns, ok := a.turns[person]; ok {
		return turns
	}
	ways := [...]Way{Left, Right, Up, Down}
	turns := make([]Way, a.House.cfg.Turns)
	for i := range turns {
		turns[i] = ways[a.House.rand.IntN(len(ways))]
	}
	a.turns[person] = turns
	return turns
}

// prove begins a challenge for a person whose face is all that is wanted, and wanted surer, if
// it is time for one.
func (a *attempt) prove(person string, s *sighting, mode LivenessMode) {
	now := a.now.Mono
	switch {
	case a.challenge != nil, a.counters[personKey(person)].locked(now):
		return
	case mode == LivenessPassive && s.liveness != Unsure: // it may yet be judged by how it moves
		return
	case a.claims[person] == nil && now < a.unasked[person]:
		return
	}
	a.renew(person, s)
	a.challenge = &challenge{track: s.track, person: person, turns: a.drawTurns(person)}
	a.askTurn(patience * a.House.cfg.TurnTime)
}

// renew lets what counts now count for the time of the challenge, too: its end is bounded.
func (a *attempt) renew(person string, s *sighting) {
	if c := a.claims[person]; c != nil {
		for f, at := range c.at {
			if a.fresh(at) {
				c.at[f] = a.now.Mono
			}
		}
	}
	if l, ok := s.near[person]; ok && a.fresh(l.at) {
		l.at = a.now.Mono
		s.near[person] = l
	}
	if s.who == person && a.fresh(s.whoLook.at) {
		s.whoLook.at = a.now.Mono
	}
}

func (a *attempt) askTurn(within time.Duration) {
	c := a.challenge
	c.due = a.now.Mono + within
	way := c.turns[c.done]
	a.do(Watch{Door: a.portal.cfg.ID, Side: a.side, Track: c.track, Way: way, Within: within})
	a.say(way.saying(), c.person, within)
}

// turned takes what a camera saw of a turn. What is not an answer to the present prompt is none.
func (p *portal) turned(in Turned) {
	a := p.side(in.Side)
	c := a.challenge
	if c == nil || in.Track != c.track || in.Way != c.turns[c.done] {
		return
	}
	if in.Why != "" {
		a.failed(in.Why)
		return
	}
	if c.done++; c.done < len(c.turns) {
		a.askTurn(a.House.cfg.TurnTime)
		return
	}
	a.passed()
}

func (a *attempt) passed() {
	c := a.endChallenge()
	delete(a.turns, c.person)
	a.takeBack(personKey(c.person))
	s := a.tracks[c.track]
	if s == nil {
		a.calm()
		return
	}
	s.turned, s.turnedAt = true, a.now.Mono
	if v := a.judge(c.person); !v.Opens {
		a.ask(c.person, v)
	}
}

// failed denies whoever did not turn as asked, and counts it as a wrong try.
func (a *attempt) failed(why string) {
	c := a.endChallenge()
	delete(a.turns, c.person)
	a.unasked[c.person] = a.now.Mono + a.House.cfg.Quiet
	a.denyChallenge(c, why)
	a.count(readerCamera, personKey(c.person), c.person)
}

// unanswered ends a challenge whose time is over. A first turn that nobody answered is no wrong
// try: many a passer-by is asked.
func (a *attempt) unanswered() {
	c := a.challenge
	if c.done > 0 {
		a.failed(WhyTooSlow)
		return
	}
	a.endChallenge()
	a.unasked[c.person] = a.now.Mono + a.House.cfg.Quiet
	if a.claims[c.person] != nil {
		a.denyChallenge(c, WhyNoAnswer)
		return
	}
	a.calm()
}

func (a *attempt) denyChallenge(c *challenge, why string) {
	factors := a.others(c.person) | SetOf(FaceID)
	delete(a.claims, c.person)
	a.deny(Write{Track: c.track, Record: Record{Person: c.person, Factors: factors, Reason: ReasonChallenge,
		Details: map[string]string{DetailWhy: why, DetailTurns: fmt.Sprintf("%d/%d", c.done, len(c.turns))}}}, SayDenied)
}

func (a *attempt) endChallenge() *challenge {
	c := a.challenge
	a.challenge = nil
	a.do(Watch{Door: a.portal.cfg.ID, Side: a.side, Track: c.track})
	return c
}

// lose ends the challenge of a face that has gone, or turned out to be a picture.
func (a *attempt) lose(track int, why string) {
	switch c := a.challenge; {
	case c == nil || c.track != track:
	case c.done == 0 && why == WhyLost:
		a.unanswered()
	default:
		a.failed(why)
	}
}

func newRand(seed [32]byte) *rand.Rand { return rand.New(rand.NewChaCha8(seed)) }
