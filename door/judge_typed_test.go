package door

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// lockedReader is what wrong secrets typed with nobody known come to.
type lockedReader struct {
	wrong       int
	until, last time.Duration
}

// typed follows the lockouts: where surely nobody is known, by itself; else by what the house
// has kept, which keep checks.
func (j *judge) typed(in Input, effects []Effect) string {
	c, ok := in.(Claim)
	if !ok || c.Factor != PIN || j.doors[c.Door] == nil {
		return ""
	}
	if _, ok := j.people[c.Person]; !ok {
		c.Person = ""
	}
	if c.Person != "" && j.now().Mono < j.own[c.Person] && j.hasCard(c) && taken(effects) {
		return fmt.Sprintf("the PIN of %s was taken, who is known and locked out", c.Person)
	}
	if j.maybeKnown(c) {
		return ""
	}
	r := j.reader(readerKey(c.Door, c.Reader))
	kept := slices.IndexFunc(effects, func(e Effect) bool {
		k, ok := e.(Keep)
		return ok && k.Key == readerKey(c.Door, c.Reader) && k.Lockout.Wrong > r.wrong
	})
	switch locked := j.now().Mono < r.until; {
	case locked && (taken(effects) || kept >= 0):
		return "a PIN counted while its reader was locked and nobody was known"
	case !locked && c.Person == "" && kept < 0 && r.wrong < 17:
		return "a wrong PIN did not count"
	case c.Person != "" && kept >= 0:
		return "a right PIN counted as wrong"
	}
	return ""
}

func (j *judge) reader(key string) *lockedReader {
	if j.readers[key] == nil {
		j.readers[key] = &lockedReader{}
	}
	return j.readers[key]
}

// taken reports whether a claim came to anything.
func taken(effects []Effect) bool {
	return slices.ContainsFunc(effects, func(e Effect) bool {
		switch e := e.(type) {
		case Unlock:
			return true
		case Prompt:
			return e.Say == SayFace || e.Say == SayMore
		}
		return false
	})
}

// hasCard reports whether the person's card was read here and has opened nothing since.
func (j *judge) hasCard(c Claim) bool {
	return j.factorShown(Card, 0, Record{Door: c.Door, Side: c.Side, Person: c.Person})
}

// maybeKnown reports whether a card or face here may have made somebody known.
func (j *judge) maybeKnown(c Claim) bool {
	for i := len(j.history) - 1; i >= 0 && j.now().Mono-j.history[i].at.Mono < j.cfg.Window; i-- {
		switch in := j.history[i].in.(type) {
		case Claim:
			if in.Door == c.Door && in.Side == c.Side && in.Factor == Card {
				return true
			}
		case Face:
			if in.Door == c.Door && in.Side == c.Side {
				return true
			}
		}
	}
	return false
}

// keep checks the steps of lockouts: one wrong try more doubles it, and only a day without one
// takes one back.
func (j *judge) keep(k Keep) string {
	now := j.now().Mono
	person, ok := strings.CutPrefix(k.Key, "person:")
	if ok {
		j.own[person] = now + k.Lockout.Remaining
		return ""
	}
	r := j.reader(k.Key)
	switch {
	case k.Lockout.Wrong > r.wrong || k.Lockout.Remaining > max(0, r.until-now): // one more
		if now < r.until {
			return k.Key + ": counted while locked"
		}
		if k.Lockout.Wrong != min(r.wrong+1, 17) || k.Lockout.Remaining != lockedAfter(k.Lockout.Wrong) {
			return fmt.Sprintf("%s: from %d wrong tries to %+v", k.Key, r.wrong, k.Lockout)
		}
		*r = lockedReader{k.Lockout.Wrong, now + k.Lockout.Remaining, now}
	case k.Lockout.Wrong < r.wrong && strings.HasPrefix(k.Key, "reader:"):
		if now-r.last < 24*time.Hour {
			return fmt.Sprintf("%s: %d wrong tries forgiven after %s", k.Key, r.wrong-k.Lockout.Wrong, now-r.last)
		}
		r.wrong, r.last = k.Lockout.Wrong, now
	default:
		r.wrong = k.Lockout.Wrong
	}
	return ""
}

// lockedAfter is 30 s after the fifth wrong try, doubled by each more, a day at most.
func lockedAfter(wrong int) time.Duration {
	if wrong < 5 {
		return 0
	}
	return time.Duration(min(30*math.Pow(2, float64(wrong-5)), 24*3600)) * time.Second
}
