package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/history"
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
	bus     func(ctx context.Context) (busView, error)     // how the bus fares; nil: no hub runs
	say     func(door.Prompt)                              // shows at a door what to do; nil: no hub runs

	stopping <-chan struct{} // closed when the hub ends; nil: no hub runs

	album     func() (*album.Album, error)         // the pictures of events
	decisions func(n int) ([]face.Decision, error) // of the cameras; nil: no hub runs

	lastSeen func() map[string]time.Time       // when something came from each bus user; nil: nobody knows
	shown    func() (*x509.Certificate, error) // what the running broker shows devices; nil: none runs

	history      *history.History                // nil: none runs, or there is no database
	asideChanged func(ctx context.Context) error // records were set aside, or are no more

	certs    sync.Mutex // held while certificate files are changed
	adopting sync.Mutex // held while new faces are compared and stored
}

// errNoVision is what a doorhub built without cgo says of faces.
var errNoVision = errors.New("this doorhub was built without vision: it has no camera and knows no faces; build it with `make build`")

// enroller judges pictures for enrolment; vision has one.
type enroller interface {
	// Enrol describes the one face of each picture, or says why not. Known are the faces of
	// everybody enrolled; who is the person that the pictures are of.
	Enrol(who string, pictures []picture, known []store.PersonFace) ([]pictureResult, error)
	// Guide has a person look into a camera, pose by pose, and judges the best looks. tell
	// hears of every look.
	Guide(ctx context.Context, o guideOrder, known []store.PersonFace, tell func(face.Guided)) ([]picture, []pictureResult, error)
	// Explain tells what a camera would make of a picture. Wrong are looks that were taken for
	// people and are not theirs.
	Explain(p picture, known []store.PersonFace, wrong []store.Look) (face.Explanation, error)
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
	faceTerms
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

// tell journals a change of people and has it take effect, even if whoever asked for it hangs up:
// it is in the store already.
func (s *service) tell(ctx context.Context, r door.Record) error {
	ctx = context.WithoutCancel(ctx)
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
	ctx = context.WithoutCancel(ctx) // half an erasure is none
	err = s.store.RemovePerson(ctx, p.ID)
	if _, left := s.store.Person(ctx, p.ID); err != nil && !errors.Is(left, store.ErrNoPerson) {
		return personView{}, err
	}
	return personView{p, "no"}, errors.Join(err, s.tell(ctx, door.Record{Kind: door.KindErased, Person: p.ID}), s.erasePictures(p.ID))
}

// factors are those that the request gives.
func (r enrolRequest) factors() door.Set {
	var f door.Set
	if r.PIN != "" {
		f |= door.SetOf(door.PIN)
	}
	if r.Remote != "" {
		f |= door.SetOf(door.Remote)
	}
	if len(r.Pictures) > 0 {
		f |= door.SetOf(door.FaceID)
	}
	return f
}

// enrol gives credentials to a person: the PIN, then the remote code, then the pictures, each
// of which is answered for itself. The first that is refused ends it, and says what was taken.
func (s *service) enrol(ctx context.Context, req enrolRequest, progress func(done, total int)) ([]pictureResult, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return nil, err
	}
	var vision enroller
	if len(req.Pictures) > 0 { // what cannot be had is told before anything is taken
		if vision, err = s.visionFor(len(req.Pictures)); err != nil {
			return nil, err
		}
		if !req.Consent {
			return nil, errNoConsent
		}
	}
	if err := s.apart(ctx, p.ID, req); err != nil {
		return nil, err
	}
	if req.PIN != "" {
		if err := s.enrolSecret(ctx, s.store.SetPIN, p.ID, door.PIN, req.PIN); err != nil {
			return nil, err
		}
	}
	if req.Remote != "" {
		err := s.enrolSecret(ctx, s.store.SetRemoteCode, p.ID, door.Remote, req.Remote)
		if err != nil && req.PIN != "" {
			err = fmt.Errorf("%w (the PIN was taken)", err)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(req.Pictures) == 0 {
		return nil, nil
	}
	return s.enrolPictures(ctx, vision, p.ID, req, progress)
}

func (s *service) visionFor(pictures int) (enroller, error) {
	if most := s.cfg.Face.MaxPictures; pictures > most {
		return nil, fmt.Errorf("%d pictures at once: give 1 to %d", pictures, most)
	}
	return s.faces()
}

// errSameSecret says that somebody would have one secret for two uses.
var errSameSecret = errors.New("PIN and remote code must differ, since Home Assistant may keep the code in clear: choose another")

// apart refuses one secret as PIN and remote code of a person, given at once or one by one.
func (s *service) apart(ctx context.Context, id string, req enrolRequest) error {
	var owner string
	var err error
	switch {
	case req.PIN == req.Remote && req.PIN != "":
		return errSameSecret
	case req.PIN == "" && req.Remote != "":
		owner, err = s.store.LookupPIN(ctx, req.Remote)
	case req.PIN != "" && req.Remote == "":
		owner, err = s.store.LookupRemoteCode(ctx, req.PIN)
	}
	if err == nil && owner == id {
		return errSameSecret
	}
	return err
}

func (s *service) enrolSecret(ctx context.Context, set func(ctx context.Context, id, digits string) error, id string, f door.Factor, digits string) error {
	if err := set(ctx, id, digits); err != nil {
		return err
	}
	return s.tell(ctx, door.Record{Kind: door.KindEnrolled, Person: id, Factors: door.SetOf(f)})
}
