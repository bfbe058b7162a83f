package mechglue

import (
	"context"
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Accept returns a Handshake whose mechanism its first token chooses: by the OID
// of its framing, or, if it has no framing, by the first gss.Sniffer that knows
// it. A token that chooses none is BadMech with its OID, or DefectiveToken.
//
// The handshake is a gss.EarlyHandshake and a gss.HandshakeExporter as far as its
// mechanism's is.
func (ms Mechanisms) Accept(o *gss.AcceptOptions) gss.Handshake {
	return &accepting{ms: slices.Clone(ms), o: o.Resolved()}
}

type accepting struct {
	ms   Mechanisms
	o    gss.AcceptOptions
	mech oid.OID
	h    gss.Handshake // nil until the first token
	over bool
}

func (a *accepting) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	if a.over {
		return nil, nil, &gss.Error{Op: "Accept_sec_context", Mech: a.mech, Major: gss.NoContext}
	}
	if a.h == nil {
		if err := a.begin(in); err != nil {
			a.over = true
			return nil, nil, err
		}
	}
	out, sc, err := a.h.Step(ctx, in)
	a.over = sc != nil || err != nil
	return out, sc, err
}

func (a *accepting) begin(first []byte) error {
	m, err := a.ms.choose(first)
	if err != nil {
		return err
	}
	a.mech = m.OID()
	a.h, err = m.Accept(&a.o)
	return err
}

// choose is the mechanism of a first token. Framing comes before sniffing, so that
// no Sniffer takes what is addressed to another.
func (ms Mechanisms) choose(first []byte) (gss.Mechanism, error) {
	mech, _, err := gss.ParseToken(first)
	if err == nil {
		if m := ms.Lookup(mech); m != nil {
			return m, nil
		}
		return nil, &gss.Error{Op: "Accept_sec_context", Mech: mech, Major: gss.BadMech}
	}
	for _, m := range ms {
		if s, ok := m.(gss.Sniffer); ok && len(first) > 0 && s.Sniff(first) {
			return m, nil
		}
	}
	return nil, &gss.Error{Op: "Accept_sec_context", Major: gss.DefectiveToken, Err: err}
}

func (a *accepting) Close() error {
	a.over = true
	if a.h == nil {
		return nil
	}
	return a.h.Close()
}

// Early is gss.EarlyHandshake's.
func (a *accepting) Early() gss.Context {
	if e, ok := a.h.(gss.EarlyHandshake); ok {
		return e.Early()
	}
	return nil
}
