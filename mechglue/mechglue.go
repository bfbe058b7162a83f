// Package mechglue chooses among mechanisms by OID: the initiator's by what the
// application asks for, the acceptor's by what the first token says (RFC 2743
// §3.1). It negotiates nothing with the peer.
//
// There is no registry. A [Mechanisms] is a slice that the application fills, in
// order of preference; package mechs has one that fits the host.
package mechglue

import (
	"context"
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Mechanisms are in order of preference. It is a plain slice: filter it, append to
// a copy. Its methods are safe for concurrent use while nobody changes it.
type Mechanisms []gss.Mechanism

// OIDs lists the mechanisms' OIDs in order, each once (GSS_Indicate_mechs).
func (ms Mechanisms) OIDs() []oid.OID {
	var out []oid.OID
	for _, m := range ms {
		if !slices.Contains(out, m.OID()) {
			out = append(out, m.OID())
		}
	}
	return out
}

// Lookup returns the first mechanism with this OID; the first of all for the zero
// OID; nil if there is none. oid.MSKrb5, which is how some peers write oid.Krb5,
// finds that, unless something else has it.
func (ms Mechanisms) Lookup(mech oid.OID) gss.Mechanism {
	if all := ms.named(mech); len(all) > 0 {
		return all[0]
	}
	return nil
}

// named returns the mechanisms with this OID; all for the zero one.
func (ms Mechanisms) named(mech oid.OID) Mechanisms {
	if mech == "" {
		return ms
	}
	var out Mechanisms
	for _, m := range ms {
		if m.OID() == mech {
			out = append(out, m)
		}
	}
	if len(out) == 0 && mech == oid.MSKrb5 {
		return ms.named(oid.Krb5)
	}
	return out
}

// Canonicalize returns mech's own name of n (GSS_Canonicalize_name). Errors:
// BadMech, Unavailable (mech has no names of its own), BadNameType, BadName.
func (ms Mechanisms) Canonicalize(ctx context.Context, mech oid.OID, n gss.Name) (gss.Name, error) {
	fail := &gss.Error{Op: "Canonicalize_name", Mech: mech, Major: gss.BadMech}
	m := ms.Lookup(mech)
	if m == nil {
		return gss.Name{}, fail
	}
	c, ok := m.(gss.Canonicalizer)
	if !ok {
		fail.Mech, fail.Major = m.OID(), gss.Unavailable
		return gss.Name{}, fail
	}
	return c.Canonicalize(ctx, n)
}
