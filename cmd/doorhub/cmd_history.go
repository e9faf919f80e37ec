package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

type historyCmd struct {
	Status   historyStatus   `cmd:"" default:"1" help:"How far the journal is in the database, and what is wrong."`
	Backfill historyBackfill `cmd:"" help:"Send records to the database again; each replaces itself there."`
}

type historyStatus struct{}

// Run prints how far the history is.
func (historyStatus) Run(a *app) error {
	return a.connected(func(hub caller) error {
		v, err := callOne[historyView](a, hub, "history.status", struct{}{})
		if err != nil {
			return err
		}
		return a.printHistory(v)
	})
}

type historyBackfill struct {
	From string `help:"all, or from then on: 2026-11-21, 2026-11-21T15:04, or 24h for the last day." required:"" placeholder:"TIME"`
}

// Run has records sent again.
func (c historyBackfill) Run(a *app) error {
	from := ""
	if c.From != "all" {
		from = c.From
	}
	at, err := parseTime(from, time.Now())
	if err == nil && c.From == "" {
		err = errors.New("say from when: a time, or all")
	}
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--from: %w", err)}
	}
	return a.connected(func(hub caller) error {
		v, err := callOne[historyView](a, hub, "history.backfill", backfillRequest{From: at})
		if err != nil {
			return err
		}
		return a.printHistory(v)
	})
}

// mostAside is how many refused records are listed for people; JSON has them all.
const mostAside = 20

func (a *app) printHistory(v historyView) error {
	if a.cli.JSON {
		return a.printJSON(v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "database  %s\nrecords   %d of %d sent, %d behind\n", v.URL, min(v.Cursor, v.Head), v.Head, v.Backlog)
	switch {
	case !v.Running:
		fmt.Fprintln(&b, "no hub is running: nothing is sent until one is")
	case v.Last.IsZero():
		fmt.Fprintln(&b, "last      nothing since the hub started")
	default:
		fmt.Fprintf(&b, "last      %s (%d points since the hub started)\n", v.Last.Local().Format(time.DateTime), v.Sent)
	}
	if v.Expired > 0 {
		fmt.Fprintf(&b, "expired   %d are older than the bucket keeps any\n", v.Expired)
	}
	if v.Problem != "" {
		fmt.Fprintf(&b, "problem   %s: %s\n", v.Reason, printable(v.Problem))
	}
	if len(v.Aside) > 0 {
		fmt.Fprintf(&b, "refused   %s set aside; mend the cause, and doorhub history backfill sends them again\n", counted(len(v.Aside), "record is", "records are"))
	}
	for i, seq := range sortedKeys(v.Aside) {
		if i == mostAside {
			fmt.Fprintln(&b, "  and more: --json lists them")
			break
		}
		fmt.Fprintf(&b, "  %d: %s\n", seq, printable(v.Aside[seq]))
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}
