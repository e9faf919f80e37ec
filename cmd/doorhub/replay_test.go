package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

const (
	haReplay = "doorhub/in/homeassistant/replay"
	haEvents = "doorhub/out/homeassistant/event"
)

// aged gives a house a journal of so many records, all of last year.
func (th *testHouse) aged(tb testing.TB, n int) *testHouse {
	tb.Helper()
	st, err := store.Open(th.cfg.Data, store.With(th.cfg.Store))
	must(tb, err)
	begin := time.Now().AddDate(-1, 0, 0)
	recs := make([]door.Record, n)
	for i := range recs {
		recs[i] = door.Record{Time: begin.Add(time.Duration(i) * time.Minute), Kind: door.KindExit, Door: "front", Person: th.ann, Side: door.Exit}
	}
	_, err = st.Append(tb.Context(), recs)
	must(tb, err)
	must(tb, st.Close())
	return th
}

// replayMark is what comes in place of an event, or behind the last.
type replayMark struct {
	Seq, After, Replayed, Head uint64
	Refused                    string
}

func mark(tb testing.TB, m heard) (r replayMark) {
	tb.Helper()
	must(tb, json.Unmarshal([]byte(m.payload), &r))
	return r
}

// replays asks by mosquitto_pub and returns what comes up to the end.
func replays(tb testing.TB, l login, all *flow[heard], topic string, after uint64) (events []heard, end replayMark) {
	tb.Helper()
	before := len(all.seen())
	_, err := pub(tb, l, "-t", topic, "-m", fmt.Sprintf(`{"after":%d}`, after))
	must(tb, err)
	all.next(tb, "the end", func(m heard) bool { return strings.Contains(m.payload, `"replayed"`) })
	seen := all.seen()[before:]
	return seen[:len(seen)-1], mark(tb, seen[len(seen)-1])
}

// wantReplayed compares what was replayed with the journal: all of it behind after, in order,
// in the words in which it is told at the time.
func wantReplayed(tb testing.TB, h *testHub, events []heard, end replayMark, after uint64) {
	tb.Helper()
	var want, got []string
	for r, err := range h.hub.store.Records(tb.Context(), store.Filter{After: after, Before: end.Head + 1}) {
		must(tb, err)
		want = append(want, string(discovery.Event(r, h.names.of(r.Person)).Payload))
	}
	for _, m := range events {
		got = append(got, m.payload)
		if m.retained || m.topic != haEvents {
			tb.Errorf("%s, retained %t", m.topic, m.retained)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("replayed (-journal +bus):\n%.2000s", diff)
	}
	if diff := cmp.Diff(replayMark{After: after, Replayed: uint64(len(want)), Head: end.Head}, end); diff != "" {
		tb.Errorf("end (-want +got):\n%s", diff)
	}
}

// Events of any age come again, in order, for who asks and nobody else.
func TestReplay(t *testing.T) {
	h := newTestHouse(t).aged(t, 100).start(t)
	h.await(door.KindStarted)
	all, others := sub(t, h.as("homeassistant"), haEvents), sub(t, h.as("kitchen"), "doorhub/out/kitchen/#")
	live := sub(t, h.as("viewer"), "doorhub/door/#", "doorhub/house/event")
	head := h.hub.store.Head().Seq
	for _, after := range []uint64{0, 40, head - 1, head} {
		events, end := replays(t, h.as("homeassistant"), all, haReplay, after)
		if end.Head < head {
			t.Errorf("replayed up to %d of %d", end.Head, head)
		}
		wantReplayed(t, h, events, end, after)
	}
	for _, user := range []string{"kitchen", "viewer"} { // a sensor reads no events; a viewer only reads
		_, _ = pub(t, h.as(user), "-t", "doorhub/in/"+user+"/replay", "-m", `{"after":0}`)
	}
	replays(t, h.as("homeassistant"), all, haReplay, head)
	for _, m := range append(others.seen(), live.seen()...) {
		if strings.HasSuffix(m.topic, "/event") && strings.Contains(m.payload, `"kind":"exit"`) || strings.HasPrefix(m.topic, "doorhub/out/") {
			t.Errorf("told to somebody else: %v", m)
		}
	}
}

// A client that was away asks from the last event that it has, and misses none and nothing twice.
func TestReplayAfterALostSession(t *testing.T) {
	h := startTestHub(t)
	var last atomic.Uint64
	begin := func() *broker.Client {
		c := h.client("homeassistant") // without a session that is kept
		for _, topic := range []string{discovery.EventFilter, discovery.HouseEventTopic} {
			must(t, c.Subscribe(soon(t), topic, 1, func(m broker.Message) { last.Store(event(t, heard{payload: string(m.Payload)}).Seq) }))
		}
		return c
	}
	c := begin()
	h.enters(annPIN)
	granted := h.await(door.KindGranted)
	until(t, "the event", func() bool { return last.Load() >= granted.Seq })
	c.Close()
	had := last.Load()
	for range 3 {
		h.enters(noPIN)
		h.await(door.KindDenied)
	}
	begin()
	all := sub(t, h.as("homeassistant"), haEvents)
	events, end := replays(t, h.as("homeassistant"), all, haReplay, had)
	if len(events) < 3 {
		t.Errorf("only %d events again", len(events))
	}
	wantReplayed(t, h, events, end, had)
	h.enters(noPIN)
	h.await(door.KindDenied)
	until(t, "the live event", func() bool { return last.Load() > end.Head })
}

// What makes no sense is refused with a reason, written down once, and the next right request
// is served.
func TestReplayNonsense(t *testing.T) {
	h := startTestHub(t)
	h.await(door.KindStarted)
	all := sub(t, h.as("homeassistant"), haEvents)
	file := filepath.Join(t.TempDir(), "request")
	for payload, reason := range map[string]string{
		`{"after":-1}`: "whole number", `{"after":18446744073709551615}`: "behind the last record", `{"after":9999999}`: "behind the last record",
		`{"after":"1"}`: "whole number", `{}`: "whole number", "": "whole number", "\xff\x00": "whole number", strings.Repeat("[", 100_000): "whole number",
	} {
		must(t, os.WriteFile(file, []byte(payload), 0o600))
		_, err := pub(t, h.as("homeassistant"), "-t", haReplay, "-f", file)
		must(t, err)
		m := all.next(t, "the refusal", func(heard) bool { return true })
		if r := mark(t, m); !strings.Contains(r.Refused, reason) || r.Head == 0 || r.Seq != 0 {
			t.Errorf("%.30q: %+v", payload, r)
		}
	}
	_, _ = pub(t, h.as("homeassistant"), "-t", haReplay, "-m", `{"after":0}`, "-r") // refused by the rules
	events, end := replays(t, h.as("homeassistant"), all, haReplay, 0)
	wantReplayed(t, h, events, end, 0)
	h.await(door.KindProblemGone)
	problems := 0
	for _, r := range h.records.seen() {
		if r.Kind == door.KindProblem && r.Details[door.DetailPart] == "replay/homeassistant" && r.Reason == "unreadable" {
			problems++
		}
	}
	if problems != 1 {
		t.Errorf("written down %d times", problems)
	}
}

// A new request takes the place of the one being served.
func TestReplayIsReplaced(t *testing.T) {
	h := newTestHouse(t).aged(t, 2000).start(t)
	all := sub(t, h.as("homeassistant"), haEvents)
	_, err := pub(t, h.as("homeassistant"), "-t", haReplay, "-m", `{"after":0}`)
	must(t, err)
	all.next(t, "an event", func(heard) bool { return true })
	after := uint64(1990)
	_, err = pub(t, h.as("homeassistant"), "-t", haReplay, "-m", fmt.Sprintf(`{"after":%d}`, after))
	must(t, err)
	all.next(t, "the end", func(m heard) bool { return strings.Contains(m.payload, `"replayed"`) })
	seen := all.seen()
	end := mark(t, seen[len(seen)-1])
	if end.After != after || len(seen) > 1500 {
		t.Fatalf("%d events, and then %+v", len(seen), end)
	}
	wantReplayed(t, h, seen[len(seen)-1-int(end.Replayed):len(seen)-1], end, after)
	for i, m := range seen[:len(seen)-1-int(end.Replayed)] {
		if got := mark(t, m); got.Seq != uint64(i+1) {
			t.Fatalf("event %d of the first request is %+v", i, got)
		}
	}
}

// toldTo counts what the hub sends a user again.
func (h *testHub) toldTo(user string) *atomic.Int64 {
	var n atomic.Int64
	must(h.tb, h.server.OnPublish("doorhub/out/"+user+"/event", func(string, broker.Message) { n.Add(1) }))
	return &n
}

// busyFor reports whether a user is being served.
func (r *replayer) busyFor(user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, busy := r.present[user]
	return busy
}

func TestReplayEndsWhenTheUserIsRevoked(t *testing.T) {
	h := newTestHouse(t).aged(t, 2000).start(t)
	all, told := sub(t, h.as("homeassistant"), haEvents), h.toldTo("homeassistant")
	_, err := pub(t, h.as("homeassistant"), "-t", haReplay, "-m", `{"after":0}`)
	must(t, err)
	all.next(t, "an event", func(heard) bool { return true })
	must(t, h.users.Revoke("homeassistant"))
	until(t, "the end", func() bool { return !h.replays.busyFor("homeassistant") })
	if n := told.Load(); n == 0 || n > 1500 {
		t.Errorf("%d events were sent", n)
	}
	if last := all.seen()[len(all.seen())-1]; strings.Contains(last.payload, "replayed") {
		t.Errorf("ended as if complete: %s", last.payload)
	}
}

// A client that asks and goes gets nothing, and nothing is sent for long.
func TestReplayForNobody(t *testing.T) {
	h := newTestHouse(t).aged(t, 2000).start(t)
	told := h.toldTo("homeassistant")
	_, err := pub(t, h.as("homeassistant"), "-t", haReplay, "-m", `{"after":0}`)
	must(t, err)
	until(t, "the end", func() bool { return !h.replays.busyFor("homeassistant") })
	if n := told.Load(); n > 1500 {
		t.Errorf("%d events were sent to nobody", n)
	}
}

// A client that takes nothing is not swamped, and what is live reaches all others meanwhile.
// When it reads on, it gets the rest.
func TestReplayWaitsForItsClient(t *testing.T) {
	h := newTestHouse(t).aged(t, 400).start(t)
	all := sub(t, h.as("viewer"), "doorhub/house/event")
	c := h.client("homeassistant")
	hold, seqs := make(chan struct{}), newFlow[replayMark]()
	must(t, c.Subscribe(soon(t), haEvents, 1, func(m broker.Message) {
		<-hold
		seqs.add(mark(t, heard{payload: string(m.Payload)}))
	}))
	must(t, c.Publish(soon(t), broker.Message{Topic: haReplay, Payload: []byte(`{"after":0}`), QoS: 1}))
	until(t, "the backlog", func() bool { n, _ := h.server.Backlog("homeassistant"); return n >= replayBacklog })
	_, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "open")
	must(t, err)
	says(t, all, "doorhub/house/event", `"kind":"sensor_open"`)
	if n, connected := h.server.Backlog("homeassistant"); n > 2*replayBacklog || !connected {
		t.Errorf("%d bytes wait for the client, connected %t", n, connected)
	}
	close(hold)
	end := seqs.next(t, "the end", func(m replayMark) bool { return m.Seq == 0 })
	if end.Replayed < 400 || len(seqs.seen()) != int(end.Replayed)+1 {
		t.Errorf("%d events, end %+v", len(seqs.seen()), end)
	}
}

// At a broker elsewhere, which may let anybody ask, the hub goes by its own users.
func TestReplayAtAnExternalBroker(t *testing.T) {
	m := startMosquitto(t)
	h := newTestHouse(t, outside(m, m.address)).aged(t, 50).start(t)
	all := sub(t, m.login(), "doorhub/out/#")
	until(t, "the hub", h.bus.client.Up)
	for _, user := range []string{"kitchen", "viewer", "nobody"} {
		_, err := pub(t, m.login(), "-t", "doorhub/in/"+user+"/replay", "-m", `{"after":0}`)
		must(t, err)
	}
	events, end := replays(t, m.login(), all, haReplay, 0)
	wantReplayed(t, h, events, end, 0)
	_, err := pub(t, m.login(), "-t", haReplay, "-m", `{"after":0}`, "-r") // live for the hub, then kept
	must(t, err)
	all.next(t, "the end", func(m heard) bool { return strings.Contains(m.payload, `"replayed"`) })
	told := len(all.seen())
	m.stop()
	m.start()
	again := sub(t, m.login(), "doorhub/out/#", "doorhub/instance/hub/status")
	until(t, "the hub", func() bool { return lastOf(again, "doorhub/instance/hub/status") == "online" })
	_, end = replays(t, m.login(), again, haReplay, end.Head)
	if n := len(again.seen()); n > told {
		t.Errorf("%d messages after the restart: what was kept was served", n)
	}
	if end.After == 0 {
		t.Errorf("end: %+v", end)
	}
}
