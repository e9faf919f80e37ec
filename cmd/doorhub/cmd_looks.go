package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

type faceNot struct {
	Seq  uint64 `arg:"" help:"The record's number (ID in doorhub log)." placeholder:"SEQ"`
	Undo bool   `help:"It was after all."`
}

// Run takes the face of a record back.
func (c faceNot) Run(a *app) error {
	return a.connected(func(hub caller) error {
		v, err := callOne[notView](a, hub, "face.not", notRequest(c))
		switch {
		case err != nil:
			return err
		case a.cli.JSON:
			return a.printJSON(v)
		case c.Undo:
			fmt.Fprintf(a.out, "the face of record %d counts as that of %s again\n", v.Seq, v.Name)
		default:
			fmt.Fprintf(a.out, "noted: the face of record %d is not that of %s; one that is as near to it as to hers or his no longer counts as %s (--undo takes this back)\n",
				v.Seq, v.Name, v.Name)
		}
		return nil
	})
}

type faceDecisions struct {
	Last int `help:"The newest so many." short:"n" default:"20" placeholder:"N"`
}

// Run shows the last decisions.
func (c faceDecisions) Run(a *app) error {
	if c.Last < 1 {
		return exit{exitUsage, errors.New("-n: use 1 or more")}
	}
	return a.connected(func(hub caller) error {
		var made []decisionView
		if err := hub.call(a.ctx, "face.decisions", decisionsRequest(c), collect(&made), nothing); err != nil {
			return err
		}
		if a.cli.JSON {
			for _, d := range made {
				if err := a.printJSON(d); err != nil {
					return err
				}
			}
			return nil
		}
		return a.printDecisions(made)
	})
}

func (a *app) printDecisions(made []decisionView) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Time\tDoor\tSide\tFace\tPixels\tQuality\tWhy\tLooks\tNearest\tMargin\tLiveness\tTook")
	for _, d := range made {
		fmt.Fprintln(w, strings.Join([]string{d.Time.Local().Format("2006-01-02 15:04:05.000"), d.Door, string(d.Side),
			fmt.Sprint(d.Track), fmt.Sprintf("%dx%d", d.Box[2], d.Box[3]), d.Quality.text(), string(d.Why), d.looksText(),
			printable(d.nearText()), d.marginText(), d.aliveText(), d.tookText()}, "\t"))
	}
	return w.Flush()
}

func (q qualityView) text() string {
	return fmt.Sprintf("%.2f (size %.2f, sharp %.2f, light %.2f, pose %.2f)", q.Score, q.Size, q.Sharpness, q.Light, q.Pose)
}

func (d decisionView) looksText() string {
	if d.Settled {
		return fmt.Sprint(d.Looks)
	}
	return fmt.Sprintf("%d, too few", d.Looks)
}

// nearText names the nearest two.
func (d decisionView) nearText() string {
	var texts []string
	for _, n := range d.Near[:min(2, len(d.Near))] {
		texts = append(texts, fmt.Sprintf("%s %.3f", cmp.Or(n.Name, n.Person), n.Distance))
	}
	return strings.Join(texts, ", ")
}

func (d decisionView) marginText() string {
	if d.Margin == nil {
		return ""
	}
	return fmt.Sprintf("%.3f", *d.Margin)
}

func (d decisionView) aliveText() string {
	if d.Alive == nil {
		return string(d.Liveness)
	}
	e := d.Alive
	return fmt.Sprintf("%s (%s, turned %.0f°, relief %.3f, plane %.2f, bend %.2f, noise %.2f of %d points, %d for, %d against)",
		d.Liveness, e.Reason, e.Turned, e.Relief, e.Plane, e.Bend, e.Noise, e.Points, e.For, e.Against)
}

func (d decisionView) tookText() string { return tookText(d.Took) }

func tookText(took map[string]int) string {
	var texts []string
	for _, stage := range []string{"gate", "find", "measure", "describe", "match"} {
		texts = append(texts, fmt.Sprintf("%s %.1f", stage, float64(took[stage])/1000))
	}
	return strings.Join(texts, " ") + " ms"
}

type faceExplain struct {
	Pictures []string `arg:"" help:"JPEG or PNG files." type:"existingfile" placeholder:"PICTURE"`
}

// Run explains one picture after the other; one that cannot be used ends it no sooner than the
// others are done.
func (c faceExplain) Run(a *app) error {
	return a.connected(func(hub caller) error {
		var bad []error
		for _, file := range c.Pictures {
			data, err := readBounded(file)
			var x explanation
			if err == nil {
				x, err = callOne[explanation](a, hub, "face.explain", explainRequest{picture{filepath.Base(file), data}})
			}
			switch {
			case errors.Is(err, context.Canceled):
				return err
			case err != nil:
				bad = append(bad, fmt.Errorf("%s: %w", filepath.Base(file), err))
				continue
			case a.cli.JSON:
				err = a.printJSON(x)
			default:
				err = a.printExplanation(x)
			}
			if err != nil {
				return err
			}
		}
		return errors.Join(bad...)
	})
}

func (a *app) printExplanation(x explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: looked at in %dx%d pixels, %s; took %s\n", printable(x.Name), x.Width, x.Height, counted(len(x.Faces), "face", "faces"), tookText(x.Took))
	if x.Over > 0 {
		fmt.Fprintf(&b, "%s more than face.faces are left out, the smallest\n", counted(x.Over, "face", "faces"))
	}
	for i, f := range x.Faces {
		fmt.Fprintf(&b, "  face %d: %dx%d pixels at %d,%d; detector %.2f; quality %s\n", i+1, f.Box[2], f.Box[3], f.Box[0], f.Box[1], f.Score, f.Quality.text())
		for _, line := range f.Verdict {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}
