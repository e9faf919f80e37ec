package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/doorhub/doorhub/broker"
)

// Colours of a terminal (ECMA-48, 8.3.117).
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
)

// topView is how the bus fares with what went through it a second, the busiest client first.
type topView struct {
	Broker        *topBroker `json:"broker,omitempty"`
	Bus           *linkView  `json:"bus,omitempty"`
	HomeAssistant *linkView  `json:"home_assistant,omitempty"`
}

type topBroker struct {
	broker.Stats
	Rates   broker.Rates `json:"rates"`
	Clients []topClient  `json:"clients"` // in place of those without rates
}

type topClient struct {
	broker.ClientStats
	Rates broker.Rates `json:"rates"`
}

// topLine is a line of text without control characters, and its colour.
type topLine struct{ text, colour string }

func newTopView(now, before busView) topView {
	v := topView{Bus: now.Bus, HomeAssistant: now.HomeAssistant}
	if now.Broker == nil {
		return v
	}
	if before.Broker == nil { // rates are not known yet
		before = now
	}
	was := map[string]broker.ClientStats{}
	for _, c := range before.Broker.Clients {
		was[c.User+"/"+c.Client] = c
	}
	v.Broker = &topBroker{Stats: *now.Broker, Rates: now.Broker.Rates(*before.Broker), Clients: []topClient{}}
	for _, c := range now.Broker.Clients {
		rates := c.Rates(was[c.User+"/"+c.Client], now.Broker.Uptime-before.Broker.Uptime)
		v.Broker.Clients = append(v.Broker.Clients, topClient{c, rates})
	}
	slices.SortStableFunc(v.Broker.Clients, func(a, b topClient) int {
		return cmp.Or(cmp.Compare(both(b.Rates).Messages, both(a.Rates).Messages),
			cmp.Compare(both(b.Rates).Bytes, both(a.Rates).Bytes))
	})
	return v
}

func both(r broker.Rates) broker.Rate {
	return broker.Rate{Messages: r.In.Messages + r.Out.Messages, Packets: r.In.Packets + r.Out.Packets, Bytes: r.In.Bytes + r.Out.Bytes}
}

// lines are what a reader sees.
func (v topView) lines(now time.Time) []topLine {
	var ls []topLine
	if v.Broker != nil {
		ls = v.Broker.lines(now)
	} else {
		ls = append(ls, v.Bus.line("the bus is external", now),
			topLine{text: "who is connected there, that broker knows"})
	}
	if v.HomeAssistant != nil {
		ls = append(ls, v.HomeAssistant.line("Home Assistant's own broker", now))
	}
	return ls
}

func (l *linkView) line(what string, now time.Time) topLine {
	t := topLine{text: fmt.Sprintf("%s, at %s: up for %s, %d reconnects, %d records to be told",
		what, printable(l.URL), ago(now, l.Since), l.Reconnects, l.Backlog)}
	if !l.Up {
		t = topLine{fmt.Sprintf("%s, at %s: down for %s, %d records to be told: %s",
			what, printable(l.URL), ago(now, l.Since), l.Backlog, printable(cmp.Or(l.Problem, "not connected yet"))), red}
	}
	return t
}

func (b *topBroker) lines(now time.Time) []topLine {
	ls := []topLine{
		{fmt.Sprintf("bus up for %s: %d connected, %d sessions, %d users, %d retained messages",
			span(time.Duration(b.Uptime*float64(time.Second))), b.Connections, b.Sessions, b.Users, b.Retained), bold},
		{text: fmt.Sprintf("a second: in %s messages, %s; out %s messages, %s",
			number(b.Rates.In.Messages), size(b.Rates.In.Bytes), number(b.Rates.Out.Messages), size(b.Rates.Out.Bytes))},
		{text: fmt.Sprintf("waiting %d messages, %s; dropped %d; refused: logins %d, messages %d, subscriptions %d",
			b.Queued, size(float64(b.QueueBytes+b.Unwritten)), b.Dropped, b.RefusedLogins, b.RefusedMessages, b.RefusedFilters)},
	}
	for _, trouble := range []struct {
		what string
		who  []string
	}{{"flooding", b.Flooding}, {"logins blocked of users", b.BlockedUsers}, {"logins blocked from", b.BlockedAddresses}} {
		if len(trouble.who) > 0 {
			ls = append(ls, topLine{trouble.what + ": " + printable(strings.Join(trouble.who, ", ")), red})
		}
	}
	if b.Unkept != "" {
		ls = append(ls, topLine{"messages are not kept: " + printable(b.Unkept), red})
	}
	return append(append(ls, topLine{}), b.table(now)...)
}

// table has a line for each client, in columns. Numbers stand to the right.
func (b *topBroker) table(now time.Time) []topLine {
	rows := [][]string{{"USER", "ROLE", "CLIENT", "FROM", "MQTT", "<FOR", "<IN/S", "<OUT/S", "<IN", "<OUT", "<WAITING", "<DROPPED"}}
	colours := []string{bold}
	for _, c := range b.Clients {
		rows = append(rows, c.row(now))
		colours = append(colours, c.colour(slices.Contains(b.Flooding, c.User)))
	}
	ls := make([]topLine, len(rows))
	for i, text := range inColumns(rows) {
		ls[i] = topLine{text, colours[i]}
	}
	return ls
}

func (c topClient) row(now time.Time) []string {
	from, since := c.Remote, ago(now, c.Since)
	if c.TLS {
		from += " tls"
	}
	if c.Remote == "" {
		from, since = "away", ""
		if !c.Seen.IsZero() {
			since = ago(now, c.Seen)
		}
	}
	waiting := fmt.Sprint(c.Queued)
	if n := c.QueueBytes + c.Unwritten; n > 0 {
		waiting += " " + size(float64(n))
	}
	return []string{c.User, string(c.Role), printable(c.Client), from, c.Version, since,
		number(c.Rates.In.Messages), number(c.Rates.Out.Messages), size(c.Rates.In.Bytes), size(c.Rates.Out.Bytes),
		waiting, fmt.Sprint(c.Dropped)}
}

func (c topClient) colour(flooding bool) string {
	switch {
	case flooding:
		return red
	case c.Remote == "":
		return faint
	case c.Dropped > 0 || c.Queued > c.InFlight:
		return yellow
	}
	return ""
}

// inColumns makes the cells of each column equally wide; one whose head begins with < stands to
// the right.
func inColumns(rows [][]string) []string {
	right, width := make([]bool, len(rows[0])), make([]int, len(rows[0]))
	for i, head := range rows[0] {
		rows[0][i], right[i] = strings.CutPrefix(head, "<")
	}
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if right[i] {
				b.WriteString(pad + cell + "  ")
			} else {
				b.WriteString(cell + pad + "  ")
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// number is a rate in few characters.
func number(x float64) string {
	switch {
	case x >= 99_950:
		return fmt.Sprintf("%.0fk", x/1000)
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

// size is a number of bytes in few characters, with units of 1000.
func size(bytes float64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if bytes < 999.5 {
			if unit == "B" || bytes >= 99.95 {
				return fmt.Sprintf("%.0f %s", bytes, unit)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1000
	}
	return fmt.Sprintf("%.1f GB", bytes)
}

func ago(now, then time.Time) string { return span(now.Sub(then)) }

// span is a duration in its two greatest units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
