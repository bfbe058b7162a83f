package toy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
)

// PK is a mechanism of SIGMA's shape: both sides name themselves after the first
// token, the initiator last, and it is complete first.
type PK struct{ *Party }

const pkCan = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ

func (m *PK) OID() oid.OID { return PKOID }

// Canonicalize makes PK a gss.Canonicalizer.
func (m *PK) Canonicalize(_ context.Context, n gss.Name) (gss.Name, error) {
	return canonical(PKOID, n)
}

// Attributes makes PK gss.Described.
func (m *PK) Attributes() []oid.OID {
	return []oid.OID{oid.MAMechConcrete, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAIntegProt, oid.MAConfProt,
		oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings}
}

// Initiate is gss.Mechanism's. The tokens are
//
//	M1 = flags, target, nonce, framed
//	M2 = nonce, cbp, cbh, MAC("a", M1, all before)
//	M3 = name, MAC("i", M1, M2, all before), or the alert 0xff, MAC("alert", M1, M2)
func (m *PK) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	a, err := m.begin(PKOID, pkCan, target, o)
	if err != nil {
		return nil, err
	}
	h := &handshake{mech: PKOID}
	var m1 []byte
	last := func(_ context.Context, m2 []byte) ([]byte, gss.Context, error) {
		s := cryptobyte.String(m2)
		var cbp uint8
		var nonce, cbh, mac []byte
		if !s.ReadBytes(&nonce, 32) || !s.ReadUint8(&cbp) || !s.ReadBytes(&cbh, 32) || !s.ReadBytes(&mac, 32) || !s.Empty() ||
			!hmac.Equal(mac, m.mac("a", m1, m2[:65])) {
			return nil, nil, defective(PKOID)
		}
		if cbp != a.cbp || !hmac.Equal(cbh, a.cbh[:]) {
			return append([]byte{0xff}, m.mac("alert", m1, m2)...), nil, &gss.Error{Op: "Init_sec_context", Mech: PKOID, Major: gss.BadBindings}
		}
		i := gss.Info{Mech: PKOID, Local: a.local, Peer: a.target, Initiator: true, Flags: a.flags}
		if cbp == 1 {
			i.Flags |= gss.Bound
		}
		if err := a.opts.Check(i); err != nil {
			return nil, nil, err
		}
		b := cryptobyte.NewBuilder(nil)
		addString(b, a.local.Text)
		m3 := b.BytesOrPanic()
		m3 = append(m3, m.mac("i", m1, m2, m3)...)
		sc, err := record.New(params(i, m.mac("key", m1, m2, m3)))
		if err != nil {
			return nil, nil, err
		}
		return m3, sc, nil
	}
	h.leg = func(context.Context, []byte) ([]byte, gss.Context, error) {
		b := cryptobyte.NewBuilder(nil)
		b.AddUint32(uint32(a.flags))
		addString(b, a.target.Text)
		nonce := make([]byte, 32)
		rand.Read(nonce)
		b.AddBytes(nonce)
		m1 = b.BytesOrPanic()
		h.leg = last
		return gss.AppendToken(nil, PKOID, m1), nil, nil
	}
	return h, nil
}

// Accept is gss.Mechanism's.
func (m *PK) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	e, err := listen(PKOID, o)
	if err != nil {
		return nil, err
	}
	if e.cbp == 1 && e.opts.BindingsOptional { // it is both or none here
		return nil, &gss.Error{Op: "Accept_sec_context", Mech: PKOID, Major: gss.Unavailable}
	}
	h := &handshake{mech: PKOID}
	h.leg = func(_ context.Context, in []byte) ([]byte, gss.Context, error) {
		mech, m1, err := gss.ParseToken(in)
		s := cryptobyte.String(m1)
		var flags uint32
		var nonce []byte
		var local gss.Name
		if err != nil || mech != PKOID || !s.ReadUint32(&flags) || gss.Flags(flags)&^pkCan != 0 || !readName(&s, &local) ||
			!s.ReadBytes(&nonce, 32) || !s.Empty() {
			return nil, nil, defective(PKOID)
		}
		m2 := make([]byte, 32, 97)
		rand.Read(m2)
		m2 = append(append(m2, e.cbp), e.cbh[:]...)
		m2 = append(m2, m.mac("a", m1, m2)...)
		i := gss.Info{Mech: PKOID, Local: local, Flags: gss.Flags(flags)}
		if e.cbp == 1 {
			i.Flags |= gss.Bound // or there will be no context
		}
		mine := append([]byte(nil), m2...)
		h.leg = func(_ context.Context, m3 []byte) ([]byte, gss.Context, error) { return m.last(e, i, m1, mine, m3) }
		return m2, nil, nil
	}
	return h, nil
}

func (m *PK) last(e *ear, i gss.Info, m1, m2, m3 []byte) ([]byte, gss.Context, error) {
	if len(m3) == 1+sha256.Size && m3[0] == 0xff && hmac.Equal(m3[1:], m.mac("alert", m1, m2)) {
		return nil, nil, &gss.Error{Op: "Accept_sec_context", Mech: PKOID, Major: gss.BadBindings, Remote: true}
	}
	s := cryptobyte.String(m3)
	var mac []byte
	if !readName(&s, &i.Peer) || !s.ReadBytes(&mac, 32) || !s.Empty() || !hmac.Equal(mac, m.mac("i", m1, m2, m3[:len(m3)-32])) {
		return nil, nil, defective(PKOID)
	}
	if err := e.opts.Check(i); err != nil {
		return nil, nil, err
	}
	sc, err := record.New(params(i, m.mac("key", m1, m2, m3)))
	if err != nil {
		return nil, nil, err
	}
	return nil, sc, nil
}
