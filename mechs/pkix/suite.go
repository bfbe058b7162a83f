package pkix

import (
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gsseal/gss/internal/record"
)

// A Suite is a key agreement, an AEAD and a hash, chosen together. The number is
// what travels.
type Suite uint16

const (
	X25519MLKEM768    Suite = 1 // ML-KEM-768 and X25519, AES-256-GCM, SHA-384
	X25519            Suite = 2 // X25519, ChaCha20-Poly1305, SHA-256
	P256              Suite = 3 // ECDH on P-256, AES-256-GCM, SHA-256
	SecP256r1MLKEM768 Suite = 4 // ML-KEM-768 and ECDH on P-256, AES-256-GCM, SHA-384
)

// String returns the suite's name.
func (s Suite) String() string {
	if p := s.params(); p != nil {
		return p.name
	}
	return fmt.Sprintf("suite %04x", uint16(s))
}

type suite struct {
	id     Suite
	name   string
	mlkem  bool // ML-KEM-768 in front of the curve, in shares as in the secret
	curve  ecdh.Curve
	public int // octets of the curve's public key
	aead   record.AEAD
	hash   crypto.Hash
}

// suites are in the order of preference.
var suites = [...]suite{
	{X25519MLKEM768, "X25519MLKEM768/AES-256-GCM/SHA-384", true, ecdh.X25519(), 32, record.AES256GCM, crypto.SHA384},
	{X25519, "X25519/ChaCha20-Poly1305/SHA-256", false, ecdh.X25519(), 32, record.ChaCha20Poly1305, crypto.SHA256},
	{P256, "P-256/AES-256-GCM/SHA-256", false, ecdh.P256(), 65, record.AES256GCM, crypto.SHA256},
	{SecP256r1MLKEM768, "SecP256r1MLKEM768/AES-256-GCM/SHA-384", true, ecdh.P256(), 65, record.AES256GCM, crypto.SHA384},
}

func (s Suite) params() *suite {
	for i := range suites {
		if suites[i].id == s {
			return &suites[i]
		}
	}
	return nil
}

// usable reports whether this process may use s: GODEBUG=fips140=only forbids some.
func (s *suite) usable() bool {
	_, err := s.aead(make([]byte, 32))
	_, err2 := s.curve.GenerateKey(rand.Reader)
	return err == nil && err2 == nil
}

// chooseSuites returns those of want, or all, that can be used.
func chooseSuites(want []Suite) ([]*suite, error) {
	all := want
	if len(want) == 0 {
		for i := range suites {
			all = append(all, suites[i].id)
		}
	}
	var list []*suite
	for _, id := range all {
		p := id.params()
		switch {
		case p == nil || slices.Contains(list, p):
			return nil, fmt.Errorf("pkix: unknown or repeated: %v", id)
		case p.usable():
			list = append(list, p)
		case len(want) > 0:
			return nil, fmt.Errorf("pkix: not allowed in this process: %v", id)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("pkix: no suite is allowed in this process")
	}
	return list, nil
}

var errShare = errors.New("pkix: bad key share")

// clientShare and serverShare are the lengths of key shares, in octets.
func (s *suite) clientShare() int { return s.kemLen(mlkem.EncapsulationKeySize768) + s.public }
func (s *suite) serverShare() int { return s.kemLen(mlkem.CiphertextSize768) + s.public }

func (s *suite) kemLen(n int) int {
	if s.mlkem {
		return n
	}
	return 0
}

// An ephemeral is the initiator's half of a key agreement.
type ephemeral struct {
	s   *suite
	kem *mlkem.DecapsulationKey768 // nil if the suite has none
	ec  *ecdh.PrivateKey
}

func (s *suite) generate() (*ephemeral, error) {
	e := &ephemeral{s: s}
	var err error
	if s.mlkem {
		if e.kem, err = mlkem.GenerateKey768(); err != nil {
			return nil, err
		}
	}
	e.ec, err = s.curve.GenerateKey(rand.Reader)
	return e, err
}

// share returns encapsulation key ‖ curve's public key.
func (e *ephemeral) share() []byte {
	var b []byte
	if e.kem != nil {
		b = e.kem.EncapsulationKey().Bytes()
	}
	return append(b, e.ec.PublicKey().Bytes()...)
}

// finish returns the shared secret from the acceptor's share.
func (e *ephemeral) finish(share []byte) (secret []byte, err error) {
	if len(share) != e.s.serverShare() {
		return nil, errShare
	}
	if e.kem != nil {
		if secret, err = e.kem.Decapsulate(share[:mlkem.CiphertextSize768]); err != nil {
			return nil, errShare
		}
		share = share[mlkem.CiphertextSize768:]
	}
	return agree(secret, e.ec, share)
}

// respond returns the acceptor's share, ciphertext ‖ curve's public key, and the
// shared secret.
func (s *suite) respond(share []byte) (mine, secret []byte, err error) {
	if len(share) != s.clientShare() {
		return nil, nil, errShare
	}
	if s.mlkem {
		key, err := mlkem.NewEncapsulationKey768(share[:mlkem.EncapsulationKeySize768])
		if err != nil {
			return nil, nil, errShare
		}
		secret, mine = key.Encapsulate()
		share = share[mlkem.EncapsulationKeySize768:]
	}
	ec, err := s.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	secret, err = agree(secret, ec, share)
	return append(mine, ec.PublicKey().Bytes()...), secret, err
}

// agree appends the curve's shared secret. Points off the curve and, on X25519,
// of low order are refused by crypto/ecdh.
func agree(secret []byte, ec *ecdh.PrivateKey, share []byte) ([]byte, error) {
	pub, err := ec.Curve().NewPublicKey(share)
	if err != nil {
		return nil, errShare
	}
	dh, err := ec.ECDH(pub)
	if err != nil {
		return nil, errShare
	}
	out := slices.Concat(secret, dh)
	clear(secret)
	clear(dh)
	return out, nil
}

// The key schedule. All of it is HKDF (RFC 5869) with the suite's hash.

func (s *suite) sum(parts ...[]byte) []byte {
	h := s.hash.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func (s *suite) mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(s.hash.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// extract returns HS and erases secret.
func (s *suite) extract(secret []byte) ([]byte, error) {
	salt := binary.BigEndian.AppendUint16([]byte("gss pkix 1"), uint16(s.id))
	defer clear(secret)
	return hkdf.Extract(s.hash.New, secret, salt)
}

// expand returns Expand(hs, label ‖ th, n).
func (s *suite) expand(hs []byte, label string, th []byte, n int) ([]byte, error) {
	return hkdf.Expand(s.hash.New, hs, label+string(th), n)
}

// seal encrypts the one plaintext of the key that label and th give.
func (s *suite) seal(hs []byte, label string, th, plaintext []byte) ([]byte, error) {
	key, err := s.expand(hs, label, th, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	a, err := s.aead(key)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, make([]byte, a.NonceSize()), plaintext, nil), nil
}

// open undoes seal.
func (s *suite) open(hs []byte, label string, th, ciphertext []byte) ([]byte, error) {
	key, err := s.expand(hs, label, th, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	a, err := s.aead(key)
	if err != nil {
		return nil, err
	}
	return a.Open(nil, make([]byte, a.NonceSize()), ciphertext, nil)
}
