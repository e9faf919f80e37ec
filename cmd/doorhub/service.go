package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// service is what doorhub's commands ask for. The running hub answers them over its control
// socket; with none running the command opens the store and answers itself: one writer, one
// chain.
type service struct {
	cfg     Config
	store   *store.Store
	past    *past
	users   *broker.Users
	faces   func() (enroller, error)                       // loads vision when first asked
	note    func(ctx context.Context, r door.Record) error // writes into the journal
	changed func(ctx context.Context) error                // people or faces have changed
	blind   func(doorID string) bool                       // vision reports a problem
}

// errNoVision is what a doorhub built without cgo says of faces.
var errNoVision = errors.New("this doorhub was built without vision: it has no camera and knows no faces; build it with `make build`")

// enroller judges pictures for enrolment; vision has one.
type enroller interface {
	// Enrol describes the one face of each picture, or says why not. Known are the faces of
	// everybody enrolled; who is the person that the pictures are of.
	Enrol(who string, pictures []picture, known []store.PersonFace) ([]pictureResult, error)
}

// picture is one picture file as it was given.
type picture struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// pictureResult tells what became of a picture.
type pictureResult struct {
	Name    string      `json:"name"`
	Refused string      `json:"refused,omitempty"` // why
	Face    *store.Face `json:"-"`
}

// personView is a person as commands show them.
type personView struct {
	store.Person
	Inside string `json:"inside"` // yes, no or uncertain
}

type addRequest struct {
	Name     string     `json:"name"`
	Policies []door.Set `json:"policies,omitempty"`
	Fallback []door.Set `json:"fallback,omitempty"`
}

type whoRequest struct {
	Who string `json:"who"` // id or name
}

type enrolRequest struct {
	Who      string    `json:"who"`
	PIN      string    `json:"pin,omitempty"`
	Remote   string    `json:"remote,omitempty"`
	Pictures []picture `json:"pictures,omitempty"`
}

type tryRequest struct {
	Who     string   `json:"who"`
	Factors door.Set `json:"factors"`
	Door    string   `json:"door"`
}

type tryAnswer struct {
	Name    string     `json:"name"`
	Opens   bool       `json:"opens"`
	By      door.Set   `json:"by,omitzero"`
	Missing door.Set   `json:"missing,omitzero"`
	Why     []string   `json:"why"`
	Policy  []door.Set `json:"policy"`
}

func (s *service) addPerson(ctx context.Context, req addRequest) (personView, error) {
	who := door.Person{ID: "new", Policies: req.Policies, Fallback: req.Fallback}
	if err := who.Validate(); err != nil {
		return personView{}, err
	}
	p, err := s.store.AddPerson(ctx, req.Name, req.Policies, req.Fallback)
	if err != nil {
		return personView{}, err
	}
	err = s.tell(ctx, door.Record{Kind: door.KindEnrolled, Person: p.ID, Reason: "person"})
	return personView{p, "no"}, err
}

// tell journals a change of people and has it take effect.
func (s *service) tell(ctx context.Context, r door.Record) error {
	return errors.Join(s.changed(ctx), s.note(ctx, r))
}

func (s *service) people(ctx context.Context) ([]personView, error) {
	people, err := s.store.People(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]personView, len(people))
	for i, p := range people {
		views[i] = s.view(p)
	}
	return views, nil
}

func (s *service) view(p store.Person) personView {
	now := s.past.now()
	inside, uncertain := now.Inside()
	v := personView{p, "no"}
	if slices.Contains(inside, p.ID) {
		v.Inside = "yes"
		if uncertain {
			v.Inside = "uncertain"
		}
	}
	return v
}

func (s *service) person(ctx context.Context, req whoRequest) (personView, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return personView{}, err
	}
	return s.view(p), nil
}

func (s *service) removePerson(ctx context.Context, req whoRequest) (personView, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return personView{}, err
	}
	if err := s.store.RemovePerson(ctx, p.ID); err != nil {
		return personView{}, err
	}
	return personView{p, "no"}, s.tell(ctx, door.Record{Kind: door.KindErased, Person: p.ID})
}

// enrol gives credentials to a person. Each picture is answered for itself; with a refused
// PIN or code nothing is enrolled.
func (s *service) enrol(ctx context.Context, req enrolRequest, progress func(done, total int)) ([]pictureResult, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return nil, err
	}
	if req.PIN != "" {
		if err := s.store.SetPIN(ctx, p.ID, req.PIN); err != nil {
			return nil, err
		}
		err = errors.Join(err, s.tell(ctx, door.Record{Kind: door.KindEnrolled, Person: p.ID, Factors: door.SetOf(door.PIN)}))
	}
	if req.Remote != "" {
		if err := s.store.SetRemoteCode(ctx, p.ID, req.Remote); err != nil {
			return nil, err
		}
		err = errors.Join(err, s.tell(ctx, door.Record{Kind: door.KindEnrolled, Person: p.ID, Factors: door.SetOf(door.Remote)}))
	}
	if err != nil || len(req.Pictures) == 0 {
		return nil, err
	}
	return s.enrolFaces(ctx, p.ID, req.Pictures, progress)
}

func (s *service) enrolFaces(ctx context.Context, id string, pictures []picture, progress func(done, total int)) ([]pictureResult, error) {
	if most := s.cfg.Face.MaxPictures; len(pictures) > most {
		return nil, fmt.Errorf("%d pictures at once: give 1 to %d", len(pictures), most)
	}
	vision, err := s.faces()
	if err != nil {
		return nil, err
	}
	known, err := s.store.Faces(ctx)
	if err != nil {
		return nil, err
	}
	progress(0, len(pictures))
	results, err := vision.Enrol(id, pictures, known)
	if err != nil {
		return nil, err
	}
	taken := 0
	for _, r := range results {
		if r.Face == nil {
			continue
		}
		if err := s.store.AddFace(ctx, id, *r.Face); err != nil {
			return results, err
		}
		taken++
	}
	progress(len(pictures), len(pictures))
	if taken == 0 {
		return results, errNoPicture
	}
	return results, s.tell(ctx, door.Record{Kind: door.KindEnrolled, Person: id, Factors: door.SetOf(door.FaceID)})
}

var errNoPicture = errors.New("no picture could be taken: see the reasons above")

// try says whether somebody would get in, and why not. It opens nothing and writes nothing.
func (s *service) try(ctx context.Context, req tryRequest) (tryAnswer, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return tryAnswer{}, err
	}
	if req.Door == "" && len(s.cfg.Doors) > 0 {
		req.Door = s.cfg.Doors[0].ID
	}
	if !slices.ContainsFunc(s.cfg.Doors, func(d Door) bool { return d.ID == req.Door }) {
		return tryAnswer{}, fmt.Errorf("there is no door %q in the config", req.Door)
	}
	blind := s.blind(req.Door)
	v := s.cfg.House.Decide(p.Person, req.Factors, blind)
	a := tryAnswer{Name: p.Name, Opens: v.Opens, By: v.By, Missing: v.Missing, Policy: p.Policies}
	if len(a.Policy) == 0 {
		a.Policy = s.cfg.House.Policy
	}
	a.explain(p, req.Factors, v, blind)
	return a, s.explainLockouts(ctx, &a, req, p)
}

func (a *tryAnswer) explain(p store.Person, given door.Set, v door.Verdict, blind bool) {
	because := func(format string, args ...any) { a.Why = append(a.Why, fmt.Sprintf(format, args...)) }
	switch {
	case v.Opens && v.Fallback:
		because("faces cannot be seen, and the fallback %s is satisfied", v.By)
	case v.Opens:
		because("the policy %s is satisfied", v.By)
	default:
		because("with %s, %s is missing", orNothing(given), v.Missing)
	}
	if blind {
		because("vision reports a problem at this door")
	}
	for f, enrolled := range map[door.Factor]bool{door.PIN: p.PIN, door.FaceID: p.Faces > 0} {
		if given.Has(door.SetOf(f)) && !enrolled {
			a.Opens = false
			because("%s has no %s enrolled", p.Name, f)
		}
	}
}

func orNothing(s door.Set) string {
	if s == 0 {
		return "nothing"
	}
	return s.String()
}

func (s *service) explainLockouts(ctx context.Context, a *tryAnswer, req tryRequest, p store.Person) error {
	kept, err := s.store.Lockouts(ctx)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(kept) {
		l := kept[key]
		mine := key == "person:"+p.ID
		if l.Remaining > 0 && req.Factors.Has(door.SetOf(door.PIN)) && (mine || readerOf(key, req.Door)) {
			a.Opens = false
			a.Why = append(a.Why, fmt.Sprintf("%s takes no PIN for up to %s: too many wrong tries", key, l.Remaining.Round(time.Second)))
		}
	}
	return nil
}
