package reauth

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"errors"
)

// A Group is the key agreement of a resumption, with its number on the wire.
type Group uint8

const (
	NoShare        Group = 0 // symmetric only
	X25519         Group = 1
	X25519MLKEM768 Group = 2 // the shares and secrets of ML-KEM-768 (FIPS 203) come first
	P256           Group = 3 // uncompressed points
)

var errShare = errors.New("reauth: bad share")

// x25519Len is the length of a share and of a secret.
const x25519Len = 32

func (g Group) curve() ecdh.Curve {
	if g == P256 {
		return ecdh.P256()
	}
	return ecdh.X25519()
}

// A share is the initiator's half of an agreement.
type share struct {
	group Group
	ec    *ecdh.PrivateKey
	kem   *mlkem.DecapsulationKey768
}

// newShare returns a share and its public part: nothing for NoShare.
func newShare(g Group) (*share, []byte, error) {
	s := &share{group: g}
	switch g {
	case NoShare:
		return s, nil, nil
	case X25519, X25519MLKEM768, P256:
	default:
		return nil, nil, errShare
	}
	var err error
	if s.ec, err = g.curve().GenerateKey(rand.Reader); err != nil {
		return nil, nil, err
	}
	pub := s.ec.PublicKey().Bytes()
	if g != X25519MLKEM768 {
		return s, pub, nil
	}
	if s.kem, err = mlkem.GenerateKey768(); err != nil {
		return nil, nil, err
	}
	return s, append(s.kem.EncapsulationKey().Bytes(), pub...), nil
}

// secret returns what the acceptor's share leads to: nil for NoShare.
func (s *share) secret(peer []byte) ([]byte, error) {
	switch {
	case s.group == NoShare && len(peer) == 0:
		return nil, nil
	case s.group == NoShare:
		return nil, errShare
	case s.kem == nil:
		return exchange(s.ec, peer)
	case len(peer) != mlkem.CiphertextSize768+x25519Len:
		return nil, errShare
	}
	k, err := s.kem.Decapsulate(peer[:mlkem.CiphertextSize768])
	if err != nil {
		return nil, errShare
	}
	e, err := exchange(s.ec, peer[mlkem.CiphertextSize768:])
	if err != nil {
		return nil, err
	}
	defer clear(e)
	return append(k, e...), nil
}

// answer returns the acceptor's share for peer's, and the secret.
func answer(g Group, peer []byte) (pub, secret []byte, err error) {
	switch g {
	case NoShare:
		if len(peer) != 0 {
			return nil, nil, errShare
		}
		return nil, nil, nil
	case X25519, P256:
		return answerEC(g, peer)
	case X25519MLKEM768:
	default:
		return nil, nil, errShare
	}
	if len(peer) != mlkem.EncapsulationKeySize768+x25519Len {
		return nil, nil, errShare
	}
	ek, err := mlkem.NewEncapsulationKey768(peer[:mlkem.EncapsulationKeySize768])
	if err != nil {
		return nil, nil, errShare
	}
	pub, secret, err = answerEC(g, peer[mlkem.EncapsulationKeySize768:])
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	k, ct := ek.Encapsulate()
	return append(ct, pub...), append(k, secret...), nil
}

func answerEC(g Group, peer []byte) (pub, secret []byte, err error) {
	key, err := g.curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = exchange(key, peer); err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), secret, nil
}

// exchange refuses what is not on the curve or of low order.
func exchange(key *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	p, err := key.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, errShare
	}
	s, err := key.ECDH(p)
	if err != nil {
		return nil, errShare
	}
	return s, nil
}
