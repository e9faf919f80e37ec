package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// reply is how a call answers: items one by one, and progress on what is slow.
type reply struct {
	item     func(any) error
	live     func(any) error // an item that is sent at once
	progress func(done, total uint64)
}

// call is one method of the service as it goes over the control socket.
type call func(ctx context.Context, s *service, req json.RawMessage, to reply) error

// calls are all methods by name. Local and remote commands use the same.
func calls() map[string]call {
	return map[string]call{
		"people.add": one((*service).addPerson),
		"people.list": func(ctx context.Context, s *service, _ json.RawMessage, to reply) error {
			people, err := s.people(ctx)
			return errors.Join(err, each(to, people))
		},
		"people.show":   one((*service).person),
		"people.remove": one((*service).removePerson),
		"people.forget": one((*service).forget),
		"people.enrol": func(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
			req, err := decode[enrolRequest](raw)
			if err != nil {
				return err
			}
			results, err := s.enrol(ctx, req, func(done, total int) { to.progress(uint64(done), uint64(total)) })
			return errors.Join(each(to, results), err)
		},
		"people.guide":       callGuide,
		"face.report":        one((*service).faceReport),
		"try":                one((*service).try),
		"log":                callLog,
		"log.picture":        one((*service).picture),
		"log.verify":         callVerify,
		"history.status":     one((*service).historyStatus),
		"history.backfill":   one((*service).backfill),
		"face.not":           one((*service).notThem),
		"face.decisions":     callDecisions,
		"face.explain":       one((*service).explain),
		"broker.top":         one((*service).topOfBus),
		"broker.user.list":   callUsers,
		"broker.user.add":    one((*service).addUser),
		"broker.user.revoke": one((*service).revokeUser),
		"broker.user.rotate": one((*service).rotateUser),

		"broker.cert.show":    callCerts,
		"broker.cert.renew":   one((*service).renewCert),
		"broker.cert.ca.new":  one((*service).newCA),
		"broker.cert.ca.use":  one((*service).useCA),
		"broker.cert.ca.drop": callDropCAs,
		"broker.cert.client":  one((*service).clientCert),
	}
}

// one makes a call of a method with one answer.
func one[Q, A any](f func(*service, context.Context, Q) (A, error)) call {
	return func(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
		req, err := decode[Q](raw)
		if err != nil {
			return err
		}
		a, err := f(s, ctx, req)
		if err != nil {
			return err
		}
		return to.item(a)
	}
}

func each[A any](to reply, items []A) error {
	for _, i := range items {
		if err := to.item(i); err != nil {
			return err
		}
	}
	return nil
}

func decode[Q any](raw json.RawMessage) (req Q, err error) {
	if err = json.Unmarshal(raw, &req); err != nil {
		err = fmt.Errorf("request: %w", err)
	}
	return req, err
}

type logRequest struct {
	Who   string      `json:"who,omitempty"`
	Kinds []door.Kind `json:"kinds,omitempty"`
	Door  string      `json:"door,omitempty"`
	From  time.Time   `json:"from,omitzero"`
	To    time.Time   `json:"to,omitzero"`
	Limit int         `json:"limit,omitempty"` // the newest so many
	Seq   uint64      `json:"seq,omitempty"`   // only this one
}

// logRow is a record with what its ids are called.
type logRow struct {
	door.Record
	Name    string `json:"name,omitempty"`    // of the person, or of the sensor
	Picture bool   `json:"picture,omitempty"` // there is one
}

func callLog(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
	req, err := decode[logRequest](raw)
	if err != nil {
		return err
	}
	f := store.Filter{Kinds: req.Kinds, Door: req.Door, From: req.From, To: req.To}
	if req.Who != "" {
		if f.Person, err = s.idOf(ctx, req.Who); err != nil {
			return err
		}
	}
	if f.After, err = s.startOfNewest(ctx, f, req.Limit); err != nil {
		return err
	}
	if req.Seq != 0 {
		f.After, f.Before = req.Seq-1, req.Seq+1
	}
	name, err := s.naming(ctx)
	if err != nil {
		return err
	}
	pictures, _ := s.album() // who wants one is told why there is none
	for r, err := range s.store.Records(ctx, f) {
		if err != nil {
			return err
		}
		if err := to.item(logRow{r, name(r), pictures.Has(r.Seq)}); err != nil {
			return err
		}
	}
	return nil
}

// idOf takes the id of an erased person, too: their records still have it.
func (s *service) idOf(ctx context.Context, who string) (string, error) {
	p, err := s.store.FindPerson(ctx, who)
	if errors.Is(err, store.ErrNoPerson) && strings.HasPrefix(who, "p") && door.ValidID(who) == nil {
		return who, nil
	}
	return p.ID, err
}

// startOfNewest returns after which record the newest so many of f begin.
func (s *service) startOfNewest(ctx context.Context, f store.Filter, limit int) (after uint64, err error) {
	if limit <= 0 {
		return 0, nil
	}
	f.Newest, f.Limit = true, limit
	for r, err := range s.store.Records(ctx, f) {
		if err != nil {
			return 0, err
		}
		after = r.Seq - 1
	}
	return after, nil
}

func (s *service) naming(ctx context.Context) (func(door.Record) string, error) {
	people, err := s.store.People(ctx)
	if err != nil {
		return nil, err
	}
	var ns names
	ns.set(people)
	sensors := map[string]string{}
	for _, sensor := range s.cfg.Sensors {
		sensors[sensor.ID] = sensor.Name
	}
	return func(r door.Record) string {
		if id, ok := r.Details[door.DetailSensor]; ok {
			return sensors[id]
		}
		return ns.of(r.Person)
	}, nil
}

type verifyRequest struct {
	Heads []store.Head `json:"heads,omitempty"`
}

type verifyAnswer struct {
	Head  store.Head `json:"head"`
	Whole bool       `json:"whole"`
	Wrong string     `json:"wrong,omitempty"`
	Seq   uint64     `json:"seq,omitempty"` // the first record that is wrong

	Unchecked string `json:"unchecked,omitempty"` // why a cut-off tail was not looked for
}

func callVerify(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
	req, err := decode[verifyRequest](raw)
	if err != nil {
		return err
	}
	head, err := s.store.Verify(ctx, req.Heads, to.progress)
	var broken *store.ChainError
	if errors.As(err, &broken) {
		return to.item(verifyAnswer{Head: head, Wrong: broken.Error(), Seq: broken.Seq})
	}
	if errors.Is(err, store.ErrUnchecked) {
		return to.item(verifyAnswer{Head: head, Whole: true, Unchecked: err.Error()})
	}
	if err != nil {
		return err
	}
	return to.item(verifyAnswer{Head: head, Whole: true})
}

type userRequest struct {
	Name string      `json:"name"`
	Role broker.Role `json:"role,omitempty"`
}

type userView struct {
	broker.User
	Token string `json:"token,omitempty"` // shown this once
}

func (s *service) addUser(_ context.Context, req userRequest) (userView, error) {
	if _, err := parseRole(req.Role); err != nil {
		return userView{}, err
	}
	if req.Name == hubUser {
		return userView{}, fmt.Errorf("user %s: the name is doorhub's own: choose another", hubUser)
	}
	token, err := s.users.Add(req.Name, req.Role)
	return userView{broker.User{Name: req.Name, Role: req.Role}, token}, err
}

// parseRole reads a role that the owner may give; hub is doorhub's own.
func parseRole(r broker.Role) (broker.Role, error) {
	_, err := broker.ParseRole(string(r))
	if err != nil || r == broker.RoleHub {
		return "", fmt.Errorf("role %.40q: use homeassistant, sensor, reader or viewer", r)
	}
	return r, nil
}

func (s *service) revokeUser(_ context.Context, req userRequest) (broker.User, error) {
	if err := s.listed(req.Name); err != nil {
		return broker.User{}, err
	}
	return broker.User{Name: req.Name}, s.users.Revoke(req.Name)
}

func (s *service) rotateUser(_ context.Context, req userRequest) (userView, error) {
	if err := s.listed(req.Name); err != nil {
		return userView{}, err
	}
	token, err := s.users.Rotate(req.Name)
	return userView{broker.User{Name: req.Name}, token}, err
}

// listed keeps commands from the hub's own user, who is there while it runs.
func (s *service) listed(name string) error {
	if !slices.ContainsFunc(s.users.List(), func(u broker.User) bool { return u.Name == name }) {
		return fmt.Errorf("user %.40q: %w: doorhub broker user list shows who there is", name, broker.ErrUserUnknown)
	}
	return nil
}

// userRow is a user as the list shows it.
type userRow struct {
	broker.User
	Seen time.Time `json:"last_seen,omitzero"` // zero: not since the hub started, or none runs
}

func callUsers(_ context.Context, s *service, _ json.RawMessage, to reply) error {
	seen := map[string]time.Time{}
	if s.lastSeen != nil {
		seen = s.lastSeen()
	}
	for _, u := range s.users.List() {
		if err := to.item(userRow{u, seen[u.Name]}); err != nil {
			return err
		}
	}
	return nil
}
