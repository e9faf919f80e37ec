package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
)

// hubUser is the hub's own user of the embedded broker.
const hubUser = "hub"

// openBus starts the embedded broker, or goes to the external one, and connects the hub to it.
func (h *hub) openBus(ctx context.Context) (err error) {
	cc := broker.ClientConfig{}
	if h.cfg.Broker.Mode == broker.External {
		if cc, err = h.cfg.Broker.External(h.log); err != nil {
			return fmt.Errorf("broker: %w", err)
		}
	} else if cc, err = h.startBroker(); err != nil {
		return err
	}
	client, err := h.dial(ctx, cc, "bus")
	if err != nil {
		return err
	}
	h.bus = h.newOutlet("bus", client)
	if h.server == nil { // the embedded broker shows readings before it acknowledges them
		if err := h.openReadings(ctx, cc); err != nil {
			return err
		}
	}
	if err := h.openReplays(ctx, cc, client); err != nil {
		return err
	}
	return h.meetHomeAssistant(ctx, client)
}

// openReadings hears sensors at a broker elsewhere, by a connection of its own: what they send
// while the hub is away waits there, as commands must not.
func (h *hub) openReadings(ctx context.Context, cc broker.ClientConfig) error {
	cc.ClientID = h.clientID(cc, "readings")
	cc.Log = h.log
	cc.Keep = []broker.Keep{{Filter: discovery.ReadingFilter, Handle: h.keptReading}}
	cc.Problem = h.busProblem("bus_readings")
	client, err := broker.Dial(ctx, cc)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	h.readings = client
	client.OnUp(func() { h.send(door.Fault{Part: "bus_readings"}) })
	h.undo.add("bus_readings", func() error { client.Close(); return nil })
	return nil
}

// keptReading returns when the broker may forget a reading. A hub that is stopping takes none
// more: the next one will.
func (h *hub) keptReading(ctx context.Context, m broker.Message) error {
	err := h.reading(m)
	if errors.Is(err, errGone) {
		<-ctx.Done()
	}
	return err
}

func (h *hub) busProblem(part string) func(error) {
	return func(err error) {
		f := door.Fault{Part: part}
		if err != nil {
			f.Reason, f.Detail = "broker_down", err.Error()
		}
		h.send(f)
	}
}

func (h *hub) startBroker() (broker.ClientConfig, error) {
	cfg := h.cfg.Broker
	cfg.Dir = h.cfg.Data
	server, err := broker.Start(cfg, h.users, h.log, h.listen)
	if err != nil {
		return broker.ClientConfig{}, err
	}
	h.undo.add("broker", server.Close)
	h.server, h.service.lastSeen = server, server.LastSeen
	token, err := h.users.Lend(hubUser, broker.RoleHub)
	if errors.Is(err, broker.ErrUserExists) {
		err = fmt.Errorf("the name %q is the hub's own on the bus: revoke that user: %w", hubUser, err)
	}
	return broker.ClientConfig{Conn: server.Dial, User: hubUser, Token: token}, err
}

// listen registers what the hub wants to know of its broker from the first connection on.
func (h *hub) listen(server *broker.Server) {
	server.ClockRight(func() bool { return h.clock.now().Synced })
	server.OnFault(func(err error) {
		f := door.Fault{Part: "broker"}
		if err != nil {
			f.Reason, f.Detail = "unwritten", err.Error()
		}
		h.send(f)
	})
	wake := make(chan struct{}, 1)
	server.OnFlood(func(string) { nudge(wake) })
	server.OnLoginBlock(func(string) { nudge(wake) })
	h.offenders = &offenders{bus: server, send: h.sendBehind, rate: h.cfg.Broker.UserRate, wake: wake}
	err := server.OnPublish(discovery.ReadingFilter, func(_ string, m broker.Message) { _ = h.reading(m) }) // a device waits only so long
	if err != nil {
		h.log.Error("readings are not heard", "component", "hub", "error", err) // a fixed filter: never
	}
}

// clientID names a connection of the hub. At a broker elsewhere, whoever knows the name can take
// the connection's place and its session.
func (h *hub) clientID(cc broker.ClientConfig, part string) string {
	id := "doorhub-" + h.cfg.Name + "-" + part
	if cc.Conn == nil {
		id += "-" + h.store.Alias(id)
	}
	return id
}

// dial connects a client whose will says that this hub is gone.
func (h *hub) dial(ctx context.Context, cc broker.ClientConfig, part string) (*broker.Client, error) {
	will := message(discovery.Status(h.cfg.Name, false))
	cc.Will = &will
	cc.ClientID = h.clientID(cc, part)
	cc.Log = h.log
	cc.Problem = h.busProblem(part)
	client, err := broker.Dial(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", part, err)
	}
	client.OnUp(func() { h.send(door.Fault{Part: part}) })
	h.undo.add(part, func() error {
		bye, cancel := context.WithTimeout(context.Background(), closePatience/2)
		defer cancel()
		err := client.Publish(bye, message(discovery.Status(h.cfg.Name, false)))
		client.Close()
		if errors.Is(err, broker.ErrDown) {
			return nil // its will says so
		}
		return err
	})
	return client, nil
}

func message(m discovery.Message) broker.Message {
	return broker.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
}

// meetHomeAssistant announces the house and listens for commands, on the bus or on the broker
// that Home Assistant already has.
func (h *hub) meetHomeAssistant(ctx context.Context, bus *broker.Client) error {
	cfg := h.cfg.HomeAssistant
	if !cfg.Enabled {
		return nil
	}
	client, outlet, user := bus, h.bus, ""
	if cfg.Broker != "" {
		cc, err := h.cfg.homeBroker().External(h.log)
		if err != nil {
			return fmt.Errorf("home_assistant: %w", err)
		}
		if client, err = h.dial(ctx, cc, "home_assistant"); err != nil {
			return err
		}
		outlet, user = h.newOutlet("home_assistant", client), "home_assistant"
		h.ha = outlet
	}
	outlet.announce = h.announcements
	h.panel = outlet
	err := errors.Join(
		client.Subscribe(ctx, cfg.Birth, 1, func(m broker.Message) {
			switch {
			case discovery.Birth(m.Topic, m.Payload, cfg.Birth):
				outlet.born()
			case discovery.Death(m.Topic, m.Payload, cfg.Birth):
				outlet.gone()
			}
		}),
		client.Subscribe(ctx, discovery.DeviceFilter(h.hubInfo()), 1, h.keptDiscovery(outlet)),
		client.Subscribe(ctx, discovery.PersonFilter, 1, func(m broker.Message) { h.keptPerson(outlet, m) }))
	if user == "" && h.server != nil {
		return errors.Join(err, h.server.OnPublish(discovery.CommandFilter, h.command))
	}
	return errors.Join(err, client.Subscribe(ctx, discovery.CommandFilter, 1, func(m broker.Message) { h.command("home_assistant", m) }))
}

func (h *hub) hubInfo() discovery.Hub {
	return discovery.Hub{Prefix: h.cfg.HomeAssistant.Prefix, Instance: h.cfg.Name, Version: version}
}

// crowd is how many inputs may wait for the house before those of the network stand back.
const crowd = 2

// sendBehind brings an input of the network to the house. It waits while others do, so that
// nothing that opens a door ever stands behind a flood of messages.
func (h *hub) sendBehind(in door.Input) {
	for len(h.inputs) >= crowd {
		select {
		case <-h.stepped:
		case <-h.gone:
			return
		}
	}
	h.send(in)
}

// reading takes what a sensor's user sent; the broker saw to it that it is that user. The error
// says that nobody knows whether it was heard.
func (h *hub) reading(m broker.Message) error {
	sensor, open, err := discovery.ParseReading(m.Topic, m.Payload)
	if m.Retain {
		return nil // raw input is never retained: this is not ours
	}
	part := "sensor/" + sensor
	if !h.hasSensor(sensor) {
		return nil
	}
	if err != nil {
		return h.deliver(door.Fault{Part: part, Reason: "unreadable", Detail: err.Error()})
	}
	h.sendBehind(door.Fault{Part: part})
	if err := h.deliver(door.Sensor{Sensor: sensor, Open: open}); err != nil {
		return err
	}
	h.condition.heard(sensor, h.clock.now().Wall)
	return nil
}

func (h *hub) hasSensor(id string) bool {
	for _, s := range h.cfg.Sensors {
		if s.ID == id {
			return true
		}
	}
	return false
}

// command takes what somebody asked for; its code is looked up off the house's loop.
func (h *hub) command(user string, m broker.Message) {
	cmd, code, err := discovery.ParseCommand(m.Topic, m.Payload, m.Retain)
	if errors.Is(err, discovery.ErrTopic) {
		return
	}
	cmd.User = user
	select {
	case h.codes <- codeCheck{cmd, code}:
	default: // faster than codes can be checked: nobody's finger
		if cmd.Action != door.ActionLock { // locking waits for nobody
			cmd.Bad = "too many commands at once"
		}
		h.sendBehind(cmd)
	}
}

func usersFile(data string) string { return filepath.Join(data, "users.json") }
