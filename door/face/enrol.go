package face

import (
	"errors"
	"fmt"

	"github.com/doorhub/doorhub/door"
)

// Reason says in one word why a picture is not enrolled.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	Unreadable   Reason = "unreadable"     // no picture, cut off, or too large
	NoFace       Reason = "no_face"        // none found
	SeveralFaces Reason = "several_faces"  // whose is it?
	SmallFace    Reason = "small_face"     // under min_face
	TooDark      Reason = "too_dark"       //
	TooBright    Reason = "too_bright"     //
	Blurred      Reason = "blurred"        // sharpness under blur
	TurnedAway   Reason = "turned_away"    // too far to one side
	MatchesOther Reason = "matches_other"  // looks like somebody else who is enrolled
	TwoPeople    Reason = "several_people" // the pictures are not of one person, or not of who is enrolled
)

// Refusal is one picture that is not enrolled, and why.
type Refusal struct {
	Picture int    // its number in the enrolment, from 1
	Reason  Reason // for programs
	Detail  string // for people; says what would be right
}

// Error returns the detail with the picture's number.
func (r Refusal) Error() string { return fmt.Sprintf("picture %d: %s", r.Picture, r.Detail) }

// Enrolment is what came of the pictures for one person.
type Enrolment struct {
	Descriptors []Descriptor // of the accepted pictures, in their order
	Refused     []Refusal    // by number of the picture
	Portraits   []Portrait   // all pictures, in their order
}

// Portrait is what a picture for enrolment shows.
type Portrait struct {
	Measure
	Other door.Match // who else of those enrolled looks most like it; nobody: ""
}

// ErrCount is an enrolment of no picture, or of too many.
var ErrCount = errors.New("wrong number of pictures")

func (c Config) validCount(n int) error {
	if n < 1 || n > c.MaxPictures {
		return fmt.Errorf("%w: %d: use 1 to %d of the same person", ErrCount, n, c.MaxPictures)
	}
	return nil
}

// portrait is what was found in one picture for enrolment.
type portrait struct {
	err   error // it could not be read
	faces []portrayed
}

type portrayed struct {
	Measure
	descriptor Descriptor
}

// seen tells what the picture shows, and who else looks like it.
func (p portrait) seen(person string, g *Gallery) Portrait {
	var out Portrait
	for _, f := range p.faces {
		if f.Width > out.Width {
			out.Measure = f.Measure
		}
	}
	out.Faces = len(p.faces)
	if len(p.faces) == 1 {
		out.Other = g.other(person, p.faces[0].descriptor)
	}
	return out
}

// other returns who else looks most like a face; nobody: "".
func (g *Gallery) other(person string, d Descriptor) door.Match {
	for _, m := range g.Near(d) {
		if m.Person != person {
			return m
		}
	}
	return door.Match{}
}

// judge accepts or refuses the pictures of one enrolment. People nearer than identify are
// taken for the same.
func (c Config) judge(person string, portraits []portrait, g *Gallery, identify float64) Enrolment {
	var e Enrolment
	var accepted []int // numbers of the pictures
	for i, p := range portraits {
		seen := p.seen(person, g)
		e.Portraits = append(e.Portraits, seen)
		reason, detail := c.refuse(person, p, seen.Other, g, identify)
		if reason != "" {
			e.Refused = append(e.Refused, Refusal{i + 1, reason, detail})
			continue
		}
		accepted = append(accepted, i+1)
		e.Descriptors = append(e.Descriptors, p.faces[0].descriptor)
	}
	if i, j, far := farthest(e.Descriptors); far > Limit {
		detail := fmt.Sprintf("pictures %d and %d show two different people (distance %.2f): enrol one person at a time",
			accepted[i], accepted[j], far)
		return e.refuseAll(len(portraits), detail)
	}
	return e
}

// refuseAll keeps the refusals there are and adds one for every other picture: who is right
// among people that differ, a program cannot know.
func (e Enrolment) refuseAll(pictures int, detail string) Enrolment {
	before := map[int]Refusal{}
	for _, r := range e.Refused {
		before[r.Picture] = r
	}
	all := make([]Refusal, pictures)
	for i := range all {
		all[i] = Refusal{i + 1, TwoPeople, detail}
		if r, ok := before[i+1]; ok {
			all[i] = r
		}
	}
	return Enrolment{Refused: all, Portraits: e.Portraits}
}

func (c Config) refuse(person string, p portrait, other door.Match, g *Gallery, identify float64) (Reason, string) {
	switch {
	case p.err != nil:
		return Unreadable, p.err.Error()
	case len(p.faces) == 0:
		return NoFace, fmt.Sprintf("no face of at least %d pixels found: use a picture of the face from the front, well lit", c.MinFace)
	case len(p.faces) > 1:
		return SeveralFaces, fmt.Sprintf("%d faces: use a picture of one person alone", len(p.faces))
	}
	f := p.faces[0]
	if flaw := c.flaw(f.Measure); flaw != "" {
		return flaw, c.remedy(flaw, f.Measure)
	}
	if !finite(f.descriptor) {
		return NoFace, "the face cannot be described: use another picture"
	}
	if other.Person != "" && other.Distance < identify {
		return MatchesOther, fmt.Sprintf("the face is that of %s, who is enrolled already (distance %.2f)", other.Person, other.Distance)
	}
	if own, ok := g.distance(person, f.descriptor); ok && own > Limit {
		return TwoPeople, fmt.Sprintf("the face is not the one that %s has enrolled (distance %.2f, at most %.2f): "+
			"if the person really changed, take the old face away first: doorhub people forget %s --faces", person, own, Limit, person)
	}
	return "", ""
}

// remedy says to people what would be right.
func (c Config) remedy(flaw Reason, m Measure) string {
	switch flaw {
	case SmallFace:
		return fmt.Sprintf("the face is %d pixels wide: use one of at least %d", m.Width, c.MinFace)
	case TooDark:
		return fmt.Sprintf("the face is too dark (%.0f of 255): use one of at least %.0f, with light from the front", m.Light, lightLeast)
	case TooBright:
		return fmt.Sprintf("the face is too bright (%.0f of 255): use one of at most %.0f", m.Light, lightMost)
	case Blurred:
		return fmt.Sprintf("the face is blurred (sharpness %.0f): use one of at least %.0f", m.Sharpness, c.Blur)
	}
	return "the face is turned too far to one side: use one from the front"
}

// farthest returns the two descriptors that differ most; far is 0 for fewer than two.
func farthest(all []Descriptor) (i, j int, far float64) {
	for a := range all {
		for b := a + 1; b < len(all); b++ {
			if d := Distance(all[a], all[b]); d > far {
				i, j, far = a, b, d
			}
		}
	}
	return i, j, far
}
