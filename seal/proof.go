package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/gsseal/gss"
)

// A proof follows the sealed message:
//
//	proof = r(16 random) | GCM(Kp, "", Q)
//	Kp    = Expand(Krelay, "proof" | r | SHA-256(sealed) | B, 32)
//	Q     = u64 time, Unix ms | u32 payload length | payload | zeros to PADMÉ(max(64, ·))
//	B     = 01 | PRF(context with the recipient, FULL, "gss seal present 1", 32)
//	      | 02 | SHA-256(channel bindings)
//	      | 00 | 0^32
const (
	proofNonce  = 16
	proofHeader = 8 + 4
	minProof    = 64 // of Q
)

const (
	boundNone    = 0
	boundContext = 1
	boundChannel = 2
)

// A binding is B.
type binding [33]byte

func contextBinding(op string, sc Secret) (b binding, err error) {
	prf, err := sc.PRF(gss.PRFFull, []byte(labelPresent), 32)
	if err != nil {
		return b, fail(op, sc.Info().Mech, gss.MajorOf(err), err)
	}
	if len(prf) != 32 {
		return b, fail(op, sc.Info().Mech, gss.Failure, errPRF)
	}
	b[0] = boundContext
	copy(b[1:], prf)
	clear(prf)
	return b, nil
}

func channelBinding(bindings []byte) (b binding) {
	b[0] = boundChannel
	h := sha256.Sum256(bindings)
	copy(b[1:], h[:])
	return b
}

// proofKey returns Kp.
func proofKey(key *[32]byte, r, digest []byte, b *binding) [32]byte {
	return expand32(key, []byte("proof"), r, digest, b[:])
}

// appendProof appends a proof with payload, made at now, to dst.
func appendProof(dst []byte, key *[32]byte, sealed, payload []byte, b *binding, now time.Time) ([]byte, error) {
	size := padme(max(minProof, proofHeader+uint64(len(payload))))
	if size > maxPadded {
		return dst, ErrTooLong
	}
	var r [proofNonce]byte
	rand.Read(r[:])
	digest := sha256.Sum256(sealed)
	kp := proofKey(key, r[:], digest[:], b)
	defer clear(kp[:])
	a, err := newGCM(kp[:])
	if err != nil {
		return dst, err
	}
	q := make([]byte, proofHeader, size)
	binary.BigEndian.PutUint64(q, uint64(now.UnixMilli()))
	binary.BigEndian.PutUint32(q[8:], uint32(len(payload)))
	q = append(q, payload...)[:size]
	return a.Seal(append(dst, r[:]...), zeroNonce[:], q, nil), nil
}

// checkProof opens the proof under what this side knows of the channel, and keeps
// its time and payload.
func (u *unsealing) checkProof() error {
	size := len(u.proof) - proofNonce - gcmTag
	if size < minProof || uint64(size) > maxPadded {
		return u.fail(gss.BadBindings, ErrProof)
	}
	var known [3]binding
	bs := known[:0]
	if u.o.Relay != nil {
		b, err := contextBinding("Unseal", u.o.Relay)
		if err != nil {
			return err
		}
		bs = append(bs, b)
	}
	if len(u.o.Bindings) > 0 {
		bs = append(bs, channelBinding(u.o.Bindings))
	}
	if u.o.Unbound {
		bs = append(bs, binding{boundNone})
	}
	digest := sha256.Sum256(u.sealed)
	r, box := u.proof[:proofNonce], u.proof[proofNonce:]
	var q []byte
	for i := range bs {
		kp := proofKey(&u.h.key, r, digest[:], &bs[i])
		a, err := newGCM(kp[:])
		clear(kp[:])
		if err != nil {
			return u.fail(gss.Failure, err)
		}
		if q, err = a.Open(nil, zeroNonce[:], box, nil); err == nil {
			break
		}
	}
	if q == nil {
		return u.fail(gss.BadBindings, ErrProof)
	}
	at, n := binary.BigEndian.Uint64(q), uint64(binary.BigEndian.Uint32(q[8:]))
	if n > uint64(size-proofHeader) || padme(max(minProof, proofHeader+n)) != uint64(size) || !isZero(q[proofHeader+int(n):]) {
		return u.fail(gss.DefectiveToken, errHeader)
	}
	switch {
	case at > uint64(u.now+skewMS):
		return u.fail(gss.OldToken, ErrNotYet)
	case at < uint64(u.now-skewMS):
		return u.fail(gss.OldToken, ErrExpired)
	}
	u.proofTime = int64(at)
	u.payload = q[proofHeader : proofHeader+int(n) : proofHeader+int(n)]
	return nil
}
