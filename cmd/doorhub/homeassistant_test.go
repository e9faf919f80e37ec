package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

const ownersPassword = "correct horse"

// mosquitto is Debian's broker as an owner has it: one user, who may do anything.
type mosquitto struct {
	tb      testing.TB
	dir     string
	address string
	cmd     *exec.Cmd
}

// startMosquitto runs one with these lines in its configuration, besides its own.
func startMosquitto(tb testing.TB, lines ...string) *mosquitto {
	tb.Helper()
	m := &mosquitto{tb: tb, dir: tb.TempDir(), address: freeAddr(tb)}
	users := filepath.Join(m.dir, "users")
	must(tb, os.WriteFile(users, []byte("owner:"+ownersPassword+"\n"), 0o600))
	must(tb, exec.Command(program(tb, "mosquitto_passwd"), "-U", users).Run())
	must(tb, os.WriteFile(m.secret(), []byte(ownersPassword+"\n"), 0o600))
	_, port, err := net.SplitHostPort(m.address)
	must(tb, err)
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\nuser root\n", port, users)
	for _, l := range lines {
		conf += l + "\n"
	}
	must(tb, os.WriteFile(filepath.Join(m.dir, "conf"), []byte(conf), 0o600))
	m.start()
	tb.Cleanup(m.stop)
	return m
}

func (m *mosquitto) secret() string { return filepath.Join(m.dir, "secret") }

func (m *mosquitto) start() {
	m.tb.Helper()
	m.cmd = exec.Command(program(m.tb, "mosquitto"), "-v", "-c", filepath.Join(m.dir, "conf"))
	out, err := m.cmd.StderrPipe()
	must(m.tb, err)
	must(m.tb, m.cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), " running") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
		m.tb.Log(lines.Text())
	}
	m.tb.Fatalf("mosquitto ended: %v", m.cmd.Wait())
}

func (m *mosquitto) stop() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

func (m *mosquitto) login() login { return login{m.address, "owner", ownersPassword} }

// withBroker has Home Assistant met at the owner's broker.
func withBroker(m *mosquitto) func(*Config) {
	return func(c *Config) {
		c.HomeAssistant.Broker, c.HomeAssistant.User, c.HomeAssistant.PasswordFile = "mqtt://"+m.address, "owner", m.secret()
	}
}

func TestHomeAssistantsOwnBroker(t *testing.T) {
	m := startMosquitto(t)
	all := sub(t, m.login(), "#")
	h := startTestHub(t, withBroker(m))
	for topic, words := range map[string]string{
		"homeassistant/device/doorhub_door_front/config":     `"command_topic":"` + frontLock + `"`,
		"homeassistant/device/doorhub_sensor_kitchen/config": `"device_class":"window"`,
		"doorhub/door/front/lock":                            "LOCKED",
		"doorhub/door/front/contact":                         "closed",
		"doorhub/instance/hub/status":                        "online",
	} {
		until(t, topic, func() bool { return strings.Contains(lastOf(all, topic), words) })
	}
	_, err := pub(t, h.as("kitchen"), "-t", kitchenIn, "-m", "open")
	must(t, err)
	until(t, "the window", func() bool { return lastOf(all, "doorhub/sensor/kitchen/contact") == "open" })
	says(t, all, "doorhub/house/event", `"kind":"intrusion"`)

	_, err = pub(t, m.login(), "-t", frontLock, "-m", unlock(annRemote, time.Now()))
	must(t, err)
	if r := h.await(door.KindGranted); r.Person != h.ann || r.Details[door.DetailUser] != "home_assistant" {
		t.Errorf("granted: %+v", r)
	}
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`, `"name":"Ann"`)
	_, err = pub(t, m.login(), "-t", frontLock, "-m", "LOCK")
	must(t, err)
	if r := h.await(door.KindLocked); r.Reason != door.ReasonCommand {
		t.Errorf("locked: %+v", r)
	}
	wantOnce(t, all.seen())
	for _, msg := range all.seen() {
		fromOutside := msg.topic == frontLock
		if strings.HasPrefix(msg.topic, "doorhub/in/") || !fromOutside && strings.Contains(msg.payload, annRemote) {
			t.Errorf("told to a broker that is not the hub's: %v", msg)
		}
	}
}

// What a broker that takes anything from anybody kept opens nothing.
func TestKeptCommandFromAnotherBroker(t *testing.T) {
	m := startMosquitto(t)
	// Kept by the broker since before the hub was there.
	_, err := pub(t, m.login(), "-r", "-t", frontLock, "-m", unlock(annRemote, time.Now()))
	must(t, err)
	h := startTestHub(t, withBroker(m))
	if r := h.await(door.KindCommandRefused); r.Reason != door.ReasonRetained || r.Details[door.DetailUser] != "home_assistant" {
		t.Errorf("refused: %+v", r)
	}
	_, err = pub(t, m.login(), "-r", "-n", "-t", frontLock)
	must(t, err)
	h.await(door.KindCommandRefused)
	wantClosed(t, h, annRemote)

	// A reading from there is nobody's: sensors speak to the hub's own bus.
	_, err = pub(t, m.login(), "-t", kitchenIn, "-m", "open")
	must(t, err)
	_, err = pub(t, m.login(), "-t", frontLock, "-m", "UNLOCK")
	must(t, err)
	h.await(door.KindCommandRefused)
	for _, r := range h.records.seen() {
		if r.Kind == door.KindIntrusion {
			t.Errorf("a reading from another broker was taken: %+v", r)
		}
	}
}

// At such a broker the same rules hold as on the hub's own bus.
func TestCommandsRefusedFromAnotherBroker(t *testing.T) {
	m := startMosquitto(t)
	wantRefused(t, "home_assistant", func(t *testing.T) (*testHub, login) {
		h := startTestHub(t, withBroker(m))
		until(t, "the broker", h.ha.client.Up)
		return h, m.login()
	})
}

func TestHomeAssistantsBrokerGoesAway(t *testing.T) {
	m := startMosquitto(t)
	h := startTestHub(t, withBroker(m))
	seen := sub(t, m.login(), "doorhub/instance/hub/status")
	says(t, seen, "doorhub/instance/hub/status", "online")
	m.stop()
	problem := func(r door.Record) bool { return r.Details[door.DetailPart] == "home_assistant" }
	r := h.records.next(t, "the problem", problem)
	if r.Kind != door.KindProblem || r.Reason != "broker_down" {
		t.Errorf("problem: %+v", r)
	}
	h.enters(annPIN)
	h.await(door.KindGranted)
	until(t, "the lock, which waits for no broker", h.doors["front"].sim.Energised)
	m.start() // it has kept nothing
	all := sub(t, m.login(), "#")
	for topic, words := range map[string]string{
		"homeassistant/device/doorhub_door_front/config": `"doorhub_door_front"`,
		"doorhub/door/front/person":                      `"name":"Ann"`,
		"doorhub/instance/hub/status":                    "online",
	} {
		until(t, topic, func() bool { return strings.Contains(lastOf(all, topic), words) })
	}
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`) // not a minute old
	until(t, "the problem's end", func() bool {
		for _, r := range h.records.seen() {
			if r.Kind == door.KindProblemGone && problem(r) {
				return true
			}
		}
		return false
	})
}

// Home Assistant that starts anew is told everything anew.
func TestBirthBringsDiscovery(t *testing.T) {
	const config = "homeassistant/device/doorhub_door_front/config"
	told := func(f *flow[heard]) heard {
		return f.next(t, "discovery", func(m heard) bool { return m.topic == config && !m.retained })
	}
	t.Run("on the bus", func(t *testing.T) {
		h := startTestHub(t)
		until(t, "discovery", func() bool {
			h.bus.mu.Lock()
			defer h.bus.mu.Unlock()
			return len(h.bus.states) > 0 && len(h.bus.dirty) == 0
		})
		all := sub(t, h.as("homeassistant"), config, "doorhub/door/front/lock")
		says(t, all, "doorhub/door/front/lock", "LOCKED")
		for _, word := range []string{"offline", "online"} {
			_, err := pub(t, h.as("homeassistant"), "-t", "homeassistant/status", "-m", word)
			must(t, err)
		}
		told(all)
	})
	t.Run("at another broker", func(t *testing.T) {
		m := startMosquitto(t)
		all := sub(t, m.login(), "#")
		startTestHub(t, withBroker(m))
		told(all)
		_, err := pub(t, m.login(), "-t", "homeassistant/status", "-m", "online")
		must(t, err)
		told(all)
	})
}

// A door that is no longer in the config leaves Home Assistant; what others announced stays.
func TestOrphanLeavesHomeAssistant(t *testing.T) {
	m := startMosquitto(t)
	house := newTestHouse(t, withBroker(m), func(c *Config) {
		c.Sensors = append(c.Sensors, Sensor{ID: "cellar", Kind: c.Sensors[0].Kind})
	})
	all := sub(t, m.login(), "homeassistant/#")
	h := house.start(t)
	says(t, all, "homeassistant/device/doorhub_sensor_cellar/config", "cellar")
	_, err := pub(t, m.login(), "-r", "-t", "homeassistant/device/lamp/config", "-m", `{"o":{"name":"lamp"}}`)
	must(t, err)
	h.stop()
	house.cfg.Sensors = house.cfg.Sensors[:1]
	house.start(t)
	if m := says(t, all, "homeassistant/device/doorhub_sensor_cellar/config"); m.payload != "" {
		m = says(t, all, "homeassistant/device/doorhub_sensor_cellar/config")
		if m.payload != "" {
			t.Errorf("the cellar is still announced: %v", m)
		}
	}
	kept := sub(t, m.login(), "homeassistant/#")
	says(t, kept, "homeassistant/device/lamp/config", "lamp")
}

// cable is what lies between a hub and a broker elsewhere.
type cable struct {
	tb   testing.TB
	l    net.Listener
	to   string
	mu   sync.Mutex
	ends []net.Conn
	hung bool
}

func newCable(tb testing.TB, to string) *cable {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	c := &cable{tb: tb, l: l, to: to}
	go c.carry()
	tb.Cleanup(func() { l.Close(); c.cut() })
	return c
}

func (c *cable) carry() {
	for {
		near, err := c.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.ends = append(c.ends, near, far)
		c.mu.Unlock()
		go c.copy(near, far)
		go c.copy(far, near)
	}
}

func (c *cable) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		c.mu.Lock()
		hung := c.hung
		c.mu.Unlock()
		if hung {
			continue // taken, and never passed on
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections; new ones are carried again.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}

// hang keeps all connections and passes nothing on.
func (c *cable) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung = true
}

// outside puts the bus on a broker elsewhere.
func outside(m *mosquitto, address string) func(*Config) {
	return func(c *Config) {
		c.Broker = broker.Defaults()
		c.Broker.Mode, c.Broker.URL, c.Broker.User, c.Broker.PasswordFile = broker.External, "mqtt://"+address, "owner", m.secret()
	}
}

// A hub whose connection dies is offline by its will, and online when it is back. What
// happened meanwhile is told then, once.
func TestLastWill(t *testing.T) {
	m := startMosquitto(t)
	c := newCable(t, m.address)
	h := startTestHub(t, outside(m, c.l.Addr().String()))
	all := sub(t, m.login(), "doorhub/instance/hub/status", "doorhub/door/front/event")
	says(t, all, "doorhub/instance/hub/status", "online")
	c.cut()
	says(t, all, "doorhub/instance/hub/status", "offline")
	h.enters(annPIN) // nothing that opens a door waits for the bus
	until(t, "the lock", h.doors["front"].sim.Energised)
	// In this order: of who is offline nobody takes an event.
	says(t, all, "doorhub/instance/hub/status", "online")
	says(t, all, "doorhub/door/front/event", "granted")
	wantOnce(t, all.seen())
	h.stop()
	says(t, all, "doorhub/door/front/event", `"kind":"locked"`)
	until(t, "offline", func() bool { return lastOf(all, "doorhub/instance/hub/status") == "offline" })
}

// A broker that takes all and answers nothing keeps no door shut, and no hub from stopping.
func TestHungBroker(t *testing.T) {
	t.Parallel()
	m := startMosquitto(t)
	c := newCable(t, m.address)
	h := startTestHub(t, outside(m, c.l.Addr().String()))
	all := sub(t, m.login(), "doorhub/instance/hub/status")
	says(t, all, "doorhub/instance/hub/status", "online")
	c.hang()
	h.enters(annPIN)
	until(t, "the lock", h.doors["front"].sim.Energised)
	h.await(door.KindGranted)
	stopped := make(chan error, 1)
	go func() { stopped <- h.close() }()
	select {
	case err := <-stopped:
		if err == nil {
			t.Error("stopped as if offline had been told")
		}
	case <-soon(t).Done():
		t.Fatal("the hub does not stop")
	}
	if h.doors["front"].sim.Energised() {
		t.Error("the door is unlocked after the stop")
	}
	records := wantWhole(t, h.testHouse.cfg)
	if last := records[len(records)-1]; last.Kind != door.KindStopped {
		t.Errorf("the last record is %s", last.Kind)
	}
}

// The whole bus on Mosquitto: sensors, Home Assistant and viewers all meet there.
func TestExternalBroker(t *testing.T) {
	m := startMosquitto(t)
	h := startTestHub(t, outside(m, m.address))
	all := sub(t, m.login(), "#")
	until(t, "online", func() bool { return lastOf(all, "doorhub/instance/hub/status") == "online" })
	until(t, "discovery", func() bool { return lastOf(all, "homeassistant/device/doorhub_door_front/config") != "" })
	_, err := pub(t, m.login(), "-t", kitchenIn, "-m", "open", "-r") // seen by the hub as live: it subscribed before
	must(t, err)
	says(t, all, "doorhub/house/event", `"kind":"intrusion"`)
	_, err = pub(t, m.login(), "-t", frontLock, "-m", unlock(annRemote, time.Now()))
	must(t, err)
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`)
	_, err = pub(t, m.login(), "-t", frontLock, "-m", unlock(noRemote, time.Now()))
	must(t, err)
	says(t, all, "doorhub/door/front/event", `"kind":"command_refused"`, door.ReasonWrongCode)
	wantOnce(t, all.seen())

	m.stop()
	h.records.next(t, "the problem", func(r door.Record) bool {
		return r.Kind == door.KindProblem && r.Details[door.DetailPart] == "bus"
	})
	m.start()
	again := sub(t, m.login(), "#")
	until(t, "online", func() bool { return lastOf(again, "doorhub/instance/hub/status") == "online" })
	until(t, "the window", func() bool { return lastOf(again, "doorhub/sensor/kitchen/contact") == "open" })
	_, err = pub(t, m.login(), "-t", kitchenIn, "-m", "closed")
	must(t, err)
	h.await(door.KindSensorClosed)
	h.stop()
	until(t, "offline", func() bool { return lastOf(again, "doorhub/instance/hub/status") == "offline" })
}

// Bus and Home Assistant's broker may be the same one: the two connections get along.
func TestBothAtOneBroker(t *testing.T) {
	m := startMosquitto(t)
	h := startTestHub(t, withBroker(m), outside(m, m.address))
	all := sub(t, m.login(), "doorhub/#")
	until(t, "online", func() bool { return lastOf(all, "doorhub/instance/hub/status") == "online" })
	h.enters(annPIN)
	says(t, all, "doorhub/door/front/event", `"kind":"granted"`)
	for _, r := range h.records.seen() {
		if r.Kind == door.KindProblem && !isJournalProblem(journalSlow)(r) { // the machine may be busy
			t.Errorf("problem: %+v", r)
		}
	}
}
