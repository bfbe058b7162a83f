package krb5

import (
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
)

// An aesSHA2 is RFC 8009 with one of its two hashes. Its MAC is of the
// ciphertext: verify, then decrypt.
type aesSHA2 struct {
	hash func() hash.Hash
	pool *sync.Pool
	bits uint32 // of the hash and the PRF
}

var (
	sha256Suite = &aesSHA2{sha256.New, newScratchPool(sha256.New), 256}
	sha384Suite = &aesSHA2{sha512.New384, newScratchPool(sha512.New384), 384}
)

func (a *aesSHA2) scratch() *scratch { return a.pool.Get().(*scratch) }

func (a *aesSHA2) release(s *scratch) {
	s.wipe()
	a.pool.Put(s)
}

// kdf is KDF-HMAC-SHA2 without a context, RFC 8009 §3, for n octets, at most the
// hash's.
func (a *aesSHA2) kdf(key, label []byte, n int) []byte {
	s := a.scratch()
	defer a.release(s)
	m := newMACKey(s, key)
	defer m.erase()
	in := append([]byte{0, 0, 0, 1}, label...)
	in = append(in, 0)
	in = binary.BigEndian.AppendUint32(in, uint32(8*n))
	return append([]byte(nil), s.mac(m, in)[:n]...)
}

// kdfMAC returns HMAC under a derived key of n octets.
func (a *aesSHA2) kdfMAC(key, label []byte, n int) macKey {
	k := a.kdf(key, label, n)
	defer clear(k)
	s := a.scratch()
	defer a.release(s)
	return newMACKey(s, k)
}

func (a *aesSHA2) deriveSum(p *profile, key []byte, usage uint32) (*derived, error) {
	return &derived{mac: a.kdfMAC(key, wellKnown(usage, forChecksum), p.macLen)}, nil
}

func (a *aesSHA2) deriveEncrypt(p *profile, key []byte, usage uint32) (*derived, error) {
	ke := a.kdf(key, wellKnown(usage, forEncryption), p.keyLen)
	defer clear(ke)
	b, err := aes.NewCipher(ke)
	if err != nil {
		return nil, err
	}
	return &derived{block: b, mac: a.kdfMAC(key, wellKnown(usage, forIntegrity), p.macLen)}, nil
}

// The PRF has the protocol key itself for its key.
func (a *aesSHA2) derivePRF(_ *profile, key []byte) (*derived, error) {
	s := a.scratch()
	defer a.release(s)
	return &derived{mac: newMACKey(s, key)}, nil
}

// zeroIV is the initial cipher state, which the MAC covers.
var zeroIV = make([]byte, blockSize)

func (*aesSHA2) checksum(d *derived, s *scratch) []byte { return s.mac(d.mac, s.list...) }

func (*aesSHA2) seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece) {
	ctsEncrypt(d.block, s, msg)
	copy(tag, s.mac(d.mac, s.covered(zeroIV, msg, blockSize, pieces)...))
}

func (*aesSHA2) open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool {
	if subtle.ConstantTimeCompare(s.mac(d.mac, s.covered(zeroIV, ct, blockSize, pieces)...)[:len(tag)], tag) != 1 {
		clear(out)
		return false
	}
	ctsDecrypt(d.block, s, out, ct)
	return true
}

var prfLabel = []byte("\x00\x00\x00\x01prf\x00")

// prf is RFC 8009 §5's, all of the hash.
func (a *aesSHA2) prf(d *derived, s *scratch, head, in []byte) []byte {
	binary.BigEndian.PutUint32(s.block[:], a.bits)
	return s.mac(d.mac, prfLabel, head, in, s.block[:4])
}

// stringToKey is RFC 8009 §4.
func (a *aesSHA2) stringToKey(p *profile, password, salt string, iterations int) ([]byte, error) {
	t, err := pbkdf2.Key(a.hash, password, []byte(p.name+"\x00"+salt), iterations, p.keyLen)
	if err != nil {
		return nil, fmt.Errorf("krb5: string-to-key: %w", err)
	}
	defer clear(t)
	return a.kdf(t, []byte("kerberos"), p.keyLen), nil
}
