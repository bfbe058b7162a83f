package boltstore

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkStrike counts strikes by 1 and 16 concurrent callers, beside what one
// sync of one page costs on the same disk, just before and just after: a group takes
// two.
func BenchmarkStrike(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(map[int]string{1: "1", 16: "16", 256: "256"}[callers], func(b *testing.B) {
			path := testPath(b)
			sync := syncCost(b, path+"2")
			s := mustOpen(b, path, Options{}, environment{})
			now := time.Now()
			var next, running atomic.Int64
			done := make(chan struct{})
			b.ResetTimer()
			for range callers {
				running.Add(1)
				go func() {
					defer func() {
						if running.Add(-1) == 0 {
							close(done)
						}
					}()
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := s.Strike(context.Background(), key(int(n)), now, now.Add(time.Hour)); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "strikes/s")
			b.StopTimer()
			sync = (sync + syncCost(b, path+"2")) / 2
			b.ReportMetric(float64(sync.Microseconds()), "µs/sync")
		})
	}
}

// syncCost is the mean time to write a page and sync it.
func syncCost(b *testing.B, path string) time.Duration {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	const n = 200
	var start time.Time
	for i := range 2 * n {
		if i == n {
			start = time.Now() // the second time over the same pages
		}
		if _, err := f.WriteAt(page, int64(i%n)*4096); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / n
}
