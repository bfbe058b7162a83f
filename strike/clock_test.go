package strike_test

import (
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

// A memory loses everything when its process ends: Since has to say what the clock
// was, in case it has stepped back.
func TestMemoryClockSteps(t *testing.T) {
	for seed := range uint64(20) {
		clock := striketest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		striketest.NeverTwice(t, seed, 5000, clock, &striketest.Life{
			Store: strike.NewMemoryAt(strike.MemoryOptions{}, clock.Now),
			Lose: func(hw time.Time) strike.Store {
				return strike.NewMemoryAt(strike.MemoryOptions{Since: hw}, clock.Now)
			},
		})
	}
}

// A memory goes by its clock alone: what is live by it is not forgotten.
func TestMemoryClock(t *testing.T) {
	clock := striketest.NewClock(time.Date(2001, 1, 2, 3, 4, 5, 0, time.UTC))
	m := strike.NewMemoryAt(strike.MemoryOptions{}, clock.Now)
	now := clock.Now()
	for n := range byte(10) {
		if err := m.Strike(t.Context(), [32]byte{31: n}, now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if m.Len() != 10 {
		t.Errorf("%d keys left of 10", m.Len())
	}
}
