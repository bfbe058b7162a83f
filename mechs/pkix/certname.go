package pkix

import (
	"crypto/x509"
	"encoding/hex"
	"iter"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss/oid"
)

// certNames are the names of a certificate that this package can use, each in
// canonical form without its prefix, in the certificate's order. Common names are
// none of them.
type certNames struct {
	uris, mails, upns, dns []string
	dn                     string
}

// Kinds of GeneralName, RFC 5280 §4.2.1.6.
const (
	tagOther = asn1.Tag(0)
	tagMail  = asn1.Tag(1)
	tagDNS   = asn1.Tag(2)
	tagURI   = asn1.Tag(6)
)

// readNames reads c's subjectAltName and subject. A name that ParseName would
// refuse is left out: nobody can ask for it. A malformed extension is an error.
func readNames(c *x509.Certificate) (n certNames, err error) {
	if dn, ok := canonical("dn:" + distinguishedName(c.RawSubject)); ok {
		n.dn = dn[len("dn:"):]
	}
	value := extension(c, idSAN)
	if value == nil {
		return n, nil
	}
	s := cryptobyte.String(value)
	if !s.ReadASN1(&s, asn1.SEQUENCE) {
		return n, errCertificate
	}
	for !s.Empty() {
		var v cryptobyte.String
		var tag asn1.Tag
		if !s.ReadAnyASN1(&v, &tag) {
			return n, errCertificate
		}
		switch tag {
		case tagOther.ContextSpecific().Constructed():
			var id oid.OID
			var text cryptobyte.String
			if !oid.Read(&v, &id) || !v.ReadASN1(&v, asn1.Tag(0).ContextSpecific().Constructed()) {
				return n, errCertificate
			}
			if id == oidUPN && v.ReadASN1(&text, asn1.UTF8String) && v.Empty() {
				add(&n.upns, "upn:", text)
			}
		case tagMail.ContextSpecific():
			add(&n.mails, "mail:", v)
		case tagDNS.ContextSpecific():
			add(&n.dns, "dns:", v)
		case tagURI.ContextSpecific():
			add(&n.uris, "uri:", v)
		}
	}
	return n, nil
}

func add(list *[]string, prefix string, v []byte) {
	if c, ok := canonical(prefix + string(v)); ok {
		*list = append(*list, c[len(prefix):])
	}
}

// all yields the texts of the names, in the order in which one is chosen as an
// initiator's own.
func (n *certNames) all() iter.Seq2[string, string] {
	return func(yield func(kind, text string) bool) {
		for _, l := range []struct {
			kind  string
			texts []string
		}{{"uri", n.uris}, {"mail", n.mails}, {"upn", n.upns}, {"dns", n.dns}} {
			for _, t := range l.texts {
				if !yield(l.kind, t) {
					return
				}
			}
		}
		if n.dn != "" {
			yield("dn", n.dn)
		}
	}
}

// first returns the name that a certificate goes by if nobody chooses; "" if it
// has none.
func (n *certNames) first() string {
	for kind, text := range n.all() {
		return kind + ":" + text
	}
	return ""
}

// proves reports whether the certificate proves a canonical name. Hosts match
// dNSNames, with wildcards as RFC 6125 §6.4.3 has them; all else is equality.
func (c *certificate) proves(name string) bool {
	kind, text, _ := strings.Cut(name, ":")
	switch kind {
	case "svc", "dns":
		host := text[strings.IndexByte(text, '@')+1:]
		return c.VerifyHostname(host) == nil
	case "uri":
		return slices.Contains(c.names.uris, text)
	case "mail":
		return slices.Contains(c.names.mails, text)
	case "upn":
		return slices.Contains(c.names.upns, text)
	case "dn":
		return c.names.dn == text
	}
	return false
}

// Attribute types with short names, RFC 4514 §3.
var shortNames = map[oid.OID]string{
	"\x55\x04\x03": "CN", "\x55\x04\x07": "L", "\x55\x04\x08": "ST", "\x55\x04\x0a": "O",
	"\x55\x04\x0b": "OU", "\x55\x04\x06": "C", "\x55\x04\x09": "STREET",
	"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC", "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": "UID",
}

// distinguishedName returns the RFC 4514 string of a DER Name; "" if it is empty or
// malformed. It adds nothing, drops nothing and reorders nothing but what §2.1
// says, the RDNs, last first. Values that are not UTF8String, PrintableString or
// IA5String, and those of types without a short name, are in hexadecimal.
func distinguishedName(der []byte) string {
	s := cryptobyte.String(der)
	var rdns []string
	if !s.ReadASN1(&s, asn1.SEQUENCE) {
		return ""
	}
	for !s.Empty() {
		var set cryptobyte.String
		var parts []string
		if !s.ReadASN1(&set, asn1.SET) || set.Empty() {
			return ""
		}
		for !set.Empty() {
			var attr, element cryptobyte.String
			var id oid.OID
			var tag asn1.Tag
			if !set.ReadASN1(&attr, asn1.SEQUENCE) || !oid.Read(&attr, &id) ||
				!attr.ReadAnyASN1Element(&element, &tag) || !attr.Empty() {
				return ""
			}
			var value cryptobyte.String
			raw := element
			if !raw.ReadAnyASN1(&value, &tag) {
				return ""
			}
			name, short := shortNames[id]
			if short && (tag == asn1.UTF8String || tag == asn1.PrintableString || tag == asn1.IA5String) {
				parts = append(parts, name+"="+escape(string(value)))
				continue
			}
			if !short {
				name = id.String()
			}
			parts = append(parts, name+"=#"+hex.EncodeToString(element))
		}
		rdns = append(rdns, strings.Join(parts, "+"))
	}
	slices.Reverse(rdns)
	return strings.Join(rdns, ",")
}

// escape escapes what RFC 4514 §2.4 requires, and no more.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case strings.IndexByte("\"+,;<>\\", c) >= 0, i == 0 && (c == '#' || c == ' '), i == len(s)-1 && c == ' ':
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
