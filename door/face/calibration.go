package face

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// Reference is one enrolled look at a person.
type Reference struct {
	Descriptor Descriptor
	Quality    float64 // 0 to 1; 0: nobody knows
}

// References are all that a person has enrolled.
type References struct {
	Person string // id
	Faces  []Reference
}

// Seen is a look at somebody before a camera, and what is known of whose it is.
type Seen struct {
	Descriptor Descriptor
	Person     string // whose it is, known by more than the face; "": nobody knows
	Not        string // whose it is not, as somebody said; "": nobody said so
}

// Calibration is what the people enrolled and seen here tell of how well faces tell them
// apart. A comparison is what a door does: one look against the nearest of all that a person
// has enrolled.
type Calibration struct {
	People   int       // with a face
	Compared int       // of these; the others were left out for their number
	Faces    int       // enrolled
	Genuine  Distances // of looks at the person compared with, by person
	Impostor Distances // of looks at others, by pair of people
	Seen     int       // looks seen here of a known person
	Refuted  int       // looks seen here of which somebody said whose they are not
	Alike    []Alike   // nearest first
	Weak     []Weak    // by person, in the order given
}

// Alike is two people with looks near to one another.
type Alike struct {
	People   [2]string // ids
	Distance float64   // of their nearest looks
}

// mostCompared is how many people are compared with one another, which takes a second or so;
// of more, that many are drawn.
const mostCompared = 500

// Calibrate compares all people with one another, and those seen here with them. Pairs nearer
// than alike are listed.
func Calibrate(people []References, seen []Seen, alike float64) Calibration {
	people = slices.DeleteFunc(slices.Clone(people), func(p References) bool { return len(p.Faces) == 0 })
	c := Calibration{People: len(people)}
	for _, p := range people {
		c.Faces += len(p.Faces)
		if w, weak := weakness(p); weak {
			c.Weak = append(c.Weak, w)
		}
	}
	t := newTally(drawn(people, mostCompared))
	c.Compared = len(t.people)
	for i := range t.people {
		t.genuine(i)
		for j := range i {
			if d := t.impostor(i, j); d < alike {
				c.Alike = append(c.Alike, Alike{[2]string{t.people[j].Person, t.people[i].Person}, d})
			}
		}
	}
	slices.SortStableFunc(c.Alike, func(a, b Alike) int { return cmp.Compare(a.Distance, b.Distance) })
	for _, s := range seen {
		known, refuted := t.take(s)
		c.Seen += known
		c.Refuted += refuted
	}
	c.Genuine = newDistances(t.same, len(t.samePeople))
	c.Impostor = newDistances(t.other, len(t.pairs))
	return c
}

// drawn returns up to most people, at random and the same ones each time.
func drawn(people []References, most int) []References {
	if len(people) <= most {
		return people
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	return people[:most]
}
