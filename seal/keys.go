package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"math"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// The limits of the protocol.
const (
	Skew        = 300 * time.Second   // how far two clocks may be apart
	MaxLifetime = 7 * 24 * time.Hour  // of a message
	MaxContext  = 30 * 24 * time.Hour // a context seals no longer than this, whatever its expiry

	skewMS     = int64(Skew / time.Millisecond)
	lifetimeMS = int64(MaxLifetime / time.Millisecond)
	epochMS    = 3600 * 1000
)

// A Secret is the part of a gss.Context that sealing needs. Any gss.Context is
// one. If it has the method Claim of a gss.Claimer, that is used too.
type Secret interface {
	Info() gss.Info
	PRF(key gss.PRFKey, in []byte, n int) ([]byte, error)
}

// The inputs of the PRF, which nothing else may use.
const (
	labelSeal    = "gss seal 1"
	labelPresent = "gss seal present 1"
)

// link holds the keys of one direction of a context, from its originator to its
// recipient:
//
//	R    = PRF(FULL, "gss seal 1", 64)
//	S    = HKDF-Extract("gss seal 1", R | DER of the mechanism's OID)
//	tag  = HKDF-Expand(S, "tag " | d, 32)       d = "i2a" or "a2i"
//	hdr  = HKDF-Expand(S, "hdr " | d, 32)
//	root = HKDF-Expand(S, "epochs " | d, 32)    of the tree
type link struct {
	mech     oid.OID
	from, to gss.Name // originator and recipient, as this context has them
	hFrom    [32]byte // of their exported names
	hTo      [32]byte
	tag, hdr [32]byte
	tree     tree

	established time.Time // when these keys were made on this host, wall clock
	expiry      int64     // of the context, Unix ms; MaxInt64 if it has none
	end         int64     // the later of what may be sealed: expiry, or established + MaxContext
}

// newLink derives the keys of the direction that leaves (outgoing) or reaches the
// holder of sc. The tree covers all that may still be sealed; for a recipient also
// what was sealed Skew earlier, or is Skew later. Errors: NameNotMN, Unauthorized,
// ContextExpired, Failure, and the PRF's.
func newLink(op string, sc Secret, outgoing bool, now time.Time) (*link, error) {
	info := sc.Info()
	fail := func(m gss.Major, err error) (*link, error) {
		return nil, &gss.Error{Op: op, Mech: info.Mech, Major: m, Err: err}
	}
	if info.Flags.Has(gss.Anon) {
		return fail(gss.Unauthorized, errAnonymous)
	}
	k := &link{mech: info.Mech, from: info.Peer, to: info.Local, established: now.Round(0), expiry: math.MaxInt64}
	if outgoing {
		k.from, k.to = k.to, k.from
	}
	var err error
	if k.hFrom, err = hashName(k.from); err == nil {
		k.hTo, err = hashName(k.to)
	}
	if err != nil {
		return fail(gss.MajorOf(err), err)
	}
	ms := now.UnixMilli()
	if !info.Expiry.IsZero() {
		k.expiry = info.Expiry.UnixMilli()
	}
	k.end = endOf(now, k.expiry)
	slack := skewMS
	if outgoing {
		slack = 0
	}
	low, high := ms-slack, k.end+slack
	if ms > high {
		return fail(gss.ContextExpired, nil)
	}
	if low < 0 || epochOf(high) == lastEpoch {
		return fail(gss.Failure, ErrClock)
	}

	root, err := sc.PRF(gss.PRFFull, []byte(labelSeal), 64)
	if err != nil {
		return fail(gss.MajorOf(err), err)
	}
	defer clear(root)
	if len(root) != 64 || subtle.ConstantTimeCompare(root, make([]byte, 64)) == 1 {
		return fail(gss.Failure, errPRF)
	}
	d := "i2a"
	if info.Initiator != outgoing {
		d = "a2i"
	}
	if err := k.derive(root, d, epochOf(low), epochOf(high)); err != nil {
		return fail(gss.Failure, err)
	}
	return k, nil
}

// derive makes k's keys from R.
func (k *link) derive(root []byte, d string, low, high uint32) error {
	ikm := k.mech.AppendDER(append(make([]byte, 0, 128), root...))
	defer clear(ikm)
	s, err := hkdf.Extract(sha256.New, ikm, []byte(labelSeal))
	if err != nil {
		return err
	}
	defer clear(s)
	var top [32]byte
	for _, x := range []struct {
		out  *[32]byte
		info string
	}{{&k.tag, "tag "}, {&k.hdr, "hdr "}, {&top, "epochs "}} {
		b, err := hkdf.Expand(sha256.New, s, x.info+d, 32)
		if err != nil {
			return err
		}
		copy(x.out[:], b)
		clear(b)
	}
	k.tree = newTree(&top, low, high)
	clear(top[:])
	return nil
}

// endOf returns link.end.
func endOf(established time.Time, expiry int64) int64 {
	return min(established.Add(MaxContext).UnixMilli(), expiry)
}

// oldest returns the first epoch of what still opens at now if messages live for
// life, both in ms.
func (k *link) oldest(now, life int64) uint32 {
	return epochOf(max(k.established.UnixMilli(), now-life) - skewMS)
}

// erase overwrites k's keys.
func (k *link) erase() {
	clear(k.tag[:])
	clear(k.hdr[:])
	k.tree.erase()
}

// hashName is SHA-256 of the exported form of an MN. Errors: NameNotMN, BadName.
func hashName(n gss.Name) ([32]byte, error) {
	b, err := n.Export()
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(b), nil
}

// claim reports whether sc is the object that saw the handshake complete and was
// not asked for label before.
func claim(sc Secret, label string) bool {
	c, ok := sc.(interface{ Claim(label string) bool })
	return ok && c.Claim(label)
}

// An expander computes HKDF-Expand (RFC 5869 §2.3) under one key, whose HMAC
// state it keeps. It is not safe for concurrent use. It does not allocate.
type expander struct {
	mac hash.Hash
	in  [3 + 32 + 1]byte
	out [64]byte
}

// message returns K | C = Expand(E[e], "msg" | T | U, 64), valid until the next
// call; tu is T | U.
func (x *expander) message(tu []byte) *[64]byte {
	copy(x.in[:], "msg")
	copy(x.in[3:], tu[:32])
	x.in[35] = 1
	x.mac.Reset()
	x.mac.Write(x.in[:])
	x.mac.Sum(x.out[:0])
	x.in[35] = 2
	x.mac.Reset()
	x.mac.Write(x.out[:32])
	x.mac.Write(x.in[:])
	x.mac.Sum(x.out[:32])
	return &x.out
}

// relayKey returns Krelay:
//
//	Expand(E'[e], "relay" | T | U | hN(originator) | hN(recipient) | u64 not-after, 32)
func (x *expander) relayKey(tu []byte, hFrom, hTo *[32]byte, notAfter int64) (key [32]byte) {
	x.mac.Reset()
	x.mac.Write([]byte("relay"))
	x.mac.Write(tu[:32])
	x.mac.Write(hFrom[:])
	x.mac.Write(hTo[:])
	x.mac.Write(append(appendUint64(nil, notAfter), 1))
	x.mac.Sum(key[:0])
	return key
}

// expand32 is Expand(key, the concatenation of info, 32).
func expand32(key *[32]byte, info ...[]byte) (out [32]byte) {
	m := newHMAC(key)
	for _, p := range info {
		m.Write(p)
	}
	m.Write([]byte{1})
	m.Sum(out[:0])
	return out
}

// zeroNonce goes with keys that encrypt one plaintext.
var zeroNonce [12]byte

// newGCM returns AES-256-GCM under a key that encrypts one plaintext.
func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}
