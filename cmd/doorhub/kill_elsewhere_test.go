package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// loadTopic is where the load goes, which everybody who reads states may hear.
const loadTopic = "doorhub/house/load"

// load publishes numbers at QoS 1, each when the one before is acknowledged, and notes which
// were; and it hears them by a session that the broker keeps.
type load struct {
	mu    sync.Mutex
	acked []int
	heard map[int]bool
	last  int

	stop context.CancelFunc
	all  sync.WaitGroup
}

// startLoad runs publishers at one node each. Their listener is another client.
func startLoad(tb testing.TB, e *elsewhere, publishers int) *load {
	tb.Helper()
	l := &load{heard: map[int]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	tb.Cleanup(l.end)
	e.client(tb, "viewer", id("load"), func(cc *broker.ClientConfig) {
		cc.Keep = []broker.Keep{{Filter: loadTopic, Handle: l.hear}}
	})
	for i := range publishers {
		c := e.client(tb, observer, id(fmt.Sprintf("load-%d", i)), func(cc *broker.ClientConfig) {
			urls := strings.Split(cc.URL, ", ")
			cc.URL = strings.Join(append(slices.Clone(urls[i%len(urls):]), urls[:i%len(urls)]...), ", ")
		})
		l.all.Go(func() { l.publish(ctx, c) })
	}
	return l
}

func (l *load) hear(_ context.Context, m broker.Message) error {
	n, err := strconv.Atoi(string(m.Payload))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[n] = true
	return err
}

func (l *load) publish(ctx context.Context, c *broker.Client) {
	pace := time.NewTicker(20 * time.Millisecond) // faster, a small machine's brokers do nothing else
	defer pace.Stop()
	for c.Ready(ctx) == nil {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		l.last++
		n := l.last
		l.mu.Unlock()
		if c.Publish(ctx, broker.Message{Topic: loadTopic, Payload: []byte(strconv.Itoa(n)), QoS: 1}) == nil {
			l.mu.Lock()
			l.acked = append(l.acked, n)
			l.mu.Unlock()
		}
	}
}

func (l *load) end() {
	l.stop()
	l.all.Wait()
}

func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// failover bounds the waits for a cluster that has lost a node: its nodes take up to nine
// seconds to choose new leaders, one kind after the other.
const failover = time.Minute

// more waits until so many more were acknowledged.
func (l *load) more(tb testing.TB, n int) {
	tb.Helper()
	n += l.acknowledged()
	untilIn(tb, failover, "the load to be acknowledged", func() bool { return l.acknowledged() >= n })
}

// lost returns what was acknowledged and not heard.
func (l *load) lost() (numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.acked {
		if !l.heard[n] {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// TestKillNode ends one of three nodes with SIGKILL under load, ten times with DOORHUB_SOAK:
// nothing that was acknowledged is lost, and the door opens meanwhile.
func TestKillNode(t *testing.T) {
	kills := 1
	if os.Getenv("DOORHUB_SOAK") != "" {
		kills = 10
	}
	e := natsElsewhere(t)
	h := startElsewhere(t, newTestHouse(t, e.asBus(t)))
	all := keeps(t, e, "viewer", "doorhub/door/front/event")
	kitchen := e.client(t, "kitchen")
	l := startLoad(t, e, 6)
	for n := range kills {
		victim := e.nodes[n%len(e.nodes)]
		l.more(t, 200)
		victim.end(t, os.Kill)
		h.entersAndCloses(t)
		word, kind := "open", door.KindSensorOpen
		if n%2 == 1 {
			word, kind = "closed", door.KindSensorClosed
		}
		untilIn(t, failover, "the reading to be acknowledged", func() bool {
			return kitchen.Publish(soon(t), broker.Message{Topic: kitchenIn, Payload: []byte(word), QoS: 1}) == nil
		})
		untilIn(t, failover, "the reading to be journalled", func() bool { return len(kindsKept(t, h, kind)) == n/2+1 })
		untilIn(t, failover, "the entry to be told", func() bool { return countEvents(t, all, door.KindEntry) == n+1 })
		l.more(t, 200)
		if n < kills-1 { // two nodes are left to tell the rest
			victim.start(t)
			e.settle(t)
		}
	}
	l.end()
	untilIn(t, failover, "all that was acknowledged", func() bool { return len(l.lost()) == 0 })
	fmt.Printf("a node killed %d times: %d messages acknowledged, none lost\n", kills, l.acknowledged())
}

// keeps hears what the broker keeps for a user while it is away.
func keeps(tb testing.TB, e *elsewhere, user, filter string) *flow[heard] {
	tb.Helper()
	f := newFlow[heard]()
	e.client(tb, user, id("keeps-"+user), func(cc *broker.ClientConfig) {
		cc.Keep = []broker.Keep{{Filter: filter, Handle: keepInto(f)}}
	})
	return f
}

func keepInto(f *flow[heard]) func(context.Context, broker.Message) error {
	return func(_ context.Context, m broker.Message) error {
		f.add(heard{m.Retain, m.Topic, string(m.Payload)})
		return nil
	}
}

// countEvents counts the records of a kind that were told, each by its number: at QoS 1 some
// may come twice.
func countEvents(tb testing.TB, f *flow[heard], kind door.Kind) int {
	tb.Helper()
	seen := map[uint64]bool{}
	for _, m := range f.seen() {
		if e := event(tb, m); e.Kind == string(kind) {
			seen[e.Seq] = true
		}
	}
	return len(seen)
}

// entersAndCloses has Ann enter by PIN, and the door fall shut.
func (h *testHub) entersAndCloses(t *testing.T) {
	t.Helper()
	began := time.Now()
	h.enters(annPIN)
	until(t, "the lock to open", h.doors["front"].sim.Energised)
	t.Logf("the lock was open after %s", time.Since(began).Round(time.Millisecond))
	must(t, h.doors["front"].sim.Open())
	h.await(door.KindEntry)
	must(t, h.doors["front"].sim.Shut())
	h.await(door.KindLocked)
}

// TestKillHubElsewhere ends a hub with SIGKILL right behind a reading that Mosquitto has
// acknowledged, with another while it is dead: each is in the journal, once.
func TestKillHubElsewhere(t *testing.T) {
	e := mosquittoElsewhere(t)
	h := newHouse(t, buildHub(t, false))
	h.goElsewhere(t, e)
	events := hears(t, e.client(t, "viewer"), "doorhub/house/event")
	kitchen := e.client(t, "kitchen")
	words := []string{"open", "closed"}
	said := 0
	say := func() {
		tell(t, kitchen, kitchenIn, words[said%2])
		said++
	}
	journalled := func() bool {
		return countEvents(t, events, door.KindSensorOpen)+countEvents(t, events, door.KindSensorClosed) >= said
	}
	p := h.start(t)
	p.await(t)
	said++
	until(t, "the first reading", func() bool { // which nobody keeps before the hub has come
		tell(t, kitchen, kitchenIn, words[0])
		return journalled()
	})
	for range 3 {
		say()
		p.kill()
		say()
		p = h.start(t)
		p.await(t)
		until(t, "the last reading", journalled)
	}
	must(t, p.stop())
	st, err := store.Open(h.dir)
	must(t, err)
	defer st.Close()
	got := 0
	for r, err := range st.Records(t.Context(), store.Filter{Kinds: []door.Kind{door.KindSensorOpen, door.KindSensorClosed}}) {
		must(t, err)
		if want := "sensor_" + words[got%2]; string(r.Kind) != want {
			t.Errorf("record %d is %s, want %s", got, r.Kind, want)
		}
		got++
	}
	if got != said {
		t.Errorf("%d readings are journalled, %d were acknowledged", got, said)
	}
}

// goElsewhere has the house's bus be elsewhere.
func (h *house) goElsewhere(tb testing.TB, e *elsewhere) {
	tb.Helper()
	cfg := Config{}
	e.asBus(tb)(&cfg)
	text, err := os.ReadFile(h.config)
	must(tb, err)
	there := fmt.Sprintf("broker: {mode: external, url: %q, user: %s, password_file: %q, ca: %q}\n",
		cfg.Broker.URL, cfg.Broker.User, cfg.Broker.PasswordFile, cfg.Broker.CA)
	here := fmt.Sprintf("broker: {listen: %q}\n", h.broker)
	if !strings.Contains(string(text), here) {
		tb.Fatalf("the config does not say %q", here)
	}
	must(tb, os.WriteFile(h.config, []byte(strings.Replace(string(text), here, there, 1)), 0o600))
}

// TestKillMosquitto ends Mosquitto with SIGKILL, three times, or ten with DOORHUB_SOAK: under
// load with the listener there, and at once after messages that wait for one who is away. Of
// each publisher the last message may be lost, which Mosquitto had acknowledged and not written.
func TestKillMosquitto(t *testing.T) {
	const publishers = 6
	kills := 3
	if os.Getenv("DOORHUB_SOAK") != "" {
		kills = 10
	}
	e := mosquittoElsewhere(t)
	l := startLoad(t, e, publishers)
	for range kills {
		l.more(t, 100)
		e.nodes[0].end(t, os.Kill)
		e.nodes[0].start(t)
	}
	l.more(t, 100)
	l.end()
	untilIn(t, failover, "what was acknowledged", func() bool { return len(l.lost()) <= kills*publishers })
	waited, lost := 0, 0
	for n := range kills {
		w, l := waitThroughKill(t, e, n)
		waited, lost = waited+w, lost+l
	}
	fmt.Printf("Mosquitto killed %d times: %d messages acknowledged with their listener there, %d of them lost; %d while it was away, %d lost\n",
		2*kills, l.acknowledged(), len(l.lost()), waited, lost)
}

// waitThroughKill kills the broker when messages wait there, and counts them and what is lost.
func waitThroughKill(t *testing.T, e *elsewhere, n int) (waited, lost int) {
	t.Helper()
	topic, who := fmt.Sprintf("doorhub/house/wait%d", n), id(fmt.Sprintf("waits-%d", n))
	f := newFlow[heard]()
	listen := func() *broker.Client {
		return e.client(t, "viewer", who, func(cc *broker.ClientConfig) { cc.Keep = []broker.Keep{{Filter: topic, Handle: keepInto(f)}} })
	}
	listen().Close()
	c := e.client(t, observer, who, func(cc *broker.ClientConfig) { cc.ClientID += "-says" })
	for waited = range 50 + n {
		must(t, c.Publish(soon(t), broker.Message{Topic: topic, Payload: []byte("waits"), QoS: 1}))
	}
	e.nodes[0].end(t, os.Kill)
	c.Close()
	e.nodes[0].start(t)
	defer listen().Close()
	tell(t, e.client(t, observer, id("last")), topic, "last")
	f.next(t, "the last", func(m heard) bool { return m.payload == "last" })
	if lost = waited + 1 - (len(f.seen()) - 1); lost > 1 {
		t.Errorf("%d of %d lost", lost, waited+1)
	}
	return waited + 1, lost
}
