package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/term"

	"github.com/doorhub/doorhub/door/face"
)

type faceCmd struct {
	Not       faceNot       `cmd:"" help:"Say that the face of a record was not that of whom it was taken for."`
	Decisions faceDecisions `cmd:"" help:"Show how the last faces before the cameras were judged, with all numbers."`
	Explain   faceExplain   `cmd:"" help:"Show what a camera would make of pictures, with all numbers. Nothing is kept."`
	Report    faceReportCmd `cmd:"" help:"How well the faces enrolled here tell people apart, and which thresholds fit."`
}

type faceReportCmd struct {
	Rate string `help:"How often somebody else may be taken for a person, as 1e-4 or 0.0001." default:"1e-4"`
}

// Run prints the report.
func (c faceReportCmd) Run(a *app) error {
	rate, err := strconv.ParseFloat(c.Rate, 64)
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--rate %.40q: %w: use a number, as 1e-4 for one in ten thousand", c.Rate, face.ErrRate)}
	}
	if err := face.ValidRate(rate); err != nil {
		return exit{exitUsage, fmt.Errorf("--rate: %w", err)}
	}
	return a.connected(func(hub caller) error {
		r, err := callOne[faceReport](a, hub, "face.report", reportRequest{Rate: rate})
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(r)
		}
		for _, l := range r.lines(rate) {
			text := l.text
			if l.colour != "" && a.coloured() {
				text = l.colour + text + plain
			}
			if _, err := fmt.Fprintln(a.out, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// coloured reports whether what is printed may have colours: on a terminal that wants them.
func (a *app) coloured() bool {
	out, ok := a.out.(*os.File)
	return ok && term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""
}
