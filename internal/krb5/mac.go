package krb5

import (
	"bytes"
	"encoding"
	"encoding/binary"
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
	pad, n := s.gather[:s.blockLen], len(s.load)-len(s.tail)
	if len(key) > len(pad) {
		panic("krb5: HMAC key longer than a block")
	}
	m := make(macKey, 0, 2*n)
	for _, x := range []byte{0x36, 0x5c} {
		clear(pad)
		copy(pad, key)
		for i := range pad {
			pad[i] ^= x
		}
		s.h.Reset()
		s.h.Write(pad)
		s.state, _ = s.h.AppendBinary(s.state[:0]) // as stateAfter, it cannot fail
		if !bytes.HasSuffix(s.state, s.tail) {
			panic("krb5: marshaled hash states are not what they were")
		}
		m = append(m, s.state[:n]...)
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
	size       int    // of the hash
	blockLen   int    // of the hash, a power of two
	tail       []byte // digestTail(h)
	load       []byte // a marshaled state, which ends with tail
	state      []byte // to marshal a state in
	sum        [64]byte
	block      [blockSize]byte
	confounder [blockSize]byte
	chunk      [blockSize + 4096]byte // ciphertext
	counter    [4]byte
	gather     [maxGather + 2*128]byte // short messages, and padding
	pieces     [2]Piece
	list       [][]byte // of covered
	joined     []byte   // of join
}

// maxGather is how much of a message is put together, so as to be hashed in one go.
const maxGather = 256

func newScratchPool(h func() hash.Hash) *sync.Pool {
	return &sync.Pool{New: func() any {
		d := h().(digest)
		tail := digestTail(d)
		s := &scratch{h: d, size: d.Size(), blockLen: d.BlockSize(), tail: tail, load: stateAfter(d, make([]byte, d.BlockSize()))}
		s.state = make([]byte, 0, len(s.load))
		d.Reset()
		if !bytes.Equal(s.digest(0), h().Sum(nil)) {
			panic("krb5: marshaled hash states are not what they were")
		}
		return s
	}}
}

// wipe forgets what a call left behind. (The last partial block within h cannot
// be reached; what is there is a MAC's inner hash.)
func (s *scratch) wipe() {
	s.h.Reset()
	clear(s.load[:len(s.load)-len(s.tail)])
	clear(s.state)
	clear(s.sum[:])
	clear(s.block[:])
	clear(s.confounder[:])
	clear(s.pieces[:])
	clear(s.list)
}

// covered returns what a MAC is of: first, and msg. If there are pieces, msg from skip
// on is theirs, of those that are not SignOnly; these then have a length only, and a
// piece that is SignOnly comes in between.
func (s *scratch) covered(first, msg []byte, skip int, pieces []Piece) [][]byte {
	s.list = append(s.list[:0], first)
	if pieces == nil {
		s.list = append(s.list, msg)
		return s.list
	}
	s.list = append(s.list, msg[:skip])
	for _, p := range pieces {
		if p.SignOnly {
			s.list = append(s.list, p.Data)
			continue
		}
		s.list = append(s.list, msg[skip:][:len(p.Data)])
		skip += len(p.Data)
	}
	return s.list
}

// digest ends a hash, of which n octets, whole blocks, were hashed so far, with
// parts, and returns it; it lies in s.state. It writes the padding (FIPS 180-4 §5.1)
// itself and takes the digest off the marshaled state: for short messages much faster
// than Sum, which works on a copy and in small steps.
func (s *scratch) digest(n int, parts ...[]byte) []byte {
	buf := s.gather[:0]
	for _, p := range parts {
		if n += len(p); len(buf)+len(p) <= maxGather {
			buf = append(buf, p...)
			continue
		}
		s.h.Write(buf)
		s.h.Write(p)
		clear(buf)
		buf = buf[:0]
	}
	// 80, zeros, and the length in bits, of 8 octets with a block of 64 and of 16
	// with one of 128.
	message, room := len(buf), s.blockLen-n&(s.blockLen-1) // room: in the block in which the message ends
	end := message + room
	if room <= s.blockLen>>3 {
		end += s.blockLen
	}
	buf = s.gather[:end]
	clear(buf[message:])
	buf[message] = 0x80
	binary.BigEndian.PutUint64(buf[end-8:], uint64(n)*8)
	s.h.Write(buf)
	clear(buf[:message])
	s.state, _ = s.h.AppendBinary(s.state[:0]) // as stateAfter, it cannot fail
	return s.state[stateMagic:][:s.size]
}

// stateMagic is how many octets of a marshaled state come before the digest.
const stateMagic = 4

// mac returns the whole MAC of the concatenation of parts, which lies in s.
func (s *scratch) mac(m macKey, parts ...[]byte) []byte {
	s.restore(m[:len(m)/2])
	inner := s.sum[:copy(s.sum[:], s.digest(s.blockLen, parts...))]
	s.restore(m[len(m)/2:])
	return s.digest(s.blockLen, inner)
}

func (s *scratch) restore(head []byte) {
	copy(s.load, head)
	if err := s.h.UnmarshalBinary(s.load); err != nil {
		panic("krb5: " + err.Error())
	}
}
