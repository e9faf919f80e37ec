package broker

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mochi-mqtt/server/v2/packets"
)

// of returns the only client of a user.
func (st Stats) of(t *testing.T, user string) ClientStats {
	t.Helper()
	var found []ClientStats
	for _, c := range st.Clients {
		if c.User == user {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d clients of %s in %+v", len(found), user, st.Clients)
	}
	return found[0]
}

// settled waits until looks at the broker show what they must, since connections end and
// acknowledgements come in their own time.
func (h *house) settled(t *testing.T, what string, ok func(Stats) bool) Stats {
	t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		st := h.Stats()
		if ok(st) {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s: %+v", what, st)
		}
	}
}

func TestStatsOfClients(t *testing.T) {
	dir, withCA := withTLS(t, "127.0.0.1")
	h := start(t, withCA)
	hub := h.client(t, "hub", func(c *ClientConfig) { c.URL, c.TLS = "mqtts://"+h.TLSAddr(), roots(t, dir) })
	l := h.as("viewer")
	l.version = 5
	viewer := h.in(t, l)
	viewer.subscribe("doorhub/alarm/#", 1)
	viewer.ping() // by then what was retained has been looked for
	before := h.Stats()
	for i := range 7 {
		must(t, hub.Publish(soon(t), Message{Topic: "doorhub/alarm/state", Payload: []byte(strings.Repeat("x", 100)), QoS: 1, Retain: i == 0}))
	}
	st := h.Stats()
	got := st.of(t, "viewer")
	want := ClientStats{
		User: "viewer", Role: RoleViewer, Client: "viewer1", Remote: viewer.LocalAddr().String(), Version: "5",
		In:     Flow{Packets: 3, Bytes: got.In.Bytes}, // CONNECT, SUBSCRIBE, PINGREQ
		Out:    Flow{Messages: 7, Packets: 10, Bytes: got.Out.Bytes},
		Queued: 7, QueueBytes: got.QueueBytes, InFlight: 7,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(ClientStats{}, "Since", "Seen", "Unwritten")); diff != "" {
		t.Error(diff)
	}
	if got.Out.Bytes < 700 || got.Out.Bytes > 2000 || got.QueueBytes < 700 {
		t.Errorf("%d bytes sent, %d queued", got.Out.Bytes, got.QueueBytes)
	}
	for what, at := range map[string]time.Time{"since": got.Since, "seen": got.Seen} {
		if time.Since(at) < 0 || time.Since(at) > time.Minute {
			t.Errorf("%s %s", what, at)
		}
	}
	if c := st.of(t, "hub"); !c.TLS || c.Version != "3.1.1" || c.In.Messages != 7 {
		t.Errorf("the hub: %+v", c)
	}
	if st.In.Messages-before.In.Messages != 7 || st.Out.Messages-before.Out.Messages != 7 {
		t.Errorf("before %+v, after %+v", before, st)
	}
	if st.Connections != 2 || st.Sessions != 2 || st.Users != 6 || st.Retained != 1 || st.Queued != 7 || st.Logins != 2 {
		t.Errorf("%+v", st)
	}
	if r := st.Rates(before); r.In.Messages <= 0 || r.In.Bytes < r.In.Messages*100 {
		t.Errorf("rates %+v", r)
	}
	if r := got.Rates(before.of(t, "viewer"), 2); r.Out.Messages != 3.5 {
		t.Errorf("the viewer's rates %+v", r)
	}
	for range 7 {
		viewer.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: viewer.next(packets.Publish).PacketID})
	}
	h.settled(t, "the acknowledgements", func(st Stats) bool { return st.Queued == 0 && st.QueueBytes == 0 && st.Unwritten == 0 })
}

// What has ended counts on in the totals, and a client that may come back is listed as away.
func TestStatsOfThoseWhoLeft(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.keep = true
	viewer := h.in(t, l)
	viewer.subscribe("doorhub/alarm/#", 1)
	sensor := h.in(t, h.as("sensor"))
	sensor.publish("doorhub/in/sensor/x", "x", false)
	before := h.Stats()
	must(t, viewer.Close())
	must(t, sensor.Close())
	h.settled(t, "both to be gone", func(st Stats) bool { return st.Connections == 0 })
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/alarm/state", "armed", false)
	after := h.Stats()
	if after.In.Messages != before.In.Messages+1 || after.In.Bytes <= before.In.Bytes || after.Sessions != 2 || after.LogBytes == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	got := after.of(t, "viewer")
	want := ClientStats{User: "viewer", Role: RoleViewer, Client: "viewer1", Version: "3.1.1", Seen: before.of(t, "viewer").Seen,
		Queued: 1, QueueBytes: got.QueueBytes}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	seen := h.LastSeen()
	if !seen["viewer"].Equal(want.Seen) || seen["sensor"].IsZero() || seen["hub"].IsZero() || !seen["window"].IsZero() {
		t.Errorf("last seen: %v", seen)
	}
}

func TestStatsOfWhatWasRefused(t *testing.T) {
	h := start(t, func(c *Config) { c.WriteTimeout, c.MaxQueue = 200*time.Millisecond, 64<<10 })
	for range 2 {
		h.connect(t, login{user: "sensor", token: "wrong", id: "x"})
	}
	sensor := h.in(t, h.as("sensor"))
	sensor.send(publication("doorhub/alarm/state", "x", 0, false))
	sensor.subscribe("doorhub/#", 1)
	must(t, h.OnPublish("doorhub/in/window/bang", func(string, Message) { panic("bang") }))
	window := h.in(t, h.as("window"))
	window.send(publication("doorhub/in/window/bang", "x", 0, false))
	window.closed()
	viewer := h.in(t, h.as("viewer"))
	viewer.subscribe("doorhub/door/#", 0)
	hub := h.in(t, h.as("hub"))
	sent := 0
	st := h.settled(t, "the viewer, which reads nothing, to be cut", func(st Stats) bool {
		for range 10 {
			hub.send(publication("doorhub/door/front/image", strings.Repeat("x", 60_000), 0, false))
			sent++
		}
		return st.Stuck == 1
	})
	hub.ping()
	want := Totals{Logins: 4, RefusedLogins: 2, RefusedMessages: 1, RefusedFilters: 1, Stuck: 1, Panics: 1}
	if diff := cmp.Diff(want, st.Totals); diff != "" {
		t.Error(diff)
	}
	if st.Dropped == 0 || st.Out.Messages == 0 || st.Out.Messages+st.Dropped > uint64(sent) {
		t.Errorf("%d dropped, %d sent", st.Dropped, st.Out.Messages)
	}
	text, err := json.Marshal(st)
	must(t, err)
	for _, token := range h.tokens {
		if strings.Contains(string(text), token) || strings.Contains(string(text), "xxxx") {
			t.Error("a secret or a message is in the statistics")
		}
	}
}

func TestRates(t *testing.T) {
	before := Stats{Uptime: 10, In: Flow{Messages: 5, Packets: 10, Bytes: 1000}}
	after := Stats{Uptime: 12, In: Flow{Messages: 6, Packets: 20, Bytes: 3000}, Out: Flow{Packets: 1}}
	want := Rates{In: Rate{0.5, 5, 1000}, Out: Rate{Packets: 0.5}}
	if diff := cmp.Diff(want, after.Rates(before)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Rates{}, after.Rates(after)); diff != "" {
		t.Error(diff)
	}
	old := ClientStats{Since: time.Unix(1, 0), Remote: "a", In: Flow{Packets: 100}}
	again := ClientStats{Since: time.Unix(2, 0), Remote: "b", In: Flow{Packets: 10}}
	if r := again.Rates(old, 2); r.In.Packets != 5 {
		t.Errorf("after a new connection %+v", r)
	}
}

// Counting must cost next to nothing beside a packet's way through the broker, some ten
// microseconds.
func BenchmarkCount(b *testing.B) {
	var c counts
	p := []byte{typePublish << 4, 2, 0, 0}
	for b.Loop() {
		c.received(typePublish, 100)
		c.sent(p)
	}
}

func BenchmarkStats(b *testing.B) {
	cfg := Defaults()
	cfg.Listen, cfg.Dir = "", b.TempDir()
	users, err := OpenUsers(filepath.Join(cfg.Dir, "users.json"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := Start(cfg, users, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range 1000 {
		x := newSession(fmt.Sprintf("viewer/%d", i), "viewer", s.kept)
		s.setSession(x.id, x)
	}
	for b.Loop() {
		if st := s.Stats(); st.Sessions != 1000 {
			b.Fatal(st.Sessions)
		}
	}
}
