package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/doorhub/doorhub/broker"
)

var topNow = time.Date(2026, 11, 21, 6, 30, 0, 0, time.UTC)

// twoLooks are two looks at a bus, two seconds apart.
func twoLooks() (now, before busView) {
	flow := func(n uint64) broker.Flow { return broker.Flow{Messages: n, Packets: 2 * n, Bytes: 1000 * n} }
	look := func(uptime float64, n uint64) busView {
		return busView{Broker: &broker.Stats{
			Uptime: uptime, Connections: 3, Sessions: 4, Users: 5, Retained: 40, In: flow(10 * n), Out: flow(3 * n),
			Queued: 3, QueueBytes: 2345, Unwritten: 100_000, Dropped: 7, Totals: broker.Totals{RefusedLogins: 1, RefusedMessages: 2},
			Flooding: []string{"kitchen"}, BlockedAddresses: []string{"192.0.2.9"},
			Clients: []broker.ClientStats{
				{User: "attic", Role: broker.RoleViewer, Client: "tab\x1b[2Jlet", Version: "5", Seen: topNow.Add(-3 * time.Hour), Queued: 3, QueueBytes: 2345},
				{User: "homeassistant", Role: broker.RoleHomeAssistant, Client: "ha", Remote: "192.0.2.3:40000", TLS: true, Version: "5",
					Since: topNow.Add(-49 * time.Hour), In: flow(n), Out: flow(3 * n)},
				{User: "hub", Role: broker.RoleHub, Client: "doorhub-hub-bus", Remote: "inside", Version: "3.1.1", Since: topNow.Add(-50 * time.Hour)},
				{User: "kitchen", Role: broker.RoleSensor, Client: "mad", Remote: "192.0.2.7:50000", Version: "3.1.1",
					Since: topNow.Add(-61 * time.Second), In: flow(300 * n), Unwritten: 100_000, Dropped: 7},
			},
		}}
	}
	return look(50*3600+2, 3), look(50*3600, 1)
}

func TestTopTable(t *testing.T) {
	want := []string{
		"bus up for 2d2h: 3 connected, 4 sessions, 5 users, 40 retained messages",
		"a second: in 10.0 messages, 10.0 kB; out 3.0 messages, 3.0 kB",
		"waiting 3 messages, 102 kB; dropped 7; refused: logins 1, messages 2, subscriptions 0",
		"flooding: kitchen",
		"logins blocked from: 192.0.2.9",
		"",
		"USER           ROLE           CLIENT           FROM                 MQTT    FOR  IN/S  OUT/S      IN     OUT   WAITING  DROPPED",
		"kitchen        sensor         mad              192.0.2.7:50000      3.1.1  1m1s   300    0.0  300 kB     0 B  0 100 kB        7",
		"homeassistant  homeassistant  ha               192.0.2.3:40000 tls  5      2d1h   1.0    3.0  1.0 kB  3.0 kB         0        0",
		"attic          viewer         tab\uFFFD[2Jlet       away                 5      3h0m   0.0    0.0     0 B     0 B  3 2.3 kB        0",
		"hub            hub            doorhub-hub-bus  inside               3.1.1  2d2h   0.0    0.0     0 B     0 B         0        0",
	}
	now, before := twoLooks()
	ls := newTopView(now, before).lines(topNow)
	var got, colours []string
	for _, l := range ls {
		got = append(got, l.text)
		colours = append(colours, l.colour)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{bold, "", "", red, red, "", bold, red, "", faint, ""}, colours); diff != "" {
		t.Error(diff)
	}
	if first := newTopView(now, busView{}); first.Broker.Rates != (broker.Rates{}) || first.Broker.Clients[0].Rates != (broker.Rates{}) {
		t.Error("rates before there was a second look")
	}
}

func TestTopFrame(t *testing.T) {
	lines := []topLine{{"first line", bold}, {"second", ""}, {"third", ""}}
	got := frame(lines, 5, 3, true)
	want := "\x1b[H\x1b[1mfirst\x1b[0m\x1b[K\r\nsecon\x1b[K\r\n\x1b[J"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := frame(lines, 80, 24, false); strings.Contains(got, "\x1b[1m") || !strings.Contains(got, "third") {
		t.Errorf("without colours %q", got)
	}
}

func TestSizesAndSpans(t *testing.T) {
	var got []string
	for _, n := range []float64{0, 999, 999.6, 1000, 99_940, 99_960, 999_400, 1_500_000, 2e9, 3e12} {
		got = append(got, size(n))
	}
	want := []string{"0 B", "999 B", "1.0 kB", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.5 MB", "2.0 GB", "3000.0 GB"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	for _, n := range []float64{0, 0.04, 99.9, 100, 99_949, 123_456} {
		got = append(got, number(n))
	}
	if diff := cmp.Diff([]string{"0.0", "0.0", "99.9", "100", "99949", "123k"}, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	for _, d := range []time.Duration{-time.Second, 59 * time.Second, time.Hour - 1, 25 * time.Hour} {
		got = append(got, span(d))
	}
	if diff := cmp.Diff([]string{"0s", "59s", "59m59s", "1d1h"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTopWithoutHub(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	want := outcome{exitFailed, "", "doorhub: no hub is running: start it with doorhub run, or as a service\n"}
	for _, args := range [][]string{{"broker", "top"}, {"--json", "broker", "top", "--once"}} {
		if got := h.do("", args...); got != want {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestTopOfARunningHub(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.start()
	out := h.ok("broker", "top")
	if !strings.Contains(out, "bus up for") || !strings.Contains(out, "doorhub-hub-bus ") || strings.Contains(out, "\x1b") {
		t.Errorf("got %q", out)
	}
	var v struct {
		Broker struct {
			Uptime      float64
			Connections int
			Rates       broker.Rates
			Clients     []struct {
				User  string
				Rates *broker.Rates
			}
		}
	}
	must(t, json.Unmarshal([]byte(h.ok("--json", "broker", "top")), &v))
	if b := v.Broker; b.Uptime <= 0 || b.Connections < 1 || len(b.Clients) != b.Connections || b.Clients[0].User != hubUser || b.Clients[0].Rates == nil {
		t.Errorf("got %+v", v)
	}
}

func TestTopOfABusElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := startTestHub(t)
	token, err := elsewhere.users.Lend("other", broker.RoleHub)
	must(t, err)
	h := startTestHub(t, externalAt(t, elsewhere.server.Addr(), "other", token))
	must(t, h.bus.client.Ready(soon(t)))
	top := func(args ...string) string {
		got := command(t, "", append([]string{"--data", h.testHouse.cfg.Data, "broker", "top"}, args...)...)
		if got.code != 0 || got.err != "" {
			t.Fatalf("%+v", got)
		}
		return got.out
	}
	up := "the bus is external, at mqtt://" + elsewhere.server.Addr() + ": up for "
	if out := top(); !strings.HasPrefix(out, up) || !strings.Contains(out, "that broker knows") || strings.Contains(out, token) {
		t.Errorf("got %q", out)
	}
	var v busView
	must(t, json.Unmarshal([]byte(top("--json")), &v))
	if v.Bus == nil || !v.Bus.Up || v.Broker != nil {
		t.Errorf("got %+v", v)
	}
	elsewhere.stop()
	until(t, "the loss", func() bool { return strings.Contains(top(), ": down for ") })
}

// On a terminal the table stays and is drawn anew, until q.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.start()
	for _, key := range []string{"q", "\x03"} {
		screen, terminal := openTerminal(t)
		shown := &hearing{}
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := screen.Read(buf)
				if err != nil {
					return
				}
				_, _ = shown.Write(buf[:n])
			}
		}()
		ended := make(chan int, 1)
		var errOut hearing
		go func() {
			ended <- run(context.Background(), []string{"--config", h.config, "broker", "top"}, terminal, terminal, &errOut)
		}()
		until(t, "the table, twice", func() bool { return strings.Count(shown.String(), "bus up for") >= 2 })
		_, err := screen.WriteString("x" + key)
		must(t, err)
		select {
		case code := <-ended:
			if code != 0 || errOut.String() != "" {
				t.Errorf("%q: exit code %d: %s", key, code, errOut.String())
			}
		case <-soon(t).Done():
			t.Fatalf("%q does not end it", key)
		}
		until(t, "the old screen", func() bool { return strings.HasSuffix(shown.String(), screenBack) })
		if got := shown.String(); !strings.HasPrefix(got, screenOwn) || !strings.Contains(got, bold) {
			t.Errorf("shown %q", got)
		}
	}
}

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: this machine gives no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	must(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}
