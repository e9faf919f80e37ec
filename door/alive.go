package door

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// LivenessMode is how sure a policy wants to be that a face is a head and not a picture.
type LivenessMode string

// The modes. Whatever the mode, a face judged to be a picture counts for nothing.
const (
	LivenessOff       LivenessMode = "off"       // any face counts
	LivenessPassive   LivenessMode = "passive"   // one judged live; where nobody can say, a challenge decides
	LivenessChallenge LivenessMode = "challenge" // one that turns as it is asked to
)

// LivenessModes returns all there are.
func LivenessModes() []LivenessMode {
	return []LivenessMode{LivenessOff, LivenessPassive, LivenessChallenge}
}

// proof is what speaks for a face being a head, the least first.
type proof int

const (
	noProof     proof = iota // it is a picture
	bySight                  // nothing speaks against it
	byMotion                 // it moved like a head
	byChallenge              // it turned as it was asked to, like a head
)

// needs is the proof that a mode asks for.
func (m LivenessMode) needs() proof {
	switch m {
	case LivenessOff:
		return bySight
	case LivenessPassive:
		return byMotion
	}
	return byChallenge
}

// JudgesLiveness reports whether any policy wants to know more of a face than whose it is.
func (c Config) JudgesLiveness() bool {
	modes := slices.AppendSeq([]LivenessMode{c.Liveness}, maps.Values(c.LivenessOf))
	return slices.ContainsFunc(modes, func(m LivenessMode) bool { return m != LivenessOff })
}

// livenessOf is the mode of a policy.
func (c Config) livenessOf(policy Set) LivenessMode {
	if m, ok := c.LivenessOf[policy]; ok {
		return m
	}
	return c.Liveness
}

func (c Config) validLiveness() error {
	errs := []error{validMode("liveness", c.Liveness), between("turn_time", c.TurnTime, 2*time.Second, 15*time.Second)}
	for _, policy := range slices.Sorted(maps.Keys(c.LivenessOf)) {
		if !policy.Has(SetOf(FaceID)) {
			errs = append(errs, fmt.Errorf("liveness_of: %s: name policies that hold a face, as in {face: challenge}", policy))
		}
		errs = append(errs, validMode("liveness_of: "+policy.String(), c.LivenessOf[policy]))
	}
	if c.Turns < 1 || c.Turns > 5 {
		errs = append(errs, fmt.Errorf("turns: %d: use 1 to 5 (of four directions each: with 3, one guess in 64 is right)", c.Turns))
	}
	return errors.Join(errs...)
}

func validMode(key string, m LivenessMode) error {
	switch m {
	case LivenessOff, LivenessPassive, LivenessChallenge:
		return nil
	}
	return fmt.Errorf("%s: %q: use off, passive or challenge", key, m)
}

// proof is what speaks for a face now. A challenge counts as long as factors do.
func (a *attempt) proof(s *sighting) proof {
	switch {
	case s.liveness == Spoof:
		return noProof
	case s.turned && a.fresh(s.turnedAt):
		return byChallenge
	case s.liveness == Live:
		return byMotion
	}
	return bySight
}
