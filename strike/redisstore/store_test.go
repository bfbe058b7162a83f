package redisstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

var soak = flag.Bool("soak", false, "test for minutes")

func key(n int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func want(t *testing.T, s strike.Store, what string, n int, from, until time.Time, want error) {
	t.Helper()
	if err := s.Strike(t.Context(), key(n), from, until); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestSuite(t *testing.T) {
	r := startServer(t)
	// Each case has a store of its own. They wait for their since at the same time.
	next := 0
	var stores []*Store
	for n := range 11 {
		s, err := Open(t.Context(), r.client(t), Options{Prefix: string(rune('a' + n)), Skew: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		stores = append(stores, s)
	}
	time.Sleep(time.Until(stores[10].Since()) + time.Millisecond)
	striketest.Run(t, func(t *testing.T) strike.Store {
		next++
		return stores[next-1]
	})
}

func TestProcesses(t *testing.T) {
	addr := ""
	if os.Getenv("STRIKETEST_CHILD") == "" {
		r := startServer(t)
		r.open(t, Options{})
		addr = r.addr
	}
	rounds := 100
	if *soak {
		rounds = 10000
	}
	striketest.Processes(t, rounds, addr, func(addr string) (strike.Store, error) {
		return Open(context.Background(), redis.NewClient(&redis.Options{Addr: addr}), Options{})
	})
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	a, b, a2 := r.open(t, Options{Prefix: "a:"}), r.open(t, Options{Prefix: "b:"}), r.open(t, Options{Prefix: "a:"})
	now := time.Now()
	want(t, a, "first", 0, now, now.Add(time.Hour), nil)
	want(t, b, "in another store", 0, now, now.Add(time.Hour), nil)
	want(t, a2, "in the same store", 0, now, now.Add(time.Hour), strike.ErrSeen)
	if keys := r.do(t, "KEYS", "*").([]any); len(keys) != 2 {
		t.Errorf("keys in Redis: %v", keys)
	}
}

// TestNewSince: whatever may have lost keys starts a new since, for the store that
// was open all the time as well as for one opened afterwards.
func TestNewSince(t *testing.T) {
	cases := map[string]func(t *testing.T) (r *server, lose func() *server){
		"restart": func(t *testing.T) (*server, func() *server) {
			r := startServer(t)
			return r, func() *server { r.kill(); r.start(t); return r }
		},
		"restart with its file": func(t *testing.T) (*server, func() *server) {
			r := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
			return r, func() *server { r.kill(); r.start(t); return r }
		},
		"restart with a snapshot": func(t *testing.T) (*server, func() *server) {
			r := startServer(t)
			return r, func() *server { r.do(t, "SAVE"); r.kill(); r.start(t); return r }
		},
		"FLUSHALL": func(t *testing.T) (*server, func() *server) {
			r := startServer(t)
			return r, func() *server { r.do(t, "FLUSHALL"); return r }
		},
		"DEL": func(t *testing.T) (*server, func() *server) {
			r := startServer(t)
			return r, func() *server { r.do(t, "DEL", "gss:strike"); return r }
		},
		"failover": func(t *testing.T) (*server, func() *server) {
			r, replica := startServer(t), startServer(t)
			replica.replicaOf(t, r)
			return r, func() *server {
				r.kill()
				replica.do(t, "REPLICAOF", "NO", "ONE")
				return replica
			}
		},
		"to the replica and back": func(t *testing.T) (*server, func() *server) {
			// The first master is the same process, its clients stay connected, and it
			// has lost what the other did not get.
			r, replica := startServer(t), startServer(t)
			replica.replicaOf(t, r)
			return r, func() *server {
				replica.do(t, "REPLICAOF", "NO", "ONE")
				r.replicaOf(t, replica)
				r.do(t, "REPLICAOF", "NO", "ONE")
				return r
			}
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, lose := c(t)
			s := r.open(t, Options{})
			from := time.Now()
			until := from.Add(time.Hour)
			want(t, s, "first", 0, from, until, nil)
			want(t, s, "again", 0, from, until, strike.ErrSeen)
			want(t, s, "not yet", 1, from, until, nil)
			r2 := lose()
			if r2 == r {
				for range 2 { // the first may meet a connection that is gone
					if err := s.Strike(t.Context(), key(0), from, until); err == nil {
						t.Error("admitted again by the old store")
					}
				}
				want(t, s, "in the old store", 0, from, until, strike.ErrUnsure)
				want(t, s, "in the old store, another", 2, from, until, strike.ErrUnsure)
			}
			s2 := r2.open(t, Options{})
			want(t, s2, "in a new store", 0, from, until, strike.ErrUnsure)
			now := time.Now()
			want(t, s2, "new", 3, now, until, nil)
			want(t, s2, "new, again", 3, now, until, strike.ErrSeen)
		})
	}
}

func TestRefusedServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want error
	}{
		"evicts":  {[]string{"--maxmemory-policy", "allkeys-lru"}, ErrEviction},
		"expires": {[]string{"--maxmemory-policy", "volatile-ttl"}, ErrEviction},
		"cluster": {[]string{"--cluster-enabled", "yes"}, strike.ErrBroken},
	} {
		r := startServer(t, c.args...)
		if s, err := Open(t.Context(), r.client(t), Options{}); !errors.Is(err, c.want) || !errors.Is(err, strike.ErrBroken) {
			t.Errorf("%s: %v, %v, want %v", name, s, err, c.want)
		}
	}
	r := startServer(t)
	r.do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
	if _, err := Open(t.Context(), r.client(t), Options{}); !errors.Is(err, ErrEviction) {
		t.Errorf("changed later: %v", err)
	}
	r.do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	s := r.open(t, Options{})
	r.do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
	if _, err := Open(t.Context(), r.client(t), Options{}); !errors.Is(err, ErrEviction) {
		t.Errorf("with a store in it: %v", err)
	}
	r.do(t, "DEL", "gss:strike") // as an eviction does
	now := time.Now()
	want(t, s, "after an eviction", 0, now, now.Add(time.Hour), ErrEviction)

	replica := startServer(t)
	replica.replicaOf(t, r)
	if _, err := Open(t.Context(), replica.client(t), Options{}); !errors.Is(err, ErrReplica) {
		t.Errorf("a replica: %v", err)
	}
	replica.do(t, "CONFIG", "SET", "replica-read-only", "no")
	if _, err := Open(t.Context(), replica.client(t), Options{}); !errors.Is(err, ErrReplica) {
		t.Errorf("a replica that can be written: %v", err)
	}
	r.do(t, "CONFIG", "SET", "requirepass", "x")
	if _, err := Open(t.Context(), r.client(t), Options{}); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("a server with a password: %v", err)
	}
}

// A master that has lost its replicas refuses, if it was told to.
func TestNoReplicas(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	s := r.open(t, Options{})
	r.do(t, "CONFIG", "SET", "min-replicas-to-write", "1")
	now := time.Now()
	want(t, s, "without its replica", 0, now, now.Add(time.Hour), strike.ErrBroken)
}

func TestFullAndPurge(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	s := r.open(t, Options{Entries: 100, Skew: 100 * time.Millisecond})
	now := time.Now()
	for n := range 100 {
		want(t, s, "first", n, now, now.Add(time.Second), nil)
	}
	want(t, s, "one more", 100, now, now.Add(time.Hour), strike.ErrFull)
	want(t, s, "full, and seen", 50, now, now.Add(time.Second), strike.ErrSeen)
	time.Sleep(time.Until(now.Add(1200 * time.Millisecond)))
	for n := 100; n < 200; n++ {
		want(t, s, "after the others' time", n, now, now.Add(time.Hour), nil)
	}
	want(t, s, "one more", 200, now, now.Add(time.Hour), strike.ErrFull)
	for n := range 100 {
		want(t, s, "forgotten", n, now, now.Add(time.Second), strike.ErrUnsure)
	}
	if n := r.do(t, "ZCARD", "gss:strike").(int64); n != 104 {
		t.Errorf("%d members, want 100 and 4", n)
	}
}

// Redis has no memory left: the store is full, as long as it has nothing to forget.
func TestMaxMemory(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	s := r.open(t, Options{Skew: 100 * time.Millisecond})
	now := time.Now()
	for n := range 50 {
		want(t, s, "first", n, now, now.Add(500*time.Millisecond), nil)
	}
	r.do(t, "CONFIG", "SET", "maxmemory", "1")
	want(t, s, "no memory", 100, now, now.Add(time.Hour), strike.ErrFull)
	want(t, s, "no memory, and seen", 0, now, now.Add(500*time.Millisecond), strike.ErrSeen)
	time.Sleep(time.Until(now.Add(700 * time.Millisecond)))
	want(t, s, "in place of another", 100, now, now.Add(time.Hour), nil)
	for n := range 50 {
		if err := s.Strike(t.Context(), key(n), now, now.Add(500*time.Millisecond)); !errors.Is(err, strike.ErrUnsure) && !errors.Is(err, strike.ErrSeen) {
			t.Errorf("of before: %v", err)
		}
	}
	r.do(t, "CONFIG", "SET", "maxmemory", "0")
}

func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	clock := atomic.Int64{}
	s, err := open(t.Context(), r.client(t), Options{}, environment{func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }, script})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	from := s.Since()
	time.Sleep(time.Until(from) + 600*time.Millisecond) // also by a clock that is behind
	for i, c := range []struct {
		off  time.Duration
		want error
	}{{0, nil}, {time.Hour, ErrClock}, {-time.Hour, ErrClock}, {1500 * time.Millisecond, ErrClock}, {-1500 * time.Millisecond, ErrClock}, {500 * time.Millisecond, nil}, {-500 * time.Millisecond, nil}} {
		clock.Store(int64(c.off))
		want(t, s, c.off.String(), i, from, from.Add(time.Hour), c.want)
	}
	clock.Store(int64(time.Hour))
	if _, err := open(t.Context(), r.client(t), Options{Prefix: "x"}, s.env); !errors.Is(err, ErrClock) {
		t.Errorf("Open: %v", err)
	}
}

// TestClockSteps lets the clocks of Redis and of the host step together. Redis's is
// what a key says.
func TestClockSteps(t *testing.T) {
	r := startServer(t)
	client := r.client(t)
	fake := strings.Replace(script, "redis.call('TIME')", "redis.call('MGET', 'seconds', 'micros')", 1)
	if fake == script {
		t.Fatal("the script asks for no time")
	}
	seeds := uint64(3)
	if *soak {
		seeds = 100
	}
	for seed := range seeds {
		clock := striketest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		const skew = 100 * time.Millisecond
		off := skew - time.Duration(seed%3)*skew // Redis is ahead, or behind
		set := func() {
			at := clock.Now().Add(off)
			if err := client.MSet(context.Background(), "seconds", at.Unix(), "micros", at.Nanosecond()/1000).Err(); err != nil {
				t.Fatal(err)
			}
		}
		reopen := func(since time.Time) strike.Store {
			set()
			s, err := open(t.Context(), client, Options{Prefix: string(rune('a' + seed)), Skew: skew, Since: since}, environment{clock.Now, fake})
			if err != nil {
				t.Fatal(err)
			}
			return stepping{s, set}
		}
		life := &striketest.Life{Store: reopen(time.Time{})}
		life.Restart = func() strike.Store { return reopen(time.Time{}) }
		lost := 0
		life.Lose = func(hw time.Time) strike.Store {
			if lost++; lost%2 == 0 {
				r.do(t, "FLUSHALL")
				return reopen(hw.Add(skew))
			}
			// A failover: another Redis, which has not got the last keys, but knows how
			// late it was when it got the others.
			name := string(rune('a'+seed)) + "strike"
			for _, m := range client.ZRange(t.Context(), name, 0, -1).Val() {
				if len(m) == 32 || strings.HasPrefix(m, "id ") {
					r.do(t, "ZREM", name, m)
				}
			}
			return reopen(time.Time{})
		}
		striketest.NeverTwice(t, seed, 2500, clock, life)
	}
}

type stepping struct {
	*Store
	set func()
}

func (s stepping) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	s.set()
	return s.Store.Strike(ctx, key, from, until)
}

// An answer that does not come is no ErrSeen: the command is not sent again.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	direct := r.open(t, Options{})
	g := newGate(t, r.addr)
	var lost atomic.Int32
	g.swallow = func(answer []byte) bool {
		if bytes.Contains(answer, []byte("first")) {
			lost.Add(1)
			return true
		}
		return false
	}
	client := redis.NewClient(&redis.Options{Addr: g.addr})
	defer client.Close()
	s, err := Open(t.Context(), client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	want(t, s, "answer lost", 0, now, now.Add(time.Hour), strike.ErrBroken)
	if lost.Load() != 1 {
		t.Errorf("%d answers lost, want 1", lost.Load())
	}
	want(t, direct, "it was struck", 0, now, now.Add(time.Hour), strike.ErrSeen)
}

func TestServerGone(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	s := r.open(t, Options{})
	r.kill()
	now := time.Now()
	want(t, s, "server gone", 0, now, now.Add(time.Hour), strike.ErrBroken)
	if _, err := Open(t.Context(), r.client(t), Options{}); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("Open: %v", err)
	}
}

// A server that accepts and never answers.
func TestContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := startServer(t)
	good := r.open(t, Options{})
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ReadTimeout: 300 * time.Millisecond, DialTimeout: time.Second})
	defer client.Close()
	s := &Store{client: client, o: good.o, name: good.name, env: good.env}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	if err := s.Strike(ctx, key(0), start, start.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	if d := time.Since(start); d > 200*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	if err := s.Strike(t.Context(), key(0), start, start.Add(time.Hour)); !errors.Is(err, strike.ErrBroken) || strings.Contains(err.Error(), "context") {
		t.Errorf("without a deadline: %v, want ErrBroken", err)
	}
	s.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := good.Strike(cancelled, key(1), start, start.Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	want(t, good, "and not struck", 1, start, start.Add(time.Hour), nil)
}

func TestSinceOption(t *testing.T) {
	t.Parallel()
	r := startServer(t)
	later := time.Now().Add(time.Second)
	s := r.open(t, Options{Since: later})
	if time.Now().Before(later) || s.Since().Before(later) {
		t.Errorf("since %v, want %v", s.Since(), later)
	}
	now := time.Now()
	want(t, s, "before", 0, later.Add(-time.Microsecond), now.Add(time.Hour), strike.ErrUnsure)
	want(t, s, "from then on", 0, later.Add(time.Microsecond), now.Add(time.Hour), nil)
}

func BenchmarkStrike(b *testing.B) {
	r := startServer(b)
	s := r.open(b, Options{})
	now := time.Now()
	var next atomic.Int64
	b.SetParallelism(8) // 16 callers on 2 processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Strike(context.Background(), key(int(next.Add(1))), now, now.Add(time.Hour)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "strikes/s")
}
