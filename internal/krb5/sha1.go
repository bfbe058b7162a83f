package krb5

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// aesSHA1 is RFC 3962: RFC 3961 §5's simplified profile with AES and
// HMAC-SHA1-96. Its MAC is of the plaintext: decrypt, then verify.
type aesSHA1 struct{}

var sha1Scratch = newScratchPool(sha1.New)

func (aesSHA1) scratch() *scratch { return sha1Scratch.Get().(*scratch) }

func (aesSHA1) release(s *scratch) {
	s.wipe()
	sha1Scratch.Put(s)
}

// Constants of key derivation, RFC 3961 §5.3: the usage number and one octet.
const (
	forChecksum   = 0x99 // Kc
	forEncryption = 0xaa // Ke
	forIntegrity  = 0x55 // Ki
)

func wellKnown(usage uint32, use byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 5), usage), use)
}

// dk is DK of RFC 3961 §5.1: blocks of repeated encryption of the folded
// constant, as many as a key of n octets takes. With AES random-to-key is the
// identity (RFC 3962 §6), and a multiple of the block length needs no stealing.
func dk(key, constant []byte, n int) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, n)
	in := nfold(constant, blockSize)
	for i := 0; i < n; i += blockSize {
		b.Encrypt(out[i:i+blockSize], in)
		in = out[i : i+blockSize]
	}
	return out, nil
}

// dkCipher returns AES under DK(key, constant).
func dkCipher(key, constant []byte) (cipher.Block, error) {
	k, err := dk(key, constant, len(key))
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return aes.NewCipher(k)
}

// dkMAC returns HMAC-SHA1 under DK(key, constant).
func (a aesSHA1) dkMAC(key, constant []byte) (macKey, error) {
	k, err := dk(key, constant, len(key))
	if err != nil {
		return nil, err
	}
	defer clear(k)
	s := a.scratch()
	defer a.release(s)
	return newMACKey(s, k), nil
}

func (a aesSHA1) deriveSum(_ *profile, key []byte, usage uint32) (*derived, error) {
	m, err := a.dkMAC(key, wellKnown(usage, forChecksum))
	return &derived{mac: m}, err
}

func (a aesSHA1) deriveEncrypt(_ *profile, key []byte, usage uint32) (*derived, error) {
	b, err := dkCipher(key, wellKnown(usage, forEncryption))
	if err != nil {
		return nil, err
	}
	m, err := a.dkMAC(key, wellKnown(usage, forIntegrity))
	return &derived{block: b, mac: m}, err
}

func (a aesSHA1) derivePRF(_ *profile, key []byte) (*derived, error) {
	b, err := dkCipher(key, []byte("prf"))
	return &derived{block: b}, err
}

func (aesSHA1) checksum(d *derived, s *scratch) []byte { return s.mac(d.mac, s.list...) }

func (aesSHA1) seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece) {
	copy(tag, s.mac(d.mac, s.covered(nil, msg, blockSize, pieces)...))
	ctsEncrypt(d.block, s, msg)
}

func (aesSHA1) open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool {
	// out may lie on ct, which then reaches tag's place at most.
	ctsDecrypt(d.block, s, out, ct)
	if subtle.ConstantTimeCompare(s.mac(d.mac, s.covered(s.confounder[:], out, 0, pieces)...)[:len(tag)], tag) != 1 {
		clear(out)
		return false
	}
	return true
}

// prf is RFC 3962 §6's: the hash, cut to a multiple of the block length, encrypted
// with the key for "prf". It is 16 octets, as all implementations have it.
func (aesSHA1) prf(d *derived, s *scratch, head, in []byte) []byte {
	s.h.Reset()
	copy(s.block[:], s.digest(0, head, in))
	d.block.Encrypt(s.block[:], s.block[:])
	return s.block[:]
}

// stringToKey is RFC 3962 §4.
func (aesSHA1) stringToKey(p *profile, password, salt string, iterations int) ([]byte, error) {
	t, err := pbkdf2.Key(sha1.New, password, []byte(salt), iterations, p.keyLen)
	if err != nil {
		return nil, fmt.Errorf("krb5: string-to-key: %w", err)
	}
	defer clear(t)
	return dk(t, []byte("kerberos"), p.keyLen)
}
