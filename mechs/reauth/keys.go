package reauth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/gsseal/gss/internal/record"
)

const (
	keyLen    = 32 // of every key, and of a hash
	tagLen    = 16 // of GCM
	nonceLen  = 32 // ni, nr
	alertLen  = 16 // plaintext of BADCB
	alertCode = 4  // GSS_S_BAD_BINDINGS >> 16
)

var errOpen = errors.New("reauth: message authentication failed")

// hash is SHA-256 of the parts, one behind the other.
func hash(parts ...[]byte) []byte {
	return appendHash(make([]byte, 0, sha256.Size), parts...)
}

// appendHash may write over the parts.
func appendHash(dst []byte, parts ...[]byte) []byte {
	var room [1024]byte // most are short: on the stack
	b, n := room[:0], 0
	for _, p := range parts {
		n += len(p)
	}
	if n > len(room) {
		h := sha256.New()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(dst)
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	h := sha256.Sum256(b)
	return append(dst, h[:]...)
}

// mac is HMAC-SHA-256 (RFC 2104) of the parts, one behind the other.
func mac(key []byte, parts ...[]byte) []byte { return appendMAC(nil, key, "", parts, "") }

// extract is HKDF-Extract, RFC 5869 §2.2.
func extract(salt, secret []byte) []byte { return mac(salt, secret) }

// expand is HKDF-Expand for 32 octets, RFC 5869 §2.3; its info is label and the
// parts.
func expand(prk []byte, label string, parts ...[]byte) []byte {
	return appendMAC(nil, prk, label, parts, "\x01")
}

// The pads of HMAC.
var ipad, opad = bytes.Repeat([]byte{0x36}, sha256.BlockSize), bytes.Repeat([]byte{0x5c}, sha256.BlockSize)

// appendMAC appends HMAC-SHA-256 of label, the parts and end. Keys are used once or twice
// here, for little: what is on the stack takes a third of the time of a crypto/hmac.Hash, and
// leaves nothing of the key to the garbage collector.
func appendMAC(dst, key []byte, label string, parts [][]byte, end string) []byte {
	const block = sha256.BlockSize
	var k [block]byte
	if len(key) > block {
		h := sha256.Sum256(key)
		copy(k[:], h[:])
	} else {
		copy(k[:], key)
	}
	var room [block + 192]byte
	b := room[:block]
	subtle.XORBytes(b, k[:], ipad)
	b = append(b, label...)
	for _, p := range parts {
		b = append(b, p...)
	}
	b = append(b, end...)
	sum := sha256.Sum256(b)
	clear(b)
	subtle.XORBytes(room[:], k[:], opad)
	copy(room[block:], sum[:])
	sum = sha256.Sum256(room[:block+sha256.Size])
	clear(room[:])
	clear(k[:])
	return append(slices.Grow(dst, sha256.Size), sum[:]...)
}

var noNonce [12]byte

// seal is AES-256-GCM with a nonce of zeros: every key encrypts one plaintext. It
// erases key, and writes over p, where it may leave the result.
func seal(key, p []byte) ([]byte, error) {
	out, err := appendSealed(p[:0], key, p)
	if len(out) > cap(p) {
		clear(p)
	}
	return out, err
}

func appendSealed(dst, key, p []byte) ([]byte, error) {
	defer clear(key)
	a, err := record.AES256GCM(key)
	if err != nil {
		return nil, err
	}
	return a.Seal(dst, noNonce[:], p, nil), nil
}

// open is seal's opposite. It erases key.
func open(key, c []byte) ([]byte, error) {
	defer clear(key)
	a, err := record.AES256GCM(key)
	if err != nil {
		return nil, err
	}
	p, err := a.Open(nil, noNonce[:], c, nil)
	if err != nil {
		return nil, errOpen
	}
	return p, nil
}

// firstKeys are what a context that the inner mechanism established makes of its PRF:
//
//	TS = Extract("gss reauth 1", PRF(inner, FULL, "gss reauth 1", 64) ‖ oid(inner) ‖ hN(initiator) ‖ hN(acceptor))
//	psk = Expand(TS, "psk", 32)      key of the issue = Expand(TS, "issue", 32)
//
// It erases prf.
func firstKeys(prf, inner, hInitiator, hAcceptor []byte) (psk, issue []byte) {
	ikm := make([]byte, 0, 256)
	ikm = append(append(append(append(ikm, prf...), inner...), hInitiator...), hAcceptor...)
	ts := extract([]byte(prfLabel), ikm)
	clear(prf)
	clear(ikm)
	defer clear(ts)
	return expand(ts, "psk"), expand(ts, "issue")
}

// prfLabel is what the inner context's PRF is asked for, for prfLen octets. No
// other use of a context may ask for it.
const (
	prfLabel = "gss reauth 1"
	prfLen   = 64
)

// A schedule is the keys of a resumption. th is TH0, TH1, TH2 and TH3 in turn.
//
//	ES  = Extract("gss reauth 1 " ‖ u8 kind, psk)
//	TH0 = H(oid ‖ RESUME from its type octet, up to auth)
//	TH1 = H(TH0 ‖ vec16 auth)    TH2 = H(TH1 ‖ RESUMED up to reply)    TH3 = H(TH2 ‖ vec16 reply)
//	HS  = Extract(Expand(ES, "derived" ‖ TH1, 32), shared secret, or 0^32 without shares)
//
// A key that seal or open takes is good until the next one is asked for.
type schedule struct {
	es, hs, th []byte
	room       struct{ es, hs, th, key [keyLen]byte } // theirs
}

func newSchedule(kind byte, psk, oidDER, head []byte) *schedule {
	s := new(schedule)
	salt := append(make([]byte, 0, 16), "gss reauth 1 "...)
	s.es = appendMAC(s.room.es[:0], append(salt, kind), "", [][]byte{psk}, "")
	s.th = appendHash(s.room.th[:0], oidDER, head)
	return s
}

// key is Expand(prk, label ‖ th, 32).
func (s *schedule) key(prk []byte, label string) []byte {
	return appendMAC(s.room.key[:0], prk, label, [][]byte{s.th}, "\x01")
}

// authKey encrypts A, under TH0.
func (s *schedule) authKey() []byte { return s.key(s.es, "i auth") }

// authenticated moves on to TH1.
func (s *schedule) authenticated(auth []byte) {
	s.th = appendHash(s.th[:0], s.th, []byte{byte(len(auth) >> 8), byte(len(auth))}, auth)
}

// alertKey encrypts what BADCB says, under TH1.
func (s *schedule) alertKey() []byte { return s.key(s.es, "a alert") }

// agreed makes HS, and moves on to TH2. It erases the secret, which may be nil.
func (s *schedule) agreed(secret, head []byte) {
	if secret == nil {
		secret = make([]byte, keyLen)
	}
	d := s.key(s.es, "derived")
	s.hs = appendMAC(s.room.hs[:0], d, "", [][]byte{secret}, "")
	clear(d)
	clear(secret)
	clear(s.es)
	s.es, s.th = nil, appendHash(s.th[:0], s.th, head)
}

// nextPSK is the secret of the ticket inside reply, under TH2.
func (s *schedule) nextPSK() []byte { return expand(s.hs, "psk", s.th) }

// replyKey encrypts reply, under TH2.
func (s *schedule) replyKey() []byte { return s.key(s.hs, "a auth") }

// master moves on to TH3 and returns MS.
func (s *schedule) master(reply []byte) []byte {
	s.authenticated(reply)
	return expand(s.hs, "master", s.th)
}

// confirmation is CONFIRM's MAC, under TH3.
func (s *schedule) confirmation(ms []byte) []byte {
	k := expand(ms, "confirm")
	defer clear(k)
	return mac(k, s.th)
}

func (s *schedule) erase() {
	if s != nil {
		clear(s.es)
		clear(s.hs)
		s.es, s.hs, s.room.key = nil, nil, [keyLen]byte{}
	}
}
