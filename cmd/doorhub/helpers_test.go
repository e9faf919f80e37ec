package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/keypad"
	"github.com/doorhub/doorhub/door/store"
)

// Ann's secrets, and those of nobody.
const (
	annPIN    = "246810"
	annRemote = "97531864"
	noPIN     = "135792"
	noRemote  = "11223344"
)

// soonEnough bounds every wait of a test that goes well much faster.
const soonEnough = 20 * time.Second

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soonEnough)
	tb.Cleanup(cancel)
	return ctx
}

// testHouse is a data folder made as init would: a key, bus users, Ann with PIN and remote
// code. Any number of hubs run on it, one after the other.
type testHouse struct {
	cfg    Config
	ann    string            // her id
	tokens map[string]string // of the bus users
}

// newTestHouse makes one simulated front door with a keypad, which a PIN alone opens, and the
// kitchen window's sensor; everything listens on loopback at free ports.
func newTestHouse(tb testing.TB, change ...func(*Config)) *testHouse {
	tb.Helper()
	cfg := testConfig(tb.TempDir())
	for _, f := range change {
		f(&cfg)
	}
	return makeTestHouse(tb, cfg)
}

func testConfig(dir string) Config {
	cfg := Defaults()
	cfg.Data, cfg.Clock = dir, clockTrust
	cfg.House.Policy = []door.Set{door.SetOf(door.PIN)}
	cfg.Broker.Listen = "127.0.0.1:0"
	front := doorDefaults()
	front.ID, front.Name, front.Hardware = "front", "Front door", simulated
	front.Egress = door.EgressReader
	front.Keypads = []Keypad{keypadDefaults()}
	cfg.Doors = []Door{front}
	return cfg
}

func makeTestHouse(tb testing.TB, cfg Config) *testHouse {
	tb.Helper()
	must(tb, describe("the test's config", nil, cfg.validate()))
	must(tb, store.CreateKey(cfg.Data))
	users, err := makeUsers(cfg)
	must(tb, err)
	h := &testHouse{cfg: cfg, tokens: map[string]string{}}
	for _, u := range users {
		h.tokens[u.Name] = u.Token
	}
	st, err := store.Open(cfg.Data, store.With(cfg.Store))
	must(tb, err)
	ann, err := st.AddPerson(tb.Context(), "Ann", nil, nil)
	must(tb, err)
	h.ann = ann.ID
	must(tb, st.SetPIN(tb.Context(), ann.ID, annPIN))
	must(tb, st.SetRemoteCode(tb.Context(), ann.ID, annRemote))
	must(tb, st.Close())
	return h
}

// start runs a hub in the house until stop or the end of the test.
func (th *testHouse) start(tb testing.TB, change ...func(*hub)) *testHub {
	tb.Helper()
	h := &testHub{testHouse: th, tb: tb, records: newFlow[door.Record]()}
	running, err := startHub(context.Background(), th.cfg, logOf(tb), append(change, func(hub *hub) {
		hub.watch(h.records.add)
	})...)
	must(tb, err)
	h.hub = running
	tb.Cleanup(h.stop)
	return h
}

// logOf shows a hub's log where its test fails.
func logOf(tb testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(tb.Output(), nil)) }

// startTestHub makes a house and runs a hub in it.
func startTestHub(tb testing.TB, change ...func(*Config)) *testHub {
	tb.Helper()
	return newTestHouse(tb, change...).start(tb)
}

// testHub is a running hub and what its journal has written since it started.
type testHub struct {
	*hub
	*testHouse
	tb      testing.TB
	records *flow[door.Record]
	once    sync.Once
}

func (h *testHub) stop() {
	h.once.Do(func() {
		if err := h.close(); err != nil {
			h.tb.Errorf("stop: %v", err)
		}
	})
}

// await waits for the next record of the kind, and passes over all before it.
func (h *testHub) await(kind door.Kind) door.Record {
	h.tb.Helper()
	return h.records.next(h.tb, string(kind), func(r door.Record) bool { return r.Kind == kind })
}

// types presses the keys of the front door's keypad, through its matrix and decoder.
func (h *testHub) types(pin string) {
	h.tb.Helper()
	must(h.tb, h.doors["front"].press(soon(h.tb), "keypad", pin+"#"))
}

// enters has a PIN taken as if it had just been typed, without the time that typing takes.
func (h *testHub) enters(pin string) {
	h.tb.Helper()
	d := h.hub.cfg.Doors[0]
	h.typed(d, d.Keypads[0], keypad.NewSecret(pin))
}

// until waits for a condition.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	untilIn(tb, soonEnough, what, ok)
}

func untilIn(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("waited in vain for %s", what)
		}
	}
}

// flow is what came, in order, to be taken one by one.
type flow[T any] struct {
	mu   sync.Mutex
	all  []T
	read int
	more chan struct{} // closed and made anew at each
}

func newFlow[T any]() *flow[T] { return &flow[T]{more: make(chan struct{})} }

func (f *flow[T]) add(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, v)
	close(f.more)
	f.more = make(chan struct{})
}

// next returns the first that fits of those not taken yet, and takes all up to it.
func (f *flow[T]) next(tb testing.TB, what string, fits func(T) bool) T {
	tb.Helper()
	ctx := soon(tb)
	for {
		f.mu.Lock()
		from, more := f.read, f.more
		for i, v := range f.all[from:] {
			if fits(v) {
				f.read = from + i + 1
				f.mu.Unlock()
				return v
			}
		}
		rest := fmt.Sprintf("%v", f.all[from:])
		f.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			tb.Fatalf("waited in vain for %s; there was %.3000s", what, rest)
		}
	}
}

// seen returns all that came, taken or not.
func (f *flow[T]) seen() []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]T(nil), f.all...)
}

// program finds one of Mosquitto's, or skips the test saying so.
func program(tb testing.TB, name string) string {
	tb.Helper()
	for _, try := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(try); err == nil {
			return path
		}
	}
	tb.Skipf("SKIPPED, NOT TESTED: %s is not here: apt-get install mosquitto mosquitto-clients", name)
	return ""
}

// freeAddr returns a loopback address where nobody listens at present.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	defer l.Close()
	return l.Addr().String()
}

// login is where and as whom a program connects.
type login struct{ address, user, token string }

// as is the login of a bus user at the embedded broker; one without a token has a wrong one.
func (h *testHub) as(user string) login {
	token := h.tokens[user]
	if token == "" {
		token = "not-the-token"
	}
	return login{h.server.Addr(), user, token}
}

func (l login) args(more ...string) []string {
	host, port, _ := net.SplitHostPort(l.address)
	args := []string{"-h", host, "-p", port}
	if l.user != "" {
		args = append(args, "-u", l.user, "-P", l.token)
	}
	return append(args, more...)
}

// pub runs mosquitto_pub and returns all that it printed.
func pub(tb testing.TB, l login, args ...string) (string, error) {
	tb.Helper()
	out, err := exec.CommandContext(soon(tb), program(tb, "mosquitto_pub"), l.args(append([]string{"-q", "1"}, args...)...)...).CombinedOutput()
	return string(out), err
}

// heard is a message as mosquitto_sub received it.
type heard struct {
	retained       bool
	topic, payload string
}

// sub runs mosquitto_sub until the end of the test, and returns once it has subscribed. Its
// flow ends silently where the broker lets it in no more.
func sub(tb testing.TB, l login, filters ...string) *flow[heard] {
	tb.Helper()
	args := []string{"-q", "1", "-d", "-F", "HEARD %r %t %p"}
	for _, f := range filters {
		args = append(args, "-t", f)
	}
	// Into a pipe it would say nothing until there is much of it.
	cmd := exec.Command("stdbuf", append([]string{"-oL", program(tb, "mosquitto_sub")}, l.args(args...)...)...)
	out, err := cmd.StdoutPipe()
	must(tb, err)
	cmd.Stderr = cmd.Stdout
	must(tb, cmd.Start())
	f, subscribed := newFlow[heard](), make(chan struct{})
	ended := make(chan struct{})
	var once sync.Once
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "Subscribed (mid") {
				once.Do(func() { close(subscribed) }) // again after each reconnect
			}
			if text, ok := strings.CutPrefix(lines.Text(), "HEARD "); ok {
				retained, rest, _ := strings.Cut(text, " ")
				topic, payload, _ := strings.Cut(rest, " ")
				f.add(heard{retained == "1", topic, payload})
			}
		}
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case <-subscribed:
	case <-ended:
		tb.Fatal("mosquitto_sub ended before it had subscribed")
	case <-soon(tb).Done():
		tb.Fatal("mosquitto_sub does not subscribe")
	}
	return f
}

// says waits for a message on the topic whose payload holds all of the words.
func says(tb testing.TB, f *flow[heard], topic string, words ...string) heard {
	tb.Helper()
	return f.next(tb, topic+" "+strings.Join(words, " "), func(m heard) bool {
		if m.topic != topic {
			return false
		}
		for _, w := range words {
			if !strings.Contains(m.payload, w) {
				return false
			}
		}
		return true
	})
}

// client connects one of our own to the embedded broker.
func (h *testHub) client(user string) *broker.Client {
	h.tb.Helper()
	c, err := broker.Dial(context.Background(), broker.ClientConfig{URL: "mqtt://" + h.server.Addr(), User: user,
		Token: h.tokens[user], ClientID: "test"})
	must(h.tb, err)
	h.tb.Cleanup(c.Close)
	must(h.tb, c.Ready(soon(h.tb)))
	return c
}
