package toy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Krb is a mechanism of Kerberos' shape.
type Krb struct {
	*Party
	Skew bool // the acceptor says that the clocks are apart, in an error token
}

const krbCan = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ | gss.Deleg | gss.DCEStyle | gss.Trans

// MinorSkew is the Minor of an acceptor with Skew.
const MinorSkew = 37

func (m *Krb) OID() oid.OID { return KrbOID }

// Canonicalize makes Krb a gss.Canonicalizer.
func (m *Krb) Canonicalize(_ context.Context, n gss.Name) (gss.Name, error) {
	return canonical(KrbOID, n)
}

// Acquire makes Krb a gss.Acquirer.
func (m *Krb) Acquire(context.Context) ([]gss.Credential, error) {
	if m.User == "" {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: KrbOID, Major: gss.NoCred}
	}
	return []gss.Credential{&Cred{KrbOID, m.User}}, nil
}

// Attributes makes Krb gss.Described.
func (m *Krb) Attributes() []oid.OID {
	return []oid.OID{oid.MAMechConcrete, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MADelegCred, oid.MAIntegProt,
		oid.MAConfProt, oid.MAMIC, oid.MAWrap, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings, oid.MACtxTrans}
}

// Sniff makes Krb a gss.Sniffer: in DCE style the first token is bare.
func (m *Krb) Sniff(first []byte) bool { return len(first) > 0 && first[0] == krbReq }

// Import makes Krb a gss.Importer.
func (m *Krb) Import(state []byte) (gss.Context, error) { return m.importContext(state) }

// First octets of the tokens.
const (
	krbReq = 0x6e
	krbRep = 0x6f
	krbErr = 0x7e
	krbEnd = 0x70 // DCE style only
)

// Initiate is gss.Mechanism's.
func (m *Krb) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	a, err := m.begin(KrbOID, krbCan, target, o)
	if err != nil {
		return nil, err
	}
	a.flags |= gss.Trans
	h := &handshake{mech: KrbOID}
	var req []byte
	complete := func(ms []byte) (gss.Context, error) {
		i := gss.Info{Mech: KrbOID, Local: a.local, Peer: a.target, Initiator: true, Flags: a.flags}
		if err := a.opts.Check(i); err != nil {
			return nil, err
		}
		return newPortable(i, ms)
	}
	second := func(_ context.Context, in []byte) ([]byte, gss.Context, error) {
		s := cryptobyte.String(in)
		var typ uint8
		var minor uint32
		var nonce, mac []byte
		if s.ReadUint8(&typ) && typ == krbErr && s.ReadUint32(&minor) && s.Empty() {
			return nil, nil, &gss.Error{Op: "Init_sec_context", Mech: KrbOID, Major: gss.Failure, Minor: minor, Remote: true}
		}
		if typ != krbRep || !s.ReadBytes(&nonce, 32) || !s.ReadBytes(&mac, 32) || !s.Empty() ||
			!hmac.Equal(mac, m.mac("rep", req, nonce)) {
			return nil, nil, defective(KrbOID)
		}
		sc, err := complete(m.mac("key", req, nonce))
		if err != nil {
			return nil, nil, err
		}
		if a.flags.Has(gss.DCEStyle) {
			return append([]byte{krbEnd}, m.mac("end", req, nonce)...), sc, nil
		}
		return nil, sc, nil
	}
	h.leg = func(context.Context, []byte) ([]byte, gss.Context, error) {
		b := cryptobyte.NewBuilder(nil)
		b.AddUint8(krbReq)
		b.AddUint32(uint32(a.flags))
		nonce := make([]byte, 32)
		rand.Read(nonce)
		b.AddBytes(nonce)
		addString(b, a.local.Text)
		addString(b, a.target.Text)
		b.AddUint8(a.cbp)
		b.AddBytes(a.cbh[:])
		req = b.BytesOrPanic()
		req = append(req, m.mac("req", req)...)
		var out []byte
		if !a.flags.Has(gss.DCEStyle) {
			out = gss.AppendToken(nil, KrbOID, req)
		} else {
			out = append([]byte(nil), req...)
		}
		if a.flags&(gss.Mutual|gss.DCEStyle) != 0 {
			h.leg = second
			return out, nil, nil
		}
		sc, err := complete(m.mac("key", req))
		if err != nil {
			return nil, nil, err
		}
		return out, sc, nil
	}
	return h, nil
}

// Accept is gss.Mechanism's.
func (m *Krb) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	e, err := listen(KrbOID, o)
	if err != nil {
		return nil, err
	}
	h := &handshake{mech: KrbOID}
	h.leg = func(_ context.Context, in []byte) ([]byte, gss.Context, error) {
		req := in
		if !m.Sniff(in) {
			mech, inner, err := gss.ParseToken(in)
			if err != nil || mech != KrbOID {
				return nil, nil, defective(KrbOID)
			}
			req = inner
		}
		i, cbp, cbh, ok := m.parseReq(req)
		if !ok || m.Sniff(in) != i.Flags.Has(gss.DCEStyle) {
			return nil, nil, defective(KrbOID)
		}
		if m.Skew {
			return []byte{krbErr, 0, 0, 0, MinorSkew}, nil, &gss.Error{Op: "Accept_sec_context", Mech: KrbOID, Major: gss.Failure, Minor: MinorSkew}
		}
		bound, err := e.bound(KrbOID, cbp, cbh)
		i.Flags |= bound
		if err == nil {
			err = e.opts.Check(i)
		}
		if err == nil && !m.strike(req) {
			err = &gss.Error{Op: "Accept_sec_context", Mech: KrbOID, Major: gss.DuplicateToken}
		}
		if err != nil {
			return []byte{krbErr, 0, 0, 0, 60}, nil, err
		}
		var out, nonce []byte
		key := m.mac("key", req)
		if i.Flags&(gss.Mutual|gss.DCEStyle) != 0 {
			nonce = make([]byte, 32)
			rand.Read(nonce)
			out = append([]byte{krbRep}, nonce...)
			out = append(out, m.mac("rep", req, nonce)...)
			key = m.mac("key", req, nonce)
		}
		sc, err := newPortable(i, key)
		if err != nil {
			return nil, nil, err
		}
		if i.Flags.Has(gss.Deleg) {
			sc.deleg = &Cred{KrbOID, i.Peer.Text[len("user:"):]}
		}
		if !i.Flags.Has(gss.DCEStyle) {
			return out, sc, nil
		}
		h.sc = sc
		want := append([]byte{krbEnd}, m.mac("end", req, nonce)...)
		h.leg = func(_ context.Context, in []byte) ([]byte, gss.Context, error) {
			if !hmac.Equal(in, want) {
				return nil, nil, defective(KrbOID)
			}
			h.sc = nil
			return nil, sc, nil
		}
		return out, nil, nil
	}
	return h, nil
}

func (m *Krb) parseReq(req []byte) (i gss.Info, cbp uint8, cbh []byte, ok bool) {
	s := cryptobyte.String(req)
	var typ uint8
	var flags uint32
	var nonce, mac []byte
	i.Mech = KrbOID
	ok = s.ReadUint8(&typ) && typ == krbReq && s.ReadUint32(&flags) && gss.Flags(flags)&^krbCan == 0 && s.ReadBytes(&nonce, 32) &&
		readName(&s, &i.Peer) && readName(&s, &i.Local) && s.ReadUint8(&cbp) && cbp <= 1 && s.ReadBytes(&cbh, 32) &&
		s.ReadBytes(&mac, 32) && s.Empty() && hmac.Equal(mac, m.mac("req", req[:len(req)-32]))
	i.Flags = gss.Flags(flags)
	return i, cbp, cbh, ok
}
