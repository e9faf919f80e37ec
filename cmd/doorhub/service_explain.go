package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

type explainRequest struct {
	Picture picture `json:"picture"`
}

// explanation is what the cameras would make of a picture.
type explanation struct {
	Name   string         `json:"name"`
	Width  int            `json:"width"`  // pixels as it was looked at
	Height int            `json:"height"` // ... to which boxes refer
	Faces  []judgedFace   `json:"faces"`  // the largest first
	Over   int            `json:"over,omitempty"`
	Took   map[string]int `json:"took_us"` // microseconds
}

// judgedFace is a face and what a door would say to it.
type judgedFace struct {
	decisionView
	Identified *whoView  `json:"identified,omitempty"` // taken for this person, whoever is claimed
	Verified   []whoView `json:"verified,omitempty"`   // would do beside the PIN or card of one of these
	Verdict    []string  `json:"verdict"`              // for people
}

// explain tells what the cameras would make of a picture. Nothing of it is kept.
func (s *service) explain(ctx context.Context, req explainRequest) (explanation, error) {
	vision, err := s.faces()
	if err != nil {
		return explanation{}, err
	}
	known, err := s.store.Faces(ctx)
	wrong, err2 := s.store.Looks(ctx, store.LookFilter{Wrong: true})
	if err := errors.Join(err, err2); err != nil && len(known) == 0 {
		return explanation{}, err
	}
	people, err := s.store.People(ctx)
	if err != nil {
		return explanation{}, err
	}
	var ns names
	ns.set(people)
	x, err := vision.Explain(req.Picture, known, wrong)
	if err != nil {
		return explanation{}, err
	}
	out := explanation{Name: req.Picture.Name, Width: x.Size.X, Height: x.Size.Y, Faces: []judgedFace{}, Over: x.Over, Took: tookView(x.Took)}
	for _, d := range x.Faces {
		out.Faces = append(out.Faces, s.judgeFace(d, &ns))
	}
	return out, nil
}

// judgeFace says what a door would make of a face if it was a live one.
func (s *service) judgeFace(d face.Decision, ns *names) judgedFace {
	house := s.cfg.House
	j := judgedFace{decisionView: viewDecision(d, ns)}
	for i, m := range d.Near {
		who := whoView{m.Person, ns.of(m.Person)}
		if i == 0 && m.Distance <= house.Identify {
			j.Identified = &who
		}
		if m.Distance <= house.Verify {
			j.Verified = append(j.Verified, who)
		}
	}
	j.Verdict = j.verdict(house)
	return j
}

// verdict answers why a door would open to a face, or not.
func (j judgedFace) verdict(house door.Config) []string {
	var says []string
	add := func(format string, args ...any) { says = append(says, fmt.Sprintf(format, args...)) }
	switch {
	case j.Why == face.NoneThere:
		add("the detector took it for a face, and the describer does not")
		return says
	case j.Why == face.Waiting:
		add("too poor a look: a camera waits for a better one; %s", j.Quality.weakest())
	case !j.Settled:
		add("one such look is not enough to tell who it is; %s", j.Quality.weakest())
	}
	switch {
	case len(j.Near) == 0:
		add("unknown: nobody is enrolled who could be compared")
	case j.Identified != nil:
		add("taken for %s: distance %.3f, at most %.2f (house.identify)%s", j.Identified, j.Near[0].Distance, house.Identify, j.rival())
	default:
		add("unknown: nearest is %s, distance %.3f, over %.2f (house.identify)%s", j.Near[0].who(), j.Near[0].Distance, house.Identify, j.rival())
	}
	for _, who := range j.Verified {
		add("does beside another factor of %s: at most %.2f (house.verify)", who, house.Verify)
	}
	if house.JudgesLiveness() {
		add("whether it is a head one picture cannot tell: the door asks for that, too (house.liveness)")
	}
	return says
}

// rival names the runner-up.
func (j judgedFace) rival() string {
	if len(j.Near) < 2 {
		return ", nobody else to compare"
	}
	return fmt.Sprintf("; next is %s, %.3f farther", j.Near[1].who(), j.Near[1].Distance-j.Near[0].Distance)
}

func (n nearView) who() whoView { return whoView{n.Person, n.Name} }

// weakest names what a look lacks most.
func (q qualityView) weakest() string {
	name, least := "it is too small", q.Size
	for _, part := range []struct {
		name  string
		value float64
	}{{"it is blurred", q.Sharpness}, {"the light is poor", q.Light}, {"it is turned away", q.Pose}} {
		if part.value < least {
			name, least = part.name, part.value
		}
	}
	return name
}
