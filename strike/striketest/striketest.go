// Package striketest checks what every strike.Store promises: Strike returns nil
// once per key, whatever the order, the clock and the company.
package striketest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
)

// Run runs the suite, of 1,000 rounds. open returns a new, empty store, complete
// since then, with room for a few thousand keys; it registers what cleans up with
// t.Cleanup. If the store is an io.Closer it is closed, too, and has to leave no
// goroutine behind. The suite uses the real clock, and takes a second and as long as
// the store needs for 64,000 strikes, of which 1,000 win.
func Run(t *testing.T, open func(t *testing.T) strike.Store) { Rounds(t, 1000, open) }

// Rounds is Run with another number of rounds in which 64 goroutines race for a key.
func Rounds(t *testing.T, rounds int, open func(t *testing.T) strike.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, strike.Store)
	}{
		{"FirstThenSeen", firstThenSeen},
		{"EveryBitCounts", everyBitCounts},
		{"FromBeforeSince", fromBeforeSince},
		{"FromTheFuture", fromTheFuture},
		{"NeverAgainAfterUntil", neverAgainAfterUntil},
		{"LongExpired", longExpired},
		{"FarTimes", farTimes},
		{"Race", func(t *testing.T, s strike.Store) { race(t, s, rounds) }},
		{"DoneContext", doneContext},
		{"CancelWhileWaiting", cancelWhileWaiting},
		{"Close", closed},
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
	var wg sync.WaitGroup
	for bit := range 256 {
		wg.Go(func() {
			f := k
			f[bit/8] ^= 1 << (bit % 8)
			if err := s.Strike(t.Context(), f, now, now.Add(time.Hour)); err != nil {
				t.Errorf("with bit %d flipped: %v", bit, err)
			}
		})
	}
	wg.Wait()
}

func fromBeforeSince(t *testing.T, s strike.Store) {
	now := time.Now()
	k := key(t, 0)
	for _, from := range []time.Time{now.Add(-time.Hour), now.Add(-time.Hour), {}, time.Unix(0, 0)} {
		if err := s.Strike(t.Context(), k, from, now.Add(time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Fatalf("from %v: %v, want ErrUnsure", from, err)
		}
	}
	if err := s.Strike(t.Context(), k, now, now.Add(time.Hour)); err != nil {
		t.Errorf("a refusal struck the key: %v", err)
	}
}

// fromTheFuture: a store that starts between now and from would vouch for the key
// once more.
func fromTheFuture(t *testing.T, s strike.Store) {
	now := time.Now()
	k := key(t, 0)
	for _, from := range []time.Time{now.Add(time.Minute), now.Add(time.Hour), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if err := s.Strike(t.Context(), k, from, from.Add(time.Hour)); !errors.Is(err, strike.ErrUnsure) {
			t.Errorf("from %v: %v, want ErrUnsure", from, err)
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
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for n := keys + g; n < 500; n += 16 {
				if err := s.Strike(t.Context(), key(t, n), now, now.Add(time.Hour)); err != nil {
					t.Errorf("key %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
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

// farTimes: what the store cannot represent it must not mistake for something else.
func farTimes(t *testing.T, s strike.Store) {
	now := time.Now()
	for n, until := range []time.Time{
		time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(60000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if err := s.Strike(t.Context(), key(t, n), now, until); err != nil {
			t.Errorf("until %v: %v", until, err)
		}
		if err := s.Strike(t.Context(), key(t, n), now, until); !errors.Is(err, strike.ErrSeen) {
			t.Errorf("until %v, again: %v", until, err)
		}
	}
	// Nothing of this may have moved the floor.
	if err := s.Strike(t.Context(), key(t, 100), now, now.Add(time.Hour)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// race lets 64 goroutines strike the same key, again and again.
func race(t *testing.T, s strike.Store, rounds int) {
	const racers = 64
	now := time.Now()
	nils, others := make([]atomic.Int32, rounds), make([]atomic.Int32, rounds)
	start := make([]sync.WaitGroup, rounds)
	for n := range start {
		start[n].Add(racers)
	}
	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			for n := range rounds {
				start[n].Done()
				start[n].Wait()
				switch err := s.Strike(t.Context(), key(t, n), now, now.Add(time.Hour)); {
				case err == nil:
					nils[n].Add(1)
				case !errors.Is(err, strike.ErrSeen):
					others[n].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for n := range rounds {
		if nils[n].Load() != 1 || others[n].Load() != 0 {
			t.Errorf("round %d: %d goroutines were first, %d got something else than ErrSeen", n, nils[n].Load(), others[n].Load())
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

// cancelWhileWaiting cancels some of many strikes in flight: whatever they
// answered, no key is admitted twice.
func cancelWhileWaiting(t *testing.T, s strike.Store) {
	now := time.Now()
	const keys = 100
	var wg sync.WaitGroup
	for n := range keys {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Duration(n)*50*time.Microsecond, cancel)
			first := s.Strike(ctx, key(t, n), now, now.Add(time.Hour))
			second := s.Strike(t.Context(), key(t, n), now, now.Add(time.Hour))
			if first == nil && second == nil {
				t.Errorf("key %d admitted twice", n)
			}
			if first != nil && !errors.Is(first, context.Canceled) {
				t.Errorf("key %d: %v, want context.Canceled", n, first)
			}
			if second != nil && !errors.Is(second, strike.ErrSeen) {
				t.Errorf("key %d, not cancelled: %v", n, second)
			}
		})
	}
	wg.Wait()
}

// closed closes a store that can be closed, while it is used.
func closed(t *testing.T, s strike.Store) {
	c, ok := s.(io.Closer)
	if !ok {
		return
	}
	now := time.Now()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				if err := s.Strike(t.Context(), key(t, n*8+g), now, now.Add(time.Hour)); err != nil {
					if !errors.Is(err, strike.ErrClosed) {
						t.Errorf("while it is closed: %v, want ErrClosed", err)
					}
					return
				}
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wg.Wait()
	if err := s.Strike(t.Context(), key(t, -1), now, now.Add(time.Hour)); !errors.Is(err, strike.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	noGoroutineOf(t, s)
}

// noGoroutineOf waits until no goroutine runs a method of the store.
func noGoroutineOf(t *testing.T, s strike.Store) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if left := methodsIn(stacks, s); left == "" {
			return
		} else if time.Now().After(deadline) {
			t.Errorf("a goroutine is left:\n%s", left)
			return
		}
		time.Sleep(time.Millisecond)
	}
}
