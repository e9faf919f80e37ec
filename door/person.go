package door

import (
	"errors"
	"fmt"
)

// Person is somebody the doors may know, without a name: names live in the store alone, so
// that erasing a person erases the name and leaves the journal whole.
type Person struct {
	ID       string `json:"id"`                 // never used again for somebody else
	Policies []Set  `json:"policies,omitempty"` // any one of them opens; empty: the house's
	Fallback []Set  `json:"fallback,omitempty"` // count only while vision reports a problem; empty: the house's
}

// Validate reports what is wrong with the person's policies.
func (p Person) Validate() error {
	if p.ID == "" {
		return errors.New("a person needs an id")
	}
	return errors.Join(validPolicies(p.Policies), validFallback(p.Fallback))
}

func validPolicies(sets []Set) error {
	for _, s := range sets {
		if s == 0 {
			return errors.New("an empty policy would open to everybody: name at least one factor, as in pin+face")
		}
		if s.Has(SetOf(Remote)) {
			return fmt.Errorf("policy %s: a remote code is for commands over the bus, never for a reader at the door", s)
		}
	}
	return nil
}

// A fallback stands in for a face, so it must be no weaker: two factors, none of them a face.
func validFallback(sets []Set) error {
	for _, s := range sets {
		switch {
		case s.Has(SetOf(FaceID)):
			return fmt.Errorf("fallback %s: a fallback is for when faces cannot be seen; name two other factors, as in pin+card", s)
		case s.Len() < 2:
			return fmt.Errorf("fallback %s: a fallback needs two factors, as in pin+card", s)
		}
	}
	return validPolicies(sets)
}
