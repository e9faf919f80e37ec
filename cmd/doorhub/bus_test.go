package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

const (
	kitchenIn = "doorhub/in/kitchen/contact"
	frontLock = "doorhub/cmd/door/front/lock"
)

func TestSensorOverTheBus(t *testing.T) {
	h := startTestHub(t)
	all := sub(t, h.as("viewer"), "doorhub/sensor/#", "doorhub/house/event")
	for _, word := range []string{"open", "closed"} {
		out, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", word)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		says(t, all, "doorhub/house/event", `"kind":"sensor_`+word+`"`)
		until(t, "the state", func() bool { return lastOf(all, "doorhub/sensor/kitchen/contact") == word })
	}
	wantOnce(t, all.seen())
	var seen []string
	for _, m := range all.seen() {
		if m.topic == "doorhub/house/event" {
			if e := event(t, m); e.Details[door.DetailSensor] == "kitchen" {
				seen = append(seen, e.Kind)
			}
		}
	}
	if diff := cmp.Diff([]string{"sensor_open", "intrusion", "sensor_closed"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Whatever else comes as a reading harms nobody, and the next right one counts.
func TestSensorNonsense(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big")
	must(t, os.WriteFile(big, make([]byte, 5<<20), 0o600))
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	payloads := map[string][]string{
		"empty": {"-n"}, "capitals": {"-m", "OPEN"}, "JSON": {"-m", `{"contact":"open"}`}, "spaces": {"-m", " open "},
		"not UTF-8": {"-f", file("latin", "open\xff\xfe")}, "zeros": {"-f", file("zeros", "open\x00")}, "5 MB": {"-f", big},
	}
	for _, name := range sortedKeys(payloads) {
		t.Run(name, func(t *testing.T) {
			h := startTestHub(t) // of one sensor only so much a minute is written down
			out, err := pub(t, h.as("kitchen"), append([]string{"-t", kitchenIn}, payloads[name]...)...)
			if name == "5 MB" {
				if err == nil {
					t.Errorf("taken: %s", out)
				}
			} else {
				r := h.records.next(t, "the sensor's problem", func(r door.Record) bool {
					return r.Details[door.DetailPart] == "sensor/kitchen" // a busy machine's journal may have its own
				})
				if r.Kind != door.KindProblem || r.Reason != "unreadable" {
					t.Errorf("problem: %+v", r)
				}
			}
			_, err = pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "open")
			must(t, err)
			h.await(door.KindIntrusion)
			_, err = pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "closed")
			must(t, err)
			h.await(door.KindSensorClosed)
		})
	}
}

// Nothing gets through for those who may not: each is tried, and then one message that may.
func TestRightsOfTheBus(t *testing.T) {
	h := startTestHub(t)
	h.enters(annPIN)
	h.await(door.KindGranted)
	asViewer := h.as("viewer")
	asViewer.token = h.tokens["kitchen"] // somebody else's
	for _, l := range []login{asViewer, h.as("nobody"), {h.server.Addr(), "", ""}} {
		out, err := exec.CommandContext(soon(t), program(t, "mosquitto_sub"), l.args("-t", "doorhub/#", "-C", "1")...).CombinedOutput()
		if err == nil || strings.Contains(string(out), "LOCKED") {
			t.Errorf("%+v reads %q", l, out)
		}
	}
	for _, filter := range []string{"doorhub/door/front/lock", "doorhub/#", "#"} {
		out, _ := exec.CommandContext(soon(t), program(t, "mosquitto_sub"), h.as("kitchen").args("-t", filter, "-C", "1", "-W", "2")...).CombinedOutput()
		if !strings.Contains(string(out), "denied") || strings.Contains(string(out), "LOCKED") {
			t.Errorf("kitchen reads %s: %q", filter, out)
		}
	}

	at := time.Now()
	forged := unlock(annRemote, at)
	all := sub(t, h.as("viewer"), "doorhub/door/front/lock", "doorhub/sensor/kitchen/contact")
	for _, try := range []struct {
		l     login
		topic string
		text  string
	}{
		{h.as("kitchen"), "doorhub/in/cellar/contact", "open"},
		{h.as("kitchen"), frontLock, forged},
		{h.as("kitchen"), "doorhub/door/front/lock", "UNLOCKED"},
		{h.as("kitchen"), "homeassistant/status", "online"},
		{h.as("viewer"), kitchenIn, "open"},
		{h.as("viewer"), frontLock, forged},
		{h.as("homeassistant"), kitchenIn, "open"},
		{h.as("homeassistant"), "doorhub/door/front/lock", "UNLOCKED"},
		{asViewer, kitchenIn, "open"},
		{login{h.server.Addr(), "", ""}, kitchenIn, "open"},
	} {
		_, _ = pub(t, try.l, "-t", try.topic, "-m", try.text)
		_, _ = pub(t, try.l, "-t", try.topic, "-m", try.text, "-r")
	}
	_, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "open", "-r") // its own, but kept
	t.Logf("retained: %v", err)
	for _, l := range []login{{h.server.Addr(), "", ""}, h.as("viewer"), h.as("nobody")} {
		diesWithWill(t, l, kitchenIn, "open")
		diesWithWill(t, l, frontLock, forged)
	}
	_, err = pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	says(t, all, "doorhub/sensor/kitchen/contact", "closed")
	for _, r := range h.records.seen() {
		if slices.Contains([]door.Kind{door.KindIntrusion, door.KindSensorOpen, door.KindCommandRefused}, r.Kind) ||
			r.Reason == door.ReasonCommand {
			t.Errorf("got through: %+v", r)
		}
	}
}

// diesWithWill connects with a will and is gone without goodbye.
func diesWithWill(tb testing.TB, l login, topic, payload string) {
	tb.Helper()
	cmd := exec.Command("stdbuf", append([]string{"-oL", program(tb, "mosquitto_sub")},
		l.args("-d", "-t", "doorhub/door/front/contact", "--will-topic", topic, "--will-payload", payload, "-C", "1", "-W", "2")...)...)
	out, _ := cmd.CombinedOutput()
	if !strings.Contains(string(out), "CONNACK") || strings.Contains(string(out), "CONNACK (0)") {
		tb.Errorf("user %q with a will on %s was let in: %s", l.user, topic, out)
	}
}

// unlock words a command as Home Assistant does.
func unlock(code string, at time.Time) string {
	return fmt.Sprintf(`{"action":"UNLOCK","code":%q,"at":%d.%06d}`, code, at.Unix(), at.Nanosecond()/1000)
}

func TestCommandUnlocks(t *testing.T) {
	h := startTestHub(t)
	all := sub(t, h.as("homeassistant"), "doorhub/door/front/#")
	_, err := pub(t, h.as("homeassistant"), "-t", frontLock, "-m", unlock(annRemote, time.Now()))
	must(t, err)
	r := h.await(door.KindGranted)
	if r.Person != h.ann || r.Reason != door.ReasonCommand || r.Details[door.DetailUser] != "homeassistant" || !r.Factors.Has(door.SetOf(door.Remote)) {
		t.Errorf("granted: %+v", r)
	}
	says(t, all, "doorhub/door/front/event", `"name":"Ann"`)
	until(t, "the lock", func() bool { return lastOf(all, "doorhub/door/front/lock") == "UNLOCKED" })
	if !h.doors["front"].sim.Energised() {
		t.Error("UNLOCKED, and the line is not energised")
	}
	_, err = pub(t, h.as("homeassistant"), "-t", frontLock, "-m", "LOCK")
	must(t, err)
	if r := h.await(door.KindLocked); r.Reason != door.ReasonCommand {
		t.Errorf("locked: %+v", r)
	}
	until(t, "the lock", func() bool { return lastOf(all, "doorhub/door/front/lock") == "LOCKED" })
	if h.doors["front"].sim.Energised() {
		t.Error("LOCKED, and the line is energised")
	}
	for _, m := range all.seen() {
		if strings.Contains(m.payload, annRemote) {
			t.Errorf("the code is on the bus: %v", m)
		}
	}
}

// refusal is one command that opens nothing, and why.
type refusal struct {
	name   string
	args   []string
	reason string
}

func refusals(t *testing.T, used string) []refusal {
	t.Helper()
	now := time.Now()
	huge := filepath.Join(t.TempDir(), "huge")
	must(t, os.WriteFile(huge, slices.Repeat([]byte("1"), 100<<10), 0o600))
	bytes := filepath.Join(t.TempDir(), "bytes")
	must(t, os.WriteFile(bytes, []byte("\xff\xfeUNLOCK"), 0o600))
	return []refusal{
		{"old", []string{"-m", unlock(annRemote, now.Add(-time.Minute))}, door.ReasonStale},
		{"ahead", []string{"-m", unlock(annRemote, now.Add(time.Minute))}, door.ReasonAhead},
		{"replayed", []string{"-m", used}, door.ReasonReplayed},
		{"wrong", []string{"-m", unlock(noRemote, now)}, door.ReasonWrongCode},
		{"a PIN", []string{"-m", unlock(annPIN, now.Add(time.Millisecond))}, door.ReasonWrongCode},
		{"codeless", []string{"-m", unlock("", now)}, door.ReasonNoCode},
		{"bare word", []string{"-m", "UNLOCK"}, door.ReasonNoCode},
		{"timeless", []string{"-m", `{"action":"UNLOCK","code":"` + annRemote + `"}`}, door.ReasonNoTime},
		{"empty", []string{"-n"}, door.ReasonUnreadable},
		{"garbage", []string{"-m", `{"action":"OPEN","code":["` + annRemote + `"]}`}, door.ReasonUnreadable},
		{"not UTF-8", []string{"-f", bytes}, door.ReasonUnreadable},
		{"huge", []string{"-f", huge}, door.ReasonUnreadable},
	}
}

// refusalsAMinute is fewer than are written down of one user in a minute.
const refusalsAMinute = 6

func TestCommandsRefused(t *testing.T) {
	wantRefused(t, "homeassistant", func(t *testing.T) (*testHub, login) {
		h := startTestHub(t)
		return h, h.as("homeassistant")
	})
}

// wantRefused fails where a command opens anything, or is not journalled as refused, user
// being who the journal says it was.
func wantRefused(t *testing.T, user string, start func(*testing.T) (*testHub, login)) {
	for first := 0; first < len(refusals(t, "")); first += refusalsAMinute {
		h, l := start(t)
		used := unlock(annRemote, time.Now())
		_, err := pub(t, l, "-t", frontLock, "-m", used)
		must(t, err)
		h.await(door.KindGranted)
		_, err = pub(t, l, "-t", frontLock, "-m", "LOCK")
		must(t, err)
		h.await(door.KindLocked)
		all := refusals(t, used)
		for _, c := range all[first:min(first+refusalsAMinute, len(all))] {
			t.Run(c.name, func(t *testing.T) {
				_, err := pub(t, l, append([]string{"-t", frontLock}, c.args...)...)
				must(t, err)
				r := h.await(door.KindCommandRefused)
				if r.Reason != c.reason || r.Details[door.DetailUser] != user || r.Door != "front" {
					t.Errorf("refused: %+v, want reason %s", r, c.reason)
				}
				wantClosed(t, h, annRemote, annPIN)
			})
		}
		h.stop()
	}
}

func TestCommandToNoDoor(t *testing.T) {
	h := startTestHub(t)
	_, err := pub(t, h.as("homeassistant"), "-t", "doorhub/cmd/door/cellar/lock", "-m", unlock(annRemote, time.Now()))
	must(t, err)
	if r := h.await(door.KindCommandRefused); r.Reason != door.ReasonNoDoor {
		t.Errorf("refused: %+v", r)
	}
	wantClosed(t, h, annRemote)
}

// What would lie in the broker's memory is refused by the rules of the bus.
func TestRetainedCommand(t *testing.T) {
	h := startTestHub(t)
	_, _ = pub(t, h.as("homeassistant"), "-t", frontLock, "-m", unlock(annRemote, time.Now()), "-r")
	_, err := pub(t, h.as("homeassistant"), "-t", frontLock, "-m", "UNLOCK")
	must(t, err)
	if r := h.await(door.KindCommandRefused); r.Reason != door.ReasonNoCode {
		t.Errorf("refused: %+v", r)
	}
	if diff := cmp.Diff([]door.Kind{door.KindStarted, door.KindCommandRefused}, kinds(h.records.seen())); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	wantClosed(t, h)
}

// wantClosed fails when the door has been let open, or a secret was written down.
func wantClosed(tb testing.TB, h *testHub, secrets ...string) {
	tb.Helper()
	if h.doors["front"].sim.Energised() {
		tb.Error("the door is unlocked")
	}
	text, err := json.Marshal(h.records.seen())
	must(tb, err)
	for _, s := range secrets {
		if strings.Contains(string(text), s) {
			tb.Errorf("the journal holds a secret: %s", text)
		}
	}
}

func TestWrongCodesLockTheUserOut(t *testing.T) {
	h := startTestHub(t)
	at := time.Now()
	send := func(code string) {
		at = at.Add(time.Millisecond)
		_, err := pub(t, h.as("homeassistant"), "-t", frontLock, "-m", unlock(code, at))
		must(t, err)
	}
	for range 5 {
		send(noRemote)
	}
	if r := h.await(door.KindLockout); r.Details[door.DetailUser] != "homeassistant" {
		t.Errorf("lockout: %+v", r)
	}
	h.await(door.KindCommandRefused)
	send(annRemote)
	if r := h.await(door.KindCommandRefused); r.Reason != door.ReasonLockedOut {
		t.Errorf("refused: %+v", r)
	}
	wantClosed(t, h, annRemote)
	_, err := pub(t, h.as("homeassistant"), "-t", frontLock, "-m", "LOCK")
	must(t, err)
	h.await(door.KindLocked)
	h.enters(annPIN) // the keypad is another matter
	h.await(door.KindGranted)
}

// A command to lock stays behind a command to unlock that came before it, whose code takes
// time to check.
func TestLockIsNotOvertaken(t *testing.T) {
	h := startTestHub(t)
	c := h.client("homeassistant")
	at := time.Now()
	for range 3 {
		at = at.Add(time.Millisecond)
		for _, text := range []string{unlock(annRemote, at), "LOCK"} {
			must(t, c.Publish(soon(t), broker.Message{Topic: frontLock, Payload: []byte(text), QoS: 1}))
		}
	}
	for range 3 {
		h.await(door.KindGranted)
		if r := h.await(door.KindLocked); r.Reason != door.ReasonCommand {
			t.Errorf("locked: %+v", r)
		}
	}
	until(t, "the lock to fall", func() bool { return !h.doors["front"].sim.Energised() })
}
