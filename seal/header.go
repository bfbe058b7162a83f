package seal

import "encoding/binary"

// Claims are what a message says of itself. The recipient checks each that is
// there, and may require one.
type Claims uint8

// The values are those of the header's flags.
const (
	OneTime      Claims = 1 << iota // opens once
	RelayByName                     // the peer of the recipient that hands it over has this name
	RelayByKey                      // whoever hands it over holds the relay key
	Introduction                    // a credential for its relay, redeemed by a mechanism and never unsealed
	Stream                          // its body follows in chunks: see SealStream

	allIntroduced = OneTime | RelayByName | RelayByKey | Introduction
	allClaims     = allIntroduced | Stream
)

// Has reports whether c has every claim of want.
func (c Claims) Has(want Claims) bool { return c&want == want }

// A header is the first 160 octets of the plaintext:
//
//	off len
//	  0   1 version 1
//	  1   1 claims; Introduction only with those before it, and without Stream
//	  2   2 zero
//	  4   4 body length
//	  8   8 n
//	 16   8 sealed-at, Unix ms
//	 24   8 not-after, Unix ms; sealed-at < not-after ≤ sealed-at + MaxLifetime
//	 32  32 hN(originator)
//	 64  32 hN(recipient)
//	 96  32 hN(relay) with RelayByName, else zero
//	128  32 relay key with RelayByKey, else zero
type header struct {
	claims             Claims
	body               uint32
	n                  uint64
	sealedAt, notAfter int64
	from, to           [32]byte
	relay, key         [32]byte
}

const offRelayKey = 128

// put writes h to the first headerSize octets of b.
func (h *header) put(b []byte) {
	b[0], b[1], b[2], b[3] = 1, byte(h.claims), 0, 0
	binary.BigEndian.PutUint32(b[4:], h.body)
	binary.BigEndian.PutUint64(b[8:], h.n)
	binary.BigEndian.PutUint64(b[16:], uint64(h.sealedAt))
	binary.BigEndian.PutUint64(b[24:], uint64(h.notAfter))
	copy(b[32:], h.from[:])
	copy(b[64:], h.to[:])
	copy(b[96:], h.relay[:])
	copy(b[offRelayKey:], h.key[:])
}

// parse reads and checks P, header, body and padding, of a message that is
// authentic; n and e are those of T and U.
func (h *header) parse(p []byte, n uint64, e uint32) bool {
	at, until := binary.BigEndian.Uint64(p[16:]), binary.BigEndian.Uint64(p[24:])
	h.claims = Claims(p[1])
	h.body = binary.BigEndian.Uint32(p[4:])
	h.n = binary.BigEndian.Uint64(p[8:])
	h.from, h.to = [32]byte(p[32:]), [32]byte(p[64:])
	h.relay, h.key = [32]byte(p[96:]), [32]byte(p[offRelayKey:])
	if p[0] != 1 || h.claims&^allClaims != 0 || h.claims.Has(Introduction) && h.claims != allIntroduced ||
		h.claims.Has(Stream) && h.body != streamBody ||
		p[2] != 0 || p[3] != 0 || h.n != n || at/epochMS != uint64(e) || at >= until || until-at > uint64(lifetimeMS) {
		return false
	}
	h.sealedAt, h.notAfter = int64(at), int64(until)
	return h.claims.Has(RelayByName) != isZero(h.relay[:]) && h.claims.Has(RelayByKey) != isZero(h.key[:]) &&
		uint64(h.body) <= uint64(len(p)-headerSize) && padded(int(h.body)) == uint64(len(p)) && isZero(p[headerSize+int(h.body):])
}

// isZero does not stop at the first octet that differs: some are secret.
func isZero(b []byte) bool {
	var x uint64
	for ; len(b) >= 8; b = b[8:] {
		x |= binary.NativeEndian.Uint64(b)
	}
	for _, c := range b {
		x |= uint64(c)
	}
	return x == 0
}
