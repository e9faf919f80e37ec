package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
)

// wire speaks MQTT 3.1.1 by hand: a client that comes back to its session and reads only when
// it is told to.
type wire struct {
	net.Conn
	t *testing.T
}

// session logs in with a session that is to be kept, and reports whether there was one; nil when
// it is not let in.
func (h *testHub) session(t *testing.T, l login, id string) (w *wire, present bool) {
	t.Helper()
	c, err := net.Dial("tcp", l.address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(soonEnough)))
	packet := connectPacket(l, id)
	packet[9] &^= 2 // no clean session
	_, err = c.Write(packet)
	must(t, err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(c, answer)
	must(t, err)
	if answer[3] != 0 {
		return nil, false
	}
	return &wire{c, t}, answer[2] == 1
}

// says sends a packet and returns all that comes up to a packet of the type.
func (w *wire) says(packet []byte, answer byte) []byte {
	w.t.Helper()
	_, err := w.Write(packet)
	must(w.t, err)
	var all []byte
	for {
		head := make([]byte, 2) // all packets here are short
		_, err := io.ReadFull(w, head)
		must(w.t, err)
		body := make([]byte, head[1])
		_, err = io.ReadFull(w, body)
		must(w.t, err)
		all = append(append(all, head...), body...)
		if head[0] == answer {
			return all
		}
	}
}

func (w *wire) subscribe(filter string) []byte {
	w.t.Helper()
	body := append(append([]byte{0, 1}, text(filter)...), 1)
	return w.says(append([]byte{0x82, byte(len(body))}, body...), 0x90)
}

// ping returns what was sent to the client before.
func (w *wire) ping() []byte { w.t.Helper(); return w.says([]byte{0xc0, 0}, 0xd0) }

// ends waits for the broker to close.
func (w *wire) ends() {
	w.t.Helper()
	if _, err := io.Copy(io.Discard, w); err != nil && strings.Contains(err.Error(), "timeout") {
		w.t.Error("the connection is still open")
	}
}

func (h *testHub) do(t *testing.T, args ...string) string {
	t.Helper()
	got := command(t, "", append([]string{"--data", h.testHouse.cfg.Data}, args...)...)
	if got.code != 0 || got.err != "" {
		t.Fatalf("doorhub %q: %+v", args, got)
	}
	return got.out
}

// Revoking and rotating through a running hub end at once what the old password had: the live
// connection, the session of a client that is away, and what waits for it. Nobody inherits it,
// neither at once nor after a restart.
func TestRevokeAndRotateEndAllAtOnce(t *testing.T) {
	for name, change := range map[string][][]string{
		"revoke": {{"broker", "user", "revoke", "viewer"}, {"--json", "broker", "user", "add", "viewer", "--role", "viewer"}},
		"rotate": {{"--json", "broker", "user", "rotate", "viewer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startTestHub(t)
			old := h.as("viewer")
			live, _ := h.session(t, old, "live")
			live.subscribe("doorhub/sensor/+/contact")
			away, _ := h.session(t, old, "away")
			away.subscribe("doorhub/sensor/+/contact")
			must(t, away.Close())
			until(t, "it to be away", func() bool { return slices.Equal(clientsOf(h, "viewer"), []string{"away 0", "here 0"}) })
			kitchen := h.client("kitchen")
			must(t, kitchen.Publish(soon(t), reading("kitchen", "open")))
			until(t, "what waits", func() bool { return slices.Equal(clientsOf(h, "viewer"), []string{"away 1", "here 1"}) })

			var u userView
			for _, args := range change {
				if out := h.do(t, args...); args[0] == "--json" {
					must(t, json.Unmarshal([]byte(out), &u))
				}
			}
			live.ends()
			if left := clientsOf(h, "viewer"); len(left) > 0 {
				t.Errorf("afterwards there are %q", left)
			}
			if w, _ := h.session(t, old, "live"); w != nil {
				t.Error("the old password is taken")
			}
			must(t, kitchen.Publish(soon(t), reading("kitchen", "closed")))
			h.tokens["viewer"] = u.Token
			for _, restarted := range []bool{false, true} {
				if restarted {
					h.stop()
					h = h.testHouse.start(t)
				}
				for _, id := range []string{"live", "away"} {
					w, present := h.session(t, h.as("viewer"), id)
					if w == nil || present {
						t.Fatalf("%s, restarted %t: let in %t, session present %t", id, restarted, w != nil, present)
					}
					if got := w.ping(); !bytes.Equal(got, []byte{0xd0, 0}) {
						t.Errorf("%s, restarted %t: inherited %q", id, restarted, got)
					}
					must(t, w.Close())
				}
				h.server.Cut("viewer") // so that after the restart there is nothing but the past
			}
		})
	}
}

// clientsOf returns the clients of a user, away or here, and how many messages wait for each.
func clientsOf(h *testHub, user string) []string {
	var all []string
	for _, c := range h.server.Stats().Clients {
		where := "here"
		if c.Remote == "" {
			where = "away"
		}
		if c.User == user {
			all = append(all, fmt.Sprintf("%s %d", where, c.Queued))
		}
	}
	slices.Sort(all)
	return all
}

func TestListTellsOfUsers(t *testing.T) {
	t.Parallel()
	h := startTestHub(t)
	must(t, h.client("kitchen").Publish(soon(t), reading("kitchen", "open")))
	users := map[string]userRow{}
	for line := range strings.Lines(h.do(t, "--json", "broker", "user", "list")) {
		var u userRow
		must(t, json.Unmarshal([]byte(line), &u))
		users[u.Name] = u
	}
	k := users["kitchen"]
	if k.Role != broker.RoleSensor || time.Since(k.Created) > time.Minute || time.Since(k.Seen) > time.Minute {
		t.Errorf("kitchen: %+v", k)
	}
	if v := users["viewer"]; v.Created.IsZero() || !v.Seen.IsZero() {
		t.Errorf("viewer: %+v", v)
	}
	out := h.do(t, "broker", "user", "list")
	if !strings.Contains(out, "kitchen\tsensor\tlast seen "+k.Seen.Local().Format("2006-01-02")) || !strings.Contains(out, "viewer\tviewer\n") {
		t.Errorf("got %q", out)
	}
}
