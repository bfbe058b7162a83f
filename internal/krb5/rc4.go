package krb5

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
)

// rc4HMAC is RFC 4757, without its export variant. The MAC, of the plaintext, stands in
// front of the ciphertext.
type rc4HMAC struct{}

func md5MAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// rc4Usage is what RFC 4757 §3 makes of RFC 4120's usage numbers: Microsoft's.
func rc4Usage(usage uint32) []byte {
	switch usage {
	case 3, 9:
		usage = 8
	case 23: // a GSS token's checksum
		usage = 13
	}
	return binary.LittleEndian.AppendUint32(nil, usage)
}

// rc4SignatureKey is the constant for checksums.
const rc4SignatureKey = "signaturekey\x00"

func (rc4HMAC) deriveSum(_ *profile, key []byte, _ uint32) (*derived, error) {
	return &derived{mac: md5MAC(key, []byte(rc4SignatureKey))}, nil
}

func (rc4HMAC) deriveEncrypt(_ *profile, key []byte, usage uint32) (*derived, error) {
	return &derived{mac: md5MAC(key, rc4Usage(usage))}, nil
}

func (rc4HMAC) derivePRF(_ *profile, key []byte) (*derived, error) {
	return &derived{mac: append(macKey(nil), key...)}, nil
}

func (rc4HMAC) checksum(d *derived, s *scratch) []byte {
	h := md5.New()
	h.Write(rc4Usage(d.usage))
	for _, p := range s.list {
		h.Write(p)
	}
	return md5MAC(d.mac, h.Sum(nil))
}

// xor runs RC4, whose key does not repeat, over b.
func (rc4HMAC) xor(key, b []byte) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic("krb5: " + err.Error()) // the length is right
	}
	c.XORKeyStream(b, b)
}

func (r rc4HMAC) seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece) {
	copy(tag, md5MAC(d.mac, s.covered(nil, msg, 8, pieces)...))
	r.xor(md5MAC(d.mac, tag), msg)
}

func (r rc4HMAC) open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool {
	plain := append([]byte(nil), ct...)
	defer clear(plain)
	r.xor(md5MAC(d.mac, tag), plain)
	if subtle.ConstantTimeCompare(md5MAC(d.mac, s.covered(nil, plain, 8, pieces)...), tag) != 1 {
		clear(out)
		return false
	}
	copy(out, plain[8:])
	return true
}

func (rc4HMAC) prf(d *derived, _ *scratch, head, in []byte) []byte {
	h := hmac.New(sha1.New, d.mac)
	h.Write(head)
	h.Write(in)
	return h.Sum(nil)
}

// stringToKey is not there: it takes MD4, and services have keytabs.
func (rc4HMAC) stringToKey(*profile, string, string, int) ([]byte, error) { return nil, ErrEType }

func (rc4HMAC) scratch() *scratch  { return aesSHA1{}.scratch() }
func (rc4HMAC) release(s *scratch) { aesSHA1{}.release(s) }
