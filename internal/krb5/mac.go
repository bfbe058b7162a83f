package krb5

import (
	"encoding"
	"hash"
	"sync"
)

// A macKey is an HMAC key (RFC 2104): the states of the hash after the padded key,
// so that a MAC costs no more than hashing the message, and holds no scratch.
type macKey struct{ inner, outer []byte }

// A digest is a hash of the standard library, whose state can be saved and
// restored without allocation.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// newMACKey keeps nothing of key, which must not be longer than a block of the hash.
func newMACKey(s *scratch, key []byte) macKey {
	pad := make([]byte, s.h.BlockSize())
	if len(key) > len(pad) {
		panic("krb5: HMAC key longer than a block")
	}
	state := func(x byte) []byte {
		clear(pad)
		copy(pad, key)
		for i := range pad {
			pad[i] ^= x
		}
		s.h.Reset()
		s.h.Write(pad)
		b, err := s.h.AppendBinary(nil)
		if err != nil {
			panic("krb5: " + err.Error())
		}
		return b
	}
	m := macKey{inner: state(0x36), outer: state(0x5c)}
	clear(pad)
	return m
}

func (m *macKey) erase() {
	clear(m.inner)
	clear(m.outer)
}

// A scratch is what one call works in. It is pooled per hash: an array on the
// stack would move to the heap when passed to a hash.Hash.
type scratch struct {
	h          digest
	sum        [64]byte
	block      [blockSize]byte
	confounder [blockSize]byte
	chunk      [blockSize + 4096]byte // ciphertext only
	counter    [4]byte
}

func newScratchPool(h func() hash.Hash) *sync.Pool {
	return &sync.Pool{New: func() any { return &scratch{h: h().(digest)} }}
}

// wipe forgets what a call left behind. (The last partial block within h cannot
// be reached; what is there is a MAC's inner hash.)
func (s *scratch) wipe() {
	s.h.Reset()
	clear(s.sum[:])
	clear(s.block[:])
	clear(s.confounder[:])
}

// begin starts a MAC under m; the message is then written to s.h.
func (s *scratch) begin(m *macKey) { s.restore(m.inner) }

// end returns the MAC, which lies in s.
func (s *scratch) end(m *macKey) []byte {
	inner := s.h.Sum(s.sum[:0])
	s.restore(m.outer)
	s.h.Write(inner)
	return s.h.Sum(s.sum[:0])
}

func (s *scratch) restore(state []byte) {
	if err := s.h.UnmarshalBinary(state); err != nil {
		panic("krb5: " + err.Error())
	}
}

// mac returns the whole MAC of the concatenation of parts, which lies in s.
func (s *scratch) mac(m *macKey, parts ...[]byte) []byte {
	s.begin(m)
	for _, p := range parts {
		s.h.Write(p)
	}
	return s.end(m)
}
