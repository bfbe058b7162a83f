package krb5

import (
	"bytes"
	"encoding"
	"hash"
	"sync"
)

// A macKey is an HMAC key (RFC 2104): the two states of the hash after a padded
// key, so that a MAC costs no more than hashing the message. They are a digest's
// marshaled states, the inner one and the outer one, without what all states at
// this point have at their end (see digestTail).
type macKey []byte

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
	var m macKey
	for _, x := range []byte{0x36, 0x5c} {
		clear(pad)
		copy(pad, key)
		for i := range pad {
			pad[i] ^= x
		}
		state := stateAfter(s.h, pad)
		if m == nil {
			m = make(macKey, 0, 2*(len(state)-len(s.tail)))
		}
		head, ok := bytes.CutSuffix(state, s.tail)
		if !ok {
			panic("krb5: marshaled hash states are not what they were")
		}
		m = append(m, head...)
		clear(state)
	}
	clear(pad)
	return m
}

func stateAfter(h digest, block []byte) []byte {
	h.Reset()
	h.Write(block)
	b, err := h.AppendBinary(nil)
	if err != nil {
		panic("krb5: " + err.Error())
	}
	return b
}

// digestTail returns how marshaled states of h end after one block: with an empty
// buffer, a block of zeros, and the eight octets of the length so far.
func digestTail(h digest) []byte {
	state := stateAfter(h, make([]byte, h.BlockSize()))
	return state[len(state)-h.BlockSize()-8:]
}

func (m macKey) erase() { clear(m) }

// A scratch is what one call works in. It is pooled per hash: an array on the
// stack would move to the heap when passed to a hash.Hash.
type scratch struct {
	h          digest
	tail       []byte // digestTail(h)
	state      []byte // to marshal a state in
	sum        [64]byte
	block      [blockSize]byte
	confounder [blockSize]byte
	chunk      [blockSize + 4096]byte // ciphertext only
	counter    [4]byte
}

func newScratchPool(h func() hash.Hash) *sync.Pool {
	return &sync.Pool{New: func() any {
		d := h().(digest)
		tail := digestTail(d)
		return &scratch{h: d, tail: tail, state: make([]byte, 0, 2*len(tail))}
	}}
}

// wipe forgets what a call left behind. (The last partial block within h cannot
// be reached; what is there is a MAC's inner hash.)
func (s *scratch) wipe() {
	s.h.Reset()
	clear(s.state)
	clear(s.sum[:])
	clear(s.block[:])
	clear(s.confounder[:])
}

// begin starts a MAC under m; the message is then written to s.h.
func (s *scratch) begin(m macKey) { s.restore(m[:len(m)/2]) }

// end returns the MAC, which lies in s.
func (s *scratch) end(m macKey) []byte {
	inner := s.h.Sum(s.sum[:0])
	s.restore(m[len(m)/2:])
	s.h.Write(inner)
	return s.h.Sum(s.sum[:0])
}

func (s *scratch) restore(head []byte) {
	s.state = append(append(s.state[:0], head...), s.tail...)
	if err := s.h.UnmarshalBinary(s.state); err != nil {
		panic("krb5: " + err.Error())
	}
}

// mac returns the whole MAC of the concatenation of parts, which lies in s.
func (s *scratch) mac(m macKey, parts ...[]byte) []byte {
	s.begin(m)
	for _, p := range parts {
		s.h.Write(p)
	}
	return s.end(m)
}
