package pkix

import (
	"crypto/sha256"
	"crypto/subtle"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
)

// A proof is P2 or P3, what E2 and E3 encrypt: who a side is, and what proves it.
//
//	u32 flags ‖ u8 cbp ‖ cbh(32) ‖ vec16 exported name ‖ vec24 (vec24 certificate)*
//	  ‖ vec16 OCSP response ‖ u16 scheme ‖ vec16 signature ‖ fin(h) ‖ 0-padding
//
// The padding is the least that makes a multiple of 512 octets; anything else is
// refused. cbp and cbh are gss.HashBindings'.
type proof struct {
	flags  gss.Flags
	cbp    byte
	cbh    [sha256.Size]byte
	name   []byte
	chain  [][]byte // the signer's own certificate first
	ocsp   []byte   // for the first certificate; may be empty
	scheme scheme
	sig    []byte
	fin    []byte

	beforeScheme, beforeFin []byte // of a parsed one: what came first
}

const (
	padTo    = 512
	maxCerts = 8       // in a chain
	maxCert  = 1 << 15 // octets
	maxOCSP  = 1 << 13
	maxSig   = maxRSABits / 8
)

// marshalIdentity returns P up to scheme, and signs nothing.
func (p *proof) marshalIdentity() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint32(uint32(p.flags))
	b.AddUint8(p.cbp)
	b.AddBytes(p.cbh[:])
	addVec16(&b, p.name)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, c := range p.chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c) })
		}
	})
	addVec16(&b, p.ocsp)
	return b.Bytes()
}

// pad appends the padding.
func pad(b []byte) []byte {
	return append(b, make([]byte, (padTo-len(b)%padTo)%padTo)...)
}

// parseProof reads a proof whose fin has finLen octets. What it returns aliases b.
func parseProof(b []byte, finLen int) (*proof, bool) {
	s := cryptobyte.String(b)
	var p proof
	var flags uint32
	var sch uint16
	var name, chain, ocsp, sig cryptobyte.String
	if !s.ReadUint32(&flags) || !s.ReadUint8(&p.cbp) || p.cbp > 1 || !s.CopyBytes(p.cbh[:]) ||
		p.cbp == 0 && p.cbh != [sha256.Size]byte{} ||
		!s.ReadUint16LengthPrefixed(&name) || name.Empty() ||
		!s.ReadUint24LengthPrefixed(&chain) || chain.Empty() ||
		!s.ReadUint16LengthPrefixed(&ocsp) || len(ocsp) > maxOCSP {
		return nil, false
	}
	p.beforeScheme = b[:len(b)-len(s)]
	if !s.ReadUint16(&sch) || !s.ReadUint16LengthPrefixed(&sig) || sig.Empty() || len(sig) > maxSig {
		return nil, false
	}
	p.beforeFin = b[:len(b)-len(s)]
	if !s.ReadBytes(&p.fin, finLen) || len(b)%padTo != 0 || len(s) >= padTo ||
		subtle.ConstantTimeCompare(s, make([]byte, len(s))) != 1 {
		return nil, false
	}
	for !chain.Empty() {
		var c cryptobyte.String
		if len(p.chain) == maxCerts || !chain.ReadUint24LengthPrefixed(&c) || c.Empty() || len(c) > maxCert {
			return nil, false
		}
		p.chain = append(p.chain, c)
	}
	p.flags, p.name, p.ocsp, p.scheme, p.sig = gss.Flags(flags), name, ocsp, scheme(sch), sig
	return &p, true
}

// prover is what the two proofs of a handshake differ in.
type prover struct {
	signs, finishes, encrypts string // labels
}

var (
	acceptorProof  = prover{"gss pkix 1 acceptor", "a fin", "a hs"}
	initiatorProof = prover{"gss pkix 1 initiator", "i fin", "i hs"}
)
