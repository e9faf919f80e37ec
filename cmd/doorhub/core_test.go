package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// coreRoot names in the environment the folder that .ci/homeassistant has set up.
const coreRoot = "DOORHUB_HOMEASSISTANT"

// soonAtCore bounds every wait for Home Assistant, which takes seconds where others take none.
const soonAtCore = time.Minute

const (
	coreUser     = "owner"
	corePassword = "a house of one's own"
)

const coreConfig = `homeassistant:
  name: Home
  country: DE
  time_zone: UTC
  unit_system: metric
http:
  server_host: 127.0.0.1
  server_port: %s
frontend:
history:
logbook:
recorder:
automation: !include automations.yaml
logger:
  default: warning
  logs:
    homeassistant.components.mqtt: info
`

// core is a Home Assistant Core of the test's own, with a fresh configuration, in a process of
// its own below a root of its own, on loopback.
type core struct {
	tb    testing.TB
	root  string
	dir   string // its configuration
	url   string
	token string
	cmd   *exec.Cmd
}

// startCore runs a Home Assistant until the end of the test, with these files in its
// configuration; what is in configuration.yaml comes behind its own.
func startCore(tb testing.TB, files ...map[string]string) *core {
	tb.Helper()
	root := os.Getenv(coreRoot)
	if root == "" {
		tb.Skip("SKIPPED, NOT TESTED with a real Home Assistant: make test-ha does (root, 1.5 GB)")
	}
	address := freeAddr(tb)
	_, port, err := net.SplitHostPort(address)
	must(tb, err)
	c := &core{tb: tb, root: root, dir: tb.TempDir(), url: "http://" + address}
	all := map[string]string{
		"automations.yaml": "[]\n",
		// What follows the user's step would add integrations that speak to the Internet.
		".storage/onboarding": `{"version":4,"minor_version":1,"key":"onboarding","data":{"done":["core_config","analytics","integration"]}}`,
	}
	for _, more := range files {
		maps.Copy(all, more)
	}
	all["configuration.yaml"] = fmt.Sprintf(coreConfig, port) + all["configuration.yaml"]
	for name, text := range all {
		must(tb, os.MkdirAll(filepath.Dir(filepath.Join(c.dir, name)), 0o700))
		must(tb, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600))
	}
	c.start()
	tb.Cleanup(c.stop)
	c.onboard()
	return c
}

// start runs it in a mount namespace that vanishes with it. No name resolves in there, so that
// nothing leaves this machine.
func (c *core) start() {
	c.tb.Helper()
	must(c.tb, os.WriteFile(filepath.Join(c.root, "etc/resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644))
	out, err := os.OpenFile(filepath.Join(c.dir, "out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(c.tb, err)
	defer out.Close()
	c.cmd = exec.Command("unshare", "--mount", "sh", "-c", `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/config" &&
		exec chroot "$0" env -i PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1 \
		/venv/bin/hass -c /config --skip-pip`, c.root, c.dir)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	must(c.tb, c.cmd.Start())
	c.until("Home Assistant's pages", func() bool {
		r, err := http.Get(c.url + "/manifest.json")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (c *core) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() { _ = c.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(soonAtCore):
		_ = c.cmd.Process.Kill()
		<-ended
	}
	if c.tb.Failed() {
		said, _ := os.ReadFile(filepath.Join(c.dir, "out"))
		c.tb.Logf("Home Assistant said:\n%s", said)
	}
}

func (c *core) until(what string, ok func() bool) {
	c.tb.Helper()
	untilIn(c.tb, soonAtCore, what, ok)
}

// onboard makes its owner, and a token that outlives restarts.
func (c *core) onboard() {
	c.tb.Helper()
	var made struct {
		Code string `json:"auth_code"`
	}
	must(c.tb, c.call("POST", "/api/onboarding/users", map[string]string{"client_id": c.url + "/", "name": coreUser,
		"username": coreUser, "password": corePassword, "language": "en"}, &made))
	r, err := http.PostForm(c.url+"/auth/token", url.Values{"grant_type": {"authorization_code"}, "code": {made.Code}, "client_id": {c.url + "/"}})
	must(c.tb, err)
	defer r.Body.Close()
	var login struct {
		Token string `json:"access_token"`
	}
	must(c.tb, json.NewDecoder(r.Body).Decode(&login))
	c.token = login.Token
	c.command(&c.token, "auth/long_lived_access_token", map[string]any{"client_name": "test", "lifespan": 1})
	c.command(nil, "http/config/promote", nil) // else it goes back to port 8123 after 5 minutes
}

// call does one request of its REST API.
func (c *core) call(method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(soon(c.tb), method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return err
	case r.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s: %s", method, path, r.Status, said)
	case into == nil:
		return nil
	}
	return json.Unmarshal(said, into)
}

// socket is a connection to its WebSocket API.
type socket struct {
	*websocket.Conn
	id int
}

func (c *core) socket() *socket {
	c.tb.Helper()
	conn, _, err := websocket.DefaultDialer.DialContext(soon(c.tb), "ws"+strings.TrimPrefix(c.url, "http")+"/api/websocket", nil)
	must(c.tb, err)
	var said struct{ Type string }
	must(c.tb, conn.ReadJSON(&said))
	must(c.tb, conn.WriteJSON(map[string]string{"type": "auth", "access_token": c.token}))
	must(c.tb, conn.ReadJSON(&said))
	if said.Type != "auth_ok" {
		c.tb.Fatalf("Home Assistant lets nobody in: %s", said.Type)
	}
	return &socket{Conn: conn}
}

// do sends one command and returns its result.
func (s *socket) do(kind string, fields map[string]any) (json.RawMessage, error) {
	s.id++
	message := map[string]any{"id": s.id, "type": kind}
	for k, v := range fields {
		message[k] = v
	}
	if err := s.WriteJSON(message); err != nil {
		return nil, err
	}
	for {
		var r struct {
			ID      int
			Type    string
			Success bool
			Error   json.RawMessage
			Result  json.RawMessage
		}
		switch err := s.ReadJSON(&r); {
		case err != nil:
			return nil, err
		case r.ID != s.id || r.Type != "result":
		case !r.Success:
			return nil, fmt.Errorf("%s: %s", kind, r.Error)
		default:
			return r.Result, nil
		}
	}
}

// command does one command of its WebSocket API.
func (c *core) command(into any, kind string, fields map[string]any) {
	c.tb.Helper()
	s := c.socket()
	defer s.Close()
	result, err := s.do(kind, fields)
	must(c.tb, err)
	if into != nil {
		must(c.tb, json.Unmarshal(result, into))
	}
}

type coreEntry struct {
	ID     string `json:"entry_id"`
	Domain string `json:"domain"`
	State  string `json:"state"`
}

func (c *core) mqttEntries() (found []coreEntry) {
	c.tb.Helper()
	var all []coreEntry
	must(c.tb, c.call("GET", "/api/config/config_entries/entry", nil, &all))
	for _, e := range all {
		if e.Domain == "mqtt" {
			found = append(found, e)
		}
	}
	return found
}

// join has its MQTT integration talk to one broker, as its owner would by its pages.
func (c *core) join(l login) {
	c.tb.Helper()
	for _, e := range c.mqttEntries() {
		must(c.tb, c.call("DELETE", "/api/config/config_entries/entry/"+e.ID, nil, nil))
	}
	type form struct {
		ID     string          `json:"flow_id"`
		Type   string          `json:"type"`
		Errors json.RawMessage `json:"errors"`
	}
	const flow = "/api/config/config_entries/flow"
	var f form
	must(c.tb, c.call("POST", flow, map[string]any{"handler": "mqtt"}, &f))
	for f.Type == "menu" {
		must(c.tb, c.call("POST", flow+"/"+f.ID, map[string]any{"next_step_id": "broker"}, &f))
	}
	host, port, err := net.SplitHostPort(l.address)
	must(c.tb, err)
	n, err := strconv.Atoi(port)
	must(c.tb, err)
	must(c.tb, c.call("POST", flow+"/"+f.ID, map[string]any{"broker": host, "port": n, "username": l.user, "password": l.token,
		"other_settings": map[string]any{"set_client_cert": false, "set_ca_cert": "off", "transport": "tcp"}}, &f))
	if f.Type != "create_entry" {
		c.tb.Fatalf("Home Assistant does not take the broker: %s", f.Errors)
	}
	c.until("the MQTT integration", func() bool {
		entries := c.mqttEntries()
		return len(entries) == 1 && entries[0].State == "loaded"
	})
}

// entity is one as Home Assistant has registered it, with its present state.
type entity struct {
	ID       string  `json:"entity_id"`
	UniqueID string  `json:"unique_id"`
	Platform string  `json:"platform"`
	Device   string  `json:"device_id"`
	Category *string `json:"entity_category"`
	State    string
	Attr     map[string]any
}

// entities returns all of the MQTT integration, by id; those without a state it only remembers.
func (c *core) entities() map[string]entity {
	c.tb.Helper()
	var registered []entity
	c.command(&registered, "config/entity_registry/list", nil)
	all := map[string]entity{}
	for _, e := range registered {
		if e.Platform == "mqtt" {
			all[e.ID] = e
		}
	}
	for _, s := range c.states() {
		if e, ok := all[s.ID]; ok {
			e.State, e.Attr = s.State, s.Attr
			all[s.ID] = e
		}
	}
	return all
}

type coreState struct {
	ID    string         `json:"entity_id"`
	State string         `json:"state"`
	Attr  map[string]any `json:"attributes"`
}

func (c *core) states() (all []coreState) {
	c.tb.Helper()
	must(c.tb, c.call("GET", "/api/states", nil, &all))
	return all
}

// state is the present one of an entity; "" where there is none.
func (c *core) state(id string) (s coreState) {
	if c.call("GET", "/api/states/"+id, nil, &s) != nil {
		return coreState{}
	}
	return s
}

// shows waits until an entity has the state.
func (c *core) shows(id, state string) (s coreState) {
	c.tb.Helper()
	c.until(id+" to be "+state, func() bool { s = c.state(id); return s.State == state })
	return s
}

func (c *core) service(domain, name string, data map[string]any) error {
	return c.call("POST", "/api/services/"+domain+"/"+name, data, nil)
}

// change is a new state of an entity.
type change struct {
	coreState
	at time.Time // when it was heard of here
}

// changes are the new states of all entities from now on, until Home Assistant ends.
func (c *core) changes() *flow[change] {
	c.tb.Helper()
	all := newFlow[change]()
	c.listen("state_changed", func(data json.RawMessage) {
		var d struct {
			New *coreState `json:"new_state"`
		}
		if json.Unmarshal(data, &d) == nil && d.New != nil {
			all.add(change{*d.New, time.Now()})
		}
	})
	return all
}

// listen hands out the data of its events of a kind, until it ends.
func (c *core) listen(kind string, hear func(json.RawMessage)) {
	c.tb.Helper()
	s := c.socket()
	_, err := s.do("subscribe_events", map[string]any{"event_type": kind})
	must(c.tb, err)
	c.tb.Cleanup(func() { s.Close() })
	go func() {
		for {
			var r struct {
				Event struct{ Data json.RawMessage }
			}
			if s.ReadJSON(&r) != nil {
				return
			}
			hear(r.Event.Data)
		}
	}()
}

// happened are the events that an event entity has shown in these changes: each number of a
// record with its kind, as often as it was shown. An event's state is the time of its coming, so
// that what only became available again does not count.
func happened(id string, all []change) map[string]int {
	times, n := map[string]bool{}, map[string]int{}
	for _, ch := range all {
		seq, ok := ch.Attr["seq"].(float64)
		if ch.ID != id || !ok || times[ch.State] {
			continue
		}
		times[ch.State] = true
		n[fmt.Sprintf("%.0f %v", seq, ch.Attr["event_type"])]++
	}
	return n
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	text, err := json.Marshal(v)
	must(tb, err)
	return text
}

// complaint is a line of its log that its owner should not see.
var complaint = regexp.MustCompile(`^\S+ \S+ (WARNING|ERROR|CRITICAL) `)

// log returns all that it has logged so far, over restarts.
func (c *core) log() string {
	c.tb.Helper()
	var all strings.Builder
	for _, name := range []string{"home-assistant.log.1", "home-assistant.log", "out"} {
		text, err := os.ReadFile(filepath.Join(c.dir, name))
		if !errors.Is(err, os.ErrNotExist) {
			must(c.tb, err)
		}
		all.Write(text)
	}
	return all.String()
}

// complaints are the warnings and errors that name us, or that MQTT has, but for a broker that
// is not there.
func (c *core) complaints() (all []string) {
	c.tb.Helper()
	gone := regexp.MustCompile(`Disconnected from MQTT|Failed to connect to MQTT|Unable to connect to the MQTT|Error talking to MQTT|Error returned from MQTT server|No ACK from MQTT`)
	for line := range strings.Lines(c.log()) {
		ours := regexp.MustCompile(`(?i)doorhub|mqtt|front|kitchen`).MatchString(line)
		if complaint.MatchString(line) && ours && !gone.MatchString(line) && !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return all
}

// python runs a script with what its integrations are made of, and what it shall read.
func (c *core) python(script, input string) (string, error) {
	cmd := exec.Command("chroot", c.root, "/venv/bin/python", "-B", "-c", script)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
