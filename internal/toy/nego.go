package toy

import (
	"context"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Nego negotiates among mechanisms, as SPNEGO does: the initiator's list comes
// with a first token of its first mechanism; the acceptor takes the first one
// that it has too. Both end with a MIC over the list and the choice, and hand out
// the inner context itself.
type Nego struct{ Mechs []gss.Mechanism }

func (m *Nego) OID() oid.OID { return NegoOID }

// Inner makes Nego a gss.Stack.
func (m *Nego) Inner() []gss.Mechanism { return m.Mechs }

// Attributes makes Nego gss.Described.
func (m *Nego) Attributes() []oid.OID {
	return []oid.OID{oid.MAMechPseudo, oid.MAMechNego, oid.MAITokFramed}
}

// A negotiation is what both sides keep. Its messages are
//
//	first: vec16 (vec8 OID)*, vec16 token, framed
//	other: vec8 chosen OID, vec16 token, vec16 MIC
type negotiation struct {
	*handshake
	start       func(gss.Mechanism) (gss.Handshake, error)
	offer       []gss.Mechanism
	list        []byte // what the MICs cover: the offer, as sent, and the choice
	chosen      oid.OID
	inner       gss.Handshake
	sent, heard bool
}

func (n *negotiation) Close() error {
	if n.inner != nil {
		n.inner.Close()
	}
	return n.handshake.Close()
}

// Initiate is gss.Mechanism's.
func (m *Nego) Initiate(target gss.Name, o *gss.InitOptions) (gss.Handshake, error) {
	r := o.Resolved()
	n := &negotiation{start: func(x gss.Mechanism) (gss.Handshake, error) { return x.Initiate(target, &r) }}
	first := error(&gss.Error{Op: "Init_sec_context", Mech: NegoOID, Major: gss.BadMech})
	for _, x := range m.Mechs {
		in, err := n.start(x)
		switch {
		case err != nil: // not for this one: not offered
			if len(n.offer) == 0 {
				first = err
			}
			continue
		case n.inner == nil:
			n.inner = in
		default:
			in.Close()
		}
		n.offer = append(n.offer, x)
	}
	if n.inner == nil {
		return nil, first
	}
	n.chosen = n.offer[0].OID()
	n.handshake = &handshake{mech: NegoOID, leg: func(ctx context.Context, _ []byte) ([]byte, gss.Context, error) {
		out, sc, err := n.inner.Step(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		n.sc = sc
		b := cryptobyte.NewBuilder(nil)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, x := range n.offer {
				addOID(b, x.OID())
			}
		})
		n.list = b.BytesOrPanic()
		b = cryptobyte.NewBuilder(slices.Clone(n.list))
		addString(b, string(out))
		n.leg = n.reply
		return gss.AppendToken(nil, NegoOID, b.BytesOrPanic()), nil, nil
	}}
	return n, nil
}

// Accept is gss.Mechanism's.
func (m *Nego) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	r := o.Resolved()
	none := error(&gss.Error{Op: "Accept_sec_context", Mech: NegoOID, Major: gss.BadMech})
	ok := false
	for _, x := range m.Mechs { // as Initiate: what cannot be accepted is not there
		h, err := x.Accept(&r)
		if err == nil {
			h.Close()
			ok = true
		} else if !ok {
			none = err
		}
	}
	if !ok {
		return nil, none
	}
	n := &negotiation{start: func(x gss.Mechanism) (gss.Handshake, error) { return x.Accept(&r) }}
	n.handshake = &handshake{mech: NegoOID, leg: func(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
		mech, body, err := gss.ParseToken(in)
		s := cryptobyte.String(body)
		var list cryptobyte.String
		var tok string
		if err != nil || mech != NegoOID || !s.ReadUint16LengthPrefixed(&list) || list.Empty() || !readString(&s, &tok) || !s.Empty() {
			return nil, nil, defective(NegoOID)
		}
		n.list = slices.Clone(body[:2+len(list)])
		for at := 0; !list.Empty(); at++ {
			var o oid.OID
			if !readOID(&list, &o) || at == 64 {
				return nil, nil, defective(NegoOID)
			}
			k := slices.IndexFunc(m.Mechs, func(x gss.Mechanism) bool { return x.OID() == o })
			if k < 0 || n.chosen != "" {
				continue
			}
			if n.inner, err = n.start(m.Mechs[k]); err != nil {
				continue
			}
			n.chosen = o
			if at > 0 {
				tok = ""
			}
		}
		if n.chosen == "" {
			return nil, nil, &gss.Error{Op: "Accept_sec_context", Mech: NegoOID, Major: gss.BadMech}
		}
		n.list = append(n.list, n.chosen...)
		n.leg = n.reply
		return n.answer(ctx, []byte(tok), nil)
	}}
	return n, nil
}

// reply reads any message but the first.
func (n *negotiation) reply(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	s := cryptobyte.String(in)
	var chosen oid.OID
	var tok, mic string
	if !readOID(&s, &chosen) || !readString(&s, &tok) || !readString(&s, &mic) || !s.Empty() {
		return nil, nil, defective(NegoOID)
	}
	if n.offer != nil && chosen != n.chosen { // the acceptor's first answer
		k := slices.IndexFunc(n.offer, func(x gss.Mechanism) bool { return x.OID() == chosen })
		if k < 0 || tok != "" || mic != "" {
			return nil, nil, defective(NegoOID)
		}
		n.inner.Close()
		if n.sc != nil { // one token, and complete too soon
			n.sc.Close()
			n.sc = nil
		}
		var err error
		if n.inner, err = n.start(n.offer[k]); err != nil {
			return nil, nil, err
		}
		n.chosen = chosen
		n.list, n.offer = append(n.list, chosen...), nil
		return n.answer(ctx, nil, nil)
	}
	if n.offer != nil {
		n.list, n.offer = append(n.list, chosen...), nil
	}
	if chosen != n.chosen || n.sc != nil && tok != "" {
		return nil, nil, defective(NegoOID)
	}
	return n.answer(ctx, []byte(tok), []byte(mic))
}

// answer feeds the inner mechanism, checks and makes MICs, and writes a message.
// A tok is nil if the inner mechanism is to speak first.
func (n *negotiation) answer(ctx context.Context, tok, mic []byte) ([]byte, gss.Context, error) {
	var out, myMIC []byte
	var err error
	if n.sc == nil && (len(tok) > 0 || tok == nil) {
		if out, n.sc, err = n.inner.Step(ctx, tok); err != nil {
			return n.message(out, nil), nil, err
		}
	}
	if len(mic) > 0 {
		if n.sc == nil || n.sc.VerifyMIC(n.list, mic) != nil {
			return nil, nil, &gss.Error{Op: "Step", Mech: NegoOID, Major: gss.BadMIC}
		}
		n.heard = true
	}
	if n.sc != nil && !n.sent {
		if myMIC, err = n.sc.MIC(nil, n.list); err != nil {
			return nil, nil, err
		}
		n.sent = true
	}
	var msg []byte
	if len(out) > 0 || len(myMIC) > 0 || !n.heard {
		msg = n.message(out, myMIC)
	}
	if n.sent && n.heard {
		sc := n.sc
		n.sc = nil
		return msg, sc, nil
	}
	return msg, nil, nil
}

func (n *negotiation) message(tok, mic []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	addOID(b, n.chosen)
	addString(b, string(tok))
	addString(b, string(mic))
	return b.BytesOrPanic()
}

func addOID(b *cryptobyte.Builder, o oid.OID) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(o)) })
}

func readOID(s *cryptobyte.String, out *oid.OID) bool {
	var c cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&c) {
		return false
	}
	o, err := oid.FromContents(c)
	*out = o
	return err == nil
}
