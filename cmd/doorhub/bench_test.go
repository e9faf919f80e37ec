package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/keypad"
	"github.com/doorhub/doorhub/door/store"
)

// The figures that the project has promised are measured here and in the other packages'
// benchmarks; .ci/bench-table holds the goals. None of them is asserted in a test.

const benchEntries = 300

// BenchmarkLastFactor measures from the last factor of a person to the lock's line being
// energised, over whole entries at a simulated door of a real hub. What is left beyond the
// PIN's check, timed in place, and one bare fsync is doorhub's own. Of the fsyncs, measured
// beside each entry, the median is taken off, so that a slow one in an entry counts. A bare
// argon2id beside each entry shows what of the check is not doorhub's.
func BenchmarkLastFactor(b *testing.B) {
	for _, last := range []door.Factor{door.PIN, door.FaceID} {
		b.Run(string(last), func(b *testing.B) {
			h := newBenchHub(b)
			var total, beyond, checks, fsyncs, argons []time.Duration
			for b.Loop() {
				for range benchEntries {
					fsyncs = append(fsyncs, h.fsync())
					if last == door.PIN {
						argons = append(argons, bareArgon())
					}
					took, check := h.entry(last)
					total, checks, beyond = append(total, took), append(checks, check), append(beyond, took-check)
				}
			}
			for i := range beyond {
				beyond[i] -= median(fsyncs)
			}
			reportMillis(b, "total", total)
			reportMillis(b, "beyond", beyond)
			reportMillis(b, "fsync", fsyncs)
			if last == door.PIN {
				reportMillis(b, "check", checks)
				reportMillis(b, "argon2", argons)
			}
			b.ReportMetric(float64(h.unwritten), "unwritten")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFlooded measures from a face that comes in last to the lock's line, while a window
// sensor opens and closes as fast as the bus takes it.
func BenchmarkFlooded(b *testing.B) {
	h := newBenchHub(b)
	ctx, cancel := context.WithCancel(b.Context())
	var sensor sync.WaitGroup
	defer sensor.Wait()
	defer cancel()
	c := h.sensor(ctx)
	many := h.flooded()
	sensor.Go(func() { flap(ctx, c, nil) })
	select {
	case <-many:
	case <-time.After(time.Minute):
		b.Fatal("no flood after a minute")
	}
	var took []time.Duration
	for b.Loop() {
		for range benchEntries {
			one, _ := h.entry(door.FaceID)
			took = append(took, one)
		}
	}
	reportMillis(b, "total", took)
	b.ReportMetric(0, "ns/op")
}

// sensor connects the kitchen window, as a device of its own over a socket.
func (h *benchHub) sensor(ctx context.Context) *broker.Client {
	token, err := h.users.Add("kitchen", broker.RoleSensor)
	if err != nil {
		h.b.Fatal(err)
	}
	c, err := broker.Dial(ctx, broker.ClientConfig{URL: "mqtt://" + h.server.Addr(), User: "kitchen", Token: token, ClientID: "kitchen"})
	if err == nil {
		err = c.Ready(ctx)
	}
	if err != nil {
		h.b.Fatal(err)
	}
	h.b.Cleanup(c.Close)
	return c
}

// flooded returns what is closed once there are so many messages that they are no longer
// written down one by one.
func (h *benchHub) flooded() <-chan struct{} {
	many := make(chan struct{})
	once := sync.OnceFunc(func() { close(many) })
	h.watch(func(r door.Record) {
		if r.Kind == door.KindProblem && r.Reason == door.ReasonTooMany {
			once()
		}
	})
	return many
}

// benchHub is a hub with one simulated door, and one person before it.
type benchHub struct {
	*hub
	b         *testing.B
	person    string
	records   chan door.Record
	track     int
	unwritten int // entries whose line was energised before the record was durable

	page *os.File // for bare fsyncs
	next int
}

func newBenchHub(b *testing.B) *benchHub {
	b.Helper()
	dir := shortTempDir(b)
	cfg := Defaults()
	cfg.Data, cfg.Clock, cfg.Broker.Listen = dir, clockTrust, "127.0.0.1:0"
	front := doorDefaults()
	front.ID, front.Name, front.Hardware = "front", "Front door", simulated
	front.Keypads = []Keypad{keypadDefaults()}
	cfg.Doors = []Door{front}
	cfg.Sensors = []Sensor{{ID: "kitchen"}}
	h := &benchHub{b: b, records: make(chan door.Record, 1024), page: preallocated(b, filepath.Join(dir, "page"))}
	err := store.CreateKey(dir)
	if err == nil {
		h.hub, err = startHub(b.Context(), cfg, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.close(); err != nil {
			b.Error(err)
		}
	})
	h.watch(func(r door.Record) {
		if r.Door != "" || r.Person != "" { // none of a sensor's flood
			h.records <- r
		}
	})
	p, err := h.service.addPerson(b.Context(), addRequest{Name: "Ann"})
	if err == nil {
		_, err = h.service.enrol(b.Context(), enrolRequest{Who: p.ID, PIN: demoPIN}, func(int, int) {})
	}
	if err != nil {
		b.Fatal(err)
	}
	h.person = p.ID
	h.await(func(r door.Record) bool { return r.Kind == door.KindEnrolled && r.Factors != 0 })
	return h
}

// shortTempDir is a temporary folder of a short name: a socket's path has at most 107 bytes.
func shortTempDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "hub")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

const (
	pageSize  = 4096
	pageCount = 1000 // as SQLite's log before it begins anew
)

// preallocated returns a file in which a page can be overwritten, as SQLite's log is.
func preallocated(b *testing.B, path string) *os.File {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err = f.Write(make([]byte, pageCount*pageSize)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// fsync times one page written and synced on the disk of the journal.
func (h *benchHub) fsync() time.Duration {
	page := slices.Repeat([]byte{byte(h.next)}, pageSize)
	start := time.Now()
	_, err := h.page.WriteAt(page, int64(h.next%pageCount)*pageSize)
	if err == nil {
		err = h.page.Sync()
	}
	if err != nil {
		h.b.Fatal(err)
	}
	h.next++
	return time.Since(start)
}

// bareArgon times one argon2id as the store's PINs have it.
func bareArgon() time.Duration {
	start := time.Now()
	argon2.IDKey([]byte(demoPIN), make([]byte, 16), 2, 19*1024, 1, 32)
	return time.Since(start)
}

// entry has the person come in, and times from the last factor to the lock's line; check is
// what of it went by until the PIN was looked up.
func (h *benchHub) entry(last door.Factor) (took, check time.Duration) {
	h.track++
	front := h.doors["front"]
	pad := front.cfg.Keypads[0]
	before := h.store.Head().Seq
	claim := door.Claim{Door: "front", Side: door.Entry, Reader: pad.Name, Factor: door.PIN, Person: h.person}
	look := door.Face{Door: "front", Side: door.Entry, Track: h.track, Liveness: door.Live,
		Near: []door.Match{{Person: h.person, Distance: 0.3}}}
	var start time.Time
	if last == door.PIN {
		h.send(look)
		start = time.Now()
		h.typed(front.cfg, pad, keypad.NewSecret(demoPIN))
		check = time.Since(start)
	} else {
		h.send(claim)
		start = time.Now()
		h.send(look)
	}
	h.awaitLine(true)
	took = time.Since(start)
	if !h.granted(before) {
		h.unwritten++
	}
	h.passThrough()
	return took, check
}

// awaitLine waits until the lock's line has current, or none. It looks every 0.1 ms.
func (h *benchHub) awaitLine(energised bool) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for h.doors["front"].sim.Energised() != energised {
		select {
		case <-tick.C:
		case <-late:
			h.b.Fatalf("the lock's line is not %v after 10 s", energised)
		}
	}
}

// granted reports whether a grant behind seq is durable.
func (h *benchHub) granted(seq uint64) bool {
	for r, err := range h.store.Records(context.Background(), store.Filter{After: seq, Kinds: []door.Kind{door.KindGranted}}) {
		if err != nil {
			h.b.Fatal(err)
		}
		return r.Person == h.person
	}
	return false
}

// passThrough opens and closes the door, and waits until all is quiet.
func (h *benchHub) passThrough() {
	leaf := h.doors["front"].sim
	if err := leaf.Open(); err != nil {
		h.b.Fatal(err)
	}
	h.await(func(r door.Record) bool { return r.Kind == door.KindEntry && r.Person == h.person })
	if err := leaf.Shut(); err != nil {
		h.b.Fatal(err)
	}
	h.await(func(r door.Record) bool { return r.Kind == door.KindLocked })
	h.awaitLine(false)
	h.send(door.Gone{Door: "front", Track: h.track})
}

// await waits for a record that fits.
func (h *benchHub) await(fits func(door.Record) bool) {
	h.b.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case r := <-h.records:
			if fits(r) {
				return
			}
		case <-late:
			h.b.Fatal("a record did not come within 10 s")
		}
	}
}

const (
	benchStarts = 5
	restAfter   = 10 * time.Second // the memory at rest is taken
)

// BenchmarkStart measures from exec to ready and, once, the memory at rest, of a doorhub with
// vision and a camera that plays portraits, and of one without.
func BenchmarkStart(b *testing.B) {
	b.Run("vision", func(b *testing.B) {
		if !hasVision {
			b.Skip("SKIPPED: built without vision; make bench builds with it")
		}
		benchmarkStart(b, portraits())
	})
	b.Run("novision", func(b *testing.B) { benchmarkStart(b) })
}

func benchmarkStart(b *testing.B, cameras ...string) {
	h := newHouse(b, buildHub(b, len(cameras) > 0), cameras...)
	var starts []time.Duration
	for b.Loop() {
		for range benchStarts {
			p := h.start(b)
			starts = append(starts, p.await(b))
			if len(starts) == 1 {
				<-time.After(restAfter)
				b.ReportMetric(p.memory(b, "VmRSS"), "rest-MB")
				b.ReportMetric(p.memory(b, "VmHWM"), "most-MB")
			}
			if err := p.stop(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(median(starts).Seconds(), "ready-p50-s")
	b.ReportMetric(slices.Max(starts).Seconds(), "ready-max-s")
	b.ReportMetric(0, "ns/op")
}

func median(took []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(took))[len(took)/2]
}

// reportMillis reports median and 99th percentile.
func reportMillis(b *testing.B, name string, took []time.Duration) {
	sorted := slices.Sorted(slices.Values(took))
	b.ReportMetric(sorted[len(sorted)/2].Seconds()*1e3, name+"-p50-ms")
	b.ReportMetric(sorted[len(sorted)*99/100].Seconds()*1e3, name+"-p99-ms")
}
