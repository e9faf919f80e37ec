package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// soakReady is how soon a killed hub has to be ready again; only the long run asserts it.
const soakReady = 5 * time.Second

// TestKillHub ends a running hub with SIGKILL, 5 times or DOORHUB_KILLS, at random moments
// while its journal fills from the bus and from commands. What it had told anybody is in the
// journal of the next, as it was told; the chain is whole. With DOORHUB_SOAK it also has to
// be ready again in time.
func TestKillHub(t *testing.T) {
	kills := 5
	if text := os.Getenv("DOORHUB_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &soak{house: newHouse(t, buildHub(t, false)), t: t, random: rand.New(rand.NewPCG(seed, 0)), told: map[uint64][]byte{}}
	for n := 1; n <= kills; n++ {
		s.round()
		if n%10 == 0 || n == kills {
			fmt.Printf("killed %d of %d times: %d records, %d of them told, %d people added, ready again in %v at most\n",
				n, kills, s.checked, len(s.told), len(s.added), s.slowest.Round(time.Millisecond))
		}
	}
	p := s.start(t)
	s.ready(p)
	s.check()
	s.checkAll()
	if err := p.stop(); err != nil {
		t.Errorf("the last hub did not end in order: %v", err)
	}
	if len(s.told) < 2*kills || len(s.added) == 0 {
		t.Errorf("only %d records were told and %d people added: the test proves little", len(s.told), len(s.added))
	}
}

// soak is a house whose hub is killed again and again, and what it has acknowledged.
type soak struct {
	*house
	t       *testing.T
	random  *rand.Rand
	slowest time.Duration // from exec to ready
	checked uint64        // seq up to which the journal was compared with what was told
	heads   []store.Head
	asked   int      // how many people commands were to add
	added   []string // those of whom it was told that they are

	mu   sync.Mutex
	told map[uint64][]byte // by seq: the event as the bus carried it
}

// round starts the hub, checks what it remembers, and kills it under load. One in eight is
// killed while it starts.
func (s *soak) round() {
	p := s.start(s.t)
	if s.random.IntN(8) == 0 {
		select {
		case <-p.ready:
		case <-time.After(time.Duration(s.random.IntN(int(max(s.slowest, 1))))):
		}
		p.kill()
		return
	}
	s.ready(p)
	s.check()
	s.load(p, time.Duration(20+s.random.IntN(400))*time.Millisecond)
}

func (s *soak) ready(p *process) {
	took := p.await(s.t)
	s.slowest = max(s.slowest, took)
	if os.Getenv("DOORHUB_SOAK") != "" && took > soakReady {
		s.t.Errorf("ready again after %s, %s is the most", took, soakReady)
	}
}

// load streams events in for so long and then kills the hub in the midst of it.
func (s *soak) load(p *process, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var clients []*broker.Client
	for _, user := range []string{"viewer", "kitchen", "homeassistant"} {
		c, err := s.client(ctx, user)
		if err == nil {
			err = c.Ready(ctx)
		}
		if err != nil {
			s.t.Fatalf("%s: %v\n%s", user, err, p.log())
		}
		clients = append(clients, c)
	}
	flaps, knocks := make(flight, 32), make(flight, 8)
	for _, topic := range []string{"doorhub/door/+/event", "doorhub/house/event"} {
		err := clients[0].Subscribe(ctx, topic, 1, func(m broker.Message) {
			switch s.hear(m) {
			case door.KindSensorOpen, door.KindSensorClosed:
				flaps.land()
			case door.KindCommandRefused:
				knocks.land()
			}
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	all.Go(func() { flap(ctx, clients[1], flaps) })
	all.Go(func() { knock(ctx, clients[2], knocks) })
	all.Go(func() { s.add(ctx) })
	<-time.After(lasts)
	if p.ended() {
		s.t.Errorf("the hub ended by itself:\n%s", p.log())
	}
	p.kill()
	cancel()
	all.Wait()
	for _, c := range clients {
		c.Close()
	}
}

// flight bounds how many messages were sent and not yet heard of; nil bounds nothing.
type flight chan struct{}

func (f flight) start(ctx context.Context) bool {
	if f == nil {
		return ctx.Err() == nil
	}
	select {
	case f <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f flight) land() {
	select {
	case <-f:
	default: // told again after a kill
	}
}

// hear notes an event. One may be told twice, by the hub after the kill, but never otherwise.
func (s *soak) hear(m broker.Message) door.Kind {
	var e struct {
		Seq  uint64
		Kind door.Kind
	}
	if err := json.Unmarshal(m.Payload, &e); err != nil {
		s.t.Errorf("%s: %v in %s", m.Topic, err, m.Payload)
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.told[e.Seq]; ok && !bytes.Equal(before, m.Payload) {
		s.t.Errorf("record %d was told as %s, and then as %s", e.Seq, before, m.Payload)
	}
	s.told[e.Seq] = bytes.Clone(m.Payload)
	return e.Kind
}

// flap opens and closes the kitchen window until the hub is gone.
func flap(ctx context.Context, c *broker.Client, f flight) {
	for open := true; f.start(ctx); open = !open {
		word := map[bool]string{true: "open", false: "closed"}[open]
		if c.Publish(ctx, broker.Message{Topic: "doorhub/in/kitchen/contact", Payload: []byte(word), QoS: 1}) != nil {
			return
		}
	}
}

// knock asks to unlock without a code, which is refused and journalled, until the hub is gone.
func knock(ctx context.Context, c *broker.Client, f flight) {
	for f.start(ctx) {
		if c.Publish(ctx, broker.Message{Topic: "doorhub/cmd/door/front/lock", Payload: []byte("UNLOCK"), QoS: 1}) != nil {
			return
		}
	}
}

// add adds a few people by command until the hub is gone, and notes whom it was told are added.
func (s *soak) add(ctx context.Context) {
	hub := dialControl(s.dir + "/doorhub.sock")
	defer hub.close()
	for range 5 {
		var p personView
		s.asked++ // a name may be taken although nobody was told so
		name := fmt.Sprintf("Guest %d", s.asked)
		err := hub.call(ctx, "people.add", addRequest{Name: name}, func(raw json.RawMessage) error { return json.Unmarshal(raw, &p) }, nothing)
		if err != nil {
			return
		}
		s.added = append(s.added, p.ID)
	}
}

// check verifies the running hub's journal, and compares what is new in it with what was told.
func (s *soak) check() {
	var answer []verifyAnswer
	s.call("log.verify", verifyRequest{Heads: s.heads}, collect(&answer))
	if !answer[0].Whole {
		s.t.Fatalf("the journal is not whole: %s", answer[0].Wrong)
	}
	head := answer[0].Head
	s.heads = append(s.heads, head)
	s.compare(int(head.Seq-s.checked) + 100) // some have been added since
	s.checked = head.Seq
}

// checkAll compares all of the journal with what was ever told.
func (s *soak) checkAll() {
	s.checked = 0
	rows := s.compare(0)
	for seq := range s.told {
		if seq > uint64(len(rows)) {
			s.t.Errorf("record %d was told and is lost: the journal ends with %d", seq, len(rows))
		}
	}
	var enrolled []string
	for _, r := range rows {
		if r.Kind == door.KindEnrolled {
			enrolled = append(enrolled, r.Person)
		}
	}
	for _, id := range s.added {
		if !slices.Contains(enrolled, id) {
			s.t.Errorf("a command answered that %s is added, and there is no record of it", id)
		}
	}
}

// compare reads the newest records, or with 0 all, and compares those not yet checked.
func (s *soak) compare(newest int) []logRow {
	var rows []logRow
	s.call("log", logRequest{Limit: newest}, collect(&rows))
	for i, r := range rows {
		if want := rows[0].Seq + uint64(i); r.Seq != want {
			s.t.Fatalf("record %d stands where %d should", r.Seq, want)
		}
		told, ok := s.told[r.Seq]
		if !ok || r.Seq <= s.checked {
			continue
		}
		name := r.Name
		if r.Person == "" {
			name = "" // of the sensor
		}
		if diff := cmp.Diff(string(told), string(discovery.Event(r.Record, name).Payload)); diff != "" {
			s.t.Errorf("record %d is not what was told (-told +journal):\n%s", r.Seq, diff)
		}
	}
	if len(rows) > 0 && rows[0].Seq > s.checked+1 {
		s.t.Fatalf("%d records read, and none follows record %d", len(rows), s.checked)
	}
	return rows
}

func (s *soak) call(method string, req any, item func(json.RawMessage) error) {
	s.t.Helper()
	hub := dialControl(s.dir + "/doorhub.sock")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(hub.call(ctx, method, req, item, nothing), hub.close()); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
}
