package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var kills = flag.Int("kills", 100, "how often TestCrash kills servers of each of two kinds")

// TestCrash kills servers with SIGKILL, again and again, at any instant, while
// clients of several principals call them and ticket keys rotate: a server by
// itself, and two behind one port. Connections end for no reason, too. The clients
// know what must come of it.
//
//   - Every call is answered, and took effect once.
//   - Every answer is for the principal who called.
//   - Nobody who has a ticket authenticates in full, and no ticket is refused.
//
// scripts/crash runs it for longer, and shows the numbers.
func TestCrash(t *testing.T) {
	needRings(t)
	n := *kills
	if testing.Short() {
		n = min(n, 10)
	}
	for servers, kind := range []string{"one", "two"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			crash(t, kind, servers+1, n)
		})
	}
}

const (
	crashUsers    = 3 // with Kerberos, and as many with certificates
	crashAccounts = 2 // of each, with a call under way on each
)

// A crashRun keeps the accounts.
type crashRun struct {
	t       *testing.T
	s       *stand
	servers []*tallyServer // the next victim in front
	callers []*caller
	stop    chan struct{}

	mu     sync.Mutex
	totals map[string]uint64 // by accountName
	calls  int
	again  int
	moved  chan struct{} // has room for one: somebody was answered
}

func crash(t *testing.T, kind string, servers, kills int) {
	start := time.Now()
	s, err := newStand(t.TempDir(), servers, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	r := &crashRun{t: t, s: s, stop: make(chan struct{}), totals: map[string]uint64{}, moved: make(chan struct{}, 1)}
	defer r.killAll()
	for range servers {
		r.start()
	}

	// Everybody authenticates, and has a ticket then. All share one file of tickets.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cache := filepath.Join(s.tally.Folder, "tickets")
	for n := range 2 * crashUsers {
		add := s.kerberos
		if n >= crashUsers {
			add = s.certified
		}
		c, err := add(fmt.Sprint("user", n), cache)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		r.callers = append(r.callers, c)
		r.call(ctx, c, 0)
	}
	asked, ops := s.asked.Load(), r.publicKeyOps()

	var calling sync.WaitGroup
	defer func() { // of no effect, unless something is fatal
		cancel()
		calling.Wait()
	}()
	for _, c := range r.callers {
		for account := range uint32(crashAccounts) {
			calling.Go(func() {
				for !r.stopped() && !t.Failed() {
					r.call(ctx, c, account)
				}
			})
		}
	}
	rotations := 0
	for n := 0; n < kills && !t.Failed(); n++ {
		if n%2 == 0 {
			if err := r.servers[rand.IntN(len(r.servers))].order(tallyRotate); err != nil {
				t.Error(err)
			}
			rotations++
		}
		r.callers[rand.IntN(len(r.callers))].cut()
		if n%4 > 0 { // else in the midst of coming back, perhaps
			r.progress(1 + rand.IntN(2*len(r.callers)))
		}
		time.Sleep(rand.N(5 * time.Millisecond))
		r.kill(n%8 == 5)
	}
	close(r.stop)
	if t.Failed() {
		cancel()
	}
	calling.Wait()
	if t.Failed() {
		return
	}

	resumed := 0
	for _, c := range r.callers {
		resumed += c.resumed
		if c.refused != 0 || c.inFull != 1 {
			t.Errorf("%s: %d tickets were refused, %d full authentications", c.who, c.refused, c.inFull)
		}
	}
	if n, m := s.asked.Load()-asked, r.publicKeyOps()-ops; n != 0 || m != 0 {
		t.Errorf("%d KDC exchanges, %d public-key operations", n, m)
	}
	r.killAll()
	book, err := s.tally.read()
	if err != nil {
		t.Fatal(err)
	}
	if book.effects != r.calls || len(book.totals) != len(r.totals) {
		t.Errorf("%d calls took effect on %d accounts; %d were answered, on %d", book.effects, len(book.totals), r.calls, len(r.totals))
	}
	for name, want := range r.totals {
		if got := book.totals[name]; got != want {
			t.Errorf("%q has %d, want %d", name, got, want)
		}
	}
	if resumed < kills || r.again == 0 && kills >= 50 {
		t.Errorf("the run shows little: %d resumptions, %d calls from the store", resumed, r.again)
	}
	if t.Failed() {
		return
	}
	t.Logf("%s: %d kills, %d calls by %d principals, 0 lost, 0 executed twice (%d had taken effect before a kill), 0 taken for another's; %d rotations, %d resumptions, 0 failed; %v",
		kind, kills, r.calls, len(r.callers), r.again, rotations, resumed, time.Since(start).Round(time.Millisecond))
}

// start starts a server, the last to be killed.
func (r *crashRun) start() {
	r.t.Helper()
	x, err := startTally(fmt.Sprint(len(r.servers)), &r.s.tally)
	if err != nil {
		r.t.Fatal(err)
	}
	r.servers = append(r.servers, x)
	r.s.port.up(x)
}

// kill kills the server that has been there for longest, and starts another; with
// early, one first that is killed while it starts.
func (r *crashRun) kill(early bool) {
	x := r.servers[0]
	r.s.port.down(x)
	if err := x.kill(); err != nil {
		r.t.Error(err)
	}
	r.servers = r.servers[1:]
	if early {
		x, err := launchTally("early", &r.s.tally)
		if err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		if err := x.kill(); err != nil {
			r.t.Error(err)
		}
	}
	r.start()
}

func (r *crashRun) killAll() {
	for _, x := range r.servers {
		if err := x.kill(); err != nil {
			r.t.Error(err)
		}
	}
	r.servers = nil
}

// call calls, and checks the answer.
func (r *crashRun) call(ctx context.Context, c *caller, account uint32) {
	who, err := c.who.Export()
	if err != nil {
		r.t.Error(err)
		return
	}
	name := string(accountName(who, account))
	r.mu.Lock()
	before := r.totals[name]
	r.mu.Unlock()
	a := c.add(ctx, account, rand.Uint64N(1<<32))
	if err := a.check(before); err != nil {
		if !r.t.Failed() || !errors.Is(err, context.Canceled) {
			r.t.Error(err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals[name] = a.total
	r.calls++
	if a.again {
		r.again++
	}
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

func (r *crashRun) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// progress waits until so many more calls, or some more, are answered.
func (r *crashRun) progress(calls int) {
	r.mu.Lock()
	want := r.calls + calls
	r.mu.Unlock()
	for hang := time.After(2 * time.Minute); ; {
		select {
		case <-r.moved:
		case <-time.After(100 * time.Millisecond): // somebody failed, perhaps
		case <-hang:
			r.t.Fatal("nobody is answered any more")
		}
		r.mu.Lock()
		enough := r.calls >= want
		r.mu.Unlock()
		if enough || r.t.Failed() {
			return
		}
	}
}

func (r *crashRun) publicKeyOps() (n int64) {
	for _, c := range r.callers {
		n += c.ops.total()
	}
	return n
}
