package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
)

func TestTellerTellsNewsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // over all below
		gist, fails := "a", error(nil)
		var told []string
		failed := 0
		locked := func(f func()) {
			mu.Lock()
			defer mu.Unlock()
			f()
		}
		x := teller{wake: make(chan struct{}, 1),
			look: func() (m discovery.Message, now string, err error) {
				locked(func() { m, now, err = discovery.Message{Topic: gist}, gist, fails })
				return m, now, err
			},
			show: func(ms ...discovery.Message) { locked(func() { told = append(told, ms[0].Topic) }) }}
		go x.run(t.Context(), func(error) { locked(func() { failed++ }) })
		nudge(x.wake)
		<-time.After(10*healthBeat + time.Second)
		locked(func() { gist = "b" })
		<-time.After(healthBeat)
		locked(func() { fails, gist = errors.New("no store"), "c" })
		<-time.After(healthBeat)
		locked(func() { fails = nil })
		<-time.After(10 * healthBeat)
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{"a", "b", "c"}, told); diff != "" || failed != 1 {
			t.Errorf("%d failures, %s", failed, diff)
		}
	})
}

func TestGistOfHealth(t *testing.T) {
	base := discovery.BusHealth{Connections: 3, MessagesIn: 8, BytesIn: 20_000, Queued: 5, QueueBytes: 9_000}
	for _, c := range []struct {
		what string
		same bool
		f    func(*discovery.BusHealth)
	}{
		{"a little more traffic", true, func(b *discovery.BusHealth) { b.MessagesIn, b.BytesIn = 9, 21_000 }},
		{"a little more waiting", true, func(b *discovery.BusHealth) { b.QueueBytes = 9_500 }},
		{"ten times the traffic", false, func(b *discovery.BusHealth) { b.MessagesIn = 100 }},
		{"a long queue", false, func(b *discovery.BusHealth) { b.QueueBytes = 100_000 }},
		{"one more client", false, func(b *discovery.BusHealth) { b.Connections++ }},
		{"a drop", false, func(b *discovery.BusHealth) { b.Dropped++ }},
		{"a problem", false, func(b *discovery.BusHealth) { b.Problems = []string{"x"} }},
	} {
		b := base
		c.f(&b)
		if same := gistOfHealth(base) == gistOfHealth(b); same != c.same {
			t.Errorf("%s: told %t", c.what, !same)
		}
	}
	up := discovery.BusLink{Up: true, Backlog: 1000}
	down := discovery.BusLink{Backlog: 1001}
	if gistOfLink(up) == gistOfLink(down) || gistOfLink(up) != gistOfLink(discovery.BusLink{Up: true, Backlog: 1010}) {
		t.Error("a link's gist")
	}
}

// busNow is what doorhub/instance/hub/broker holds.
type busNow struct {
	Mode        string
	Connections int
	Up          bool
	URL         string
	Since       time.Time
}

func TestHealthIsOnTheBus(t *testing.T) {
	t.Parallel()
	h := startTestHub(t)
	m := says(t, sub(t, h.as("viewer"), "doorhub/instance/+/broker"), "doorhub/instance/hub/broker", "embedded")
	var got busNow
	must(t, json.Unmarshal([]byte(m.payload), &got))
	if got.Mode != "embedded" || got.Connections < 1 || time.Since(got.Since) > time.Minute {
		t.Errorf("told %s", m.payload)
	}
}

func TestHealthOfABusElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := startTestHub(t) // lends its broker
	token, err := elsewhere.users.Lend("other", broker.RoleHub)
	must(t, err)
	h := startTestHub(t, externalAt(t, elsewhere.server.Addr(), "other", token))
	m := says(t, sub(t, elsewhere.as("viewer"), "doorhub/instance/cellar/broker"), "doorhub/instance/cellar/broker", "external")
	var got busNow
	must(t, json.Unmarshal([]byte(m.payload), &got))
	if want := (busNow{"external", 0, true, "mqtt://" + elsewhere.server.Addr(), got.Since}); want != got || time.Since(got.Since) > time.Minute {
		t.Errorf("told %s", m.payload)
	}
	v, err := h.busView(soon(t))
	must(t, err)
	if v.Broker != nil || v.Bus == nil || !v.Bus.Up || v.Bus.Reconnects != 0 {
		t.Errorf("%+v", v)
	}
}

// externalAt has a hub called cellar use a broker elsewhere.
func externalAt(t *testing.T, address, user, token string) func(*Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte(token), 0o600))
	return func(c *Config) {
		c.Name = "cellar"
		c.Broker = broker.Defaults()
		c.Broker.Mode, c.Broker.URL, c.Broker.User, c.Broker.PasswordFile = broker.External, "mqtt://"+address, user, file
	}
}
