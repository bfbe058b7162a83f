package krb5

import (
	"fmt"
	"strings"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// A mechanism name's Text is the principal with its realm, quoted as RFC 1964
// §2.1.1 says: "host/files.example.org@EXAMPLE.ORG". Which names a user may give:
//
//	gss.Service("host", "Files.Example.Org")        host/files.example.org in the host's realm
//	gss.User("alice"), gss.User("alice@OTHER.ORG")  a principal, the default realm if none is given
//	gss.Name{Type: oid.NTKrb5, Text: "alice@A.ORG"} the same
//	gss.Name{Type: oid.NTEnterprise, Text: "alice@a.org"}  the principal alice\@a.org, likewise
//	gss.Name{Type: oid.NTAnonymous}                 WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS
//	gss.Name{Type: oid.NTExport, Text: exported}    what Name.Export wrote of a mechanism name
//
// A host's name is put in lower case, loses a dot at its end, and is otherwise taken
// as it is, with a port behind it too: DNS is not asked (what MIT does with
// dns_canonicalize_hostname = false), as its answers would choose whom to trust.

func mechName(p ikrb5.Principal) gss.Name {
	return gss.Name{Mech: oid.Krb5, Text: p.String()}
}

// ParseName reads a principal with its realm, "alice@EXAMPLE.ORG", quoted as RFC
// 1964 §2.1.1 says, into a mechanism name. Error: BadName.
func ParseName(principal string) (gss.Name, error) {
	p, err := ikrb5.ParsePrincipal(principal, "")
	if err != nil {
		return gss.Name{}, nameError(gss.BadName, err)
	}
	return mechName(p), nil
}

func nameError(m gss.Major, err error) error {
	return &gss.Error{Op: "Canonicalize_name", Mech: oid.Krb5, Major: m, Err: err}
}

// principal reads a name that a user gave, or a mechanism name. fallback is the
// realm of a name for which c knows none; "" if there is none either. Errors:
// BadNameType, BadName.
func (c *Config) principal(n gss.Name, fallback string) (ikrb5.Principal, error) {
	realm := c.DefaultRealm
	if realm == "" {
		realm = fallback
	}
	switch {
	case n.IsZero():
		return ikrb5.Principal{}, nameError(gss.BadName, nil)
	case n.Mech == oid.Krb5 && n.Type == "":
		p, err := ikrb5.ParsePrincipal(n.Text, "")
		if err != nil {
			return p, nameError(gss.BadName, err)
		}
		if p.String() != n.Text {
			return p, nameError(gss.BadName, fmt.Errorf("not canonical: %.100q", n.Text))
		}
		return p, nil
	case n.Mech != "":
		return ikrb5.Principal{}, nameError(gss.BadNameType, nil)
	case n.Type == oid.NTHostService:
		return c.service(n.Text, realm)
	case n.Type == oid.NTUser, n.Type == oid.NTKrb5:
		p, err := ikrb5.ParsePrincipal(n.Text, realm)
		if err != nil {
			return p, nameError(gss.BadName, err)
		}
		return p, nil
	case n.Type == oid.NTEnterprise:
		p, err := ikrb5.ParseEnterprise(n.Text, realm)
		if err != nil {
			return p, nameError(gss.BadName, err)
		}
		return p, nil
	case n.Type == oid.NTAnonymous: // whatever its text is
		return anonymous, nil
	case n.Type == oid.NTExport:
		mn, err := gss.ParseName([]byte(n.Text))
		if err != nil {
			return ikrb5.Principal{}, err
		}
		return c.principal(mn, fallback)
	}
	return ikrb5.Principal{}, nameError(gss.BadNameType, nil)
}

// maxHost bounds a host's name, in octets, before its domains are looked for. No
// principal has a longer one.
const maxHost = 1024

// service reads "service@host", RFC 2743 §4.1. The host may not be left out:
// this package does not ask what this host is called.
func (c *Config) service(text, realm string) (ikrb5.Principal, error) {
	service, host, ok := strings.Cut(text, "@")
	host, port := cutPort(host)
	host = strings.TrimSuffix(asciiLower(host), ".")
	if !ok || service == "" || host == "" || len(host) > maxHost || strings.ContainsAny(service, "/\\") || strings.ContainsAny(host+port, "@/\\ \t\n") {
		return ikrb5.Principal{}, nameError(gss.BadName, fmt.Errorf("not service@host: %.100q", text))
	}
	if r := c.realmOf(host); r != "" {
		realm = r
	}
	p := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: ikrb5.NTSrvHst, Components: []string{service, host + port}}, Realm: realm}
	if _, err := ikrb5.ParsePrincipal(p.String(), ""); err != nil { // no realm, NUL, invalid UTF-8, too long
		return p, nameError(gss.BadName, err)
	}
	return p, nil
}

// cutPort takes off what follows a host's name in those of some services,
// "sql.example.org:1433". An IPv6 address has more than one colon.
func cutPort(host string) (name, port string) {
	i := strings.IndexByte(host, ':')
	if i < 0 || i == len(host)-1 || strings.Contains(host[i+1:], ":") {
		return host, ""
	}
	return host[:i], host[i:]
}

// asciiLower leaves what is not ASCII alone: an IDN comes as A-labels.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// anonymous is a client that does not say even its realm, RFC 8062 §3.
var anonymous = ikrb5.Principal{
	Name: ikrb5.PrincipalName{Type: ikrb5.NTWellknown, Components: []string{"WELLKNOWN", "ANONYMOUS"}}, Realm: "WELLKNOWN:ANONYMOUS",
}

// isAnonymous reports whether a name is the anonymous one of RFC 8062 §3, in
// whatever realm.
func isAnonymous(n ikrb5.PrincipalName) bool {
	return len(n.Components) == 2 && n.Components[0] == "WELLKNOWN" && n.Components[1] == "ANONYMOUS"
}

// partyName is the name of a client in a context: none for an anonymous one.
func partyName(p ikrb5.Principal) gss.Name {
	if isAnonymous(p.Name) {
		return gss.Name{}
	}
	return mechName(p)
}
