// Package oid holds object identifiers as comparable values.
//
// An OID is the contents octets of its DER encoding (X.690 §8.19) in a string,
// so that OIDs compare with ==, are map keys, need no memory of their own when
// they are constants, and go into tokens as they stand.
package oid

import (
	"errors"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An OID is the DER contents octets of an OBJECT IDENTIFIER, without tag and
// length. The zero OID means "none given" (GSS_C_NO_OID). Whatever this package
// returns without an error is well-formed; a conversion from other octets is not
// checked: use FromContents.
type OID string

// MaxLen is the most contents octets that this package reads or makes. X.660
// sets no bound; this one keeps the cost of a hostile OID small and leaves room
// for any arc in use (a 2.25.UUID takes 20 octets).
const MaxLen = 1024

// ErrSyntax is returned for what is not an OID, in dotted form or in DER.
var ErrSyntax = errors.New("oid: invalid syntax")

// FromContents returns the OID with these contents octets. It copies them.
// Error: ErrSyntax, if they are empty, too long, cut short, or not minimal
// (X.690 §8.19.2).
func FromContents(b []byte) (OID, error) {
	if len(b) == 0 || len(b) > MaxLen || b[len(b)-1]&0x80 != 0 {
		return "", ErrSyntax
	}
	start := true
	for _, c := range b {
		if start && c == 0x80 { // a leading zero digit
			return "", ErrSyntax
		}
		start = c&0x80 == 0
	}
	return OID(b), nil
}

// Read reads a DER OBJECT IDENTIFIER, tag and length included, from the front of
// s into out, and reports whether there was a well-formed one, as cryptobyte's
// methods do.
func Read(s *cryptobyte.String, out *OID) bool {
	var c cryptobyte.String
	if !s.ReadASN1(&c, asn1.OBJECT_IDENTIFIER) {
		return false
	}
	o, err := FromContents(c)
	*out = o
	return err == nil
}

// ParseDER reads exactly one DER OBJECT IDENTIFIER, tag and length included.
// Error: ErrSyntax.
func ParseDER(b []byte) (OID, error) {
	s := cryptobyte.String(b)
	var o OID
	if !Read(&s, &o) || !s.Empty() {
		return "", ErrSyntax
	}
	return o, nil
}

// AppendDER appends the DER encoding of o, tag and length included, to dst.
func (o OID) AppendDER(dst []byte) []byte {
	dst = append(dst, byte(asn1.OBJECT_IDENTIFIER))
	switch n := len(o); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 0x100:
		dst = append(dst, 0x81, byte(n))
	default:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	}
	return append(dst, o...)
}

// Parse reads the dotted form, "1.2.840.113554.1.2.2". It needs at least two
// arcs, of any size, without leading zeros (X.660 §6.2, §7.6). Error: ErrSyntax.
func Parse(dotted string) (OID, error) {
	// An octet of contents is at most 2.1 digits and a dot: nothing longer can fit.
	if len(dotted) > 4*MaxLen {
		return "", ErrSyntax
	}
	first, rest, ok := strings.Cut(dotted, ".")
	if !ok || len(first) != 1 || first[0] < '0' || first[0] > '2' {
		return "", ErrSyntax
	}
	var out []byte
	for i, a := range strings.Split(rest, ".") {
		n, ok := parseArc(a)
		if !ok {
			return "", ErrSyntax
		}
		if i == 0 { // X.690 §8.19.4: the first two arcs share a subidentifier
			if first != "2" && n.Cmp(big.NewInt(39)) > 0 {
				return "", ErrSyntax
			}
			n.Add(n, big.NewInt(int64(first[0]-'0')*40))
		}
		out = appendBase128(out, n)
		if len(out) > MaxLen {
			return "", ErrSyntax
		}
	}
	return OID(out), nil
}

func parseArc(a string) (*big.Int, bool) {
	if a == "" || len(a) > 1 && a[0] == '0' {
		return nil, false
	}
	for _, c := range []byte(a) {
		if c < '0' || c > '9' {
			return nil, false
		}
	}
	return new(big.Int).SetString(a, 10)
}

func appendBase128(dst []byte, n *big.Int) []byte {
	digits := max((n.BitLen()+6)/7, 1)
	for i := digits - 1; i >= 0; i-- {
		var d byte
		for bit := 6; bit >= 0; bit-- {
			d = d<<1 | byte(n.Bit(7*i+bit))
		}
		if i > 0 {
			d |= 0x80
		}
		dst = append(dst, d)
	}
	return dst
}

// MustParse is Parse for package variables and tests; it panics on an error.
func MustParse(dotted string) OID {
	o, err := Parse(dotted)
	if err != nil {
		panic(err.Error() + ": " + dotted)
	}
	return o
}

// Join appends the arcs of o to those of prefix, which makes the OID of a
// composite mechanism (draft-ietf-kitten-stackable-pseudo-mechs-01 §4.1). It is
// no concatenation of octets, as the first subidentifier of o holds two arcs.
// The result is zero if either is, or if it is longer than MaxLen.
func Join(prefix, o OID) OID {
	if prefix == "" || o == "" {
		return ""
	}
	j, err := Parse(prefix.String() + "." + o.String())
	if err != nil {
		return ""
	}
	return j
}

// HasPrefix reports whether the arcs of o begin with those of prefix; every OID
// is its own prefix, and the zero OID is nobody's.
func (o OID) HasPrefix(prefix OID) bool {
	// Subidentifiers are self-delimiting, and prefix ends with one.
	return prefix != "" && strings.HasPrefix(string(o), string(prefix))
}

// String returns the dotted form, which Parse reads; "" for the zero OID.
func (o OID) String() string {
	if len(o) > MaxLen {
		return "(oid too long)"
	}
	var b strings.Builder
	for i, first := 0, true; i < len(o); first = false {
		var s string
		s, i = o.subidentifier(i, first)
		if !first {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}

// subidentifier prints the subidentifier at i, and returns where the next begins.
func (o OID) subidentifier(i int, first bool) (string, int) {
	end := i
	for end < len(o)-1 && o[end]&0x80 != 0 {
		end++
	}
	end++
	n := new(big.Int)
	for ; i < end; i++ {
		n.Lsh(n, 7)
		n.Or(n, big.NewInt(int64(o[i]&0x7f)))
	}
	if !first {
		return n.String(), end
	}
	top := 2
	if n.IsInt64() {
		top = int(min(n.Int64()/40, 2))
	}
	n.Sub(n, big.NewInt(int64(40*top)))
	return string(rune('0'+top)) + "." + n.String(), end
}
