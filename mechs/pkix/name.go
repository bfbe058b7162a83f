package pkix

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// maxName is the most octets of a name's text.
const maxName = 2048

// ParseName returns the name with this text, a mechanism name of this package:
//
//	svc:service@host   a service on a host, by the host's dNSName
//	dns:host           dNSName
//	uri:URI            uniformResourceIdentifier, such as a SPIFFE ID, octet for octet
//	mail:local@domain  rfc822Name
//	upn:user@realm     Microsoft's user principal name, octet for octet
//	dn:distinguished   the subject, as RFC 4514 writes it
//
// Hosts, mail domains and services are put into lower case. A host is a DNS name
// of ASCII labels (an internationalized one in its A-label form) without a final
// dot, and no IP address. Error: BadName.
func ParseName(text string) (gss.Name, error) {
	c, ok := canonical(text)
	if !ok {
		return gss.Name{}, &gss.Error{Op: "Import_name", Mech: oid.PKIX, Major: gss.BadName}
	}
	return mechName(c), nil
}

func mechName(text string) gss.Name { return gss.Name{Mech: oid.PKIX, Text: text} }

// Canonicalize is gss.Canonicalizer's. It takes a service (oid.NTHostService,
// "service@host"), a user with a mail address (oid.NTUser, "local@domain"), and
// what ParseName returned. Errors: BadNameType, BadName.
func (m *Mechanism) Canonicalize(_ context.Context, n gss.Name) (gss.Name, error) {
	return canonicalize("Canonicalize_name", n)
}

func canonicalize(op string, n gss.Name) (gss.Name, error) {
	bad := &gss.Error{Op: op, Mech: oid.PKIX, Major: gss.BadName}
	var text string
	switch {
	case n.Mech == oid.PKIX && n.Type == "":
		text = n.Text
	case n.Mech == "" && n.Type == oid.NTHostService:
		text = "svc:" + n.Text
	case n.Mech == "" && n.Type == oid.NTUser:
		text = "mail:" + n.Text
	default:
		if !n.IsZero() {
			bad.Major = gss.BadNameType
		}
		return gss.Name{}, bad
	}
	c, ok := canonical(text)
	if !ok || n.Mech != "" && c != n.Text { // an MN is canonical already, or none
		return gss.Name{}, bad
	}
	return mechName(c), nil
}

// canonical returns the one form of a name's text.
func canonical(text string) (string, bool) {
	kind, rest, ok := strings.Cut(text, ":")
	if !ok || len(text) > maxName || rest == "" {
		return "", false
	}
	switch kind {
	case "svc":
		service, host, ok := strings.Cut(rest, "@")
		service, host = lower(service), lower(host)
		return "svc:" + service + "@" + host, ok && isService(service) && isHost(host)
	case "dns":
		rest = lower(rest)
		return "dns:" + rest, isHost(rest)
	case "mail":
		i := strings.LastIndexByte(rest, '@')
		if i <= 0 || strings.IndexByte(rest[:i], '@') >= 0 || !isGraphic(rest[:i]) {
			return "", false
		}
		domain := lower(rest[i+1:])
		return "mail:" + rest[:i] + "@" + domain, isHost(domain)
	case "uri":
		i := strings.IndexByte(rest, ':')
		return text, i > 0 && isGraphic(rest)
	case "upn", "dn":
		return text, isPrintable(rest)
	}
	return "", false
}

// lower maps A to Z, and leaves everything else to be refused or kept.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func isService(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 63
}

func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// isHost reports whether s is a lower-case DNS name (RFC 1123 §2.1, and the
// underscore that many use), and none that reads as an IPv4 address.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	digits := false
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		digits = true
		for i := range len(label) {
			c := label[i]
			if !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
			digits = digits && c <= '9' && c >= '0'
		}
	}
	return !digits
}

// isGraphic reports whether s is visible ASCII.
func isGraphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isPrintable reports whether s is UTF-8 without control characters.
func isPrintable(s string) bool {
	for _, r := range s {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(s)
}
