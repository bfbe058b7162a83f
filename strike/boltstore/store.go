package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/gsseal/gss/strike"
)

var (
	// ErrCorrupt: the file is not what the store wrote. It is also a
	// strike.ErrBroken. Remove the file, and a new one starts.
	ErrCorrupt = fmt.Errorf("boltstore: file is damaged: %w", strike.ErrBroken)
	// ErrLocked: another process holds the file and did not let go in time. It is
	// also a strike.ErrBroken.
	ErrLocked = fmt.Errorf("boltstore: file is locked by another process: %w", strike.ErrBroken)
)

// Options tune Open. The zero value is useful.
type Options struct {
	// Entries is the most live keys that the store holds, each of which takes
	// about 250 octets of the file; 0: 1<<20. One more is strike.ErrFull.
	Entries int

	// Since, if given, raises the instant from which the store vouches: to the
	// latest clock of an earlier store whose strikes are lost, if the host's clock
	// may have stepped back meanwhile, or if the whole disk was restored.
	Since time.Time

	// Shared lets several processes of one host strike in the file. Each takes it
	// only for a group of strikes, and waits for the others at most LockTimeout.
	// Otherwise the first to open it holds it until Close.
	Shared bool

	// LockTimeout is how long to wait for another process; 0: 5 s.
	LockTimeout time.Duration
}

// An environment is what tests replace.
type environment struct {
	now    func() time.Time // the clock that keys expire by
	settle time.Duration    // a file changed so much later than its last commit was changed by others
}

// maxGroup bounds how many strikes share a commit.
const maxGroup = 1024

// Store is a strike.Store in a file.
type Store struct {
	o     Options
	queue chan *request
	turns chan *turn
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	file  *file // the writer's alone
}

// A request waits for its result, for which there is room.
type request struct {
	ctx         context.Context
	key         [32]byte
	from, until int64
	result      chan error
}

// Open opens the store at path, which is made, with mode 0600, if it is not there.
// It verifies all of an existing file, about a second for a million keys, and
// refuses one that others than its owner may read or write.
//
// Errors: ErrLocked, ErrCorrupt, and strike.ErrBroken with the cause.
func Open(path string, o Options) (*Store, error) {
	return open(path, o, environment{now: time.Now, settle: 10 * time.Second})
}

func open(path string, o Options, env environment) (*Store, error) {
	if o.Entries <= 0 {
		o.Entries = 1 << 20
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = 5 * time.Second
	}
	s := &Store{o: o, queue: make(chan *request), turns: make(chan *turn), stop: make(chan struct{}), done: make(chan struct{})}
	s.file = &file{path: path, o: o, env: env, stop: s.stop}
	if err := s.file.update(nil, nil, nil); err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// Strike implements strike.Store. It returns when the key is on the disk, or when
// ctx is done: then the key may be struck or not.
//
// Errors: strike.ErrSeen, ErrUnsure, ErrFull; strike.ErrBroken with the cause,
// ErrLocked and ErrCorrupt among it; strike.ErrClosed; ctx's.
func (s *Store) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, key: key, from: floorMicro(from), until: ceilMicro(until), result: make(chan error, 1)}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return strike.ErrClosed
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the store when the commit in progress has ended. Strikes that wait
// for a later one get strike.ErrClosed.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return nil
}

// write is the store's goroutine, the only one that touches the file: it commits
// all strikes that wait in one transaction.
func (s *Store) write() {
	defer close(s.done)
	defer s.file.release()
	group := make([]*request, 0, maxGroup)
	results := make([]error, maxGroup)
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		select {
		case <-s.stop:
			return
		case w := <-s.turns:
			s.lend(w)
			continue
		case r := <-s.queue:
			group = s.gather(append(group[:0], r))
		}
		err := s.file.update(group, results, nil)
		if errors.Is(err, errStopped) {
			err = strike.ErrClosed
		}
		for i, r := range group {
			if err != nil {
				results[i] = err
			}
			r.result <- results[i]
			group[i] = nil
		}
	}
}

// gather adds to group whoever waits. Those who got their result just now may be
// about to come again: they are let run first, or every other group would be theirs
// and each half as large.
func (s *Store) gather(group []*request) []*request {
	for yields := 0; len(group) < maxGroup; {
		select {
		case r := <-s.queue:
			group = append(group, r)
		default:
			if yields == 3 {
				return group
			}
			yields++
			runtime.Gosched()
		}
	}
	return group
}

// Times are kept in Unix microseconds: from rounded down, since and until up.
// What does not fit into the years 1 to 9999 counts as their ends.

var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

func floorMicro(t time.Time) int64 {
	switch {
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	return t.UnixMicro()
}

func ceilMicro(t time.Time) int64 { return floorMicro(t.Add(time.Microsecond - 1)) }
