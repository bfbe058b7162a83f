package strike_test

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

// naive is a store that breaks one rule.
type naive struct {
	fault
	mu   sync.Mutex
	seen map[[32]byte]time.Time
}

type fault struct {
	since   time.Time // zero: vouches for the time before it was
	forgets bool      // without a floor
	racy    bool      // looks up, then inserts
	mute    bool      // admits all
	prophet bool      // vouches for the time to come
}

func (s *naive) Strike(_ context.Context, key [32]byte, from, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.Before(s.since) || from.After(time.Now()) && !s.prophet {
		return strike.ErrUnsure
	}
	if _, ok := s.seen[key]; ok && !s.mute {
		return strike.ErrSeen
	}
	if s.racy {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	s.seen[key] = until
	if s.forgets {
		for k, u := range s.seen {
			if time.Now().After(u) {
				delete(s.seen, k)
			}
		}
	}
	return nil
}

// TestSuiteRefusesBrokenStores runs this test binary again, once for each broken
// store, and expects the suite to fail in the case that is about its fault.
func TestSuiteRefusesBrokenStores(t *testing.T) {
	broken := map[string]struct {
		fault fault
		in    string
	}{
		"mute":    {fault{since: time.Now(), mute: true}, "FirstThenSeen"},
		"racy":    {fault{since: time.Now(), racy: true}, "Race"},
		"forgets": {fault{since: time.Now(), forgets: true}, "NeverAgainAfterUntil"},
		"vouches": {fault{}, "FromBeforeSince"},
		"prophet": {fault{since: time.Now(), prophet: true}, "FromTheFuture"},
	}
	const env = "STRIKETEST_BROKEN"
	if b, ok := broken[os.Getenv(env)]; ok {
		striketest.Run(t, func(*testing.T) strike.Store {
			return &naive{fault: b.fault, seen: map[[32]byte]time.Time{}}
		})
		return
	}
	for name, b := range broken {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSuiteRefusesBrokenStores$")
		cmd.Env = append(os.Environ(), env+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL: TestSuiteRefusesBrokenStores/"+b.in) {
			t.Errorf("a store that is %s passes: %v\n%s", name, err, out)
		}
	}
}
