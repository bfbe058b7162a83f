// Package record protects the messages of contexts that end with a master secret
// MS and an AEAD: those of the certificate mechanisms and of re-authentication.
//
// The token of a message is
//
//	u8 type (1 confidential, 2 integrity only, 4 MIC) ‖ u64 seq ‖ body
//
// where seq counts all tokens of a direction from 0, whatever their type. What is
// authenticated with it is
//
//	aad = u8 direction (0 from the initiator, 1 from the acceptor)
//	      ‖ all of the token before body ‖ u64 |ad| ‖ ad
//
// with ad the associated data of WrapAEAD, else empty. The body, with nonce = iv
// xor (0^4 ‖ u64 seq), is
//
//	type 1  AEAD(aad, message)
//	type 2  message ‖ AEAD(aad ‖ message, "")
//	type 4  HMAC(MIC key, aad ‖ message), not truncated
//
// The keys come from MS by HKDF-Expand (RFC 5869 §2.3) with one label each; see
// Context.sealerOf, macOf and PRF. No key serves two directions, and no nonce two messages:
// seq stops before 2^48.
//
// In a one-way context nothing of the acceptor's went into MS, so that two
// acceptors who are handed the same token have the same MS. The acceptor's tokens
// therefore carry 16 random octets na between type and seq, which go into that
// direction's key; the initiator takes those of the first authentic token, and no
// others afterwards.
package record

import (
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"hash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/window"
)

// Params are what a context is made of. New copies the octets it keeps.
type Params struct {
	Info       gss.Info         // but for Overhead, which New fills in
	MS         []byte           // master secret, 32 octets
	Hash       func() hash.Hash // of HKDF and HMAC: SHA-256 or SHA-384
	AEAD       AEAD
	PartialKey []byte           // of the PRF with PRFPartial; empty: Unavailable
	OneWay     bool             // the acceptor's tokens carry its nonce
	Now        func() time.Time // clock that Info.Expiry is held against; nil: time.Now
}

// maxSeq is how many messages a direction takes. It keeps AES-GCM far from its
// limits and the counter from ever coming round.
const maxSeq = 1 << 48

// maxMessage bounds message and associated data together, in octets; AES-GCM ends
// a little below 2^36.
const maxMessage = 1 << 35

var (
	errNumbers = errors.New("record: all sequence numbers are used")
	errLength  = errors.New("record: message too long")
)

// A Context implements gss.Context, gss.AEADContext and gss.Claimer.
//
// Calls run in parallel: they share an atomic counter when they send, and a lock
// around the replay window, after the cryptography, when they receive. Close
// overwrites the master secret; what was expanded of it is left to the garbage collector.
type Context struct {
	info gss.Info
	now  func() time.Time

	mu      sync.RWMutex // read: by calls that use keys; write: by Close
	closed  bool
	ms      [keyLen]byte // master secret
	partial []byte
	out     *half

	hash func() hash.Hash
	aead AEAD
	naIn int // octets of the nonce in incoming tokens

	seq atomic.Uint64 // next to send

	recv   sync.Mutex
	window window.Window
	in     *half // nil in a one-way initiator until the first authentic token

	halves [2]half // out, and in if it is known from the beginning

	claim   sync.Mutex
	claimed map[string]bool
}

// New returns the established context. Error: Unavailable, if policy forbids the
// algorithms.
func New(p Params) (*Context, error) {
	var na [naLen]byte
	if p.OneWay {
		rand.Read(na[:])
	}
	return newContext(p, string(na[:]))
}

func newContext(p Params, na string) (*Context, error) {
	c := &Context{info: p.Info, now: p.Now, hash: p.Hash, aead: p.AEAD}
	if c.now == nil {
		c.now = time.Now
	}
	if len(p.MS) != keyLen {
		return nil, c.fail("New", gss.Failure, errors.New("record: the master secret has 32 octets"))
	}
	copy(c.ms[:], p.MS)
	c.partial = slices.Clone(p.PartialKey)
	if !p.OneWay {
		na = ""
	} else if p.Info.Initiator {
		c.naIn, na = naLen, ""
	}
	c.out = &c.halves[0]
	c.out.init(p.Info.Initiator, na)
	if c.naIn == 0 {
		c.in = &c.halves[1]
		c.in.init(!p.Info.Initiator, "")
	}
	if fips140.Enabled() { // a policy that forbids something says so now
		if err := c.deriveAll(); err != nil {
			c.Close()
			return nil, c.fail("New", gss.Unavailable, err)
		}
	}
	c.info.Overhead = headerLen(len(na)) + tagLen
	c.window = window.New(0, c.info.Flags.Has(gss.Replay), c.info.Flags.Has(gss.Sequence))
	return c, nil
}

// deriveAll makes the keys of the outgoing half; the other one's are of the same kinds.
func (c *Context) deriveAll() error {
	_, err := c.sealerOf(c.out)
	if err != nil {
		return err
	}
	if _, _, err = c.macOf(c.out); err != nil {
		return err
	}
	_, err = c.fullKey()
	return err
}

// fail returns the error of a call. cause may be nil.
func (c *Context) fail(op string, m gss.Major, cause error) error {
	return &gss.Error{Op: op, Mech: c.info.Mech, Major: m, Err: cause}
}

// Info returns what does not change, also after Close.
func (c *Context) Info() gss.Info { return c.info }

// usable says whether keys may be used. c.mu is held.
func (c *Context) usable(op string) error {
	if c.closed {
		return c.fail(op, gss.NoContext, nil)
	}
	if !c.info.Expiry.IsZero() && c.now().After(c.info.Expiry) {
		return c.fail(op, gss.ContextExpired, nil)
	}
	return nil
}

// Claim reports true the first time it is called with label, and false once the
// context is closed.
func (c *Context) Claim(label string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.claim.Lock()
	defer c.claim.Unlock()
	if c.closed || c.claimed[label] {
		return false
	}
	if c.claimed == nil {
		c.claimed = make(map[string]bool)
	}
	c.claimed[label] = true
	return true
}

// Close erases the keys, after the calls in progress.
func (c *Context) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	clear(c.ms[:])
	clear(c.partial)
	c.out, c.in = nil, nil
	return nil
}

var (
	_ gss.AEADContext = (*Context)(nil)
	_ gss.Claimer     = (*Context)(nil)
)
