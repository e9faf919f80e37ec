package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// hub is the wiring: it builds the parts, carries the house's effects out, and brings what
// happens outside to the house as inputs.
type hub struct {
	cfg   Config
	log   *slog.Logger
	clock clock
	undo  closers

	store     *store.Store
	past      *past
	users     *broker.Users
	names     names
	recorder  *recorder
	keeper    *keeper
	server    *broker.Server // nil with an external broker
	offenders *offenders     // nil with an external broker
	bus       *outlet
	readings  *broker.Client // what sensors say at a broker elsewhere; nil with the embedded one
	replays   *replayer
	history   *history.History // nil without a database
	ha        *outlet          // nil unless Home Assistant has a broker of its own
	panel     *outlet          // of these two the one where Home Assistant is; nil: nowhere
	condition *condition
	doors     map[string]*doorway
	house     *door.House // its own goroutine's, once it runs
	pictures  *pictures
	vision    *vision
	service   *service

	meters      *meters // nil without metrics
	metricsAddr string  // where they are; "": nowhere

	inputs      chan door.Input
	deliveries  deliveries
	stepped     chan struct{} // the house has taken an input, or let time pass
	gone        chan struct{} // closed when the house takes no more inputs
	codes       chan codeCheck
	certificate atomic.Pointer[door.Fault] // what is wrong with it; nil or without a reason: nothing
	dark        sync.Map                   // door.Vision without its reason → true: that camera reports a problem
	through     func(journal) journal      // what stands between recorder and store; nil: nothing

	changing sync.Mutex // held while a change of people takes effect
	notes    notes
	mu       sync.Mutex
	watchers []func(door.Write)
}

// startHub builds a hub that runs until close, which undoes it in reverse: what ends ctx does
// not end the hub, or its parts would go in no order and the last records be lost. prepare is
// called before anything is built.
func startHub(ctx context.Context, cfg Config, log *slog.Logger, prepare ...func(*hub)) (*hub, error) {
	h := &hub{cfg: cfg, log: log, clock: newClock(cfg.Clock == clockTrust), doors: map[string]*doorway{},
		inputs: make(chan door.Input, 1024), stepped: make(chan struct{}, 1), gone: make(chan struct{}), codes: make(chan codeCheck, 16)}
	for _, f := range prepare {
		f(h)
	}
	if err := h.build(context.WithoutCancel(ctx)); err != nil {
		if h.house == nil { // else its own end says so
			close(h.gone)
		}
		return nil, errors.Join(err, h.undo.undo())
	}
	return h, nil
}

func (h *hub) build(ctx context.Context) error {
	if err := h.openStore(ctx); err != nil {
		return err
	}
	h.send(door.Started{Version: version})
	for _, d := range h.cfg.Doors {
		w, err := openDoorway(ctx, d, h.send, h.typed, h.log)
		if err != nil {
			return err
		}
		h.doors[d.ID] = w
		h.undo.add("door "+d.ID, w.close)
	}
	if err := h.openBus(ctx); err != nil {
		return err
	}
	if err := h.run(ctx); err != nil {
		return err
	}
	if err := h.store.HeadProblem(); err != nil {
		h.send(door.Fault{Part: "journal_head", Reason: "head", Detail: err.Error()})
	}
	for _, f := range h.cfg.exposed() {
		h.send(f)
	}
	if err := h.openVision(ctx); err != nil {
		return err
	}
	if err := h.openHistory(ctx); err != nil {
		return err
	}
	stop, err := serveControl(h.cfg.socket(), h.service)
	if err != nil {
		return err
	}
	h.undo.add("control socket", stop)
	return h.serveMetrics()
}

// run brings the house to life. What is stopped in reverse may rely on what was started before
// it: the house's last records are written, the last records written are told.
func (h *hub) run(ctx context.Context) error {
	house, err := h.newHouse(ctx)
	if err != nil {
		return err
	}
	h.house = house
	h.spawn(ctx, "lockouts", h.keeper.run)
	h.spawn(ctx, "outlets", h.runOutlets)
	h.spawn(ctx, "pictures", h.pictures.run)
	h.spawn(ctx, "recorder", h.recorder.run)
	h.spawn(ctx, "house", func(ctx context.Context) {
		defer close(h.gone)
		clock, do := h.meters.house(h.clock.now, h.do)
		door.Run(ctx, house, h.inputs, clock, do)
	})
	h.spawn(ctx, "codes", h.checkCodes)
	h.spawn(ctx, "health", h.tellHealth)
	h.spawn(ctx, "journal", h.tellJournal)
	if h.offenders != nil {
		h.spawn(ctx, "offenders", h.offenders.run)
	}
	h.spawn(ctx, "clock", func(ctx context.Context) {
		h.clock.watch(ctx, func(d time.Duration) { h.send(door.ClockSet{Offset: d}) })
	})
	h.spawn(ctx, "certificates", func(ctx context.Context) { h.newCertWatch().run(ctx, h.clock.now) })
	return nil
}

func (h *hub) openStore(ctx context.Context) (err error) {
	if h.store, err = store.Open(h.cfg.Data, store.With(h.cfg.Store)); err != nil {
		return err
	}
	h.undo.add("store", h.store.Close)
	if h.users, err = broker.OpenUsers(usersFile(h.cfg.Data)); err != nil {
		return err
	}
	if h.past, err = readPast(ctx, h.store); err != nil {
		return err
	}
	h.undo.add("past", func() error { return h.past.keep(context.Background()) })
	if h.cfg.Metrics.Listen != "" {
		h.meters = newMeters()
		h.watch(h.meters.record)
	}
	if _, err := h.people(ctx); err != nil {
		return err
	}
	if h.condition, err = newCondition(ctx, h.cfg, h.store, h.past, &h.names, h.show, h.retract); err != nil {
		return err
	}
	h.recorder = newRecorder(h.meters.through(h.store), h.clock.boot, h.log)
	if h.through != nil {
		h.recorder.journal = h.meters.through(h.through(h.store))
	}
	h.recorder.written, h.recorder.problem = h.journalled, h.unjournalled
	h.keeper = newKeeper(h.store, h.log)
	h.service = &service{cfg: h.cfg, store: h.store, past: h.past, users: h.users,
		note: h.note, changed: h.peopleChanged, faces: h.enroller,
		blind: h.blind, bus: h.busView, shown: h.shownCert, decisions: h.decisions,
		say: func(p door.Prompt) { h.show(discovery.Prompt(p)) }}
	h.openPictures()
	return nil
}

func (h *hub) newHouse(ctx context.Context) (*door.House, error) {
	people, err := h.people(ctx)
	if err != nil {
		return nil, err
	}
	lockouts, err := h.store.Lockouts(ctx)
	if err != nil {
		return nil, err
	}
	var seed [32]byte
	rand.Read(seed[:]) // never fails
	return door.New(h.cfg.house(), door.Kept{People: people, Lockouts: lockouts, Past: h.past.now(), Seed: seed}, h.clock.now())
}

// spawn runs f until ctx ends, or until the hub is closed: then in reverse order.
func (h *hub) spawn(ctx context.Context, name string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	h.undo.add(name, func() error { cancel(); <-done; return nil })
}

func (h *hub) runOutlets(ctx context.Context) {
	h.show(discovery.Status(h.cfg.Name, true))
	h.showSensors()
	h.condition.begin()
	var wg sync.WaitGroup
	for _, o := range h.outlets() {
		wg.Go(func() { o.run(ctx) })
	}
	wg.Wait()
}

// showSensors tells what is known of the sensors, which may not report again for days.
func (h *hub) showSensors() {
	past := h.past.now()
	for _, s := range h.cfg.Sensors {
		if open, known := past.SensorOpen(s.ID); known {
			h.show(discovery.SensorState(s.ID, open))
		}
	}
}

func (h *hub) outlets() []*outlet {
	if h.ha == nil {
		return []*outlet{h.bus}
	}
	return []*outlet{h.bus, h.ha}
}

func (h *hub) newOutlet(name string, c *broker.Client) *outlet {
	var ids []string
	for _, d := range h.cfg.Doors {
		ids = append(ids, d.ID)
	}
	return newOutlet(name, c, h.store, &h.names, h.clock, ids, h.log)
}

func (h *hub) close() error { return h.undo.undo() }

// send brings an input to the house. It waits for room, and drops it when the house is gone.
func (h *hub) send(in door.Input) {
	if v, ok := in.(door.Vision); ok {
		camera := door.Vision{Door: v.Door, Side: v.Side, Camera: v.Camera}
		if v.Reason == "" {
			h.dark.Delete(camera)
		} else {
			h.dark.Store(camera, true)
		}
	}
	h.meters.sends()
	select {
	case h.inputs <- in:
	case <-h.gone:
	}
}

// blind reports whether no camera outside a door can see faces, as the house will judge it.
func (h *hub) blind(id string) bool {
	blind := false
	for _, d := range h.cfg.Doors {
		for i, c := range d.Cameras {
			if d.ID != id || c.Side != door.Entry {
				continue
			}
			if _, blind = h.dark.Load(door.Vision{Door: id, Side: c.Side, Camera: d.nthOnSide(i)}); !blind {
				return false
			}
		}
	}
	return blind
}

// do carries out the effects of one step, in order. What is recorded is durable before
// anything after it is done, or the recorder has given up waiting.
func (h *hub) do(in door.Input, effects []door.Effect) {
	written := false
	for _, e := range effects {
		if w, ok := e.(door.Write); ok {
			h.recorder.write(w)
			written = true
			continue
		}
		if _, locks := e.(door.Lock); written && locks { // locking waits for nobody
			h.recorder.commit()
		} else if written {
			h.recorder.settle()
			written = false
		}
		h.carryOut(e)
	}
	if written {
		h.recorder.commit()
	}
	h.deliveries.taken(in, h.recorder.durable())
	select {
	case h.stepped <- struct{}{}:
	default:
	}
}

func (h *hub) carryOut(e door.Effect) {
	switch e := e.(type) {
	case door.Unlock:
		h.moved(e.Door, h.doors[e.Door].lock.Unlock(e.For))
		h.meters.unlocked()
	case door.Lock:
		h.moved(e.Door, h.doors[e.Door].lock.Lock())
	case door.Keep:
		h.keeper.keep(e.Key, e.Lockout)
	case door.Prompt:
		h.show(discovery.Prompt(e))
		h.doors[e.Door].say(e)
	case door.Watch:
		h.vision.ask(e)
	case door.Show:
		h.show(discovery.DoorStates(e.Door, e.State, h.contactOf(e.Door))...)
	case door.ShowSensor:
		h.show(discovery.SensorState(e.Sensor, e.Open))
	}
}

func (h *hub) moved(id string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		h.log.Error("the lock did not move", "component", "hub", "door", id, "error", err)
	}
}

func (h *hub) contactOf(id string) bool {
	i := slices.IndexFunc(h.cfg.Doors, func(d Door) bool { return d.ID == id })
	return i >= 0 && h.cfg.Doors[i].has(h.cfg.Doors[i].Contact)
}

func (h *hub) show(ms ...discovery.Message) {
	for _, o := range h.outlets() {
		o.show(ms...)
	}
}

// journalled is told of records that have become durable.
func (h *hub) journalled(ws []door.Write) {
	recs := recordsOf(ws)
	if err := h.past.written(context.Background(), recs); err != nil {
		h.log.Error("cannot keep who is inside", "component", "hub", "error", err)
	}
	h.condition.wrote(recs)
	for _, o := range h.outlets() {
		o.wrote(recs)
	}
	h.notes.written(recs)
	h.mu.Lock()
	watchers := slices.Clone(h.watchers)
	h.mu.Unlock()
	for _, w := range ws {
		for _, tell := range watchers {
			tell(w)
		}
	}
}

// unjournalled is told of what keeps the journal from writing, and with "" when nothing does.
// As long as no record can say so, the bus hears of it without one: an event of number 0.
func (h *hub) unjournalled(reason, detail string) {
	f := door.Fault{Part: "journal", Reason: reason, Detail: detail}
	h.send(f)
	if reason != journalUnwritten {
		return
	}
	now := h.clock.now()
	event := discovery.Event(door.Record{Time: now.Wall, Clock: door.Clock{Synced: now.Synced}, Kind: door.KindProblem, Reason: reason,
		Details: map[string]string{door.DetailPart: f.Part, door.DetailText: detail}}, "")
	for _, o := range h.outlets() {
		o.cry(event)
	}
}

// watch has f called with every record from now on, once it is durable. f must not block.
func (h *hub) watch(f func(door.Record)) { h.watchWrites(func(w door.Write) { f(w.Record) }) }

// watchWrites is watch for who also wants to know of which face a record came.
func (h *hub) watchWrites(f func(door.Write)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, f)
}
