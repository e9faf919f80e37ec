package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
)

type peopleEnrol struct {
	Who      string        `arg:"" help:"Id or name."`
	PIN      bool          `name:"pin" help:"Ask for a PIN (or read it as a line of standard input)."`
	Remote   bool          `help:"Ask for a remote code, for unlocking over the bus: 8 digits or more, no PIN."`
	Pictures []string      `help:"1 to 10 pictures of the face." type:"existingfile" placeholder:"FILE"`
	Camera   string        `help:"Guide the person before the camera of this door (DOOR, or DOOR/entry, DOOR/exit)." placeholder:"DOOR"`
	Poses    []string      `help:"With --camera: how the head is to be held." default:"straight,left,right"`
	Patience time.Duration `help:"With --camera: how long each pose may take." default:"45s"`
	Consent  bool          `help:"The person agrees that their face is kept, as numbers; else you are asked."`
	Keep     bool          `name:"keep-pictures" help:"Keep the pictures of the face, too."`
}

// Run enrols credentials. Secrets come from the terminal or standard input and never from the
// command line, where others could read them.
func (c peopleEnrol) Run(a *app) error {
	if c.Camera != "" {
		return c.guided(a)
	}
	if !c.PIN && !c.Remote && len(c.Pictures) == 0 {
		return exit{exitUsage, errors.New("say what to enrol: --pin, --remote, --pictures FILE… or --camera DOOR")}
	}
	req := enrolRequest{Who: c.Who, faceTerms: faceTerms{Consent: c.Consent, Keep: c.Keep}}
	lines := bufio.NewReader(a.in)
	var err error
	if len(c.Pictures) > 0 && !c.Consent {
		if req.Consent, err = a.askConsent(lines, c.Who); err != nil {
			return err
		}
	}
	if c.PIN {
		if req.PIN, err = a.askSecret(lines, "PIN"); err != nil {
			return err
		}
	}
	if c.Remote {
		if req.Remote, err = a.askSecret(lines, "Remote code"); err != nil {
			return err
		}
	}
	if req.Pictures, err = readPictures(c.Pictures); err != nil {
		return err
	}
	return a.connected(func(hub caller) error { return a.enrol(hub, req) })
}

// askConsent asks on a terminal whether the person agrees. Elsewhere nobody can be asked.
func (a *app) askConsent(lines *bufio.Reader, who string) (bool, error) {
	if !term.IsTerminal(int(a.in.Fd())) {
		return false, exit{exitUsage, errNoConsent}
	}
	fmt.Fprintf(a.errOut, "Does %s agree that their face is kept here, as numbers that a door knows it by? [y/N] ", printable(who))
	answer, err := lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("consent: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, exit{exitRefused, fmt.Errorf("nothing enrolled: %s does not agree", printable(who))}
}

func (a *app) enrol(hub caller, req enrolRequest) error {
	var results []pictureResult
	err := hub.call(a.ctx, "people.enrol", req, collect(&results), a.progress("pictures"))
	if printErr := a.printPictures(results); printErr != nil {
		return printErr
	}
	if len(results) > 0 && !slices.ContainsFunc(results, func(r pictureResult) bool { return r.Refused == "" }) {
		return exit{exitRefused, errNoPicture}
	}
	if err != nil {
		return err
	}
	return a.printEnrolled(req.Who, req.factors().String())
}

func (a *app) printEnrolled(who, factors string) error {
	if a.cli.JSON {
		return a.printJSON(map[string]any{"enrolled": who, "factors": factors})
	}
	_, err := fmt.Fprintf(a.out, "enrolled; see: doorhub people show %s\n", who)
	return err
}

// printPictures prints what each picture is like and what became of it.
func (a *app) printPictures(results []pictureResult) error {
	if a.cli.JSON {
		for _, r := range results {
			if err := a.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(results) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Picture\tFaces\tWidth\tSharp\tLight\tLooks\tQuality\tResult")
	for _, r := range results {
		result := "taken"
		if r.Refused != "" {
			result = "not taken"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(r.Name), qualityCells(r.Quality), result)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		switch {
		case r.Refused != "":
			fmt.Fprintf(a.out, "%s: not taken: %s\n", printable(r.Name), printable(r.Refused))
		case r.Warning != "":
			fmt.Fprintf(a.out, "%s: warning: %s\n", printable(r.Name), printable(r.Warning))
		}
	}
	return nil
}

// qualityCells are what was measured of a face, in columns.
func qualityCells(q *face.Measure) string {
	if q == nil {
		return "0\t-\t-\t-\t-\t-"
	}
	looks := map[door.Way]string{"": "ahead", door.Left: "left", door.Right: "right"}[q.Side()]
	return fmt.Sprintf("%d\t%d px\t%.0f\t%.0f\t%s\t%.0f %%", q.Faces, q.Width, q.Sharpness, q.Light, looks, 100*q.Score)
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
