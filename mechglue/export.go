package mechglue

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// An interprocess token is the DER of a mechanism's OID and that mechanism's state.
// RFC 2743 §2.2.8 leaves its form to the implementation; it is secret, and is read
// once: see gss.Exporter.

// Export returns sc's state with the OID of its mechanism, for Mechanisms.Import,
// and closes sc. On an error (Unavailable, NoContext) sc stays as it was.
func Export(sc gss.Context) ([]byte, error) {
	mech := sc.Info().Mech
	e, ok := sc.(gss.Exporter)
	if !ok {
		return nil, &gss.Error{Op: "Export_sec_context", Mech: mech, Major: gss.Unavailable}
	}
	return framed(mech, e.Export)
}

// framed prefixes what export returns.
func framed(mech oid.OID, export func() ([]byte, error)) ([]byte, error) {
	state, err := export()
	if err != nil {
		return nil, err
	}
	defer clear(state)
	return append(mech.AppendDER(make([]byte, 0, len(mech)+4+len(state))), state...), nil
}

// Import returns the context that Export exported. Its mechanism may be inside a
// gss.Stack, which hands out contexts that are not its own. Errors:
// DefectiveToken, BadMech, and the mechanism's.
func (ms Mechanisms) Import(tok []byte) (gss.Context, error) {
	m, state, err := importer[gss.Importer](ms, tok)
	if err != nil {
		return nil, err
	}
	return m.Import(state)
}

// ExportHandshake is gss.HandshakeExporter's, with the OID of the mechanism in
// front, for Mechanisms.ImportHandshake. It is Unavailable before the first token
// and of mechanisms that cannot.
func (a *accepting) ExportHandshake() ([]byte, error) {
	fail := &gss.Error{Op: "Export_sec_context", Mech: a.mech, Major: gss.Unavailable}
	if a.over {
		fail.Major = gss.NoContext
		return nil, fail
	}
	e, ok := a.h.(gss.HandshakeExporter)
	if !ok {
		return nil, fail
	}
	return framed(a.mech, e.ExportHandshake)
}

// ImportHandshake returns the handshake of an Accept that was exported between two
// Steps. o is as in Accept. Errors: DefectiveToken, BadMech, and the mechanism's.
func (ms Mechanisms) ImportHandshake(tok []byte, o *gss.AcceptOptions) (gss.Handshake, error) {
	m, state, err := importer[gss.HandshakeImporter](ms, tok)
	if err != nil {
		return nil, err
	}
	r := o.Resolved()
	h, err := m.ImportHandshake(state, &r)
	if err != nil {
		return nil, err
	}
	return &accepting{ms: slices.Clone(ms), o: r, mech: m.OID(), h: h}, nil
}

// maxDepth bounds stacks in stacks: a cycle is a mistake, but not a reason to hang.
const maxDepth = 8

// importer splits tok and finds the first mechanism with its OID that is an M, of
// ms or of a Stack among them.
func importer[M gss.Mechanism](ms Mechanisms, tok []byte) (m M, state []byte, err error) {
	s := cryptobyte.String(tok)
	var mech oid.OID
	if !oid.Read(&s, &mech) {
		return m, nil, &gss.Error{Op: "Import_sec_context", Major: gss.DefectiveToken}
	}
	m, ok := find[M](ms, mech, maxDepth)
	if !ok {
		return m, nil, &gss.Error{Op: "Import_sec_context", Mech: mech, Major: gss.BadMech}
	}
	return m, s, nil
}

func find[M gss.Mechanism](ms Mechanisms, mech oid.OID, depth int) (m M, ok bool) {
	for _, x := range ms {
		if m, ok := x.(M); ok && x.OID() == mech {
			return m, true
		}
	}
	for _, x := range ms {
		if st, ok := x.(gss.Stack); ok && depth > 0 {
			if m, ok := find[M](st.Inner(), mech, depth-1); ok {
				return m, true
			}
		}
	}
	return m, false
}
