package broker

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"
)

// These benchmarks set our broker beside Mosquitto: each in a process of its own, under the
// same load in turns, and then the ratio of the medians, ours : peer.

const (
	rounds   = 5
	warmUp   = 300 * time.Millisecond
	flowSpan = 1500 * time.Millisecond // of one round
)

// figures of one round, by unit.
type figures map[string]float64

// duel measures both brokers in turns and reports the median of each figure, and the ratio of
// the first. What was lost is summed up.
func duel(b *testing.B, first string, measure func(*rival) figures) {
	b.Helper()
	brokers := []*rival{startOurs(b), startPeer(b)}
	got := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for _, r := range brokers {
				for unit, v := range measure(r) {
					got[r.name+"-"+unit] = append(got[r.name+"-"+unit], v)
				}
			}
		}
	}
	for key, all := range got {
		b.ReportMetric(median(all), key)
	}
	for _, r := range brokers {
		lost := 0.0
		for _, n := range got[r.name+"-lost"] {
			lost += n
		}
		b.ReportMetric(lost, r.name+"-lost")
	}
	b.Logf("%.4v", got)
	b.ReportMetric(median(got["ours-"+first])/median(got["peer-"+first]), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// flow has publishers send at QoS 1 as fast as they are answered, with a window each, and
// returns how many messages a second the subscriber received, and what each cost the broker.
func (r *rival) flow(b *testing.B, publishers int, window uint32, hub loadLogin) figures {
	x := r.traffic(b, publishers, loadPayload, hub)
	x.receive()
	stop, errs := make(chan struct{}), make(chan error, publishers)
	for _, p := range x.pubs {
		go func() { errs <- p.run(window, stop) }()
	}
	<-time.After(warmUp)
	before, since, cpu := x.sub.got.Load(), time.Now(), r.cpu(b)
	<-time.After(flowSpan)
	n, took, used := float64(x.sub.got.Load()-before), time.Since(since), r.cpu(b)-cpu
	close(stop)
	for range x.pubs {
		must(b, <-errs)
	}
	return figures{"msgs/s": n / took.Seconds(), "cpu-µs/msg": used.Seconds() * 1e6 / n, "lost": float64(x.finish(b))}
}

// BenchmarkOneToOne: one publisher with 20 messages in flight, as Mosquitto's own clients have
// it, to one subscriber.
func BenchmarkOneToOne(b *testing.B) {
	duel(b, "msgs/s", func(r *rival) figures { return r.flow(b, 1, 20, loadLogin{}) })
}

// BenchmarkOneByOne: one publisher that waits for each answer.
func BenchmarkOneByOne(b *testing.B) {
	duel(b, "msgs/s", func(r *rival) figures { return r.flow(b, 1, 1, loadLogin{}) })
}

// BenchmarkFanIn: a hundred publishers to one subscriber, each of which waits for each answer:
// with more in flight Mosquitto drops most of what it has acknowledged, since by default it
// queues 1000 messages for a client.
func BenchmarkFanIn(b *testing.B) {
	duel(b, "msgs/s", func(r *rival) figures { return r.flow(b, benchSensors, 1, loadLogin{}) })
}

// BenchmarkKept: as OneToOne to a session that is kept, so that ours answers when a message is
// durable. Mosquitto answers at once, and saves every half hour.
func BenchmarkKept(b *testing.B) {
	duel(b, "msgs/s", func(r *rival) figures { return r.flow(b, 1, 20, loadLogin{keep: true}) })
}

const (
	pace     = 2 * time.Millisecond
	paceSpan = 3 * time.Second // of one round
)

// BenchmarkLatency: 500 messages a second at QoS 1, from publishing to receiving.
func BenchmarkLatency(b *testing.B) {
	duel(b, "p99-ms", func(r *rival) figures {
		var took []time.Duration
		x := r.traffic(b, 1, loadPayload, loadLogin{})
		x.sub.late = func(d time.Duration) { took = append(took, d) }
		x.receive()
		must(b, x.pubs[0].paced(int(paceSpan/pace), pace))
		lost := float64(x.finish(b))
		slices.Sort(took)
		return figures{
			"p99-ms": took[len(took)*99/100].Seconds() * 1e3, "p50-ms": took[len(took)/2].Seconds() * 1e3, "lost": lost,
		}
	})
}

// idleConnections is of one version of MQTT.
const idleConnections = 2000

// BenchmarkIdle: what the broker's resident memory grows by for each connection that has
// subscribed to something and does nothing more.
func BenchmarkIdle(b *testing.B) {
	for name, version := range map[string]byte{"v3.1.1": 4, "v5": 5} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, r := range []*rival{startOurs(b), startPeer(b)} {
					b.ReportMetric(r.idle(b, version), r.name+"-KiB")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (r *rival) idle(b *testing.B, version byte) float64 {
	b.Helper()
	var all []*loader
	connect := func(n int) {
		for range n {
			user := sensorName(len(all) % benchSensors)
			l := r.in(b, loadLogin{user: user, id: strconv.Itoa(len(all)), version: version, keepalive: 600})
			must(b, l.subscribe("doorhub/out/"+user+"/#"))
			all = append(all, l)
		}
		<-time.After(time.Second)
	}
	connect(benchSensors) // what is there once is there
	before := r.resident(b)
	connect(idleConnections)
	per := (r.resident(b) - before) / idleConnections
	for _, l := range all {
		must(b, l.Close())
	}
	return per
}

const (
	stuckSize     = 100 << 10
	stuckMessages = 300 // 30 MB: more than all buffers on the way
)

// BenchmarkStuck: how long a publisher waits for an answer at most, while one of the
// subscribers to its topic reads nothing and the other gets everything.
func BenchmarkStuck(b *testing.B) {
	for b.Loop() {
		for _, r := range []*rival{startOurs(b), startPeer(b)} {
			stuck := r.in(b, loadLogin{user: "hub", id: "stuck"})
			must(b, stuck.subscribe("doorhub/in/#"))
			x := r.traffic(b, 1, stuckSize, loadLogin{})
			x.receive()
			worst, err := x.pubs[0].oneByOne(stuckMessages)
			must(b, err)
			b.ReportMetric(worst.Seconds(), r.name+"-worst-s")
			b.ReportMetric(float64(x.finish(b)), r.name+"-lost")
			must(b, stuck.Close())
		}
	}
	b.ReportMetric(0, "ns/op")
}

// oneByOne sends so many messages, each when the last is acknowledged, and returns how long the
// slowest answer took.
func (p *publisher) oneByOne(n int) (worst time.Duration, err error) {
	for range n {
		began := time.Now()
		_, err := p.Write(p.append(nil))
		if err = errors.Join(err, p.ack()); err != nil {
			return worst, err
		}
		worst = max(worst, time.Since(began))
	}
	return worst, nil
}

// paced sends so many messages at a fixed rate, and returns when all are acknowledged.
func (p *publisher) paced(n int, every time.Duration) error {
	answered := make(chan error, 1)
	go func() {
		for range n {
			if err := p.ack(); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range n {
		<-tick.C
		if _, err := p.Write(p.append(nil)); err != nil {
			return err
		}
	}
	return <-answered
}
