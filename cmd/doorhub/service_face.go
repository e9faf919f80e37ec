package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

type reportRequest struct {
	Rate float64 `json:"rate"` // false matches wanted at most, of looks at others
}

// faceReport is how well faces tell apart those enrolled here.
type faceReport struct {
	People     int             `json:"people"`   // with a face
	Compared   int             `json:"compared"` // of these
	Faces      int             `json:"faces"`    // enrolled
	Seen       int             `json:"seen"`     // looks from cameras that opened with another factor
	Refuted    int             `json:"refuted"`  // looks from cameras that the owner took back
	Genuine    distancesView   `json:"genuine"`  // at the same person
	Impostor   distancesView   `json:"impostor"` // at others
	Thresholds []thresholdView `json:"thresholds"`
	Advice     []adviceView    `json:"advice"`
	Alike      []alikeView     `json:"alike"` // the nearest first
	Weak       []weakView      `json:"weak"`
	Unread     string          `json:"unread,omitempty"` // what of the store could not be read back
}

// distancesView sums up the distances of one kind.
type distancesView struct {
	Comparisons int       `json:"comparisons"`
	Units       int       `json:"units"` // people, or pairs of people
	Spread      *fiveView `json:"spread,omitempty"`
	Bins        []int     `json:"bins"` // of 0.02 each, from 0; the last has all beyond
}

type fiveView struct {
	Least  float64 `json:"least"`
	Low    float64 `json:"low"` // a twentieth is nearer
	Median float64 `json:"median"`
	High   float64 `json:"high"` // a twentieth is farther
	Most   float64 `json:"most"`
}

type thresholdView struct {
	Threshold   float64   `json:"threshold"`
	Set         string    `json:"set,omitempty"` // which setting it is
	FalseMatch  face.Rate `json:"false_match"`   // looks at others taken for the person
	FalseReject face.Rate `json:"false_reject"`  // looks at the person not taken for them
}

type adviceView struct {
	Setting     string     `json:"setting"`
	Present     float64    `json:"present"`
	Rate        float64    `json:"rate"` // of one comparison
	Threshold   float64    `json:"threshold"`
	Basis       face.Basis `json:"basis"`
	Supported   float64    `json:"supported"` // least rate that the comparisons can speak for
	FalseMatch  face.Rate  `json:"false_match"`
	FalseReject face.Rate  `json:"false_reject"`
}

type alikeView struct {
	People   [2]whoView `json:"people"`
	Distance float64    `json:"distance"`
}

type whoView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type weakView struct {
	Name string `json:"name"`
	face.Weak
}

const (
	reportBins = 60
	reportMost = 1.2 // distances beyond are as good as it
	// alikeMargin is how much farther than the loosest threshold two people are still named.
	alikeMargin = 0.05
)

// faceReport compares all faces. It takes a second or so for hundreds of people.
func (s *service) faceReport(ctx context.Context, req reportRequest) (faceReport, error) {
	if err := face.ValidRate(req.Rate); err != nil {
		return faceReport{}, err
	}
	faces, unread := s.store.Faces(ctx)
	if len(faces) == 0 && unread != nil {
		return faceReport{}, unread
	}
	people, err := s.store.People(ctx)
	if err != nil {
		return faceReport{}, err
	}
	var ns names
	ns.set(people)
	house := s.cfg.House
	seen, unseen := s.seenFaces(ctx)
	unread = errors.Join(unread, unseen)
	c := face.Calibrate(references(faces), seen, max(house.Identify, house.Verify)+alikeMargin)
	r := faceReport{People: c.People, Compared: c.Compared, Faces: c.Faces, Seen: c.Seen, Refuted: c.Refuted,
		Genuine: distancesOf(c.Genuine), Impostor: distancesOf(c.Impostor), Thresholds: thresholds(c, house.Identify, house.Verify),
		Alike: []alikeView{}, Weak: []weakView{}}
	// A face that nobody claimed is compared with everybody's.
	r.Advice = []adviceView{advise(c, "identify", req.Rate/float64(max(1, c.People)), house.Identify), advise(c, "verify", req.Rate, house.Verify)}
	for _, a := range c.Alike {
		r.Alike = append(r.Alike, alikeView{[2]whoView{{a.People[0], ns.of(a.People[0])}, {a.People[1], ns.of(a.People[1])}}, a.Distance})
	}
	for _, w := range c.Weak {
		r.Weak = append(r.Weak, weakView{ns.of(w.Person), w})
	}
	if unread != nil {
		r.Unread = unread.Error()
	}
	return r, nil
}

// mostSeen is how many looks from cameras at known people count: the newest, so that comparing
// them with everybody takes a second or so.
const mostSeen = 2000

// seenFaces are the looks from cameras of which more is known than the face says: those that opened
// a door together with another factor are the person's, and those that the owner took back are
// not. Grants are by faces that were near enough, so that looks at the person come out a little
// too near. What cannot be read back is left out and named in the error.
func (s *service) seenFaces(ctx context.Context) (seen []face.Seen, err error) {
	looks, unread := s.store.Looks(ctx, store.LookFilter{})
	if len(looks) == 0 {
		return nil, unread
	}
	granted := map[uint64]string{}
	for r, err := range s.store.Records(ctx, store.Filter{Kinds: []door.Kind{door.KindGranted}, After: looks[0].Seq - 1}) {
		if err != nil {
			return nil, errors.Join(unread, err)
		}
		if r.Factors.Has(door.SetOf(door.FaceID)) && len(r.Factors.Factors()) > 1 {
			granted[r.Seq] = r.Person
		}
	}
	known := 0
	for _, l := range slices.Backward(looks) {
		switch {
		case l.Wrong:
			seen = append(seen, face.Seen{Descriptor: l.Descriptor, Not: l.Person})
		case l.Person != "" && granted[l.Seq] == l.Person && known < mostSeen:
			seen = append(seen, face.Seen{Descriptor: l.Descriptor, Person: l.Person})
			known++
		}
	}
	return seen, unread
}

// references are the faces by person, in the order in which people came to have one.
func references(faces []store.PersonFace) []face.References {
	var all []face.References
	at := map[string]int{}
	for _, f := range faces {
		i, ok := at[f.Person]
		if !ok {
			i = len(all)
			at[f.Person] = i
			all = append(all, face.References{Person: f.Person})
		}
		all[i].Faces = append(all[i].Faces, face.Reference{Descriptor: f.Descriptor, Quality: f.Quality})
	}
	return all
}

func distancesOf(d face.Distances) distancesView {
	v := distancesView{Bins: d.Bins(reportBins, reportMost)}
	v.Comparisons, v.Units = d.Count()
	if v.Comparisons > 0 {
		v.Spread = &fiveView{d.Quantile(0), d.Quantile(0.05), d.Quantile(0.5), d.Quantile(0.95), d.Quantile(1)}
	}
	return v
}

// thresholds tells what the settings do, and some thresholds around them.
func thresholds(c face.Calibration, identify, verify float64) []thresholdView {
	set := map[float64]string{identify: "identify"}
	set[verify] = strings.TrimPrefix(set[verify]+", verify", ", ")
	for _, t := range []float64{0.4, 0.45, 0.5, 0.55, 0.6} {
		if _, ok := set[t]; !ok {
			set[t] = ""
		}
	}
	var all []thresholdView
	for _, t := range slices.Sorted(maps.Keys(set)) {
		all = append(all, thresholdView{t, set[t], c.Impostor.Below(t), c.Genuine.From(t)})
	}
	return all
}

func advise(c face.Calibration, setting string, rate, present float64) adviceView {
	a := c.Advise(rate, present)
	return adviceView{setting, present, a.Rate, a.Threshold, a.Basis, a.Supported, a.FalseMatch, a.FalseReject}
}
