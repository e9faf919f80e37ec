package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkAppend appends one record at a time, each durable before the next, as the house
// does, and measures the bare fsync of the same file system beside it.
func BenchmarkAppend(b *testing.B) {
	s := newStore(b)
	rec := someRecords(1)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		rec[0].Time = rec[0].Time.Add(time.Millisecond)
		start := time.Now()
		if _, err := s.Append(context.Background(), rec); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "appends/s")
	reportQuantiles(b, "append", took)
	reportQuantiles(b, "fsync", bareFsync(b, s.dir, 500))
}

// bareFsync times a page written and synced, n times, in a file as SQLite's log is.
func bareFsync(b *testing.B, dir string, n int) []time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page, took := make([]byte, 4096), make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if _, err := f.WriteAt(page, int64(i)*4096); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	return took
}

func reportQuantiles(b *testing.B, name string, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), name+"-p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), name+"-p99-µs")
}

// BenchmarkVerify checks a journal of 100,000 records, or of 1,000,000 with
// DOORHUB_BENCH_LARGE set.
func BenchmarkVerify(b *testing.B) {
	n := 100_000
	if os.Getenv("DOORHUB_BENCH_LARGE") != "" {
		n = 1_000_000
	}
	s := newStore(b)
	recs := someRecords(n)
	for part := range slices.Chunk(recs, 10_000) {
		mustAppend(b, s, part...)
	}
	for b.Loop() {
		if _, err := s.Verify(context.Background(), nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkLookupPIN looks up a PIN that is nobody's, which costs as much as one that is.
func BenchmarkLookupPIN(b *testing.B) {
	s := newStore(b)
	for b.Loop() {
		if _, err := s.LookupPIN(context.Background(), "246810"); err != nil {
			b.Fatal(err)
		}
	}
}
