package krb5

import (
	"crypto/cipher"
	"crypto/des"
	"crypto/sha1"
	"crypto/subtle"
	"math/bits"
)

// des3SHA1 is RFC 3961 §6.3: the simplified profile with triple DES in CBC mode, and
// HMAC-SHA1. Messages are padded to whole blocks; what is decrypted has the padding at
// its end, which DER shows.
type des3SHA1 struct{}

// key is DK, RFC 3961 §5.1, for a constant.
func (des3SHA1) key(key, constant []byte) ([]byte, error) {
	b, err := des.NewTripleDESCipher(key)
	if err != nil {
		return nil, err
	}
	var random [24]byte
	defer clear(random[:])
	in := nfold(constant, des.BlockSize)
	for i := 0; i < len(random); i += des.BlockSize {
		b.Encrypt(random[i:], in)
		in = random[i : i+des.BlockSize]
	}
	return des3RandomToKey(random[:21]), nil
}

// des3RandomToKey is RFC 3961 §6.3.1's: the low bits of seven octets make the eighth,
// and parity takes their place.
func des3RandomToKey(random []byte) []byte {
	out := make([]byte, 0, 24)
	for ; len(random) > 0; random = random[7:] {
		var last byte
		for i, b := range random[:7] {
			last |= b & 1 << (i + 1)
			out = append(out, b)
		}
		out = append(out, last)
	}
	for i, b := range out {
		out[i] = b&^1 | byte(bits.OnesCount8(b&^1)&1^1)
	}
	return out
}

func (d des3SHA1) cipher(key, constant []byte) (cipher.Block, error) {
	k, err := d.key(key, constant)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return des.NewTripleDESCipher(k)
}

func (d des3SHA1) mac(key, constant []byte) (macKey, error) {
	k, err := d.key(key, constant)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	s := d.scratch()
	defer d.release(s)
	return newMACKey(s, k), nil
}

func (d des3SHA1) deriveSum(_ *profile, key []byte, usage uint32) (*derived, error) {
	m, err := d.mac(key, wellKnown(usage, forChecksum))
	return &derived{mac: m}, err
}

func (d des3SHA1) deriveEncrypt(_ *profile, key []byte, usage uint32) (*derived, error) {
	b, err := d.cipher(key, wellKnown(usage, forEncryption))
	if err != nil {
		return nil, err
	}
	m, err := d.mac(key, wellKnown(usage, forIntegrity))
	return &derived{block: b, mac: m}, err
}

func (d des3SHA1) derivePRF(_ *profile, key []byte) (*derived, error) {
	b, err := d.cipher(key, []byte("prf"))
	return &derived{block: b}, err
}

func (des3SHA1) checksum(d *derived, s *scratch) []byte { return s.mac(d.mac, s.list...) }

var des3IV = make([]byte, des.BlockSize)

func (des3SHA1) seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece) {
	copy(tag, s.mac(d.mac, s.covered(nil, msg, des.BlockSize, pieces)...))
	cipher.NewCBCEncrypter(d.block, des3IV).CryptBlocks(msg, msg)
}

func (des3SHA1) open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool {
	if len(ct)%des.BlockSize != 0 {
		clear(out)
		return false
	}
	plain := append([]byte(nil), ct...)
	defer clear(plain)
	cipher.NewCBCDecrypter(d.block, des3IV).CryptBlocks(plain, plain)
	if subtle.ConstantTimeCompare(s.mac(d.mac, s.covered(nil, plain, des.BlockSize, pieces)...), tag) != 1 {
		clear(out)
		return false
	}
	copy(out, plain[des.BlockSize:])
	return true
}

func (des3SHA1) prf(d *derived, s *scratch, head, in []byte) []byte {
	h := sha1.New()
	h.Write(head)
	h.Write(in)
	copy(s.block[:], h.Sum(nil))
	cipher.NewCBCEncrypter(d.block, des3IV).CryptBlocks(s.block[:], s.block[:])
	return s.block[:]
}

// stringToKey is not there: services have keytabs.
func (des3SHA1) stringToKey(*profile, string, string, int) ([]byte, error) { return nil, ErrEType }

func (des3SHA1) scratch() *scratch  { return aesSHA1{}.scratch() }
func (des3SHA1) release(s *scratch) { aesSHA1{}.release(s) }
