package krb5

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Name types, RFC 4120 §6.2 and RFC 6806 §5. They are hints and say nothing about
// whether two names are the same.
const (
	NTUnknown    = 0
	NTPrincipal  = 1
	NTSrvInst    = 2 // krbtgt and other services with an instance
	NTSrvHst     = 3 // a service and the name of its host
	NTEnterprise = 10
	NTWellknown  = 11
)

// A PrincipalName is a name within a realm.
type PrincipalName struct {
	Type       int32
	Components []string // nil stands for a name that is not there
}

// A Principal is a name and its realm.
type Principal struct {
	Name  PrincipalName
	Realm string
}

// Equal compares the components. The type is a hint, RFC 4120 §6.2.
func (n PrincipalName) Equal(o PrincipalName) bool { return slices.Equal(n.Components, o.Components) }

// String is the name without a realm, quoted like [Principal.String].
func (n PrincipalName) String() string {
	var b strings.Builder
	for i, c := range n.Components {
		if i > 0 {
			b.WriteByte('/')
		}
		quoteComponent(&b, c)
	}
	return b.String()
}

// Equal compares name components and realm, octet for octet.
func (p Principal) Equal(o Principal) bool { return p.Realm == o.Realm && p.Name.Equal(o.Name) }

// String is the single-string form of RFC 1964 §2.1.1, such as
// "host/files.example.org@EXAMPLE.ORG": components joined by '/', then '@' and the
// realm. '/', '@' and '\' inside a component or the realm are quoted by '\';
// newline, tab, backspace and NUL are \n, \t, \b and \0. Principals that are Equal,
// and no others, have the same String.
func (p Principal) String() string {
	var b strings.Builder
	b.WriteString(p.Name.String())
	b.WriteByte('@')
	quoteComponent(&b, p.Realm)
	return b.String()
}

func quoteComponent(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '@', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case 0:
			b.WriteString(`\0`)
		default:
			b.WriteByte(c)
		}
	}
}

// ParsePrincipal reads what [Principal.String] writes. A name without '@' gets the
// default realm. Names that have no wire form here are refused: with NUL, invalid
// UTF-8, an empty realm, more components or octets than the package reads. The name
// type is NTSrvInst for krbtgt/REALM, NTWellknown for WELLKNOWN/x, otherwise
// NTPrincipal; a caller who knows better sets it.
func ParsePrincipal(s, defaultRealm string) (Principal, error) {
	return parsePrincipal(s, defaultRealm, false)
}

// ParseEnterprise reads an enterprise name, RFC 6806 §5, as people type it:
// "alice@example.org", or with a realm behind another '@'. Its one component, of
// type NTEnterprise, has the first '@' and every '/'; '\\' quotes as ever.
func ParseEnterprise(s, defaultRealm string) (Principal, error) {
	return parsePrincipal(s, defaultRealm, true)
}

func parsePrincipal(s, defaultRealm string, enterprise bool) (Principal, error) {
	if len(s) > 2*(maxComponents+1)*(maxString+1) {
		return Principal{}, errors.New("krb5: principal name too long")
	}
	bad := func(why string) (Principal, error) {
		return Principal{}, fmt.Errorf("krb5: principal name %.100q: %s", s, why)
	}
	var parts []string
	var part []byte
	at := -1             // number of components, once the realm has begun
	inside := enterprise // the next '@' belongs to the component
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return bad(`ends with the quoting character`)
			}
			switch c = s[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case '0':
				c = 0
			}
			part = append(part, c)
		case at >= 0 && (c == '/' || c == '@'):
			return bad("unquoted separator in the realm")
		case enterprise && c == '/', inside && c == '@':
			inside = inside && c != '@'
			part = append(part, c)
		case c == '/' || c == '@':
			parts, part = append(parts, string(part)), part[:0]
			if c == '@' {
				at = len(parts)
			}
		default:
			part = append(part, c)
		}
	}
	parts = append(parts, string(part))
	realm := defaultRealm
	if at >= 0 {
		realm, parts = parts[at], parts[:at]
	}
	if realm == "" {
		return bad("no realm")
	}
	if len(parts) > maxComponents {
		return bad("too many components")
	}
	if len(parts) == 1 && parts[0] == "" {
		return bad("empty")
	}
	for _, p := range append(parts, realm) {
		if !validString(p) {
			return bad("NUL, invalid UTF-8, or too long")
		}
	}
	p := Principal{PrincipalName{NTPrincipal, parts}, realm}
	if enterprise {
		p.Name.Type = NTEnterprise
	} else if len(parts) == 2 && parts[0] == "krbtgt" {
		p.Name.Type = NTSrvInst
	} else if len(parts) >= 2 && parts[0] == "WELLKNOWN" {
		p.Name.Type = NTWellknown
	}
	return p, nil
}

// PrincipalName ::= SEQUENCE {                    RFC 4120 §5.2.2
//
//	name-type   [0] Int32,
//	name-string [1] SEQUENCE OF KerberosString }
func readName(s *cryptobyte.String, n uint8, out *PrincipalName) bool {
	return readNameOrEmpty(s, n, out) && len(out.Components) > 0
}

// readNameOrEmpty also takes a name of no components, which Heimdal writes into a
// KRB-ERROR when it does not know who it is.
func readNameOrEmpty(s *cryptobyte.String, n uint8, out *PrincipalName) bool {
	var body, names cryptobyte.String
	return readSequence(s, n, &body) &&
		readInt32(&body, 0, &out.Type) &&
		readSequence(&body, 1, &names) && readItems(&names, &out.Components, maxComponents, readStringItem) &&
		body.Empty()
}

func addName(b *builder, n uint8, name PrincipalName) {
	addSequence(b, n, func(b *builder) {
		addInt(b, 0, int64(name.Type))
		addField(b, 1, func(b *builder) {
			b.add(asn1.SEQUENCE, func(b *builder) {
				for i := range name.Components {
					addStringItem(b, &name.Components[i])
				}
			})
		})
	})
}

// Realm ::= KerberosString, RFC 4120 §5.2.2, not empty.
func readRealm(s *cryptobyte.String, n uint8, out *string) bool {
	return readString(s, n, out) && *out != ""
}
