package reauth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// ringKeys are a Ring's keys, the newest last.
type ringKeys struct {
	domain [16]byte
	keys   []ringKey
}

type ringKey struct {
	id      [idLen]byte
	key     [keyLen]byte
	created time.Time
}

// maxKeys is more than there are: 7 days take 15, and more come only of a jumping
// clock, or of many a Rotate.
const maxKeys = 64

// derive returns the key of the ticket with salt x.
func (k *ringKey) derive(x []byte) []byte {
	return expand(k.key[:], "gss reauth 1 ticket", k.id[:], x)
}

// newest returns the key to issue with, if it is not due to be replaced: 12 hours
// old, or of a clock that was ahead by more.
func (s *ringKeys) newest(now time.Time) *ringKey {
	if n := len(s.keys) - 1; n >= 0 && now.Sub(s.keys[n].created).Abs() < rotation {
		return &s.keys[n]
	}
	return nil
}

// find returns the key with id for salt x, nil if it is too old.
func (s *ringKeys) find(id, x []byte, now time.Time, life time.Duration) (key []byte, known bool) {
	for i := len(s.keys) - 1; i >= 0; i-- {
		if k := &s.keys[i]; bytes.Equal(k.id[:], id) {
			if now.Sub(k.created) > rotation+life {
				return nil, true
			}
			return k.derive(x), true
		}
	}
	return nil, false
}

// expired reports whether there is a key for expire to erase.
func (s *ringKeys) expired(now time.Time, life time.Duration) bool {
	return slices.ContainsFunc(s.keys, func(k ringKey) bool { return now.Sub(k.created) > rotation+life })
}

// expire erases the keys that no ticket can need.
func (s *ringKeys) expire(now time.Time, life time.Duration) (changed bool) {
	keep := s.keys[:0]
	for _, k := range s.keys {
		if now.Sub(k.created) <= rotation+life {
			keep = append(keep, k)
		}
	}
	changed = len(keep) < len(s.keys)
	clear(s.keys[len(keep):])
	s.keys = keep
	return changed
}

// add makes a key.
func (s *ringKeys) add(now time.Time) {
	k := ringKey{created: now.Truncate(time.Millisecond)}
	rand.Read(k.id[:])
	rand.Read(k.key[:])
	if len(s.keys) == maxKeys {
		clear(s.keys[:1])
		s.keys = s.keys[1:]
	}
	s.keys = append(s.keys, k)
}

// reset begins a new ring.
func (s *ringKeys) reset() {
	s.erase()
	rand.Read(s.domain[:])
}

func (s *ringKeys) erase() {
	clear(s.keys[:cap(s.keys)])
	s.keys = nil
}

// What is kept is
//
//	"gss reauth ring 1" ‖ domain(16) ‖ u8 count ‖ (id(8) ‖ key(32) ‖ u64 created)* ‖ SHA-256 of all before
const ringMagic = "gss reauth ring 1"

func (s *ringKeys) marshal() []byte {
	b := make([]byte, 0, len(ringMagic)+len(s.domain)+1+len(s.keys)*(idLen+keyLen+8)+sha256.Size)
	b = append(append(b, ringMagic...), s.domain[:]...)
	b = append(b, byte(len(s.keys)))
	for i := range s.keys {
		k := &s.keys[i]
		b = appendTime(append(append(b, k.id[:]...), k.key[:]...), k.created)
	}
	return append(b, hash(b)...)
}

func (s *ringKeys) parse(b []byte) bool {
	body, ok := checked(b, ringMagic)
	in := cryptobyte.String(body)
	var domain []byte
	var n uint8
	if !ok || !in.ReadBytes(&domain, len(s.domain)) || !in.ReadUint8(&n) || n > maxKeys || len(in) != int(n)*(idLen+keyLen+8) {
		return false
	}
	keys := make([]ringKey, n, int(n)+1) // room for a new one: the array is not copied, to be left behind
	for i := range keys {
		k := &keys[i]
		if !in.CopyBytes(k.id[:]) || !in.CopyBytes(k.key[:]) || !readTime(&in, &k.created) {
			return false
		}
	}
	s.erase()
	s.keys = keys
	copy(s.domain[:], domain)
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
