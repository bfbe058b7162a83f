package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"hash"
	"sync"

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

// A half is one direction of a context.
type half struct {
	dir  byte   // as it is authenticated: 0 from the initiator, 1 from the acceptor
	na   string // in front of the sequence numbers: empty, or naLen octets
	aead cipher.AEAD
	iv   [nonceLen]byte
	mic  *macs
}

// newHalf derives a direction's keys from the master secret:
//
//	key 32 ‖ iv 12 = Expand(MS, "i2a" | "a2i" ‖ na, 44)
//	MIC key        = Expand(MS, "mic i2a" | "mic a2i", 32)
func newHalf(p *Params, fromInitiator bool, na string) (*half, error) {
	h := &half{na: na}
	label := "i2a"
	if !fromInitiator {
		h.dir, label = 1, "a2i"
	}
	traffic, err := hkdf.Expand(p.Hash, p.MS, label+na, keyLen+nonceLen)
	if err != nil {
		return nil, err
	}
	defer clear(traffic)
	if h.aead, err = p.AEAD(traffic[:keyLen]); err != nil {
		return nil, err
	}
	copy(h.iv[:], traffic[keyLen:])
	mic, err := hkdf.Expand(p.Hash, p.MS, "mic "+label, keyLen)
	if err != nil {
		return nil, err
	}
	h.mic = &macs{hash: p.Hash, key: mic}
	return h, nil
}

// macs keeps idle HMAC states of one key, so that concurrent callers neither
// share one nor make one each time.
type macs struct {
	hash func() hash.Hash
	mu   sync.Mutex
	key  []byte
	idle []hash.Hash
}

const maxIdle = 8

func (m *macs) get() hash.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.idle) - 1; n >= 0 {
		h := m.idle[n]
		m.idle = m.idle[:n]
		return h
	}
	return hmac.New(m.hash, m.key)
}

func (m *macs) put(h hash.Hash) {
	h.Reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle) < maxIdle {
		m.idle = append(m.idle, h)
	}
}

// erase forgets the key. Nobody calls get afterwards.
func (m *macs) erase() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.key)
	clear(m.idle[:cap(m.idle)])
	m.idle = nil
}
