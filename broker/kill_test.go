package broker

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// killEnv has the test binary run a broker on the folder that it names, until it is killed.
const killEnv = "DOORHUB_TEST_KILLED_BROKER"

func killedBroker(dir string) {
	cfg := Defaults()
	cfg.Listen, cfg.Dir = "127.0.0.1:0", dir
	users, err := OpenUsers(filepath.Join(dir, "users.json"))
	if err != nil {
		os.Exit(3)
	}
	s, err := Start(cfg, users, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	fmt.Println(s.Addr())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// kills is how often the broker is killed.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("DOORHUB_KILLS")); err == nil {
		return n
	}
	if os.Getenv("DOORHUB_SOAK") != "" {
		return 100
	}
	t.Log("5 kills; DOORHUB_KILLS or DOORHUB_SOAK make it more")
	return 5
}

// victim is a broker in a process of its own.
type victim struct {
	cmd  *exec.Cmd
	addr string
}

func startVictim(t *testing.T, dir string) *victim {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	must(t, err)
	t.Cleanup(func() { _ = in.Close() })
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return &victim{cmd, strings.TrimSpace(line)}
}

func (v *victim) in(t *testing.T, l login) (*peer, bool) {
	t.Helper()
	c, err := net.Dial("tcp", v.addr)
	must(t, err)
	p, ack := login2(t, c, l)
	if ack.ReasonCode != 0 {
		t.Fatalf("%s refused with %#x", l.user, ack.ReasonCode)
	}
	return p, ack.SessionPresent
}

// acked is what one publisher had acknowledged, by topic: the last number.
type acked struct {
	mu   sync.Mutex
	last map[string]int
}

func (a *acked) note(topic string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[topic] = n
}

// inFlight is how many messages a publisher sends ahead of their answers: so many that at any
// moment some have just been answered, and the broker is at work on others.
const inFlight = 32

// load publishes ever higher numbers on a topic, until the broker is gone.
func load(t *testing.T, p *peer, topic string, retain bool, from int, a *acked) {
	window, gone := make(chan struct{}, inFlight), make(chan struct{})
	go func() {
		defer close(gone)
		for i := 0; ; i++ {
			pk, err := p.read()
			if err != nil {
				return
			}
			if want := uint16(i%60_000 + 1); pk.FixedHeader.Type != packets.Puback || pk.PacketID != want {
				t.Errorf("answer %d is for %d", want, pk.PacketID)
				return
			}
			a.note(topic, from+i)
			<-window
		}
	}()
	for i := 0; ; i++ {
		select {
		case window <- struct{}{}:
		case <-gone:
			return
		}
		pk := publication(topic, strconv.Itoa(from+i), 1, retain)
		pk.PacketID = uint16(i%60_000 + 1)
		if err := p.try(pk); err != nil {
			<-gone // what it had answered counts
			return
		}
	}
}

// What has been acknowledged for a session that is kept, or as retained, survives kill -9.
func TestKilledBrokerLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	users, err := OpenUsers(filepath.Join(dir, "users.json"))
	must(t, err)
	hub, err := users.Add("hub", RoleHub)
	must(t, err)
	viewer, err := users.Add("viewer", RoleViewer)
	must(t, err)
	kept := login{user: "viewer", token: viewer, id: "kept", keep: true}
	a := &acked{last: map[string]int{}}
	seen := map[string]int{} // by the kept session: the highest number
	for round := range kills(t) {
		v := startVictim(t, dir)
		p, present := v.in(t, kept)
		if present != (round > 0) {
			t.Fatalf("kill %d: session present %t", round, present)
		}
		if round == 0 {
			p.subscribe("doorhub/sensor/+/event", 1)
		}
		p.takeQueued(seen)
		checkKept(t, v, login{user: "viewer", token: viewer, id: "now"}, a, seen)
		if round%2 == 0 { // it is away in every second round
			must(t, p.Close())
		}
		var all sync.WaitGroup
		for i := range 6 {
			from, _ := v.in(t, login{user: "hub", token: hub, id: strconv.Itoa(i)})
			topic := fmt.Sprintf("doorhub/sensor/p%d/%s", i, []string{"event", "state"}[i%2])
			all.Go(func() { load(t, from, topic, i%2 == 1, (round+1)*1_000_000, a) })
		}
		<-time.After(20*time.Millisecond + time.Duration(rand.IntN(150))*time.Millisecond)
		must(t, v.cmd.Process.Kill())
		_ = v.cmd.Wait() // killed
		all.Wait()
	}
	v := startVictim(t, dir)
	p, _ := v.in(t, kept)
	p.takeQueued(seen)
	checkKept(t, v, login{user: "viewer", token: viewer, id: "now"}, a, seen)
	t.Logf("%d topics, the last %v", len(seen), seen)
}

// takeQueued reads and acknowledges what a kept session has been sent. Numbers of a topic rise,
// but for those sent again.
func (p *peer) takeQueued(seen map[string]int) {
	p.t.Helper()
	p.ping() // the queue's first part is here; each acknowledgement may bring more
	for len(p.held) > 0 {
		pk := p.next(packets.Publish)
		n, err := strconv.Atoi(string(pk.Payload))
		must(p.t, err)
		if last := seen[pk.TopicName]; n > last+1 && n%1_000_000 > 0 {
			p.t.Errorf("%s: %d follows %d", pk.TopicName, n, last)
		}
		seen[pk.TopicName] = max(n, seen[pk.TopicName])
		p.send(answer(packets.Puback, pk.PacketID, 0))
		if len(p.held) == 0 {
			p.ping()
		}
	}
}

// checkKept compares what was acknowledged with what has been received and is retained.
func checkKept(t *testing.T, v *victim, l login, a *acked, seen map[string]int) {
	t.Helper()
	p, _ := v.in(t, l)
	p.subscribe("doorhub/sensor/+/state", 0)
	p.ping()
	for _, pk := range p.held {
		n, err := strconv.Atoi(string(pk.Payload))
		must(t, err)
		seen[pk.TopicName] = n
	}
	for topic, n := range a.last {
		if seen[topic] < n {
			t.Errorf("%s: %d was acknowledged, %d is the last that is left", topic, n, seen[topic])
		}
	}
}

// slowStore is a storage hook that has not stored anything yet.
type slowStore struct {
	mqtt.HookBase
	asked, free chan struct{}
}

func (*slowStore) ID() string           { return "store" }
func (*slowStore) Provides(b byte) bool { return b == mqtt.OnQosPublish }
func (s *slowStore) OnQosPublish(_ *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	if pk.FixedHeader.Type == packets.Publish {
		s.asked <- struct{}{}
		<-s.free
	}
}

// A bare broker acknowledges a message before it gives it to the storage hook.
func TestBareMochiAcknowledgesBeforeItStores(t *testing.T) {
	b := startBare(t)
	store := &slowStore{asked: make(chan struct{}, 1), free: make(chan struct{})}
	defer close(store.free)
	must(t, b.AddHook(store, nil))
	p := b.in(t, login{id: "kept", keep: true})
	p.subscribe("t", 1)
	must(t, p.Close())
	b.in(t, login{id: "p"}).publish("t", "x", false) // has the answer
	take(t, store.asked)
}

// keptFiles returns what the log holds, and the content of its files.
func keptFiles(t *testing.T, h *house) (content string, n int) {
	t.Helper()
	names, err := logFiles(filepath.Join(h.cfg.Dir, "kept"))
	must(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		content += name + "\n" + string(text)
	}
	must(t, readLog(filepath.Join(h.cfg.Dir, "kept"), func(note) { n++ }))
	return content, n
}

func TestNothingIsWrittenWhileNothingHappens(t *testing.T) {
	h := start(t)
	l := h.as("homeassistant")
	l.keep = true
	h.in(t, l).subscribe("doorhub/alarm/state", 1)
	before, n := keptFiles(t, h)
	if n == 0 {
		t.Error("the session is not in the log")
	}
	h.in(t, h.as("viewer")).subscribe("$SYS/#", 0)
	h.in(t, l).ping()                                                           // a reconnect
	h.in(t, h.as("sensor")).publish("doorhub/in/sensor/contact", "open", false) // for no kept session
	if after, _ := keptFiles(t, h); after != before {
		t.Errorf("written: %q", strings.TrimPrefix(after, before))
	}
}

func TestSessionSurvivesRestart(t *testing.T) {
	h := start(t)
	l := h.as("viewer")
	l.keep, l.version = true, 5
	l.change = func(pk *packets.Packet) {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 3600, true
	}
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 2)
	p.subscribe("doorhub/house/#", 1)
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 7,
		Filters: packets.Subscriptions{{Filter: "doorhub/house/#"}},
	})
	p.next(packets.Unsuback)
	five := h.as("hub")
	five.version = 5
	hub := h.in(t, five)
	pk := publication("doorhub/alarm/state", "armed_away", 2, false)
	pk.Properties.ContentType = "text/plain"
	hub.send(pk)
	hub.next(packets.Pubrec)
	hub.send(answer(packets.Pubrel, 1, 0))
	hub.publish("doorhub/house/event", "x", false)
	first := p.next(packets.Publish)
	p.send(answer(packets.Pubrec, first.PacketID, 0))
	p.next(packets.Pubrel)
	hub.publish("doorhub/alarm/state", "pending", false)
	for range 2 {
		must(t, h.Close())
		h.restart(t)
		p, ack := h.connect(t, l)
		if pk := p.next(packets.Pubrel); !ack.SessionPresent || pk.PacketID != first.PacketID {
			t.Errorf("session present %t, PUBREL %d", ack.SessionPresent, pk.PacketID)
		}
		if pk := p.next(packets.Publish); string(pk.Payload) != "pending" || pk.PacketID == first.PacketID {
			t.Errorf("message %d: %q", pk.PacketID, pk.Payload)
		}
	}
}
