package toy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
)

// Uni is a mechanism of one token. It has no Mutual.
type Uni struct{ *Party }

const uniCan = gss.Replay | gss.Sequence | gss.Conf | gss.Integ

// UniFlags are what an initiator can require of Uni.
const UniFlags = uniCan

func (m *Uni) OID() oid.OID { return UniOID }

// Attributes makes Uni gss.Described.
func (m *Uni) Attributes() []oid.OID {
	return []oid.OID{oid.MAMechConcrete, oid.MAITokFramed, oid.MAAuthInit, oid.MAIntegProt, oid.MAConfProt,
		oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings}
}

// Initiate is gss.Mechanism's.
func (m *Uni) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	a, err := m.begin(UniOID, uniCan, target, o)
	if err != nil {
		return nil, err
	}
	return &handshake{mech: UniOID, leg: func(context.Context, []byte) ([]byte, gss.Context, error) {
		b := cryptobyte.NewBuilder(nil)
		b.AddUint32(uint32(a.flags))
		nonce := make([]byte, 32)
		rand.Read(nonce)
		b.AddBytes(nonce)
		addString(b, a.local.Text)
		addString(b, a.target.Text)
		b.AddUint8(a.cbp)
		b.AddBytes(a.cbh[:])
		tok := b.BytesOrPanic()
		tok = append(tok, m.mac("uni", tok)...)
		i := gss.Info{Mech: UniOID, Local: a.local, Peer: a.target, Initiator: true, Flags: a.flags}
		sc, err := m.context(i, tok)
		if err != nil {
			return nil, nil, err
		}
		return gss.AppendToken(nil, UniOID, tok), sc, nil
	}}, nil
}

func (m *Uni) context(i gss.Info, tok []byte) (gss.Context, error) {
	p := params(i, m.mac("uni key", tok))
	p.OneWay = true
	sc, err := record.New(p)
	if err != nil {
		return nil, err
	}
	return sc, nil
}

// Accept is gss.Mechanism's.
func (m *Uni) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	e, err := listen(UniOID, o)
	if err != nil {
		return nil, err
	}
	return &handshake{mech: UniOID, leg: func(_ context.Context, in []byte) ([]byte, gss.Context, error) {
		mech, tok, err := gss.ParseToken(in)
		s := cryptobyte.String(tok)
		var flags uint32
		var cbp uint8
		var nonce, cbh, mac []byte
		i := gss.Info{Mech: UniOID}
		if err != nil || mech != UniOID || !s.ReadUint32(&flags) || gss.Flags(flags)&^uniCan != 0 || !s.ReadBytes(&nonce, 32) ||
			!readName(&s, &i.Peer) || !readName(&s, &i.Local) || !s.ReadUint8(&cbp) || cbp > 1 || !s.ReadBytes(&cbh, 32) ||
			!s.ReadBytes(&mac, 32) || !s.Empty() || !hmac.Equal(mac, m.mac("uni", tok[:len(tok)-32])) {
			return nil, nil, defective(UniOID)
		}
		bound, err := e.bound(UniOID, cbp, cbh)
		if err != nil {
			return nil, nil, err
		}
		i.Flags = gss.Flags(flags) | bound
		if err := e.opts.Check(i); err != nil {
			return nil, nil, err
		}
		if !m.strike(tok) {
			return nil, nil, &gss.Error{Op: "Accept_sec_context", Mech: UniOID, Major: gss.DuplicateToken}
		}
		sc, err := m.context(i, tok)
		if err != nil {
			return nil, nil, err
		}
		return nil, sc, nil
	}}, nil
}
