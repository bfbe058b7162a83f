package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"hash"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/crypto/chacha20poly1305"
)

// An AEAD makes a cipher with 96-bit nonces and 16-octet tags from a 32-octet
// key. It fails where the platform's policy forbids the algorithm, as
// GODEBUG=fips140=only does.
type AEAD func(key []byte) (cipher.AEAD, error)

// AES256GCM is AES-256-GCM (NIST SP 800-38D).
func AES256GCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// ChaCha20Poly1305 is AEAD_CHACHA20_POLY1305 (RFC 8439).
func ChaCha20Poly1305(key []byte) (cipher.AEAD, error) { return chacha20poly1305.New(key) }

const (
	keyLen   = 32
	nonceLen = 12
	tagLen   = 16
	naLen    = 16 // of a one-way context's acceptor nonce
)

// A half is one direction of a context. Its keys are made when they are used, and are the
// garbage collector's when nobody uses them: a context at rest is little more than its
// master secret, and one that is used makes them once between two collections.
type half struct {
	dir    byte   // as it is authenticated: 0 from the initiator, 1 from the acceptor
	na     string // in front of the sequence numbers: empty, or naLen octets
	sealer cached[sealer]
	macs   cached[macs]
}

func (h *half) init(fromInitiator bool, na string) {
	h.na = na
	if !fromInitiator {
		h.dir = 1
	}
}

func (h *half) label() string { return [...]string{"i2a", "a2i"}[h.dir] }

// A cached is a T as long as somebody uses it and until the next garbage collection.
type cached[T any] struct {
	p atomic.Pointer[weak.Pointer[T]]
}

func (c *cached[T]) get() *T {
	if w := c.p.Load(); w != nil {
		return w.Value()
	}
	return nil
}

func (c *cached[T]) set(x *T) {
	w := weak.Make(x)
	c.p.Store(&w)
}

// A sealer is what encrypts.
type sealer struct {
	aead cipher.AEAD
	iv   [nonceLen]byte
}

// sealerOf returns h's, with
//
//	key 32 ‖ iv 12 = Expand(MS, "i2a" | "a2i" ‖ na, 44)
//
// c.mu is held.
func (c *Context) sealerOf(h *half) (*sealer, error) {
	if s := h.sealer.get(); s != nil {
		return s, nil
	}
	traffic, err := hkdf.Expand(c.hash, c.ms[:], h.label()+h.na, keyLen+nonceLen)
	if err != nil {
		return nil, err
	}
	defer clear(traffic)
	s := new(sealer)
	if s.aead, err = c.aead(traffic[:keyLen]); err != nil {
		return nil, err
	}
	copy(s.iv[:], traffic[keyLen:])
	h.sealer.set(s)
	return s, nil
}

// macs keeps idle HMAC states of one key, so that concurrent callers neither
// share one nor make one each time.
type macs struct {
	mu   sync.Mutex
	idle []hash.Hash
}

const maxIdle = 8

// macOf returns an HMAC state with h's
//
//	MIC key = Expand(MS, "mic i2a" | "mic a2i", 32)
//
// and where it is to be put back. c.mu is held.
func (c *Context) macOf(h *half) (hash.Hash, *macs, error) {
	m := h.macs.get()
	if m == nil {
		m = new(macs)
		h.macs.set(m)
	}
	if x := m.take(); x != nil {
		return x, m, nil
	}
	key, err := hkdf.Expand(c.hash, c.ms[:], "mic "+h.label(), keyLen)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	return hmac.New(c.hash, key), m, nil
}

func (m *macs) take() hash.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.idle) - 1
	if n < 0 {
		return nil
	}
	h := m.idle[n]
	m.idle = m.idle[:n]
	return h
}

func (m *macs) put(h hash.Hash) {
	h.Reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle) < maxIdle {
		m.idle = append(m.idle, h)
	}
}
