package strike_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

func TestMemory(t *testing.T) {
	striketest.Run(t, func(*testing.T) strike.Store { return strike.NewMemory(strike.MemoryOptions{}) })
}

func key(n int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := strike.NewMemory(strike.MemoryOptions{})
		now := time.Now()
		until := now.Add(time.Minute)
		for n := range 1000 {
			if err := m.Strike(t.Context(), key(n), now, until); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if err := m.Strike(t.Context(), key(0), now, until); !errors.Is(err, strike.ErrSeen) {
			t.Errorf("at until: %v, want ErrSeen", err)
		}
		time.Sleep(time.Millisecond)
		for n := 1000; n < 3000; n++ {
			if err := m.Strike(t.Context(), key(n), now, now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if m.Len() != 2000 {
			t.Errorf("%d keys held, want 2000", m.Len())
		}
		for n := range 1000 {
			if err := m.Strike(t.Context(), key(n), now, until); !errors.Is(err, strike.ErrUnsure) {
				t.Fatalf("forgotten key %d: %v, want ErrUnsure", n, err)
			}
		}
	})
}

// Times are compared in whole milliseconds, which forgets nothing early.
func TestMemoryMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := strike.NewMemory(strike.MemoryOptions{})
		now := time.Now()
		until := now.Add(time.Millisecond + time.Nanosecond)
		if err := m.Strike(t.Context(), key(0), now, until); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond + time.Nanosecond)
		if err := m.Strike(t.Context(), key(0), now, until); !errors.Is(err, strike.ErrSeen) {
			t.Errorf("at until: %v", err)
		}
	})
}

func TestMemorySince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		m := strike.NewMemory(strike.MemoryOptions{Since: now.Add(time.Hour)})
		if err := m.Strike(t.Context(), key(0), now.Add(time.Hour), now.Add(2*time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("from a time to come: %v", err)
		}
		time.Sleep(time.Hour)
		if err := m.Strike(t.Context(), key(0), now.Add(time.Hour-1), now.Add(2*time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("before since: %v", err)
		}
		if err := m.Strike(t.Context(), key(0), now.Add(time.Hour), now.Add(2*time.Hour)); err != nil {
			t.Errorf("at since: %v", err)
		}
		m = strike.NewMemory(strike.MemoryOptions{Since: now.Add(-time.Hour)})
		if err := m.Strike(t.Context(), key(0), now.Add(time.Hour-time.Minute), now.Add(2*time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("an early Since lowered it: %v", err)
		}
	})
}

func TestMemoryFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := strike.NewMemory(strike.MemoryOptions{Entries: 100})
		now := time.Now()
		for n := range 100 {
			if err := m.Strike(t.Context(), key(n), now, now.Add(time.Duration(1+n)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := m.Strike(t.Context(), key(100), now, now.Add(time.Hour)); !errors.Is(err, strike.ErrFull) {
				t.Fatalf("with no room: %v, want ErrFull", err)
			}
		}
		if err := m.Strike(t.Context(), key(7), now, now.Add(8*time.Second)); !errors.Is(err, strike.ErrSeen) {
			t.Errorf("full, and seen: %v, want ErrSeen", err)
		}
		time.Sleep(50*time.Second + time.Millisecond) // 50 of them, in whatever shards
		ok := 0
		for n := 100; n < 200; n++ {
			if m.Strike(t.Context(), key(n), now, now.Add(time.Hour)) == nil {
				ok++
			}
		}
		if ok != 50 || m.Len() != 100 {
			t.Errorf("%d admitted and %d held after 50 of 100 expired", ok, m.Len())
		}
	})
}

// A full store stays within its bound and admits each key at most once when all
// goroutines press at once.
func TestMemoryFullRace(t *testing.T) {
	m := strike.NewMemory(strike.MemoryOptions{Entries: 50})
	now := time.Now()
	var admitted atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 200 {
				switch err := m.Strike(t.Context(), key((n+g*25)%200), now, now.Add(time.Hour)); {
				case err == nil:
					admitted.Add(1)
				case !errors.Is(err, strike.ErrSeen) && !errors.Is(err, strike.ErrFull):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 50 || m.Len() != 50 {
		t.Errorf("%d admitted, %d held, want 50", admitted.Load(), m.Len())
	}
}

func TestMemoryContext(t *testing.T) {
	m := strike.NewMemory(strike.MemoryOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	now := time.Now()
	if err := m.Strike(ctx, key(0), now, now.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := m.Strike(t.Context(), key(0), now, now.Add(time.Hour)); err != nil {
		t.Errorf("a cancelled call struck the key: %v", err)
	}
}

// TestMemoryNeverTwice strikes a few keys, each with a fixed until, over and over
// as time passes in random steps.
func TestMemoryNeverTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		m := strike.NewMemory(strike.MemoryOptions{Entries: 60})
		start := time.Now()
		var admitted [400]int
		counts := map[error]int{}
		for range 20000 {
			n := rng.IntN(len(admitted))
			until := start.Add(time.Duration(n) * 50 * time.Millisecond)
			err := m.Strike(t.Context(), key(n), start, until)
			counts[err]++
			if err == nil {
				admitted[n]++
			}
			time.Sleep(time.Duration(rng.IntN(2)) * time.Millisecond)
		}
		for n, a := range admitted {
			if a > 1 {
				t.Errorf("key %d admitted %d times", n, a)
			}
		}
		for _, err := range []error{nil, strike.ErrSeen, strike.ErrUnsure, strike.ErrFull} {
			if counts[err] == 0 {
				t.Errorf("the run never met %v", err)
			}
		}
	})
}

func BenchmarkMemory(b *testing.B) {
	m := strike.NewMemory(strike.MemoryOptions{Entries: 1 << 16})
	now := time.Now()
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := next.Add(1)
			if err := m.Strike(context.Background(), key(int(n)), now, time.Now().Add(time.Millisecond)); err != nil && !errors.Is(err, strike.ErrUnsure) && !errors.Is(err, strike.ErrFull) {
				b.Error(err)
			}
		}
	})
}

func Example() {
	store := strike.NewMemory(strike.MemoryOptions{})
	key := sha256.Sum256([]byte("example order 1" + "order 4711"))
	now := time.Now()
	for range 2 {
		fmt.Println(store.Strike(context.Background(), key, now, now.Add(time.Hour)))
	}
	// Output:
	// <nil>
	// strike: seen before
}
