package striketest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
)

// A Clock is one that is set by hand. It is safe for concurrent use.
type Clock struct{ ns atomic.Int64 }

// NewClock returns a clock that stands at t.
func NewClock(t time.Time) *Clock {
	c := new(Clock)
	c.ns.Store(t.UnixNano())
	return c
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time { return time.Unix(0, c.ns.Load()) }

// Step moves the clock, in either direction.
func (c *Clock) Step(d time.Duration) { c.ns.Add(int64(d)) }

// A Life is a store over some time.
type Life struct {
	Store strike.Store

	// Restart ends the store's process and starts another, which finds what was
	// kept. Nil: nothing is kept.
	Restart func() strike.Store

	// Lose does so, and what was kept is lost as well. hw is the highest clock
	// that anybody has seen. Nil: not tried.
	Lose func(hw time.Time) strike.Store
}

// NeverTwice sends messages again and again to a recipient whose clock steps
// forward and back, and whose store starts again and loses what it kept: each is
// admitted at most once. It is strikes many random strikes, the same ones every
// time for one seed. A message is made at some instant of the sender's clock, which
// is up to a second off, and lives for a few seconds; that is long, as a step of the
// clock may take an hour.
func NeverTwice(t *testing.T, seed uint64, strikes int, clock *Clock, life *Life) {
	t.Helper()
	const skew = time.Second
	rng := rand.New(rand.NewPCG(seed, 0))
	type message struct {
		key           [32]byte
		issued, until time.Time
		admitted      int
	}
	var messages []*message
	hw := clock.Now()
	counts := map[string]int{}
	ago := func(of int) *message { // recent ones rather than old ones
		return messages[max(0, len(messages)-1-int(float64(of)*rng.ExpFloat64()))]
	}
	for n := range strikes {
		switch p := rng.IntN(100); {
		case p < 30 || len(messages) == 0:
			issued := clock.Now().Add(time.Duration(rng.Int64N(int64(2*skew))) - skew)
			messages = append(messages, &message{key(t, n), issued, issued.Add(skew + time.Duration(rng.Int64N(int64(5*time.Second)))), 0})
		case p < 60:
			clock.Step(time.Duration(rng.Int64N(int64(200 * time.Millisecond))))
		case p < 63:
			d := []time.Duration{2 * time.Second, 10 * time.Second, time.Hour}[rng.IntN(3)]
			if rng.IntN(2) == 0 && clock.Now().Add(-d).After(hw.Add(-2*time.Hour)) {
				d = -d
			}
			clock.Step(d)
		case p < 64 && life.Restart != nil:
			life.Store = life.Restart()
		case p < 65 && life.Lose != nil:
			life.Store = life.Lose(hw)
		}
		m := ago(4)
		now := clock.Now()
		if now.After(hw) {
			hw = now
		}
		if m.issued.After(now.Add(skew)) || now.After(m.until) {
			counts["out of time"]++
			continue
		}
		err := life.Store.Strike(context.Background(), m.key, m.issued.Add(-skew), m.until)
		switch {
		case err == nil:
			counts["first"]++
			if m.admitted++; m.admitted > 1 {
				t.Fatalf("strike %d: a message of %v, good until %v, is admitted again at %v", n, m.issued, m.until, now)
			}
		case errors.Is(err, strike.ErrSeen):
			counts["seen"]++
		case errors.Is(err, strike.ErrUnsure):
			counts["unsure"]++
		case errors.Is(err, strike.ErrFull):
			counts["full"]++
		default:
			t.Fatalf("strike %d: %v", n, err)
		}
	}
	t.Log(fmt.Sprint(counts))
	for _, want := range []string{"first", "seen", "unsure"} {
		if counts[want] < strikes/100 {
			t.Errorf("of %d strikes %d ended as %q: the run shows little", strikes, counts[want], want)
		}
	}
}
