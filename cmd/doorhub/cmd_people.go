package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/doorhub/doorhub/door"
)

type peopleCmd struct {
	Add    peopleAdd    `cmd:"" help:"Add somebody; then enrol them."`
	List   peopleList   `cmd:"" help:"List everybody."`
	Show   peopleShow   `cmd:"" help:"Show one person."`
	Enrol  peopleEnrol  `cmd:"" help:"Give somebody a PIN, a remote code, or their face, from pictures or before a door's camera."`
	Forget peopleForget `cmd:"" help:"Take PIN, remote code or faces of somebody away; the person stays."`
	Remove peopleRemove `cmd:"" help:"Erase somebody: name and credentials. The journal keeps only the id."`
}

type peopleAdd struct {
	Name     string   `arg:"" help:"The person's name."`
	Policy   []string `help:"Sets of factors that open, as pin+face; any one of them (default: the house's)." placeholder:"SET"`
	Fallback []string `help:"Sets that count only while faces cannot be seen, as pin+card." placeholder:"SET"`
}

// Run adds a person.
func (c peopleAdd) Run(a *app) error {
	req := addRequest{Name: c.Name}
	var err1, err2 error
	req.Policies, err1 = parseSets(c.Policy)
	req.Fallback, err2 = parseSets(c.Fallback)
	if err := errors.Join(err1, err2); err != nil {
		return exit{exitUsage, err}
	}
	return a.connected(func(hub caller) error {
		p, err := callOne[personView](a, hub, "people.add", req)
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(p)
		}
		fmt.Fprintf(a.out, "added %s as %s; next: doorhub people enrol %s --pin --pictures FILE…\n", p.Name, p.ID, p.ID)
		return nil
	})
}

func parseSets(texts []string) ([]door.Set, error) {
	var sets []door.Set
	for _, text := range texts {
		s, err := door.ParseSet(text)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return sets, nil
}

type peopleList struct{}

// Run lists everybody.
func (peopleList) Run(a *app) error {
	return a.connected(func(hub caller) error {
		var people []personView
		err := hub.call(a.ctx, "people.list", struct{}{}, collect(&people), nothing)
		if err != nil {
			return err
		}
		return a.printPeople(people)
	})
}

type peopleShow struct {
	Who string `arg:"" help:"Id or name."`
}

// Run shows one person.
func (c peopleShow) Run(a *app) error {
	return a.connected(func(hub caller) error {
		p, err := callOne[personView](a, hub, "people.show", whoRequest(c))
		if err != nil {
			return err
		}
		err = a.printPeople([]personView{p})
		if err == nil && !a.cli.JSON {
			a.printConsent(p)
		}
		return err
	})
}

// printConsent says what is kept of a person's face, and by what right.
func (a *app) printConsent(p personView) {
	switch {
	case p.Faces == 0:
		return
	case p.Consent.IsZero():
		fmt.Fprintln(a.out, "faces: nobody noted that the person agreed to them")
	default:
		fmt.Fprintf(a.out, "faces: the person agreed to them on %s\n", p.Consent.UTC().Format(time.DateOnly))
	}
	for _, file := range p.Pictures {
		fmt.Fprintln(a.out, "picture kept:", file)
	}
}

func (a *app) printPeople(people []personView) error {
	if a.cli.JSON {
		for _, p := range people {
			if err := a.printJSON(p); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tName\tPolicy\tPIN\tFaces\tRemote code\tInside")
	for _, p := range people {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", p.ID, p.Name, setsText(p.Policies), yesNo(p.PIN), p.Faces, yesNo(p.Remote), p.Inside)
	}
	return w.Flush()
}

func setsText(sets []door.Set) string {
	if len(sets) == 0 {
		return "the house's"
	}
	var texts []string
	for _, s := range sets {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, " or ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type peopleForget struct {
	Who    string `arg:"" help:"Id or name."`
	PIN    bool   `name:"pin" help:"The PIN."`
	Remote bool   `help:"The remote code."`
	Faces  bool   `help:"All faces, and the pictures kept of them."`
}

// Run takes credentials away.
func (c peopleForget) Run(a *app) error {
	req := forgetRequest(c)
	if req.factors() == 0 {
		return exit{exitUsage, errors.New("say what to take away: --pin, --remote or --faces")}
	}
	return a.connected(func(hub caller) error {
		p, err := callOne[personView](a, hub, "people.forget", req)
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(p)
		}
		fmt.Fprintf(a.out, "%s of %s taken away; see: doorhub people show %s\n", req.factors(), p.Name, p.ID)
		return nil
	})
}

type peopleRemove struct {
	Who string `arg:"" help:"Id or name."`
}

// Run erases a person.
func (c peopleRemove) Run(a *app) error {
	return a.connected(func(hub caller) error {
		p, err := callOne[personView](a, hub, "people.remove", whoRequest(c))
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(p)
		}
		fmt.Fprintf(a.out, "erased %s: name and credentials are gone, the journal keeps %s\n", p.Name, p.ID)
		return nil
	})
}

// callOne makes a call that answers with one item.
func callOne[A any](a *app, hub caller, method string, req any) (A, error) {
	var got []A
	err := hub.call(a.ctx, method, req, collect(&got), nothing)
	if err == nil && len(got) != 1 {
		err = fmt.Errorf("%s: %d answers where one was due", method, len(got))
	}
	if err != nil {
		var none A
		return none, err
	}
	return got[0], nil
}

func collect[A any](into *[]A) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var v A
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		*into = append(*into, v)
		return nil
	}
}

func nothing(done, total uint64) {}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
