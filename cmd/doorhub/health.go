package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
)

// busView is how the bus fares at one moment.
type busView struct {
	Broker        *broker.Stats `json:"broker,omitempty"`         // nil: the bus is elsewhere
	Bus           *linkView     `json:"bus,omitempty"`            // the hub at a bus that is elsewhere
	HomeAssistant *linkView     `json:"home_assistant,omitempty"` // the hub at Home Assistant's own broker
}

// linkView is the hub's connection to a broker elsewhere.
type linkView struct {
	broker.Link
	Backlog uint64 `json:"backlog"` // records of the journal still to be told there
}

func (h *hub) busView(ctx context.Context) (v busView, err error) {
	if h.server != nil {
		st := h.server.Stats()
		v.Broker = &st
	} else if v.Bus, err = h.bus.link(ctx); err != nil {
		return v, err
	}
	if h.ha != nil {
		v.HomeAssistant, err = h.ha.link(ctx)
	}
	return v, err
}

func (o *outlet) link(ctx context.Context) (*linkView, error) {
	told, err := o.store.Cursor(ctx, o.name)
	head := o.store.Head().Seq
	return &linkView{o.client.Link(), head - min(told, head)}, err
}

var errNoHub = errors.New("no hub is running: start it with doorhub run, or as a service")

func (s *service) topOfBus(ctx context.Context, _ struct{}) (busView, error) {
	if s.bus == nil {
		return busView{}, errNoHub
	}
	return s.bus(ctx)
}

// healthBeat is from look to look at how the bus fares.
const healthBeat = 30 * time.Second

// tellHealth tells on the bus how the bus fares: when the hub has connected, and then as often as
// there is news, but not all the time.
func (h *hub) tellHealth(ctx context.Context) {
	wake, before := make(chan struct{}, 1), broker.Stats{}
	h.bus.client.OnUp(func() { nudge(wake) })
	t := teller{wake: wake, show: h.show, look: func() (discovery.Message, string, error) {
		v, err := h.busView(ctx)
		switch {
		case err != nil:
			return discovery.Message{}, "", err
		case v.Broker == nil:
			l := busLink(*v.Bus)
			l.Problems = h.unprotected()
			return discovery.ExternalBus(h.cfg.Name, l), gistOfLink(l), nil
		}
		b := busHealth(*v.Broker, before, h.offenders)
		b.Problems = append(b.Problems, h.unprotected()...)
		before = *v.Broker
		return discovery.EmbeddedBus(h.cfg.Name, b), gistOfHealth(b), nil
	}}
	t.run(ctx, func(err error) {
		h.log.Error("cannot look at the bus", "component", "hub", "error", err)
	})
}

// teller shows a state that never stands still, each time that its gist has changed.
type teller struct {
	look func() (m discovery.Message, gist string, err error)
	show func(...discovery.Message)
	wake chan struct{}
	told string
}

func (t *teller) run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(healthBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-tick.C:
		}
		m, gist, err := t.look()
		if err != nil {
			failed(err)
			continue
		}
		if gist != t.told {
			t.show(m)
			t.told = gist
		}
	}
}

func busHealth(now, before broker.Stats, o *offenders) discovery.BusHealth {
	r := now.Rates(before)
	b := discovery.BusHealth{
		Since: now.Since, Connections: now.Connections, Sessions: now.Sessions, Users: now.Users, Retained: now.Retained,
		MessagesIn: r.In.Messages, MessagesOut: r.Out.Messages, BytesIn: r.In.Bytes, BytesOut: r.Out.Bytes,
		Queued: now.Queued, QueueBytes: now.QueueBytes + now.Unwritten,
		Dropped: now.Dropped, RefusedLogins: now.RefusedLogins, RefusedMessages: now.RefusedMessages, Floods: now.Floods,
	}
	for _, f := range o.faults() {
		b.Problems = append(b.Problems, f.Part+" "+f.Reason)
	}
	if now.Unkept != "" {
		b.Problems = append(b.Problems, "broker unwritten")
	}
	return b
}

func busLink(l linkView) discovery.BusLink {
	return discovery.BusLink{URL: l.URL, Up: l.Up, Since: l.Since, Reconnects: l.Reconnects, Backlog: l.Backlog}
}

// gistOfHealth is the same for two looks that differ in nothing worth telling: rates and queues
// count by powers of two.
func gistOfHealth(b discovery.BusHealth) string {
	b.MessagesIn, b.MessagesOut = magnitude(b.MessagesIn), magnitude(b.MessagesOut)
	b.BytesIn, b.BytesOut = magnitude(b.BytesIn/1000), magnitude(b.BytesOut/1000)
	b.Queued, b.QueueBytes = int(magnitude(float64(b.Queued))), int(magnitude(float64(b.QueueBytes)/1000))
	return fmt.Sprintf("%+v", b)
}

func gistOfLink(l discovery.BusLink) string {
	l.Backlog = uint64(magnitude(float64(l.Backlog)))
	return fmt.Sprintf("%+v", l)
}

func magnitude(x float64) float64 { return math.Round(math.Log2(1 + x)) }
