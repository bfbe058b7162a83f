package reauth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A Ring is an acceptor's ticket keys: a new one every 12 hours, each kept as long
// as tickets under it live. It is made when it is first used, by the clock of the
// mechanism that uses it. All mechanisms that share a Ring honour each other's
// tickets, if they are for the same mechanism and name, and should have the same
// Life and clock. It is safe for concurrent use.
//
// A ring that is lost, or not what was written, is replaced by a new one: clients
// then authenticate in full. Of a ring that several processes share, each asks for what
// the others did when it needs a new key, meets a ticket under a key that it does not know, and
// once a minute. While that fails it goes on with the keys that it has: when they are due
// to be replaced it issues no tickets.
type Ring struct {
	keeper Keeper // nil: in memory only

	asking sync.Mutex // one question to the keeper at a time; taken before mu
	gone   [][16]byte // domains that others took the place of, the last of them last; under asking

	mu sync.RWMutex // of all below; never held during a question
	ringKeys
	asked  time.Time // when the keeper was last asked (monotonic, as the next two)
	failed time.Time // when it last failed, if it did not answer since
	vainAt time.Time // when it was first asked in vain for an unknown key
	vain   int       // how often, since then
}

// A Keeper keeps the octets of a Ring for all who share it. They are secrets: whoever
// reads them can open and make tickets, and read what was resumed without a
// share. It is safe for concurrent use.
type Keeper interface {
	// Update calls change with the octets that are kept, none if there are none, and
	// keeps what it returns in their place, unless that is nil. No other Update, of
	// whatever process, comes between: a Keeper holds a lock, or calls change again if
	// the octets are others meanwhile. Afterwards it overwrites both slices. It does not
	// call change after it has returned, which it does soon if ctx is done. After an
	// error either octets may be kept.
	Update(ctx context.Context, change func(old []byte) []byte) error
}

const (
	rotation     = 12 * time.Hour
	refreshEvery = time.Minute
	keeperTime   = 2 * time.Second // for an answer
	pause        = time.Second     // after a failure; garbage ids make us ask maxVain times in it
	maxVain      = 16
)

// NewRing returns a ring in memory, which ends with the process.
func NewRing() *Ring {
	r := new(Ring)
	r.reset()
	return r
}

// OpenRing returns the ring in the file at path, which it makes if there is none.
// Several processes can use it at the same time, also on storage that hosts share if flock
// holds there; there is a lock file beside it. The file must be the user's and nobody
// else's to read (mode 0600), or the error says so; what is in it is secret. One that
// is damaged is replaced.
//
// It fails with errors.ErrUnsupported where there is no flock.
func OpenRing(path string) (*Ring, error) {
	return ShareRing(context.Background(), ringFile(path))
}

// ShareRing returns the ring that k keeps, which it makes if there is none.
func ShareRing(ctx context.Context, k Keeper) (*Ring, error) {
	r := &Ring{keeper: k}
	r.asking.Lock()
	defer r.asking.Unlock()
	if err := r.change(ctx, func(*ringKeys) bool { return false }); err != nil {
		return nil, err
	}
	return r, nil
}

// Domain is random, and the same for all who share the ring. A strike.Store is used
// with a ring that is shared only if Options.StoreDomain says that it is that ring's. A
// ring that replaces one that was lost has another domain.
func (r *Ring) Domain() [16]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.domain
}

// Rotate makes a new key, under which tickets are issued from now on. Tickets under
// the old ones stay good.
func (r *Ring) Rotate(now time.Time) error {
	r.asking.Lock()
	defer r.asking.Unlock()
	return r.change(context.Background(), func(s *ringKeys) bool { s.add(now); return true })
}

// Forget erases all keys: no ticket issued so far is honoured again, by this
// process at once and by others that share the ring within a minute. A new domain begins. After
// an error the others may not know of it until this process next reads the ring. What
// brings the forgotten keys back where they are kept, a backup or a failover, does not bring them back to
// processes that had known of this, which replace them; but those that start then do not know.
func (r *Ring) Forget() error {
	r.asking.Lock()
	defer r.asking.Unlock()
	r.mu.Lock()
	r.leave()
	r.erase()
	r.mu.Unlock()
	return r.change(context.Background(), func(s *ringKeys) bool { s.reset(); return true })
}

// issuingKey puts the newest key's id into id and returns the key for salt x; nil if
// there is none to be had.
func (r *Ring) issuingKey(id, x []byte, now time.Time, life time.Duration) []byte {
	r.refresh(now, life)
	if k := r.deriveNewest(id, x, now); k != nil {
		return k
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if k := r.deriveNewest(id, x, now); k != nil { // another call was faster
		return k
	}
	if r.paused() {
		return nil
	}
	err := r.change(context.Background(), func(s *ringKeys) bool { // another process may have been faster
		changed := s.expire(now, life)
		if s.newest(now) != nil {
			return changed
		}
		s.add(now)
		return true
	})
	if err != nil {
		return nil
	}
	return r.deriveNewest(id, x, now)
}

func (r *Ring) deriveNewest(id, x []byte, now time.Time) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k := r.newest(now)
	if k == nil {
		return nil
	}
	copy(id, k.id[:])
	return k.derive(x)
}

// key returns the key with id for salt x; nil if it is unknown or too old.
func (r *Ring) key(id, x []byte, now time.Time, life time.Duration) []byte {
	r.refresh(now, life)
	k, known := r.deriveKey(id, x, now, life)
	if known || r.keeper == nil || r.inVain() {
		return k
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if k, known = r.deriveKey(id, x, now, life); known || r.inVain() {
		return k
	}
	r.change(context.Background(), func(s *ringKeys) bool { return s.expire(now, life) })
	if k, known = r.deriveKey(id, x, now, life); !known {
		r.mu.Lock()
		defer r.mu.Unlock()
		if time.Since(r.vainAt) >= pause {
			r.vainAt, r.vain = time.Now(), 0
		}
		r.vain++
	}
	return k
}

func (r *Ring) deriveKey(id, x []byte, now time.Time, life time.Duration) (key []byte, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(id, x, now, life)
}

// refresh asks what others did, if that is long ago and nobody else is asking. A ring in memory
// has nobody to ask, and erases what it must not keep.
func (r *Ring) refresh(now time.Time, life time.Duration) {
	r.mu.RLock()
	due := r.keeper != nil && time.Since(r.asked) >= refreshEvery || r.keeper == nil && r.expired(now, life)
	r.mu.RUnlock()
	if due && r.asking.TryLock() {
		defer r.asking.Unlock()
		r.change(context.Background(), func(s *ringKeys) bool { return s.expire(now, life) })
	}
}

// paused reports whether the keeper failed a moment ago.
func (r *Ring) paused() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return !r.failed.IsZero() && time.Since(r.failed) < pause
}

// inVain reports whether it would be no use to ask for an unknown key now.
func (r *Ring) inVain() bool {
	if r.paused() {
		return true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.vain >= maxVain && time.Since(r.vainAt) < pause
}

// maxGone is more domains than there are, if nobody plays with them.
const maxGone = 64

// leave remembers that the ring's domain is over. r.asking and r.mu are held.
func (r *Ring) leave() {
	if r.keeper == nil || slices.Contains(r.gone, r.domain) {
		return
	}
	if len(r.gone) == maxGone {
		r.gone = r.gone[1:]
	}
	r.gone = append(r.gone, r.domain)
}

var errKeeper = errors.New("reauth: the Keeper returned without an error, and without having called change")

// change has the keys changed by do, first where they are kept and then here: what is
// not there must not be used, since others do not have it. do may be called several times,
// each time with what is kept, and returns whether it changed anything. r.asking is held.
func (r *Ring) change(ctx context.Context, do func(*ringKeys) bool) error {
	if r.keeper == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		do(&r.ringKeys)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTime)
	defer cancel()
	var next ringKeys
	called := false
	err := r.keeper.Update(ctx, func(old []byte) []byte {
		called = true
		next.erase()
		bad := !next.parse(old) || slices.Contains(r.gone, next.domain)
		if bad {
			next.reset()
		}
		if do(&next) || bad {
			return next.marshal()
		}
		return nil
	})
	if err == nil && !called {
		err = errKeeper
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	if err != nil {
		next.erase()
		r.failed = r.asked
		return err
	}
	if r.domain != next.domain {
		r.leave()
	}
	r.erase()
	r.ringKeys, r.failed = next, time.Time{}
	return nil
}
