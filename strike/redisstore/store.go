package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gsseal/gss/strike"
)

// Each of these is also a strike.ErrBroken.
var (
	// ErrEviction: Redis may throw keys away (maxmemory-policy is not noeviction).
	ErrEviction = fmt.Errorf("redisstore: maxmemory-policy is not noeviction: %w", strike.ErrBroken)
	// ErrClock: this host's clock and Redis's differ by more than Options.Skew.
	ErrClock = fmt.Errorf("redisstore: clocks differ: %w", strike.ErrBroken)
	// ErrReplica: the client speaks to a replica.
	ErrReplica = fmt.Errorf("redisstore: not a master: %w", strike.ErrBroken)
	// ErrCluster: Redis is in cluster mode.
	ErrCluster = fmt.Errorf("redisstore: in cluster mode: %w", strike.ErrBroken)
)

// Options tune Open. The zero value is useful. All who share a store should use the
// same.
type Options struct {
	// Prefix goes before "strike", the name of the sorted set: stores with
	// different prefixes have nothing to do with each other. "": "gss:".
	Prefix string

	// Entries is the most live keys that the store holds, each of which takes about
	// 130 octets; 0: 1<<20. One more is strike.ErrFull.
	Entries int

	// Skew is the most by which a host's clock and Redis's may differ; 0: 1 s.
	Skew time.Duration

	// Since, if given, raises the instant from which the store vouches: to the
	// latest clock of an earlier store whose strikes are lost, if clocks may have
	// stepped back meanwhile.
	Since time.Time
}

// An environment is what tests replace.
type environment struct {
	now    func() time.Time
	script string
}

// Store is a strike.Store in Redis.
type Store struct {
	client *redis.Client
	o      Options
	name   string
	hash   string       // of the script, as Redis knows it
	since  atomic.Int64 // as last heard, Unix µs
	env    environment

	mu       sync.Mutex
	closed   bool
	inFlight sync.WaitGroup
}

// Open looks whether the client's Redis can hold a store, and starts one if there is
// none. The client stays the caller's, who closes it after the store.
//
// Errors: ErrEviction, ErrClock, ErrReplica, ErrCluster; strike.ErrBroken with the
// cause; ctx's.
func Open(ctx context.Context, client *redis.Client, o Options) (*Store, error) {
	return open(ctx, client, o, environment{time.Now, script})
}

func open(ctx context.Context, client *redis.Client, o Options, env environment) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = "gss:"
	}
	if o.Entries <= 0 {
		o.Entries = 1 << 20
	}
	if o.Skew <= 0 {
		o.Skew = time.Second
	}
	s := &Store{client: client, o: o, name: o.Prefix + "strike", env: env}
	hash := sha1.Sum([]byte(env.script))
	s.hash = hex.EncodeToString(hash[:])
	if err := s.call(ctx, nil, 0, 0); err != nil {
		return nil, err
	}
	return s, nil
}

// Since returns from when on the store vouched when it last answered: Options.Skew
// after its start, or later.
func (s *Store) Since() time.Time { return time.UnixMicro(s.since.Load()) }

// Strike implements strike.Store. It returns when Redis has answered, or when ctx is
// done; then the key may be struck or not, and the command in flight ends as the
// client's timeouts say. Nothing is sent twice: if the answer is lost the error says
// so, and not strike.ErrSeen.
//
// Errors: strike.ErrSeen, ErrUnsure, ErrFull; strike.ErrBroken with the cause, those
// of Open among it; strike.ErrClosed; ctx's.
func (s *Store) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return strike.ErrClosed
	}
	s.inFlight.Add(1)
	s.mu.Unlock()
	result := make(chan error, 1)
	go func() {
		defer s.inFlight.Done()
		result <- s.call(ctx, key[:], floorMicro(from), max(1, ceilMicro(until)))
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the store, when what is in flight has ended. The keys stay in Redis.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.inFlight.Wait()
	return nil
}

//go:embed strike.lua
var script string

// once is a command that is not sent again if its answer does not come.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

// call runs the script. Clocks that seem to differ may be a request that waited: if
// that can be, it is asked again.
func (s *Store) call(ctx context.Context, key []byte, from, until int64) error {
	since := int64(0)
	if !s.o.Since.IsZero() {
		since = ceilMicro(s.o.Since)
	}
	for try := 1; ; try++ {
		cmd, err := s.run(ctx, key, from, until, s.env.now().UnixMicro(), s.o.Skew.Microseconds(), s.o.Entries, since)
		if err != nil {
			return s.failed(ctx, err)
		}
		answer, err := cmd.StringSlice()
		if err != nil || len(answer) != 2 {
			return fmt.Errorf("redisstore: %w: an answer that is none: %v", strike.ErrBroken, err)
		}
		number, err := strconv.ParseInt(answer[1], 10, 64)
		if err != nil {
			return fmt.Errorf("redisstore: %w: %w", strike.ErrBroken, err)
		}
		switch answer[0] {
		case "clock":
			if number > s.env.now().UnixMicro()+s.o.Skew.Microseconds() || try == 3 {
				return ErrClock
			}
			continue
		case "replica":
			return ErrReplica
		case "policy":
			return ErrEviction
		case "cluster":
			return ErrCluster
		}
		s.since.Store(number)
		switch answer[0] {
		case "open", "first":
			return nil
		case "seen":
			return strike.ErrSeen
		case "unsure":
			return strike.ErrUnsure
		case "full":
			return strike.ErrFull
		}
		return fmt.Errorf("redisstore: %w: answer %q", strike.ErrBroken, answer[0])
	}
}

func (s *Store) run(ctx context.Context, args ...any) (*redis.Cmd, error) {
	send := func(command, script string) (*redis.Cmd, error) {
		cmd := redis.NewCmd(ctx, append([]any{command, script, 1, s.name}, args...)...)
		return cmd, s.client.Process(ctx, once{cmd})
	}
	cmd, err := send("EVALSHA", s.hash)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd, err = send("EVAL", s.env.script)
	}
	return cmd, err
}

func (s *Store) failed(ctx context.Context, err error) error {
	switch {
	case redis.IsOOMError(err):
		return strike.ErrFull
	case ctx.Err() != nil:
		return ctx.Err()
	case redis.IsReadOnlyError(err):
		return ErrReplica
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("redisstore: %w: %w", strike.ErrBroken, err)
}

// Times are Unix microseconds, from rounded down, since and until up, in Lua's
// numbers: what does not fit counts as the last that does, in the year 2255.
const lastMicro = 1<<53 - 1

func floorMicro(t time.Time) int64 {
	switch {
	case t.Year() > 2250:
		return lastMicro
	case t.Year() < 1700:
		return -lastMicro
	}
	return t.UnixMicro()
}

func ceilMicro(t time.Time) int64 { return floorMicro(t.Add(time.Microsecond - 1)) }
