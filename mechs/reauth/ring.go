package reauth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A Ring is an acceptor's ticket keys: a new one every 12 hours, each kept as long
// as tickets under it live. It is made when it is first used, by the clock of the
// mechanism that uses it. All mechanisms that share a Ring honour each other's
// tickets, if they are for the same mechanism and name, and should have the same
// Life and clock. It is safe for concurrent use.
//
// A ring that is lost, or not what was written, is replaced by a new one: clients
// then authenticate in full.
type Ring struct {
	path string // empty: in memory only

	mu     sync.RWMutex
	domain [16]byte
	keys   []ringKey // the newest last
	asked  time.Time // when the file was last read for an unknown id (monotonic)
}

type ringKey struct {
	id      [idLen]byte
	key     [keyLen]byte
	created time.Time
}

const (
	rotation    = 12 * time.Hour
	maxKeys     = 64          // 7 days take 15; more come only of a jumping clock
	rereadEvery = time.Second // garbage ids make us read a file no more often
)

// NewRing returns a ring in memory, which ends with the process.
func NewRing() *Ring {
	r := new(Ring)
	rand.Read(r.domain[:])
	return r
}

// OpenRing returns the ring in the file at path, which it makes if there is none.
// Several processes of one host can use it at the same time; there is a lock file
// beside it. The file must be the user's and nobody else's to read (mode 0600), or the
// error says so; what is in it is secret. One that is damaged is replaced.
//
// It fails with errors.ErrUnsupported where there is no flock.
func OpenRing(path string) (*Ring, error) {
	r := &Ring{path: path}
	if err := r.update(func() bool { return false }); err != nil {
		return nil, err
	}
	return r, nil
}

// Domain is random, and the same for all who share the ring. A strike.Store is used
// with a ring in a file only if Options.StoreDomain says that it is that ring's.
func (r *Ring) Domain() [16]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.domain
}

// Rotate makes a new key, under which tickets are issued from now on. Tickets under
// the old ones stay good.
func (r *Ring) Rotate(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.updateLocked(func() bool { r.add(now); return true })
}

// Forget erases all keys: no ticket issued so far is honoured again, by this
// process at once and by others that share the file within 12 hours, when they next
// read it. A new domain begins.
func (r *Ring) Forget() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.updateLocked(func() bool { r.reset(); return true })
}

// derive returns the key of the ticket with salt x.
func (k *ringKey) derive(x []byte) []byte {
	return expand(k.key[:], "gss reauth 1 ticket", k.id[:], x)
}

// issuingKey puts the newest key's id into id and returns the key for salt x; nil if
// there is none to be had.
func (r *Ring) issuingKey(id, x []byte, now time.Time, life time.Duration) []byte {
	r.mu.RLock()
	if k := r.newest(now); k != nil {
		defer r.mu.RUnlock()
		copy(id, k.id[:])
		return k.derive(x)
	}
	r.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.updateLocked(func() bool { // another process may have been here
		changed := r.expire(now, life)
		if r.newest(now) != nil {
			return changed
		}
		r.add(now)
		return true
	})
	if err != nil {
		return nil
	}
	k := r.newest(now)
	copy(id, k.id[:])
	return k.derive(x)
}

// newest returns the key to issue with, if it is not due to be replaced: 12 hours
// old, or of a clock that was ahead by more. r.mu is held.
func (r *Ring) newest(now time.Time) *ringKey {
	if n := len(r.keys) - 1; n >= 0 && now.Sub(r.keys[n].created).Abs() < rotation {
		return &r.keys[n]
	}
	return nil
}

// key returns the key with id for salt x; nil if it is unknown or too old.
func (r *Ring) key(id, x []byte, now time.Time, life time.Duration) []byte {
	r.mu.RLock()
	k, ok := r.find(id, x, now, life)
	again := !ok && r.path != "" && time.Since(r.asked) >= rereadEvery
	r.mu.RUnlock()
	if !again {
		return k
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	if r.updateLocked(func() bool { return r.expire(now, life) }) != nil {
		return nil
	}
	k, _ = r.find(id, x, now, life)
	return k
}

func (r *Ring) find(id, x []byte, now time.Time, life time.Duration) ([]byte, bool) {
	for i := len(r.keys) - 1; i >= 0; i-- {
		if k := &r.keys[i]; bytes.Equal(k.id[:], id) {
			if now.Sub(k.created) > rotation+life {
				return nil, true
			}
			return k.derive(x), true
		}
	}
	return nil, false
}

// expire erases the keys that no ticket can need. r.mu is held.
func (r *Ring) expire(now time.Time, life time.Duration) (changed bool) {
	keep := r.keys[:0]
	for _, k := range r.keys {
		if now.Sub(k.created) <= rotation+life {
			keep = append(keep, k)
		}
	}
	changed = len(keep) < len(r.keys)
	clear(r.keys[len(keep):])
	r.keys = keep
	return changed
}

// add makes a key. r.mu is held.
func (r *Ring) add(now time.Time) {
	k := ringKey{created: now.Truncate(time.Millisecond)}
	rand.Read(k.id[:])
	rand.Read(k.key[:])
	if len(r.keys) == maxKeys {
		clear(r.keys[:1])
		r.keys = r.keys[1:]
	}
	r.keys = append(r.keys, k)
}

// reset begins a new ring. r.mu is held.
func (r *Ring) reset() {
	clear(r.keys)
	r.keys = nil
	rand.Read(r.domain[:])
}

func (r *Ring) update(change func() bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.updateLocked(change)
}

// updateLocked reads the file, if there is one, under its lock, calls change, and writes the
// file if change returns true or the file was not good. r.mu is held.
func (r *Ring) updateLocked(change func() bool) error {
	if r.path == "" {
		change()
		return nil
	}
	err := updateFile(r.path, true, func(old []byte) []byte {
		bad := !r.parse(old)
		if bad {
			r.reset()
		}
		if change() || bad {
			return r.marshal()
		}
		return nil
	})
	if err != nil { // what is not in the file must not be used: others do not have it
		clear(r.keys)
		r.keys = nil
	}
	return err
}

// The file is
//
//	"gss reauth ring 1" ‖ domain(16) ‖ u8 count ‖ (id(8) ‖ key(32) ‖ u64 created)* ‖ SHA-256 of all before
const ringMagic = "gss reauth ring 1"

func (r *Ring) marshal() []byte {
	b := append([]byte(ringMagic), r.domain[:]...)
	b = append(b, byte(len(r.keys)))
	for i := range r.keys {
		k := &r.keys[i]
		b = appendTime(append(append(b, k.id[:]...), k.key[:]...), k.created)
	}
	return append(b, hash(b)...)
}

func (r *Ring) parse(b []byte) bool {
	body, ok := checked(b, ringMagic)
	s := cryptobyte.String(body)
	var domain []byte
	var n uint8
	if !ok || !s.ReadBytes(&domain, len(r.domain)) || !s.ReadUint8(&n) || n > maxKeys || len(s) != int(n)*(idLen+keyLen+8) {
		return false
	}
	keys := make([]ringKey, n)
	for i := range keys {
		k := &keys[i]
		if !s.CopyBytes(k.id[:]) || !s.CopyBytes(k.key[:]) || !readTime(&s, &k.created) {
			return false
		}
	}
	clear(r.keys)
	r.keys = keys
	copy(r.domain[:], domain)
	return true
}

// checked returns what is between magic and the hash at the end.
func checked(b []byte, magic string) ([]byte, bool) {
	n := len(b) - sha256.Size
	if n < len(magic) || string(b[:len(magic)]) != magic || subtle.ConstantTimeCompare(hash(b[:n]), b[n:]) != 1 {
		return nil, false
	}
	return b[len(magic):n], true
}
