package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/doorhub/doorhub/door"
)

// meters measure what the hub does while it does it. A nil one measures nothing: then nobody
// has asked for metrics.
type meters struct {
	records        *prometheus.CounterVec
	appends        prometheus.Histogram
	appendFailures prometheus.Counter
	steps          prometheus.Histogram
	unlocks        prometheus.Histogram
	history        prometheus.Histogram

	mu      sync.Mutex
	waiting []time.Time // when each input came that the house has not taken yet

	// of the house's goroutine
	began time.Time // the present step
	came  time.Time // its input
}

func newMeters() *meters {
	// A door that takes over 200 ms has not waited for its record; a person notices 100 ms.
	seconds := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2.5, 5, 10}
	return &meters{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "doorhub_journal_records_total",
			Help: "Records made durable since the hub started, by kind."}, []string{"kind"}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "doorhub_journal_append_seconds", Buckets: seconds,
			Help: "Time until a batch of records was durable."}),
		appendFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "doorhub_journal_append_failures_total",
			Help: "Batches of records that could not be written and are tried again."}),
		steps: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "doorhub_house_step_seconds", Buckets: append([]float64{.000005, .00001, .000025, .00005}, seconds...),
			Help: "Time that the house took to decide on one input."}),
		unlocks: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "doorhub_house_unlock_seconds", Buckets: seconds,
			Help: "Time from the input that opened a door to the line of its lock, with all that was waited for."}),
		history: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "doorhub_history_request_seconds", Buckets: seconds,
			Help: "Time that the database took for a request that went well."}),
	}
}

func (m *meters) all() []prometheus.Collector {
	return []prometheus.Collector{m.records, m.appends, m.appendFailures, m.steps, m.unlocks, m.history}
}

// Describe is for Prometheus.
func (m *meters) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect is for Prometheus.
func (m *meters) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

// sends notes that an input comes. Of two that come at once either may be the first.
func (m *meters) sends() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, time.Now())
}

// house returns what the house is to be run with in place of clock and do.
func (m *meters) house(clock func() door.Instant, do func(door.Input, []door.Effect)) (func() door.Instant, func(door.Input, []door.Effect)) {
	if m == nil {
		return clock, do
	}
	return func() door.Instant {
			m.began = time.Now()
			return clock()
		}, func(in door.Input, effects []door.Effect) {
			m.steps.Observe(time.Since(m.began).Seconds())
			m.came = m.taken(in)
			do(in, effects)
		}
}

// taken returns when the input of the present step came. Time that passed, and the end, come
// from the house's own loop.
func (m *meters) taken(in door.Input) time.Time {
	if _, end := in.(door.Stopping); in == nil || end {
		return m.began
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == 0 {
		return m.began
	}
	came := m.waiting[0]
	m.waiting = m.waiting[1:]
	return came
}

// unlocked notes that a line was set.
func (m *meters) unlocked() {
	if m != nil {
		m.unlocks.Observe(time.Since(m.came).Seconds())
	}
}

// historyTook notes how long the database took for a request.
func (m *meters) historyTook(d time.Duration) {
	if m != nil {
		m.history.Observe(d.Seconds())
	}
}

// record counts what has become durable.
func (m *meters) record(r door.Record) { m.records.WithLabelValues(string(r.Kind)).Inc() }

// through measures a journal.
func (m *meters) through(j journal) journal {
	if m == nil {
		return j
	}
	return meteredJournal{j, m}
}

type meteredJournal struct {
	journal
	m *meters
}

func (j meteredJournal) Append(ctx context.Context, recs []door.Record) ([]door.Record, error) {
	began := time.Now()
	kept, err := j.journal.Append(ctx, recs)
	if err != nil {
		j.m.appendFailures.Inc()
		return kept, err
	}
	j.m.appends.Observe(time.Since(began).Seconds())
	return kept, nil
}
