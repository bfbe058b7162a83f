package boltstore

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/strike"
)

// A table is the bucket that a store keeps in a bbolt database, during one
// transaction:
//
//	"gss strike 1"
//	    "keys"   bucket: key (32) → until (8)
//	    "old"    bucket: until (8) ‖ key (32) → nothing; the first to expire first
//	    "state"  see state
//
// until is Unix microseconds, big-endian, the sign bit flipped so that octets sort
// as times do.
type table struct {
	root, keys, old *bolt.Bucket
	st              state
	dirty           bool // save has something to write
}

var (
	rootName  = []byte("gss strike 1")
	keysName  = []byte("keys")
	oldName   = []byte("old")
	stateName = []byte("state")
)

// A state is what the table knows besides its keys. It is written as its fields in
// order, big-endian, and the first 8 octets of their SHA-256: bbolt itself protects
// only the page that says which transaction was the last.
type state struct {
	since int64    // complete from then on, Unix µs
	floor int64    // largest until ever purged
	hw    int64    // highest clock ever seen
	n     uint64   // how many keys there are
	sum   [16]byte // XOR of digest over them
	inode uint64   // of the file, or 0
	wrote int64    // the file system's clock before the last commit, Unix µs, or 0
}

const stateLen = 5*8 + 16 + 8 + 8

func (s *state) encode() []byte {
	b := make([]byte, 0, stateLen)
	for _, v := range []uint64{uint64(s.since), uint64(s.floor), uint64(s.hw), s.n} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, s.sum[:]...)
	b = binary.BigEndian.AppendUint64(b, s.inode)
	b = binary.BigEndian.AppendUint64(b, uint64(s.wrote))
	check := sha256.Sum256(b)
	return append(b, check[:8]...)
}

func (s *state) decode(b []byte) bool {
	if len(b) != stateLen {
		return false
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[i:]) }
	*s = state{since: int64(at(0)), floor: int64(at(8)), hw: int64(at(16)), n: at(24), sum: [16]byte(b[32:48]), inode: at(48), wrote: int64(at(56))}
	check := sha256.Sum256(b[:64])
	return [8]byte(b[64:]) == [8]byte(check[:8])
}

// openTable finds the table, or makes one that is complete since now.
func openTable(tx *bolt.Tx, now int64) (*table, error) {
	t := &table{root: tx.Bucket(rootName)}
	if t.root != nil {
		t.keys, t.old = t.root.Bucket(keysName), t.root.Bucket(oldName)
		if t.keys == nil || t.old == nil || !t.st.decode(t.root.Get(stateName)) {
			return nil, ErrCorrupt
		}
		return t, nil
	}
	var err error
	if t.root, err = tx.CreateBucket(rootName); err != nil {
		return nil, err
	}
	if t.keys, err = t.root.CreateBucket(keysName); err != nil {
		return nil, err
	}
	if t.old, err = t.root.CreateBucket(oldName); err != nil {
		return nil, err
	}
	t.st = state{since: now, floor: math.MinInt64, hw: now}
	t.dirty = true
	return t, nil
}

// lost notes that strikes up to now may be missing, those of this microsecond too.
func (t *table) lost(now int64) { t.raise(max(t.st.hw, now) + 1) }

// raise makes the table vouch from since on only.
func (t *table) raise(since int64) {
	if since > t.st.since {
		t.st.since = since
		t.dirty = true
	}
}

// The table's part in the time of a strike that it was not asked to do: it forgets
// faster than keys come, and neither a long idle time nor a full table ends in a
// long pause.
const (
	purgeSome = 4
	purgeMore = 64
)

// strike strikes key, which may make the table dirty even if it is refused.
func (t *table) strike(now int64, key [32]byte, from, until int64, entries int) error {
	if from < t.st.since || from > now {
		return strike.ErrUnsure
	}
	if t.keys.Get(key[:]) != nil {
		return strike.ErrSeen
	}
	if err := t.purge(now, purgeSome); err != nil {
		return err
	}
	if t.st.n >= uint64(entries) {
		if err := t.purge(now, purgeMore); err != nil {
			return err
		}
	}
	if until <= t.st.floor {
		return strike.ErrUnsure
	}
	if t.st.n >= uint64(entries) {
		return strike.ErrFull
	}
	e := entry(until, key[:])
	if err := t.keys.Put(key[:], e[:8]); err != nil {
		return err
	}
	if err := t.old.Put(e, []byte{}); err != nil {
		return err
	}
	t.count(e, 1)
	return nil
}

// purge forgets up to n keys whose until is before now.
func (t *table) purge(now int64, n int) error {
	c := t.old.Cursor()
	for ; n > 0; n-- {
		e, _ := c.First()
		if e == nil {
			return nil
		}
		if len(e) != 40 {
			return ErrCorrupt
		}
		until := untilOf(e)
		if until >= now {
			return nil
		}
		t.count(e, -1)
		t.st.floor = max(t.st.floor, until)
		if err := t.keys.Delete(e[8:]); err != nil {
			return err
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// save writes what changed, and reports whether there was anything.
func (t *table) save(now int64) (bool, error) {
	if !t.dirty {
		return false, nil
	}
	t.st.hw = max(t.st.hw, now)
	t.dirty = false
	return true, t.root.Put(stateName, t.st.encode())
}

// count adds an entry of old to the state, or takes it away.
func (t *table) count(e []byte, n int) {
	t.st.n += uint64(n)
	d := digest(e)
	for i := range t.st.sum {
		t.st.sum[i] ^= d[i]
	}
	t.dirty = true
}

// verify reads all keys, both ways, and compares them with the state.
func (t *table) verify() error {
	var n uint64
	var sum [16]byte
	add := func(e []byte) {
		n++
		d := digest(e)
		for i := range sum {
			sum[i] ^= d[i]
		}
	}
	c := t.old.Cursor()
	for e, v := c.First(); e != nil; e, v = c.Next() {
		if len(e) != 40 || len(v) != 0 {
			return ErrCorrupt
		}
		add(e)
	}
	if n != t.st.n || sum != t.st.sum {
		return ErrCorrupt
	}
	n, sum = 0, [16]byte{}
	c = t.keys.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 32 || len(v) != 8 {
			return ErrCorrupt
		}
		add(append(append(make([]byte, 0, 40), v...), k...))
	}
	if n != t.st.n || sum != t.st.sum {
		return ErrCorrupt
	}
	return nil
}

func digest(e []byte) [16]byte {
	h := sha256.Sum256(e)
	return [16]byte(h[:16])
}

const signBit = 1 << 63

func entry(until int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 40), uint64(until)^signBit), key...)
}

func untilOf(e []byte) int64 { return int64(binary.BigEndian.Uint64(e) ^ signBit) }

// micro is t in Unix microseconds, rounded up.
func micro(t time.Time) int64 { return ceilMicro(t) }
