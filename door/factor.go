package door

import (
	"fmt"
	"strings"
)

// Factor is the kind of a credential.
type Factor string

// The factors, in the order in which a Set names them.
const (
	PIN    Factor = "pin"
	Card   Factor = "card"
	FaceID Factor = "face"
	Finger Factor = "finger"
	Object Factor = "object"
	Phone  Factor = "phone"
	Remote Factor = "remote"
)

var factors = [...]Factor{PIN, Card, FaceID, Finger, Object, Phone, Remote}

// Set is a set of factors; the zero value is the empty set. Its text form joins the factors
// with "+" in a fixed order, as in "pin+face".
type Set uint8

// SetOf returns the set of the given factors. Unknown factors are left out.
func SetOf(fs ...Factor) Set {
	var s Set
	for _, f := range fs {
		for i, known := range factors {
			if f == known {
				s |= 1 << i
			}
		}
	}
	return s
}

// ParseSet reads the text form, in any order: "face+pin" is "pin+face".
func ParseSet(text string) (Set, error) {
	var s Set
	for name := range strings.SplitSeq(text, "+") {
		one := SetOf(Factor(strings.TrimSpace(name)))
		if one == 0 {
			return 0, fmt.Errorf("%q is no factor: use %s, joined with +", name, joinFactors(factors[:], ", "))
		}
		if s&one != 0 {
			return 0, fmt.Errorf("factor %q stands twice in %q", name, text)
		}
		s |= one
	}
	return s, nil
}

// Factors lists the members in the fixed order.
func (s Set) Factors() []Factor {
	var fs []Factor
	for i, f := range factors {
		if s&(1<<i) != 0 {
			fs = append(fs, f)
		}
	}
	return fs
}

// Has reports whether every factor of want is in s.
func (s Set) Has(want Set) bool { return s&want == want }

// Len returns the number of factors in s.
func (s Set) Len() int { return len(s.Factors()) }

// String returns the text form; the empty set is "".
func (s Set) String() string { return joinFactors(s.Factors(), "+") }

// MarshalText returns the text form.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSet reads; empty text is the empty set.
func (s *Set) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = 0
		return nil
	}
	v, err := ParseSet(string(text))
	if err == nil {
		*s = v
	}
	return err
}

func joinFactors(fs []Factor, sep string) string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = string(f)
	}
	return strings.Join(names, sep)
}
