package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/doorhub/doorhub/door"
)

type peopleCmd struct {
	Add    peopleAdd    `cmd:"" help:"Add somebody; then enrol them."`
	List   peopleList   `cmd:"" help:"List everybody."`
	Show   peopleShow   `cmd:"" help:"Show one person."`
	Enrol  peopleEnrol  `cmd:"" help:"Give somebody a PIN, a remote code, or their face from pictures."`
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
		return a.printPeople([]personView{p})
	})
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

type peopleEnrol struct {
	Who      string   `arg:"" help:"Id or name."`
	PIN      bool     `name:"pin" help:"Ask for a PIN (or read it as a line of standard input)."`
	Remote   bool     `help:"Ask for a remote code, for unlocking over the bus: 8 digits or more, no PIN."`
	Pictures []string `help:"1 to 10 pictures of the face." type:"existingfile" placeholder:"FILE"`
}

// Run enrols credentials. Secrets come from the terminal or standard input and never from the
// command line, where others could read them.
func (c peopleEnrol) Run(a *app) error {
	if !c.PIN && !c.Remote && len(c.Pictures) == 0 {
		return exit{exitUsage, errors.New("say what to enrol: --pin, --remote or --pictures FILE…")}
	}
	req := enrolRequest{Who: c.Who}
	secrets := bufio.NewReader(a.in)
	var err error
	if c.PIN {
		if req.PIN, err = a.askSecret(secrets, "PIN"); err != nil {
			return err
		}
	}
	if c.Remote {
		if req.Remote, err = a.askSecret(secrets, "Remote code"); err != nil {
			return err
		}
	}
	if req.Pictures, err = readPictures(c.Pictures); err != nil {
		return err
	}
	return a.connected(func(hub caller) error { return a.enrol(hub, req) })
}

func (a *app) enrol(hub caller, req enrolRequest) error {
	var results []pictureResult
	err := hub.call(a.ctx, "people.enrol", req, collect(&results), a.progress("pictures"))
	taken := 0
	for _, r := range results {
		switch {
		case a.cli.JSON:
			err = errors.Join(err, a.printJSON(r))
		case r.Refused != "":
			fmt.Fprintf(a.out, "%s: not taken: %s\n", r.Name, r.Refused)
		default:
			fmt.Fprintf(a.out, "%s: taken\n", r.Name)
		}
		if r.Refused == "" {
			taken++
		}
	}
	if len(results) > 0 && taken == 0 {
		return exit{exitRefused, errNoPicture}
	}
	if err != nil {
		return err
	}
	if a.cli.JSON {
		return a.printJSON(map[string]any{"enrolled": req.Who, "factors": req.factors()})
	}
	fmt.Fprintf(a.out, "enrolled; see: doorhub people show %s\n", req.Who)
	return nil
}

// askSecret asks twice without echo on a terminal, else reads one line.
func (a *app) askSecret(lines *bufio.Reader, what string) (string, error) {
	if !term.IsTerminal(int(a.in.Fd())) {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			return line, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		return "", fmt.Errorf("%s: nothing on standard input: give it as a line", what)
	}
	var got [2]string
	for i, prompt := range []string{what + ": ", "Once more: "} {
		fmt.Fprint(a.errOut, prompt)
		b, err := term.ReadPassword(int(a.in.Fd()))
		fmt.Fprintln(a.errOut)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		got[i] = string(b)
	}
	if got[0] != got[1] {
		return "", exit{exitRefused, fmt.Errorf("%s: the two differ: try again", what)}
	}
	return got[0], nil
}

const maxPictureFile = 20 << 20

func readPictures(files []string) ([]picture, error) {
	var pictures []picture
	for _, file := range files {
		data, err := readBounded(file)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, picture{Name: filepath.Base(file), Data: data})
	}
	return pictures, nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPictureFile+1))
	if err == nil && len(data) > maxPictureFile {
		err = fmt.Errorf("%s: over %d MB: give a smaller picture", file, maxPictureFile>>20)
	}
	return data, err
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
