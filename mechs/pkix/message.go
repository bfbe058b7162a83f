package pkix

import (
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Types of messages, their first octet.
const (
	typeM1    = 0x01
	typeM2    = 0x02
	typeMR    = 0x03
	typeM3    = 0x04
	typeAlert = 0x0e
	typeError = 0x0f
)

const (
	version   = 1
	randomLen = 32

	// maxToken bounds what is looked at of any token, in octets.
	maxToken = 1<<18 + 1<<12
	maxM1    = 1 << 16
	maxE     = 1 << 18
)

// M1 is the initiator's first message, and its second after a retry:
//
//	01 ‖ u8 1 ‖ ni(32) ‖ u32 flags ‖ vec8 (u16 suite)* ‖ vec16 (u16 suite ‖ vec16 share)*
//	   ‖ vec16 exported name of the target, or empty ‖ vec16 cookie
type m1 struct {
	random [randomLen]byte
	flags  gss.Flags
	suites []Suite // also those that nobody here knows
	shares []keyShare
	target []byte
	cookie []byte
}

type keyShare struct {
	suite Suite
	share []byte
}

func (m *m1) share(id Suite) []byte {
	for _, s := range m.shares {
		if s.suite == id {
			return s.share
		}
	}
	return nil
}

func (m *m1) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder([]byte{typeM1, version})
	b.AddBytes(m.random[:])
	b.AddUint32(uint32(m.flags))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range m.suites {
			b.AddUint16(uint16(s))
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range m.shares {
			b.AddUint16(uint16(s.suite))
			addVec16(b, s.share)
		}
	})
	addVec16(b, m.target)
	addVec16(b, m.cookie)
	return b.Bytes()
}

func addVec16(b *cryptobyte.Builder, v []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

// parseM1 reads an M1. What it returns aliases b.
func parseM1(b []byte) (*m1, bool) {
	s := cryptobyte.String(b)
	var m m1
	var typ, v uint8
	var flags uint32
	var list, shares, target, cookie cryptobyte.String
	if len(b) > maxM1 || !s.ReadUint8(&typ) || typ != typeM1 || !s.ReadUint8(&v) || v != version ||
		!s.CopyBytes(m.random[:]) || !s.ReadUint32(&flags) ||
		!s.ReadUint8LengthPrefixed(&list) || list.Empty() ||
		!s.ReadUint16LengthPrefixed(&shares) ||
		!s.ReadUint16LengthPrefixed(&target) ||
		!s.ReadUint16LengthPrefixed(&cookie) || !s.Empty() {
		return nil, false
	}
	m.flags, m.target, m.cookie = gss.Flags(flags), target, cookie
	for !list.Empty() {
		var id uint16
		if !list.ReadUint16(&id) || slices.Contains(m.suites, Suite(id)) {
			return nil, false
		}
		m.suites = append(m.suites, Suite(id))
	}
	for !shares.Empty() {
		var id uint16
		var share cryptobyte.String
		if !shares.ReadUint16(&id) || !shares.ReadUint16LengthPrefixed(&share) ||
			!slices.Contains(m.suites, Suite(id)) || m.share(Suite(id)) != nil {
			return nil, false
		}
		if p := Suite(id).params(); p != nil && len(share) != p.clientShare() {
			return nil, false
		}
		m.shares = append(m.shares, keyShare{Suite(id), share})
	}
	return &m, true
}

// MR asks for another M1, with a share of suite and the cookie:
//
//	03 ‖ u16 suite ‖ vec16 cookie
func marshalMR(id Suite, cookie []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{typeMR}, uint16(id))
	b = binary.BigEndian.AppendUint16(b, uint16(len(cookie)))
	return append(b, cookie...)
}

func parseMR(b []byte) (id Suite, cookie []byte, ok bool) {
	s := cryptobyte.String(b)
	var typ uint8
	var n uint16
	var c cryptobyte.String
	ok = s.ReadUint8(&typ) && typ == typeMR && s.ReadUint16(&n) &&
		s.ReadUint16LengthPrefixed(&c) && !c.Empty() && s.Empty()
	return Suite(n), c, ok
}

// M2 is the acceptor's answer:
//
//	02 ‖ u16 suite ‖ nr(32) ‖ vec16 share ‖ vec24 E2
//
// head is all before vec24 E2.
type m2 struct {
	suite Suite
	share []byte
	head  []byte
	e     []byte
}

func marshalM2Head(id Suite, random, share []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{typeM2}, uint16(id))
	b = append(b, random...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(share)))
	return append(b, share...)
}

func parseM2(b []byte) (*m2, bool) {
	s := cryptobyte.String(b)
	var typ uint8
	var id uint16
	var random []byte
	var share, e cryptobyte.String
	if !s.ReadUint8(&typ) || typ != typeM2 || !s.ReadUint16(&id) ||
		!s.ReadBytes(&random, randomLen) || !s.ReadUint16LengthPrefixed(&share) {
		return nil, false
	}
	head := b[:len(b)-len(s)]
	if !s.ReadUint24LengthPrefixed(&e) || len(e) > maxE || !s.Empty() {
		return nil, false
	}
	return &m2{Suite(id), share, head, e}, true
}

func appendVec24(b, v []byte) []byte {
	b = append(b, byte(len(v)>>16), byte(len(v)>>8), byte(len(v)))
	return append(b, v...)
}

// M3 is the initiator's last message: 04 ‖ vec24 E3.
func parseM3(b []byte) (e []byte, ok bool) {
	s := cryptobyte.String(b)
	var typ uint8
	var c cryptobyte.String
	ok = s.ReadUint8(&typ) && typ == typeM3 && s.ReadUint24LengthPrefixed(&c) && len(c) <= maxE && s.Empty()
	return c, ok
}

// The alert says that the channel bindings differ, in place of M3: 0E ‖ vec8 of
//
//	AEAD(Expand(HS, "i alert" ‖ TH2, 32), 04 ‖ 0^15)
var alertBindings = [16]byte{0: 4}

func parseAlert(b []byte) (e []byte, ok bool) {
	s := cryptobyte.String(b)
	var typ uint8
	var c cryptobyte.String
	ok = s.ReadUint8(&typ) && typ == typeAlert && s.ReadUint8LengthPrefixed(&c) && s.Empty()
	return c, ok
}

// ME is advice, and not authenticated: 0F ‖ u8 code.
const (
	codeSuiteOrTarget = 1 // no acceptable suite, or not this target
	codeOther         = 2
)

func parseError(b []byte) (code byte, ok bool) {
	if len(b) != 2 || b[0] != typeError || b[1] != codeSuiteOrTarget && b[1] != codeOther {
		return 0, false
	}
	return b[1], true
}

// frame puts the mechanism's OID around a message, as all of them travel.
func frame(inner []byte) []byte { return gss.AppendToken(nil, oid.PKIX, inner) }

// unframe undoes frame.
func unframe(tok []byte) ([]byte, bool) {
	if len(tok) > maxToken {
		return nil, false
	}
	mech, inner, err := gss.ParseToken(tok)
	return inner, err == nil && mech == oid.PKIX && len(inner) > 0
}
