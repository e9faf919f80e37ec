package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/term"

	"github.com/doorhub/doorhub/door/face"
)

// guided enrols a face before a door's camera.
func (c peopleEnrol) guided(a *app) error {
	if c.PIN || c.Remote || len(c.Pictures) > 0 {
		return exit{exitUsage, errors.New("--camera goes alone: enrol the others by a command of their own")}
	}
	req := guideRequest{Who: c.Who, Camera: c.Camera, Patience: c.Patience, faceTerms: faceTerms{Consent: c.Consent, Keep: c.Keep}}
	for _, p := range c.Poses {
		req.Poses = append(req.Poses, face.Pose(p))
	}
	if err := checkPoses(req.Poses); err != nil {
		return exit{exitUsage, err}
	}
	if !c.Consent {
		var err error
		if req.Consent, err = a.askConsent(bufio.NewReader(a.in), c.Who); err != nil {
			return err
		}
	}
	return a.connected(func(hub caller) error { return a.guide(hub, req) })
}

func (a *app) guide(hub caller, req guideRequest) error {
	show := a.newGuideView(req)
	var results []pictureResult
	err := hub.call(a.ctx, "people.guide", req, func(raw json.RawMessage) error {
		var l guideLine
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		if l.Result != nil {
			results = append(results, *l.Result)
			return nil
		}
		return show.look(*l.Look)
	}, nothing)
	if printErr := errors.Join(show.end(), a.printPictures(results)); printErr != nil {
		return printErr
	}
	if err != nil && slices.ContainsFunc(results, func(r pictureResult) bool { return r.Refused != "" }) {
		return exit{exitRefused, err}
	}
	if err != nil && a.ctx.Err() != nil {
		return exit{exitFailed, errors.New("stopped: nothing was enrolled")}
	}
	if err != nil {
		return err
	}
	return a.printEnrolled(req.Who, "face")
}

// guideView shows how a guided enrolment goes: on a terminal in one line that changes,
// elsewhere in a line for each change.
type guideView struct {
	a     *app
	who   string
	where string
	term  *os.File // nil: no terminal
	last  face.Guided
	shown string // on the terminal
}

func (a *app) newGuideView(req guideRequest) *guideView {
	v := &guideView{a: a, who: req.Who, where: req.Camera}
	if f, ok := a.errOut.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !a.cli.JSON {
		v.term = f
	}
	return v
}

// look shows one look, if it is news.
func (v *guideView) look(l guideLook) error {
	if v.last.Pose == "" && !v.a.cli.JSON {
		fmt.Fprintf(v.a.errOut, "%s: stand before the camera of %s; Ctrl-C ends, and nothing is kept\n", printable(v.who), printable(v.where))
	}
	news := l.Pose != v.last.Pose || l.Hint != v.last.Hint || l.Taken
	v.last = l.Guided
	switch {
	case v.a.cli.JSON && news:
		return v.a.printJSON(l)
	case v.a.cli.JSON:
		return nil
	case v.term != nil:
		return v.line(l)
	case news:
		_, err := fmt.Fprintln(v.a.errOut, l)
		return err
	}
	return nil
}

func (v *guideView) line(l guideLook) error {
	text := fmt.Sprintf("\r%s\x1b[K", l)
	if l.Taken {
		text += "\n"
	}
	if text == v.shown {
		return nil
	}
	v.shown = text
	_, err := fmt.Fprint(v.term, text)
	return err
}

// end clears the line that changes.
func (v *guideView) end() error {
	if v.term == nil {
		return nil
	}
	_, err := fmt.Fprint(v.term, "\r\x1b[K")
	return err
}

// String is the look in a line of a terminal.
func (l guideLook) String() string {
	say := l.Say
	if l.Taken {
		say = fmt.Sprintf("taken, quality %.0f %%", 100*l.Seen.Score)
	}
	return fmt.Sprintf("%-8s  %s", l.Pose, say)
}
