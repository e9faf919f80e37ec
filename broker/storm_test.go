package broker

import (
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// stormSize is how many devices come back at once.
const stormSize = 1000

// BenchmarkReconnectStorm: what it costs the broker's processor that a thousand devices log in
// again, and what looking at their tokens alone would cost if they were kept as passwords are, by
// bcrypt at its usual cost.
func BenchmarkReconnectStorm(b *testing.B) {
	r := startOurs(b)
	hash, err := bcrypt.GenerateFromPassword([]byte(r.tokens["hub"]), bcrypt.DefaultCost)
	must(b, err)
	var used, took, bcrypted time.Duration
	const looks = 5
	for b.Loop() {
		cpu, began := r.cpu(b), time.Now()
		var all sync.WaitGroup
		conns := make([]*loader, stormSize)
		for lane := range 50 {
			all.Go(func() {
				for i := lane; i < stormSize; i += 50 {
					l, err := dialLoad(r.addr, loadLogin{user: sensorName(i % benchSensors), token: r.tokens[sensorName(i%benchSensors)], id: strconv.Itoa(i)})
					if err != nil {
						b.Errorf("device %d: %v", i, err)
						return
					}
					conns[i] = l
				}
			})
		}
		all.Wait()
		took += time.Since(began)
		used += r.cpu(b) - cpu
		for _, l := range conns {
			if l != nil {
				_ = l.Close()
			}
		}
		before := ownCPU(b)
		for range looks {
			must(b, bcrypt.CompareHashAndPassword(hash, []byte(r.tokens["hub"])))
		}
		bcrypted += ownCPU(b) - before
	}
	n := float64(b.N)
	b.ReportMetric(used.Seconds()/n, "cpu-s/storm")
	b.ReportMetric(took.Seconds()/n, "wall-s/storm")
	b.ReportMetric(bcrypted.Seconds()/n/looks*stormSize, "bcrypt-cpu-s/storm")
	b.ReportMetric(0, "ns/op")
}

// ownCPU is the processor time that this process has used.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
