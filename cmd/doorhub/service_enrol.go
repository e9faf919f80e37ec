package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// faceTerms are what somebody agreed to who gives a face.
type faceTerms struct {
	Consent bool `json:"consent,omitempty"`       // they agree that it is kept
	Keep    bool `json:"keep_pictures,omitempty"` // the pictures, too, not the descriptors alone
}

// picture is one picture file as it was given.
type picture struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// pictureResult tells what became of a picture.
type pictureResult struct {
	Name    string        `json:"name"`
	Refused string        `json:"refused,omitempty"` // why
	Reason  face.Reason   `json:"reason,omitempty"`  // the same in one word
	Warning string        `json:"warning,omitempty"` // taken, and yet
	Quality *face.Measure `json:"quality,omitempty"` // nil: no picture
	Other   *otherView    `json:"other,omitempty"`   // who else of those enrolled looks most like it
	Face    *store.Face   `json:"-"`
}

// otherView is somebody else and how near a face is to theirs.
type otherView struct {
	whoView
	Distance float64 `json:"distance"`
}

var (
	errNoConsent = errors.New("a face is kept only of who agrees to it: ask them, and say so with --consent")
	errNoPicture = errors.New("no picture could be taken: see the reasons above")
)

func (s *service) enrolPictures(ctx context.Context, vision enroller, id string, req enrolRequest, progress func(done, total int)) ([]pictureResult, error) {
	known, err := s.knownFaces(ctx)
	if err != nil {
		return nil, err
	}
	progress(0, len(req.Pictures))
	results, err := vision.Enrol(id, req.Pictures, known)
	if err != nil {
		return nil, err
	}
	err = s.takeFaces(ctx, id, req.Pictures, results, req.Keep, door.Record{})
	progress(len(req.Pictures), len(req.Pictures))
	return results, err
}

// knownFaces are those that a new one is compared with. One that cannot be read may be the same.
func (s *service) knownFaces(ctx context.Context) ([]store.PersonFace, error) {
	known, err := s.store.Faces(ctx)
	if err != nil {
		return nil, fmt.Errorf("nobody can tell whether this is somebody who is enrolled already: %w", err)
	}
	return known, nil
}

// takeFaces compares what was judged with others, keeps what was not refused, and journals it in
// a record that may have a door.
func (s *service) takeFaces(ctx context.Context, id string, pictures []picture, results []pictureResult, keep bool, r door.Record) error {
	for i, got := range results {
		if got.Face != nil && keep {
			got.Face.Picture = pictures[i].Data
		}
	}
	ctx = context.WithoutCancel(ctx) // what is stored is journalled
	now := time.Now()
	taken, err := s.adopt(ctx, id, results, now)
	if taken == 0 {
		return err
	}
	r.Kind, r.Person, r.Factors = door.KindEnrolled, id, door.SetOf(door.FaceID)
	r.Details = map[string]string{door.DetailConsent: now.UTC().Format(time.DateOnly)}
	return errors.Join(err, s.tell(ctx, r))
}

// adopt stores the faces that are nobody else's, to which their person has just agreed, and
// returns how many; those after one that cannot be stored are refused.
func (s *service) adopt(ctx context.Context, id string, results []pictureResult, now time.Time) (taken int, err error) {
	s.adopting.Lock()
	defer s.adopting.Unlock()
	if err := s.refuseKnown(ctx, id, results); err != nil {
		return 0, err
	}
	if err := s.compareOthers(ctx, results); err != nil {
		return 0, err
	}
	for i := range results {
		r := &results[i]
		if r.Face == nil {
			continue
		}
		if err == nil {
			r.Face.Consent = now
			err = s.store.AddFace(ctx, id, *r.Face)
		}
		if err != nil {
			r.Refused, r.Face = err.Error(), nil
			continue
		}
		taken++
	}
	if taken == 0 && err == nil {
		err = errNoPicture
	}
	return taken, err
}

// refuseKnown refuses a face that became somebody else's while it was judged: before a camera
// that takes minutes.
func (s *service) refuseKnown(ctx context.Context, id string, results []pictureResult) error {
	known, err := s.knownFaces(ctx)
	if err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		for _, k := range known {
			if r.Face == nil || k.Person == id {
				continue
			}
			if d := face.Distance(k.Descriptor, r.Face.Descriptor); d < s.cfg.House.Identify {
				r.Face, r.Reason, r.Other = nil, face.MatchesOther, &otherView{whoView{ID: k.Person}, d}
			}
		}
	}
	return nil
}

// compareOthers names those whom a face looks like: nearer than the identify threshold it is
// refused, and near one of the thresholds it is taken with a warning.
func (s *service) compareOthers(ctx context.Context, results []pictureResult) error {
	people, err := s.store.People(ctx)
	if err != nil {
		return err
	}
	var ns names
	ns.set(people)
	house := s.cfg.House
	for i := range results {
		r := &results[i]
		if r.Other == nil {
			continue
		}
		r.Other.Name = ns.of(r.Other.ID)
		who, d := r.Other.whoView, r.Other.Distance
		switch {
		case r.Reason == face.MatchesOther:
			r.Refused = fmt.Sprintf("the face is that of %s, who is enrolled already (distance %.2f, under house.identify)%s", who, d, ifTwo(d))
		case r.Refused != "":
		case d < house.Verify:
			r.Warning = fmt.Sprintf("looks like %s (distance %.2f, under house.verify): with the other's PIN either would be let in, unless it is set to %.2f or less",
				who, d, stepBelow(d))
		case d < max(house.Identify, house.Verify)+alikeMargin:
			r.Warning = fmt.Sprintf("looks like %s (distance %.2f): keep house.identify and house.verify at %.2f or less", who, d, stepBelow(d))
		}
	}
	return nil
}

// tooStrict is a threshold that hardly keeps anybody out who looks a little different today.
const tooStrict = 0.4

// ifTwo says what to do about two people who are as near as this.
func ifTwo(d float64) string {
	if stepBelow(d) < tooStrict {
		return ": if they are two people, no face tells them apart: enrol other factors"
	}
	return fmt.Sprintf(": if they are two people, let both use a second factor, and set house.identify and house.verify to %.2f or less", stepBelow(d))
}

// stepBelow is a threshold that a distance is not below.
func stepBelow(distance float64) float64 { return math.Floor(distance*100) / 100 }

type forgetRequest struct {
	Who    string `json:"who"`
	PIN    bool   `json:"pin,omitempty"`
	Remote bool   `json:"remote,omitempty"`
	Faces  bool   `json:"faces,omitempty"`
}

// factors are those to be taken away.
func (r forgetRequest) factors() door.Set {
	var f door.Set
	if r.PIN {
		f |= door.SetOf(door.PIN)
	}
	if r.Remote {
		f |= door.SetOf(door.Remote)
	}
	if r.Faces {
		f |= door.SetOf(door.FaceID)
	}
	return f
}

// forget takes credentials of a person away. Of several, those that can be are taken though another
// cannot.
func (s *service) forget(ctx context.Context, req forgetRequest) (personView, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return personView{}, err
	}
	if lacks := (req.factors() &^ enrolledFactors(p)).Factors(); len(lacks) > 0 {
		return personView{}, fmt.Errorf("%s has no %s enrolled: there is nothing to take away", p.Name, lacks[0])
	}
	remove := map[door.Factor]func(context.Context, string) error{
		door.PIN: s.store.RemovePIN, door.Remote: s.store.RemoveRemoteCode, door.FaceID: s.store.RemoveFaces}
	ctx = context.WithoutCancel(ctx) // what is taken is journalled
	for _, f := range req.factors().Factors() {
		err = errors.Join(err, remove[f](ctx, p.ID))
	}
	left, err2 := s.store.Person(ctx, p.ID)
	taken := req.factors() &^ enrolledFactors(left)
	if err = errors.Join(err, err2); taken == 0 || err2 != nil {
		return personView{}, err
	}
	err = errors.Join(err, s.tell(ctx, door.Record{Kind: door.KindChanged, Person: p.ID, Factors: taken, Reason: door.ReasonForgotten}))
	if err != nil {
		return personView{}, err
	}
	return s.person(ctx, whoRequest{Who: p.ID})
}

// enrolledFactors are those of a person that commands give and take.
func enrolledFactors(p store.Person) door.Set {
	var has door.Set
	for f, there := range map[door.Factor]bool{door.PIN: p.PIN, door.Remote: p.Remote, door.FaceID: p.Faces > 0} {
		if there {
			has |= door.SetOf(f)
		}
	}
	return has
}
