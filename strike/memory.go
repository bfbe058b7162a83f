package strike

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// MemoryOptions tune NewMemory. The zero value is useful.
type MemoryOptions struct {
	// Entries is the most live keys that the store holds, each of which takes
	// about 150 octets; 0: 1<<20. One more is ErrFull.
	Entries int

	// Since raises the instant from which the store vouches, the clock's at
	// NewMemory by default: to the latest clock that an earlier process is known to
	// have seen, if the host's clock may have stepped back since then.
	Since time.Time
}

// Memory is a Store in this process's memory, complete since it was made. It must
// not outlive itself: two processes with a Memory each admit a key twice.
// A wall clock that steps back across a restart makes it vouch for a time that
// the process before it lived in, unless MemoryOptions.Since says otherwise.
type Memory struct {
	now   func() time.Time
	since time.Time // wall clock only
	max   int64
	live  atomic.Int64 // entries in all shards, never above max
	shard [shards]shard
}

// A key's first octet names its shard.
const shards = 64

type shard struct {
	mu    sync.Mutex
	seen  map[[32]byte]struct{}
	old   expiries
	floor int64    // largest until ever purged here, Unix ms
	_     [32]byte // shards do not share cache lines
}

// purgeSome bounds what one Strike does for others: it forgets faster than keys
// come, and a long idle time does not end in a long pause.
const purgeSome = 4

// NewMemory returns an empty store.
func NewMemory(o MemoryOptions) *Memory { return newMemory(o, time.Now) }

func newMemory(o MemoryOptions, now func() time.Time) *Memory {
	m := &Memory{now: now, since: now().Round(0), max: int64(o.Entries)}
	if m.max <= 0 {
		m.max = 1 << 20
	}
	if o.Since.After(m.since) {
		m.since = o.Since.Round(0)
	}
	for i := range m.shard {
		m.shard[i].seen = make(map[[32]byte]struct{})
		m.shard[i].floor = -1 << 63
	}
	return m
}

// Strike implements Store. It does not block but for other calls in progress.
// Errors: ErrSeen, ErrUnsure, ErrFull; ctx's, with nothing struck.
func (m *Memory) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	clock := m.now().Round(0)
	if from = from.Round(0); from.Before(m.since) || from.After(clock) {
		return ErrUnsure
	}
	now, end := clock.UnixMilli(), until.UnixMilli()
	s := &m.shard[key[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[key]; ok {
		return ErrSeen
	}
	m.purge(s, now, purgeSome)
	if end <= s.floor {
		return ErrUnsure
	}
	if !m.reserve() {
		// Room may be left in other shards, whose locks may not be waited for
		// while this one is held; what they cannot give now they give next time.
		m.purge(s, now, -1)
		for i := range m.shard {
			if o := &m.shard[i]; o != s && o.mu.TryLock() {
				m.purge(o, now, -1)
				o.mu.Unlock()
			}
		}
		if end <= s.floor {
			return ErrUnsure
		}
		if !m.reserve() {
			return ErrFull
		}
	}
	s.seen[key] = struct{}{}
	s.old.push(expiry{end, key})
	return nil
}

// Len returns how many keys the store holds, expired ones that it has not
// forgotten yet included.
func (m *Memory) Len() int { return int(m.live.Load()) }

// reserve takes one of the entries that are left.
func (m *Memory) reserve() bool {
	for {
		n := m.live.Load()
		if n >= m.max {
			return false
		}
		if m.live.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// purge forgets up to n keys (all, if n < 0) of s, which is locked, whose until
// is before now.
func (m *Memory) purge(s *shard, now int64, n int) {
	for ; n != 0 && len(s.old) > 0 && s.old[0].until < now; n-- {
		e := s.old.pop()
		delete(s.seen, e.key)
		s.floor = max(s.floor, e.until)
		m.live.Add(-1)
	}
}

// expiries is a binary heap, the first to expire on top.
type expiries []expiry

type expiry struct {
	until int64 // Unix ms
	key   [32]byte
}

func (h *expiries) push(e expiry) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 && s[(i-1)/2].until > s[i].until {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	*h = s
}

func (h *expiries) pop() expiry {
	s := *h
	top, n := s[0], len(s)-1
	s[0] = s[n]
	s = s[:n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if s[c].until < s[least].until {
				least = c
			}
		}
		if least == i {
			break
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
	*h = s
	return top
}
