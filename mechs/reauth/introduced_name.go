package reauth

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// IntroducedName returns the name that introducer has for who: both ends of a context
// that an introduction led to have such a name, and no others. Its Mech is oid.Introduced, and
// its Text is
//
//	vec16 N(introducer) ‖ vec16 N(who)
//
// in octets, with their exported names (RFC 2743 §3.2), so that it is never == a name of
// anybody who came by himself. Error: NameNotMN, BadName, if one of them is no mechanism name,
// empty, introduced itself, or too long.
func IntroducedName(introducer, who gss.Name) (gss.Name, error) {
	var b []byte
	for _, n := range [2]gss.Name{introducer, who} {
		e, err := n.Export()
		if err != nil {
			return gss.Name{}, err
		}
		if n.Mech == oid.Introduced || n.Type != "" || n.Text == "" || len(e) > 1<<16-1 {
			return gss.Name{}, &gss.Error{Op: "Canonicalize_name", Mech: oid.Introduced, Major: gss.BadName}
		}
		b = appendVec16(b, e)
	}
	return gss.Name{Mech: oid.Introduced, Text: string(b)}, nil
}

// SplitIntroduced takes apart what IntroducedName made; false if n is nothing of that kind.
func SplitIntroduced(n gss.Name) (introducer, who gss.Name, ok bool) {
	s := cryptobyte.String(n.Text)
	var by, it cryptobyte.String
	if n.Mech != oid.Introduced || n.Type != "" || !s.ReadUint16LengthPrefixed(&by) || !s.ReadUint16LengthPrefixed(&it) || !s.Empty() {
		return gss.Name{}, gss.Name{}, false
	}
	introducer, okBy := parsePlain(by)
	who, okIt := parsePlain(it)
	if !okBy || !okIt {
		return gss.Name{}, gss.Name{}, false
	}
	return introducer, who, true
}

// parsePlain reads the exported name of somebody who was not introduced.
func parsePlain(b []byte) (gss.Name, bool) {
	n, ok := parseMN(b)
	if !ok || n.Mech == oid.Introduced {
		return gss.Name{}, false
	}
	return n, true
}
