package pkix

import (
	"bytes"
	"crypto/x509"
	asn1x "encoding/asn1"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss/oid"
)

const (
	oidEKU oid.OID = "\x55\x1d\x25"                             // 2.5.29.37: RFC 5280 §4.2.1.12
	oidUPN oid.OID = "\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03" // 1.3.6.1.4.1.311.20.2.3: MS-WCCE

	ekuAny        oid.OID = "\x55\x1d\x25\x00"                 // anyExtendedKeyUsage
	ekuServerAuth oid.OID = "\x2b\x06\x01\x05\x05\x07\x03\x01" // RFC 5280 §4.2.1.12
	ekuClientAuth oid.OID = "\x2b\x06\x01\x05\x05\x07\x03\x02"
)

// What crypto/x509 calls them.
var (
	idEKU = asn1x.ObjectIdentifier{2, 5, 29, 37}
	idSAN = asn1x.ObjectIdentifier{2, 5, 29, 17} // RFC 5280 §4.2.1.6
)

var errCertificate = errors.New("pkix: malformed certificate")

// ParseCertificate is x509.ParseCertificate, which refuses a certificate whose
// extended key usages have an arc of 2^31 or more, as oid.EKUPKIX does (its second
// arc is a UUID). This one reads them; they are in Extensions, and not in
// UnknownExtKeyUsage. It copies der.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCert {
		return nil, errCertificate
	}
	der = bytes.Clone(der)
	first, err := x509.ParseCertificate(der)
	if err == nil {
		return first, nil
	}

	// Parse a copy in which each such OID is another of the same length, and put
	// back what it stood for. The signature is over RawTBSCertificate.
	value := findExtension(der, oidEKU)
	_, ok := usagesOf(value)
	if !ok {
		return nil, err
	}
	patched := bytes.Clone(der)
	patch := findExtension(patched, oidEKU)
	forEachUsage(patch, func(contents []byte) {
		if hasBigArc(contents) {
			for i := range contents {
				contents[i] = 0x2a
			}
		}
	})
	c, err := x509.ParseCertificate(patched)
	if err != nil {
		return nil, err
	}
	outer, tbs := cryptobyte.String(der), cryptobyte.String(nil)
	if !outer.ReadASN1(&outer, asn1.SEQUENCE) || !outer.ReadASN1Element(&tbs, asn1.SEQUENCE) || len(tbs) != len(c.RawTBSCertificate) {
		return nil, errCertificate
	}
	c.Raw, c.RawTBSCertificate = der, tbs
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(idEKU) {
			c.Extensions[i].Value = value
		}
	}
	c.UnknownExtKeyUsage = nil
	return c, nil
}

// hasBigArc reports whether an arc does not fit in the 31 bits that encoding/asn1
// and cryptobyte have for it.
func hasBigArc(contents []byte) bool {
	var n uint64
	for _, b := range contents {
		n = n<<7 | uint64(b&0x7f)
		if n >= 1<<31 {
			return true
		}
		if b&0x80 == 0 {
			n = 0
		}
	}
	return false
}

// findExtension returns the value of an extension in a DER certificate, RFC 5280
// §4.1; nil if there is none or if der is malformed. It aliases der.
//
//	TBSCertificate ::= SEQUENCE { version [0], serialNumber, signature, issuer, validity, subject,
//		subjectPublicKeyInfo, issuerUniqueID [1], subjectUniqueID [2], extensions [3] }
func findExtension(der []byte, id oid.OID) []byte {
	s := cryptobyte.String(der)
	var tbs, exts cryptobyte.String
	if !s.ReadASN1(&s, asn1.SEQUENCE) || !s.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(asn1.Tag(0).Constructed().ContextSpecific()) ||
		!tbs.SkipASN1(asn1.INTEGER) || !tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) ||
		!tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(asn1.Tag(1).ContextSpecific()) || !tbs.SkipOptionalASN1(asn1.Tag(2).ContextSpecific()) ||
		!tbs.ReadASN1(&exts, asn1.Tag(3).Constructed().ContextSpecific()) || !exts.ReadASN1(&exts, asn1.SEQUENCE) {
		return nil
	}
	for !exts.Empty() {
		var ext, value cryptobyte.String
		var o oid.OID
		if !exts.ReadASN1(&ext, asn1.SEQUENCE) || !oid.Read(&ext, &o) ||
			!ext.SkipOptionalASN1(asn1.BOOLEAN) || !ext.ReadASN1(&value, asn1.OCTET_STRING) {
			return nil
		}
		if o == id {
			return value
		}
	}
	return nil
}

// extension returns the value of an extension that crypto/x509 has read; nil if
// there is none. It reads none in certificates of version 1 and 2. Whoever finds
// names there by other means has names that no constraint of a CA was held against.
func extension(c *x509.Certificate, id asn1x.ObjectIdentifier) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value
		}
	}
	return nil
}

// forEachUsage calls f with the contents octets of each OID of an extended key
// usage extension, and reports whether the extension is well-formed.
//
//	ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF KeyPurposeId
func forEachUsage(value []byte, f func(contents []byte)) bool {
	s := cryptobyte.String(value)
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var c cryptobyte.String
		if !list.ReadASN1(&c, asn1.OBJECT_IDENTIFIER) {
			return false
		}
		f(c)
	}
	return true
}

func usagesOf(value []byte) (usages []oid.OID, ok bool) {
	ok = true
	wellFormed := forEachUsage(value, func(c []byte) {
		o, err := oid.FromContents(c)
		ok = ok && err == nil
		usages = append(usages, o)
	})
	return usages, wellFormed && ok
}

// permits reports whether c may be used for usage. A leaf must say so itself:
// neither silence nor anyExtendedKeyUsage is a yes. A CA that says nothing is not
// limited.
func permits(c *x509.Certificate, usage oid.OID, leaf bool) bool {
	value := extension(c, idEKU)
	if value == nil {
		return !leaf
	}
	usages, ok := usagesOf(value)
	return ok && (slices.Contains(usages, usage) || !leaf && slices.Contains(usages, ekuAny))
}

// A certificate is one with the names that it proves.
type certificate struct {
	*x509.Certificate
	names certNames
}

// parseChain parses a chain as it came, checks that its keys are worth a look, and
// reads the names of the first certificate.
func parseChain(ders [][]byte) (leaf *certificate, rest []*x509.Certificate, err error) {
	if len(ders) == 0 || len(ders) > maxCerts {
		return nil, nil, errCertificate
	}
	for i, der := range ders {
		c, err := ParseCertificate(der)
		if err != nil {
			return nil, nil, err
		}
		if err := checkKey(c.PublicKey); err != nil {
			return nil, nil, err
		}
		if i > 0 {
			rest = append(rest, c)
			continue
		}
		leaf = &certificate{Certificate: c}
		if leaf.names, err = readNames(c); err != nil {
			return nil, nil, err
		}
		// crypto/x509 reports a critical subjectAltName with nothing but an otherName
		// as not understood. It is, here.
		if len(leaf.names.upns) > 0 {
			c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, idSAN.Equal)
		}
	}
	return leaf, rest, nil
}
