package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

type logCmd struct {
	Show   logShow   `cmd:"" default:"withargs" help:"Print the log."`
	Verify logVerify `cmd:"" help:"Check that no record was changed, lost or put elsewhere; exit code 4 if so."`
}

type logShow struct {
	Seq      uint64   `arg:"" optional:"" help:"Only the record of this number (ID), with all it holds." placeholder:"SEQ"`
	Picture  string   `help:"With SEQ: write its picture to this file." placeholder:"FILE"`
	Pictures string   `help:"List what there are pictures of, and write them to this folder as SEQ.jpg." placeholder:"DIR"`
	Person   string   `help:"Only records of this person (id or name)." placeholder:"WHO"`
	Type     []string `help:"Only these types: Entry, Exit, Intrusion, or any kind of record, as denied." placeholder:"TYPE"`
	Door     string   `help:"Only records of this door." placeholder:"ID"`
	From     string   `help:"From then on: 2026-11-21, 2026-11-21T15:04, or 24h for the last day." placeholder:"TIME"`
	To       string   `help:"Before then." placeholder:"TIME"`
	Last     int      `help:"Only the newest so many." short:"n" placeholder:"N"`
	All      bool     `help:"All kinds of records, with all they hold, not only who came and went."`
	CSV      bool     `name:"csv" help:"Print comma-separated values."`
}

// classic are the three types of the classic view, and the kinds that they cover.
func classic() map[string][]door.Kind {
	return map[string][]door.Kind{
		"Entry":     {door.KindEntry},
		"Exit":      {door.KindExit},
		"Intrusion": {door.KindIntrusion, door.KindForced},
	}
}

// classicType returns the classic type of a kind, or the kind itself.
func classicType(k door.Kind) string {
	for _, name := range sortedKeys(classic()) {
		if slices.Contains(classic()[name], k) {
			return name
		}
	}
	return string(k)
}

// Run prints the log.
func (c logShow) Run(a *app) error {
	req, err := c.request(time.Now())
	if err != nil {
		return exit{exitUsage, err}
	}
	return a.connected(func(hub caller) error {
		print, rows := a.printer(c), 0
		var pictured []uint64
		err := hub.call(a.ctx, "log", req, func(raw json.RawMessage) error {
			var r logRow
			if err := json.Unmarshal(raw, &r); err != nil {
				return err
			}
			if r.Picture {
				pictured = append(pictured, r.Seq)
			} else if c.Pictures != "" {
				return nil
			}
			rows++
			return print.row(r)
		}, nothing)
		switch {
		case err != nil && rows == 0:
			return err
		case err == nil && c.Seq != 0 && rows == 0:
			return noRecord(c.Seq)
		}
		return errors.Join(err, print.end(), c.export(a, hub, pictured))
	})
}

// export writes the pictures that are asked for.
func (c logShow) export(a *app, hub caller, pictured []uint64) error {
	if c.Picture != "" {
		return a.savePicture(hub, c.Seq, c.Picture)
	}
	if c.Pictures == "" {
		return nil
	}
	if err := os.MkdirAll(c.Pictures, 0o700); err != nil {
		return err
	}
	for _, seq := range pictured {
		if err := a.savePicture(hub, seq, filepath.Join(c.Pictures, fmt.Sprintf("%d.jpg", seq))); err != nil {
			return err
		}
	}
	return nil
}

// savePicture writes the picture of a record to a file that nobody else can read.
func (a *app) savePicture(hub caller, seq uint64, file string) error {
	p, err := callOne[picture](a, hub, "log.picture", pictureRequest{Seq: seq})
	if err != nil {
		return err
	}
	return writePrivate(file, p.Data)
}

// writePrivate writes a file, also one that others could read before.
func writePrivate(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = f.Chmod(0o600)
	}
	if err == nil {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}

func (c logShow) request(now time.Time) (logRequest, error) {
	req := logRequest{Who: c.Person, Door: c.Door, Limit: c.Last, Seq: c.Seq}
	switch {
	case c.Last < 0:
		return req, fmt.Errorf("-n %d: use 1 or more; 0 is all", c.Last)
	case c.Picture != "" && c.Seq == 0:
		return req, errors.New("--picture: say of which record, as in doorhub log show 12 --picture 12.jpg; --pictures DIR writes those of many")
	}
	for _, name := range c.Type {
		kinds, err := kindsOf(name)
		if err != nil {
			return req, err
		}
		req.Kinds = append(req.Kinds, kinds...)
	}
	switch {
	case len(c.Type) > 0 || c.All || c.Seq != 0:
	case c.Pictures != "":
		req.Kinds = picturedKinds()
	default:
		for _, name := range sortedKeys(classic()) {
			req.Kinds = append(req.Kinds, classic()[name]...)
		}
	}
	var err1, err2 error
	req.From, err1 = parseTime(c.From, now)
	req.To, err2 = parseTime(c.To, now)
	return req, errors.Join(err1, err2)
}

// kindsOf returns the kinds that a type covers. The three classic types go before the kinds
// of the same name.
func kindsOf(name string) ([]door.Kind, error) {
	for title, kinds := range classic() {
		if strings.EqualFold(title, name) {
			return kinds, nil
		}
	}
	if kind := door.Kind(strings.ToLower(name)); slices.Contains(allKinds(), kind) {
		return []door.Kind{kind}, nil
	}
	var names []string
	for _, k := range allKinds() {
		names = append(names, string(k))
	}
	return nil, fmt.Errorf("--type %.40q: there is no such type: use %s, or a kind of record: %s",
		name, strings.Join(sortedKeys(classic()), ", "), strings.Join(names, ", "))
}

// allKinds are the kinds of records there are.
func allKinds() []door.Kind {
	return []door.Kind{door.KindGranted, door.KindDenied, door.KindEntry, door.KindExit, door.KindNotEntered,
		door.KindSeen, door.KindREX, door.KindIntrusion, door.KindLockout, door.KindForced, door.KindHeldOpen,
		door.KindClosed, door.KindLocked, door.KindUnlocked, door.KindJammed, door.KindSensorOpen,
		door.KindSensorClosed, door.KindEnrolled, door.KindChanged, door.KindErased, door.KindCommandRefused,
		door.KindStarted, door.KindStopped, door.KindClockSet, door.KindProblem, door.KindProblemGone}
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: use 2026-11-21, 2026-11-21T15:04, or 24h for a day ago", text)
}

// whole reports whether records are shown with all they hold.
func (c logShow) whole() bool { return c.All || c.Seq != 0 || c.Pictures != "" }

// printer prints rows in one of the forms.
type printer struct {
	row func(logRow) error
	end func() error
}

func (a *app) printer(c logShow) printer {
	switch {
	case a.cli.JSON:
		return printer{func(r logRow) error { return a.printJSON(r) }, func() error { return nil }}
	case c.CSV:
		w := csv.NewWriter(a.out)
		return newTable(c.whole(), w.Write, func() error { w.Flush(); return w.Error() })
	}
	return textTable(a.out, c.whole())
}

// textTable prints rows as a table for people.
func textTable(out io.Writer, all bool) printer {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	return newTable(all, func(cells []string) error {
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		_, err := fmt.Fprintln(w, strings.Join(cells, "\t"))
		return err
	}, w.Flush)
}

// printable takes out of a cell what would break the table, or command the terminal: some of
// what is journalled came over the bus.
func printable(cell string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '\uFFFD'
		}
		return r
	}, cell)
}

func newTable(all bool, write func([]string) error, end func() error) printer {
	head, cells := []string{"ID", "Name", "Time", "Type"}, classicCells
	if all {
		head, cells = []string{"ID", "Time", "Door", "Kind", "Side", "Person", "Name", "Factors", "Reason", "Picture", "Details"}, allCells
	}
	first := true
	return printer{
		row: func(r logRow) error {
			if first {
				first = false
				if err := write(head); err != nil {
					return err
				}
			}
			return write(cells(r))
		},
		end: func() error {
			if first {
				if err := write(head); err != nil {
					return err
				}
			}
			return end()
		},
	}
}

func classicCells(r logRow) []string {
	return []string{fmt.Sprint(r.Seq), calledIn(r), r.Time.Local().Format(time.DateTime), classicType(r.Kind)}
}

func allCells(r logRow) []string {
	var details []string
	for _, k := range slices.Sorted(maps.Keys(r.Details)) {
		details = append(details, k+"="+r.Details[k])
	}
	pictured := ""
	if r.Picture {
		pictured = "yes"
	}
	return []string{fmt.Sprint(r.Seq), r.Time.Local().Format("2006-01-02 15:04:05.000"), r.Door, string(r.Kind), string(r.Side),
		r.Person, r.Name, r.Factors.String(), r.Reason, pictured, strings.Join(details, " ")}
}

// calledIn names whoever a record is about, or what.
func calledIn(r logRow) string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Person != "":
		return "(erased, " + r.Person + ")"
	case r.Kind == door.KindForced:
		return cmp.Or(r.Door, "unknown")
	}
	return "unknown"
}

type logVerify struct {
	Head []string `help:"A head noted earlier (SEQ-HEX), to find a tail that was cut off." placeholder:"HEAD"`
}

// Run verifies the journal and prints its head.
func (c logVerify) Run(a *app) error {
	var req verifyRequest
	for _, text := range c.Head {
		h, err := store.ParseHead(text)
		if err != nil {
			return exit{exitUsage, err}
		}
		req.Heads = append(req.Heads, h)
	}
	return a.connected(func(hub caller) error {
		var got []verifyAnswer
		err := hub.call(a.ctx, "log.verify", req, collect(&got), a.progress("records"))
		if err != nil {
			return err
		}
		return a.printVerified(got[0])
	})
}

func (a *app) printVerified(v verifyAnswer) error {
	if a.cli.JSON {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else if v.Whole {
		fmt.Fprintf(a.out, "the journal is whole: %d records\nhead %s\n(note the head elsewhere: doorhub log verify --head HEAD then finds a tail that was cut off)\n", v.Head.Seq, v.Head)
		if v.Unchecked != "" {
			fmt.Fprintln(a.out, v.Unchecked)
		}
	}
	if !v.Whole {
		return exit{exitBroken, errors.New(v.Wrong)}
	}
	return nil
}
