package pkix

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
)

// A scheme is how a certificate's key signs; numbers and meaning are those of TLS
// 1.3's SignatureScheme, RFC 8446 §4.2.3.
type scheme uint16

const (
	ed25519Scheme scheme = 0x0807
	ecdsaP256     scheme = 0x0403 // with SHA-256, DER
	ecdsaP384     scheme = 0x0503 // with SHA-384, DER
	pssSHA256     scheme = 0x0804 // salt as long as the hash
	pssSHA384     scheme = 0x0805
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // of which a verification takes some 300 µs
)

var (
	errSignature = errors.New("pkix: bad signature")
	errKeyType   = errors.New("pkix: key type cannot sign here")
)

// checkKey refuses public keys that prove nothing or cost too much: RSA moduli out
// of bounds, curves other than NIST's P-256, P-384 and P-521, and Ed25519 keys
// that are not canonical points or are of small order. With one of the latter a
// signature made without any private key verifies, for many messages at once, and
// neither crypto/ed25519 nor crypto/x509 minds.
func checkKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		p, err := new(edwards25519.Point).SetBytes(k)
		if err != nil || !bytes.Equal(p.Bytes(), k) {
			return errors.New("pkix: Ed25519 key is not a canonical point")
		}
		if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
			return errors.New("pkix: Ed25519 key of small order")
		}
		return nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Errorf("pkix: RSA key of %d bits", n)
		}
		return nil
	}
	return errKeyType
}

// schemeFor returns how a key signs in a suite with hash; ok is false if it cannot.
func schemeFor(pub crypto.PublicKey, hash crypto.Hash) (s scheme, ok bool) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return ed25519Scheme, true
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ecdsaP256, true
		case elliptic.P384():
			return ecdsaP384, true
		}
	case *rsa.PublicKey:
		if hash == crypto.SHA384 {
			return pssSHA384, true
		}
		return pssSHA256, true
	}
	return 0, false
}

func (s scheme) hash() crypto.Hash {
	switch s {
	case ecdsaP256, pssSHA256:
		return crypto.SHA256
	case ecdsaP384, pssSHA384:
		return crypto.SHA384
	}
	return 0 // Ed25519 hashes by itself
}

// signed returns what is signed, in the manner of RFC 8446 §4.4.3:
//
//	0x20 × 64 ‖ context ‖ 00 ‖ H(th ‖ proof before scheme ‖ u16 scheme)
//
// and hashes it if the scheme wants a digest.
func signed(su *suite, context string, th, before []byte, s scheme) []byte {
	content := bytes.Repeat([]byte{0x20}, 64)
	content = append(content, context...)
	content = append(content, 0)
	content = append(content, su.sum(th, before, binary.BigEndian.AppendUint16(nil, uint16(s)))...)
	if h := s.hash(); h != 0 {
		d := h.New()
		d.Write(content)
		return d.Sum(nil)
	}
	return content
}

func (s scheme) options() crypto.SignerOpts {
	if s == pssSHA256 || s == pssSHA384 {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash()}
	}
	return s.hash()
}

// sign signs what signed returned.
func (s scheme) sign(key crypto.Signer, message []byte) ([]byte, error) {
	return key.Sign(rand.Reader, message, s.options())
}

// verify checks a signature on what signed returned, by a key that passed checkKey.
// The scheme must be one of those that fit the key.
func (s scheme) verify(pub crypto.PublicKey, message, sig []byte) error {
	ok := false
	switch k := pub.(type) {
	case ed25519.PublicKey:
		ok = s == ed25519Scheme && ed25519.Verify(k, message, sig)
	case *ecdsa.PublicKey:
		want, known := schemeFor(k, 0)
		ok = known && s == want && ecdsa.VerifyASN1(k, message, sig)
	case *rsa.PublicKey:
		ok = (s == pssSHA256 || s == pssSHA384) &&
			rsa.VerifyPSS(k, s.hash(), message, sig, s.options().(*rsa.PSSOptions)) == nil
	}
	if !ok {
		return errSignature
	}
	return nil
}
