package krb5

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// camelliaCMAC is RFC 6803: AES's construction of RFC 3962 with Camellia, CMAC (NIST SP
// 800-38B) and a derivation by feedback (SP 800-108 §5.2).
type camelliaCMAC struct{}

// camelliaKeys are what one usage needs: the cipher, if it encrypts, and the MAC.
type camelliaKeys struct {
	*camellia
	mac *cmac
}

type cmac struct {
	b      *camellia
	k1, k2 [blockSize]byte
}

func newCMAC(key []byte) (*cmac, error) {
	b, err := newCamellia(key)
	if err != nil {
		return nil, err
	}
	m := &cmac{b: b}
	b.Encrypt(m.k1[:], m.k1[:])
	m.k1 = double(m.k1)
	m.k2 = double(m.k1)
	return m, nil
}

// double multiplies by x in GF(2¹²⁸).
func double(in [blockSize]byte) (out [blockSize]byte) {
	hi, lo := binary.BigEndian.Uint64(in[:]), binary.BigEndian.Uint64(in[8:])
	binary.BigEndian.PutUint64(out[:], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(out[8:], lo<<1^0x87*(hi>>63))
	return out
}

// sum returns the MAC of the concatenation of parts.
func (m *cmac) sum(parts ...[]byte) []byte {
	x, last, n := make([]byte, blockSize), make([]byte, blockSize), 0
	for _, p := range parts {
		for len(p) > 0 {
			if n == blockSize {
				subtle.XORBytes(x, x, last)
				m.b.Encrypt(x, x)
				n = 0
			}
			k := copy(last[n:], p)
			n, p = n+k, p[k:]
		}
	}
	key := &m.k1
	if n < blockSize {
		key = &m.k2
		clear(last[n:])
		last[n] = 0x80
	}
	subtle.XORBytes(x, x, last)
	subtle.XORBytes(x, x, key[:])
	m.b.Encrypt(x, x)
	clear(last)
	return x
}

// kdf is KDF-FEEDBACK-CMAC, RFC 6803 §3.
func (camelliaCMAC) kdf(key, constant []byte) ([]byte, error) {
	m, err := newCMAC(key)
	if err != nil {
		return nil, err
	}
	out, k := make([]byte, 0, len(key)), make([]byte, blockSize)
	for i := uint32(1); len(out) < len(key); i++ {
		k = m.sum(k, binary.BigEndian.AppendUint32(nil, i), constant, []byte{0}, binary.BigEndian.AppendUint32(nil, uint32(8*len(key))))
		out = append(out, k...)
	}
	return out, nil
}

func (c camelliaCMAC) kdfMAC(key, constant []byte) (*cmac, error) {
	k, err := c.kdf(key, constant)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return newCMAC(k)
}

func (c camelliaCMAC) deriveSum(_ *profile, key []byte, usage uint32) (*derived, error) {
	m, err := c.kdfMAC(key, wellKnown(usage, forChecksum))
	return &derived{block: &camelliaKeys{mac: m}}, err
}

func (c camelliaCMAC) deriveEncrypt(_ *profile, key []byte, usage uint32) (*derived, error) {
	k, err := c.kdf(key, wellKnown(usage, forEncryption))
	if err != nil {
		return nil, err
	}
	defer clear(k)
	b, err := newCamellia(k)
	if err != nil {
		return nil, err
	}
	m, err := c.kdfMAC(key, wellKnown(usage, forIntegrity))
	return &derived{block: &camelliaKeys{b, m}}, err
}

func (c camelliaCMAC) derivePRF(_ *profile, key []byte) (*derived, error) {
	m, err := c.kdfMAC(key, []byte("prf"))
	return &derived{block: &camelliaKeys{mac: m}}, err
}

func (camelliaCMAC) checksum(d *derived, s *scratch) []byte {
	return d.block.(*camelliaKeys).mac.sum(s.list...)
}

func (camelliaCMAC) seal(d *derived, s *scratch, msg, tag []byte, pieces []Piece) {
	copy(tag, d.block.(*camelliaKeys).mac.sum(s.covered(nil, msg, blockSize, pieces)...))
	ctsEncrypt(d.block, s, msg)
}

func (camelliaCMAC) open(d *derived, s *scratch, out, ct, tag []byte, pieces []Piece) bool {
	ctsDecrypt(d.block, s, out, ct)
	if subtle.ConstantTimeCompare(d.block.(*camelliaKeys).mac.sum(s.covered(s.confounder[:], out, 0, pieces)...), tag) != 1 {
		clear(out)
		return false
	}
	return true
}

func (camelliaCMAC) prf(d *derived, _ *scratch, head, in []byte) []byte {
	return d.block.(*camelliaKeys).mac.sum(head, in)
}

func (c camelliaCMAC) stringToKey(p *profile, password, salt string, iterations int) ([]byte, error) {
	t, err := pbkdf2.Key(sha1.New, password, []byte(p.name+"\x00"+salt), iterations, p.keyLen)
	if err != nil {
		return nil, fmt.Errorf("krb5: string-to-key: %w", err)
	}
	defer clear(t)
	return c.kdf(t, []byte("kerberos"))
}

func (camelliaCMAC) scratch() *scratch  { return aesSHA1{}.scratch() }
func (camelliaCMAC) release(s *scratch) { aesSHA1{}.release(s) }
