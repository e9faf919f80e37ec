package main

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

// hubCollector reads the hub's figures when Prometheus asks. Labels name doors, readers of the
// journal and brokers; never people, users or addresses.
type hubCollector struct{ h *hub }

// Describe tells of no metric before it is collected: which there are depends on the config.
func (hubCollector) Describe(chan<- *prometheus.Desc) {}

// Collect is for Prometheus.
func (c hubCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsPatience/2)
	defer cancel()
	s := samples{to}
	vision := "no"
	if hasVision {
		vision = "yes"
	}
	s.gauge("doorhub_build_info", "1; what was built is in the labels.", 1, "version", version, "vision", vision)
	c.h.collectBus(ctx, s)
	c.h.collectJournal(ctx, s)
	c.h.collectHistory(ctx, s)
	s.gauge("doorhub_house_inputs_queued", "Inputs that the house has not taken yet.", float64(len(c.h.inputs)))
	s.gauge("doorhub_house_commands_queued", "Commands whose remote code has not been looked up yet.", float64(len(c.h.codes)))
	for _, e := range c.h.vision.eyes() {
		s.counter("doorhub_camera_frames_total", "Frames that came from a camera.", float64(e.frames), e.labels()...)
		s.counter("doorhub_face_looks_total", "Frames in which faces were looked for.", float64(e.looks), e.labels()...)
	}
}

// eye is a camera, and what came of it.
type eye struct {
	place  door.Vision
	frames uint64 // that came
	looks  uint64 // of these, in which faces were looked for
}

func (e eye) labels() []string {
	return []string{"door", e.place.Door, "side", string(e.place.Side), "camera", strconv.Itoa(e.place.Camera)}
}

// samples makes metrics of single values.
type samples struct{ to chan<- prometheus.Metric }

func (s samples) gauge(name, help string, v float64, labels ...string) {
	s.send(prometheus.GaugeValue, name, help, v, labels)
}

func (s samples) counter(name, help string, v float64, labels ...string) {
	s.send(prometheus.CounterValue, name, help, v, labels)
}

// send takes labels as names and values in turn.
func (s samples) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := prometheus.NewDesc(name, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, v, values...)
	if err != nil { // as a version that is not UTF-8
		m = prometheus.NewInvalidMetric(desc, err)
	}
	s.to <- m
}

func (h *hub) collectBus(ctx context.Context, s samples) {
	v, err := h.busView(ctx)
	if err != nil {
		h.log.Error("the bus cannot be looked at", "component", "metrics", "error", err)
		return
	}
	if b := v.Broker; b != nil {
		s.gauge("doorhub_broker_connections", "Clients logged in.", float64(b.Connections))
		s.gauge("doorhub_broker_logging_in", "Connections that have not logged in yet.", float64(b.LoggingIn))
		s.gauge("doorhub_broker_sessions", "Sessions of clients that are connected or may come back.", float64(b.Sessions))
		s.gauge("doorhub_broker_users", "Users who may connect.", float64(b.Users))
		s.gauge("doorhub_broker_retained_messages", "Messages that are kept as states.", float64(b.Retained))
		s.gauge("doorhub_broker_queued_messages", "Messages of QoS 1 and 2 that clients have not acknowledged.", float64(b.Queued))
		s.gauge("doorhub_broker_queue_bytes", "Bytes that these take.", float64(b.QueueBytes))
		s.gauge("doorhub_broker_unwritten_bytes", "Bytes on their way out to slow connections.", float64(b.Unwritten))
		s.gauge("doorhub_broker_log_bytes", "Bytes on disk of the sessions that are kept.", float64(b.LogBytes))
		s.gauge("doorhub_broker_flooding_users", "Users cut for sending too fast, who have not paused since.", float64(len(b.Flooding)))
		s.gauge("doorhub_broker_blocked_logins", "Users and addresses whose logins are turned away for now.", float64(len(b.BlockedUsers)+len(b.BlockedAddresses)))
		collectTotals(b, s)
	}
	for name, l := range map[string]*linkView{"bus": v.Bus, "home_assistant": v.HomeAssistant} {
		if l == nil {
			continue
		}
		up := 0.0
		if l.Up {
			up = 1
		}
		s.gauge("doorhub_link_up", "1 while the hub is connected to a broker elsewhere.", up, "broker", name)
		s.counter("doorhub_link_reconnects_total", "Connections made again to a broker elsewhere.", float64(l.Reconnects), "broker", name)
		s.gauge("doorhub_link_unhandled_messages", "Messages received from a broker elsewhere and still to be handled.", float64(l.Unhandled), "broker", name)
	}
}

func collectTotals(b *broker.Stats, s samples) {
	for direction, f := range map[string]broker.Flow{"in": b.In, "out": b.Out} {
		s.counter("doorhub_broker_messages_total", "Messages (PUBLISH packets), by direction.", float64(f.Messages), "direction", direction)
		s.counter("doorhub_broker_packets_total", "Packets of all types, by direction.", float64(f.Packets), "direction", direction)
		s.counter("doorhub_broker_bytes_total", "Bytes of packets, by direction.", float64(f.Bytes), "direction", direction)
	}
	s.counter("doorhub_broker_dropped_messages_total", "Messages of QoS 0 that clients too far behind did not get.", float64(b.Dropped))
	s.counter("doorhub_broker_logins_total", "Logins that went well.", float64(b.Logins))
	s.counter("doorhub_broker_refused_logins_total", "Logins with wrong passwords or forbidden wills.", float64(b.RefusedLogins))
	s.counter("doorhub_broker_turned_away_connections_total", "Connections closed before a login: from blocked addresses, or too many at once.", float64(b.TurnedAway))
	s.counter("doorhub_broker_refused_messages_total", "Publications that the role of their sender forbids.", float64(b.RefusedMessages))
	s.counter("doorhub_broker_refused_subscriptions_total", "Subscriptions that the role of the client forbids.", float64(b.RefusedFilters))
	s.counter("doorhub_broker_floods_total", "Times that a user was cut for sending too fast.", float64(b.Floods))
	s.counter("doorhub_broker_login_blocks_total", "Times that logins of a user or an address were blocked.", float64(b.LoginBlocks))
	s.counter("doorhub_broker_overflowed_sessions_total", "Sessions ended because too much waited for them.", float64(b.Overflows))
	s.counter("doorhub_broker_stuck_connections_total", "Connections cut because nobody read from them.", float64(b.Stuck))
	s.counter("doorhub_broker_panics_total", "Panics caught; each cost its sender the connection.", float64(b.Panics))
}

func (h *hub) collectJournal(ctx context.Context, s samples) {
	head := h.store.Head().Seq
	s.gauge("doorhub_journal_head", "Number of the newest durable record.", float64(head))
	s.gauge("doorhub_journal_unwritten_records", "Records in memory that are not durable yet.", float64(h.recorder.waiting()))
	cursors, err := h.store.Cursors(ctx)
	if err != nil {
		h.log.Error("the journal's readers cannot be looked at", "component", "metrics", "error", err)
		return
	}
	for reader, at := range cursors {
		s.gauge("doorhub_journal_backlog_records", "Records that a reader of the journal has not read yet.", float64(head-min(at, head)), "reader", reader)
	}
}

func (h *hub) collectHistory(ctx context.Context, s samples) {
	if h.history == nil {
		return
	}
	st := h.history.Status()
	up := 0.0
	if st.Problem == "" {
		up = 1
	}
	s.gauge("doorhub_history_up", "1 while nothing keeps the journal from the database.", up)
	s.gauge("doorhub_history_backlog_records", "Records still to be sent to the database.", float64(st.Backlog))
	s.counter("doorhub_history_points_total", "Points that the database took, corrections among them.", float64(st.Sent))
	s.counter("doorhub_history_expired_points_total", "Points that were older than the database keeps any.", float64(st.Expired))
	if !st.Last.IsZero() {
		s.gauge("doorhub_history_last_timestamp_seconds", "When the database last took something.", float64(st.Last.UnixMilli())/1000)
	}
	aside, err := h.store.Aside(ctx, historyName)
	if err != nil {
		h.log.Error("what the database refused cannot be looked at", "component", "metrics", "error", err)
		return
	}
	s.gauge("doorhub_history_refused_records", "Records set aside, which the database refuses.", float64(len(aside)))
}
