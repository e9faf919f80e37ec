package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/history"
	"github.com/doorhub/doorhub/door/store"
)

// BenchmarkBackfill sends a journal of 100,000 records to a real InfluxDB, and in turns posts the
// same points to it as line protocol that lies ready, by one plain HTTP client: in each turn both,
// one after the other, each to a database of its own. The ratio is the median of the turns', since
// a machine's pace changes from minute to minute. CPU is that of this process and of InfluxDB.
func BenchmarkBackfill(b *testing.B) {
	const records, turns = 100_000, 9
	db := startInflux(b)
	st, err := store.Open(newTestHouse(b).cfg.Data)
	must(b, err)
	b.Cleanup(func() { must(b, st.Close()) })
	seedJournal(b, st, "p1", records)
	bodies := readyBodies(b, db, st)
	var ours, peer, ratio []float64
	var ourCPU, peerCPU, influxCPU time.Duration
	for b.Loop() {
		for turn := range turns {
			var took [2]time.Duration
			for i := range took {
				which := (i + turn) % 2
				name := fmt.Sprintf("turn%d_%d", turn, which)
				db.create(name)
				cpu, influx, began := cpuOf(os.Getpid()), cpuOf(db.cmd.Process.Pid), time.Now()
				if which == 0 {
					backfillInto(b, db.config(), st, name)
				} else {
					postInto(b, db, bodies, name)
				}
				took[which] = time.Since(began)
				if which == 0 {
					ourCPU += cpuOf(os.Getpid()) - cpu
					influxCPU += cpuOf(db.cmd.Process.Pid) - influx
				} else {
					peerCPU += cpuOf(os.Getpid()) - cpu
				}
				db.query("", "DROP DATABASE "+name)
			}
			ours, peer = append(ours, records/took[0].Seconds()), append(peer, records/took[1].Seconds())
			ratio = append(ratio, took[1].Seconds()/took[0].Seconds())
		}
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(records*len(ours)) }
	b.ReportMetric(middle(ours), "ours-points/s")
	b.ReportMetric(middle(peer), "plain-points/s")
	b.ReportMetric(middle(ratio), "ratio")
	b.ReportMetric(slices.Min(ratio), "ratio-min")
	b.ReportMetric(slices.Max(ratio), "ratio-max")
	b.ReportMetric(each(ourCPU), "ours-cpu-µs/point")
	b.ReportMetric(each(peerCPU), "plain-cpu-µs/point")
	b.ReportMetric(each(influxCPU), "influxd-cpu-µs/point")
	b.ReportMetric(0, "ns/op")
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// backfillInto sends the whole journal to a database.
func backfillInto(b *testing.B, cfg history.Config, st *store.Store, name string) {
	b.Helper()
	cfg.Bucket, cfg.Batch = name+"/autogen", history.Defaults().Batch
	must(b, st.SetCursor(b.Context(), historyName, 0))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	h, err := history.Open(cfg, history.World{Journal: bookOf{st, func() { b.Error("a record is set aside") }}, Zone: time.Local,
		Log: slog.New(slog.DiscardHandler), Called: func(string) string { return "Ann" }, Now: func() door.Instant { return door.Instant{Synced: true} },
		Problem: func(_, detail string) { b.Errorf("problem: %s", detail) },
		Pause:   func(context.Context, time.Duration) { cancel() }})
	must(b, err)
	h.Run(ctx)
	if s := h.Status(); s.Backlog > 0 || s.Sent != st.Head().Seq {
		b.Fatalf("%+v", s)
	}
}

// readyBodies are the requests that a backfill makes, as they come to the database.
func readyBodies(b *testing.B, db *influx, st *store.Store) (bodies [][]byte) {
	b.Helper()
	db.create("ready")
	net := newBetween(db)
	net.does(func(body []byte) harm {
		bodies = append(bodies, body)
		return harm{}
	})
	through := db.config()
	through.URL = net.URL
	backfillInto(b, through, st, "ready")
	db.query("", "DROP DATABASE ready")
	return bodies
}

// postInto posts line protocol as a plain client does.
func postInto(b *testing.B, db *influx, bodies [][]byte, name string) {
	b.Helper()
	for _, body := range bodies {
		resp, err := http.Post("http://"+db.addr+"/api/v2/write?precision=ns&org=any&bucket="+name+"/autogen", "text/plain", bytes.NewReader(body))
		must(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(b, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			b.Fatal(resp.Status)
		}
	}
}

// cpuOf is the time that a process has computed, of all its threads (proc(5): in ticks of 10 ms).
func cpuOf(pid int) time.Duration {
	if pid == os.Getpid() {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if err != nil || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkBackfillMemory runs a hub, without vision, with a long journal to send, 100,000 records
// or a million with DOORHUB_BENCH_LARGE, and sets the most memory that it ever took beside what it
// takes at rest without a database.
func BenchmarkBackfillMemory(b *testing.B) {
	n := 100_000
	if os.Getenv("DOORHUB_BENCH_LARGE") != "" {
		n = 1_000_000
	}
	db := startInflux(b)
	db.create("doorhub")
	h := newHouse(b, buildHub(b, false))
	st, err := store.Open(h.dir)
	must(b, err)
	seedJournal(b, st, "p1", n)
	must(b, st.Close())
	for b.Loop() {
		p := h.start(b)
		p.await(b)
		<-time.After(2 * time.Second)
		idle := p.memory(b, "VmRSS")
		must(b, p.stop())
		text, err := os.ReadFile(h.config)
		must(b, err)
		must(b, os.WriteFile(h.config, fmt.Appendf(text, "history: {url: \"http://%s\", bucket: doorhub}\n", db.addr), 0o600))
		p = h.start(b)
		p.await(b)
		began := time.Now()
		untilIn(b, 10*time.Minute, "all to be sent", func() bool {
			out, err := exec.Command(h.binary, "--config", h.config, "--json", "history", "status").Output()
			must(b, err)
			var v historyView
			must(b, json.Unmarshal(out, &v))
			return v.Backlog == 0
		})
		b.ReportMetric(p.memory(b, "VmHWM")-idle, "over-idle-MB")
		b.ReportMetric(idle, "idle-MB")
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), "points/s")
		must(b, p.stop())
		must(b, os.WriteFile(h.config, text, 0o600))
	}
	b.ReportMetric(0, "ns/op")
}
