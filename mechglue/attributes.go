package mechglue

import (
	"slices"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// understood are the attributes that a gss.Described mechanism knows of, whether
// it has them or not: those of RFC 5587 §3.2.
var understood = [...]oid.OID{
	oid.MAMechConcrete, oid.MAMechPseudo, oid.MAMechComposite, oid.MAMechNego, oid.MAMechGlue, oid.MANotMech,
	oid.MADeprecated, oid.MANotDfltMech, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAAuthInitInit,
	oid.MAAuthTargInit, oid.MAAuthInitAnon, oid.MAAuthTargAnon, oid.MADelegCred, oid.MAIntegProt, oid.MAConfProt,
	oid.MAMIC, oid.MAWrap, oid.MAProtReady, oid.MAReplayDet, oid.MAOOSDet, oid.MACBindings, oid.MAPFS,
	oid.MACompress, oid.MACtxTrans,
}

// attributes are what m has, and what it understands: nothing, if it is not
// Described.
func attributes(m gss.Mechanism) (has, knows []oid.OID) {
	if d, ok := m.(gss.Described); ok {
		return d.Attributes(), understood[:]
	}
	return nil, nil
}

// ByAttributes returns the mechanisms that have every desired attribute and no
// excepted one, and that understand every critical one, which means that they know
// whether they have it (GSS_Indicate_mechs_by_attrs, RFC 5587 §3.4.2). The result
// is a copy in the same order. A mechanism that is not gss.Described has and
// understands none.
func (ms Mechanisms) ByAttributes(desired, except, critical []oid.OID) Mechanisms {
	var out Mechanisms
	for _, m := range ms {
		has, knows := attributes(m)
		if all(desired, has) && all(critical, knows) && !slices.ContainsFunc(except, func(a oid.OID) bool { return slices.Contains(has, a) }) {
			out = append(out, m)
		}
	}
	return out
}

func all(want, have []oid.OID) bool {
	return !slices.ContainsFunc(want, func(a oid.OID) bool { return !slices.Contains(have, a) })
}

// InquireAttributes returns the attributes that mech (zero: the first) has and
// those that it understands (GSS_Inquire_attrs_for_mech, RFC 5587 §3.4.3);
// oid.Describe displays one. Error: BadMech.
func (ms Mechanisms) InquireAttributes(mech oid.OID) (has, understands []oid.OID, err error) {
	m := ms.Lookup(mech)
	if m == nil {
		return nil, nil, &gss.Error{Op: "Inquire_attrs_for_mech", Mech: mech, Major: gss.BadMech}
	}
	has, understands = attributes(m)
	return slices.Clone(has), slices.Clone(understands), nil
}
