package broker

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzFilters subscribes over the wire, as each role, to whatever filter, and has the hub speak
// on whatever topic: what is granted and what arrives is what the model says.
func FuzzFilters(f *testing.F) {
	for _, s := range sieves() {
		f.Add(s, "doorhub/in/sensor/contact", true)
	}
	for _, topic := range somewhere() {
		f.Add("doorhub/#", topic, false)
		f.Add(strings.ReplaceAll(topic, "front", "+"), topic, true)
	}
	for _, odd := range []string{
		"doorhub/door/\ufeff/#", "doorhub\u2215door/#", "doorhub/door\u0000/#", "doorhub/\xc0\xae\xc0\xae/in/#", "doorhub/door/\xf4\x90\x80\x80/#",
		"\ufeffdoorhub/#", "doorhub/in/\u202e/#", "$share/\u0000/#", "$\u017fhare/g/#", "$share/g//doorhub/#", "+/+/+/+/+/#", "doorhub/in/+/#/x", "#/#", "doorhub/\u0131n/#",
	} {
		f.Add(odd, strings.NewReplacer("#", "x", "+", "y").Replace(odd), true)
	}
	h := start(f, func(c *Config) { c.UserRate, c.Listen = 0, "" }) // ports would run out
	topics := somewhere()
	f.Fuzz(func(t *testing.T, filter, topic string, five bool) {
		if len(filter) > 1000 || len(topic) > 1000 {
			return // others test lengths
		}
		x := &rights{house: h, t: t, version: 4}
		if five {
			x.version = 5
		}
		hub := members[0]
		said := hub.writes(topic, false)
		var ears []*peer
		var want [][]string
		for _, m := range members {
			p, granted := x.asks(m, filter, "ears")
			if model := m.subscribes(filter, append(topics[:len(topics):len(topics)], topic)); granted != model {
				t.Fatalf("%s subscribes to %q: %t, by the model %t", m.name, filter, granted, model)
			}
			lines := []string{}
			if granted && said && m.reads(topic) && slowMatch(filter, topic) {
				lines = append(lines, fmt.Sprintf("%s: %snews (kept false)", topic, mine))
			}
			if granted {
				ears, want = append(ears, p), append(want, lines)
			}
		}
		mouth := x.in(t, x.as(hub, "mouth"))
		mouth.attempt(publication(topic, mine+"news", 1, false))
		for i, p := range ears {
			x.differ(fmt.Sprintf("%q hears %q", filter, topic), 1, want[i], p.drained())
		}
	})
}
