// Package striketest checks what every strike.Store promises: Strike returns nil
// once per key, whatever the order, the clock and the company.
package striketest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
)

// Run runs the suite. open returns a new, empty store, complete since then, with
// room for a few thousand keys; it registers what cleans up with t.Cleanup. The
// suite uses the real clock and takes under a second.
func Run(t *testing.T, open func(t *testing.T) strike.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, strike.Store)
	}{
		{"FirstThenSeen", firstThenSeen},
		{"EveryBitCounts", everyBitCounts},
		{"FromBeforeSince", fromBeforeSince},
		{"NeverAgainAfterUntil", neverAgainAfterUntil},
		{"LongExpired", longExpired},
		{"Race", race},
		{"DoneContext", doneContext},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// key returns the n-th key of a test.
func key(t *testing.T, n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(t.Name()), uint64(n)))
}

func firstThenSeen(t *testing.T, s strike.Store) {
	now := time.Now()
	for n := range 20 {
		until := now.Add(time.Duration(n+1) * time.Hour)
		if err := s.Strike(t.Context(), key(t, n), now, until); err != nil {
			t.Fatalf("key %d: %v", n, err)
		}
		for range 3 {
			if err := s.Strike(t.Context(), key(t, n), now, until); !errors.Is(err, strike.ErrSeen) {
				t.Fatalf("key %d again: %v, want ErrSeen", n, err)
			}
		}
	}
	for n := range 20 {
		if err := s.Strike(t.Context(), key(t, n), now, now.Add(time.Duration(n+1)*time.Hour)); !errors.Is(err, strike.ErrSeen) {
			t.Errorf("key %d at last: %v, want ErrSeen", n, err)
		}
	}
}

func everyBitCounts(t *testing.T, s strike.Store) {
	now := time.Now()
	k := key(t, 0)
	if err := s.Strike(t.Context(), k, now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for bit := range 256 {
		f := k
		f[bit/8] ^= 1 << (bit % 8)
		if err := s.Strike(t.Context(), f, now, now.Add(time.Hour)); err != nil {
			t.Errorf("with bit %d flipped: %v", bit, err)
		}
	}
}

func fromBeforeSince(t *testing.T, s strike.Store) {
	now := time.Now()
	k := key(t, 0)
	for range 2 {
		if err := s.Strike(t.Context(), k, now.Add(-time.Hour), now.Add(time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Fatalf("from an hour before the store: %v, want ErrUnsure", err)
		}
	}
	if err := s.Strike(t.Context(), k, now, now.Add(time.Hour)); err != nil {
		t.Errorf("a refusal struck the key: %v", err)
	}
}

// neverAgainAfterUntil lets keys expire and makes the store forget them, as far
// as striking others does.
func neverAgainAfterUntil(t *testing.T, s strike.Store) {
	now := time.Now()
	until := func(n int) time.Time { return now.Add(time.Duration(20+n) * time.Millisecond) }
	const keys = 20
	for n := range keys {
		if err := s.Strike(t.Context(), key(t, n), now, until(n)); err != nil && !(errors.Is(err, strike.ErrUnsure) && time.Now().After(until(n))) {
			t.Fatalf("key %d: %v", n, err)
		}
	}
	time.Sleep(time.Until(until(keys)) + 5*time.Millisecond)
	for n := keys; n < 500; n++ {
		if err := s.Strike(t.Context(), key(t, n), now, now.Add(time.Hour)); err != nil {
			t.Fatalf("key %d: %v", n, err)
		}
	}
	for n := range keys {
		if err := s.Strike(t.Context(), key(t, n), now, until(n)); !errors.Is(err, strike.ErrSeen) && !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("key %d after its time: %v, want ErrSeen or ErrUnsure", n, err)
		}
	}
}

// longExpired strikes a key whose time has passed: whether the store admits it is
// its own affair, but not twice.
func longExpired(t *testing.T, s strike.Store) {
	now := time.Now()
	ok := 0
	for range 50 {
		if s.Strike(t.Context(), key(t, 0), now, now.Add(-time.Minute)) == nil {
			ok++
		}
	}
	if ok > 1 {
		t.Errorf("admitted %d times", ok)
	}
}

func race(t *testing.T, s strike.Store) {
	const racers, rounds = 64, 40
	now := time.Now()
	var nils, others [rounds]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range racers {
		wg.Go(func() {
			<-start
			for n := range rounds {
				err := s.Strike(t.Context(), key(t, n), now, now.Add(time.Hour))
				mu.Lock()
				if err == nil {
					nils[n]++
				} else if !errors.Is(err, strike.ErrSeen) {
					others[n]++
				}
				mu.Unlock()
			}
		})
	}
	close(start)
	wg.Wait()
	for n := range rounds {
		if nils[n] != 1 || others[n] != 0 {
			t.Errorf("round %d: %d goroutines were first, %d got something else than ErrSeen", n, nils[n], others[n])
		}
	}
}

func doneContext(t *testing.T, s strike.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	now := time.Now()
	if s.Strike(ctx, key(t, 0), now, now.Add(time.Hour)) == nil &&
		!errors.Is(s.Strike(t.Context(), key(t, 0), now, now.Add(time.Hour)), strike.ErrSeen) {
		t.Error("admitted twice: once with a cancelled context")
	}
}
