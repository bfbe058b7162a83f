package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A reader collects the fields of one structure. Its methods are called in the
// order of the octets; the first that fails sets problem, and reading ends.
type reader struct {
	fields  []field
	problem string
	depth   int
}

// maxDepth bounds tokens inside tokens.
const maxDepth = 8

func (r *reader) add(name, format string, args ...any) {
	r.fields = append(r.fields, field{Name: name, Value: fmt.Sprintf(format, args...)})
}

// malformed records that what could not be read; it returns false.
func (r *reader) malformed(what string) bool {
	if r.problem == "" {
		r.problem = what + " is malformed"
		r.add("malformed", "%s", what)
	}
	return false
}

// token reads a token inside this one.
func (r *reader) token(name string, b []byte) bool {
	in := reader{depth: r.depth + 1}
	kind := "empty"
	switch {
	case in.depth > maxDepth:
		kind, in.problem = "not looked at", "a token inside "+strconv.Itoa(maxDepth)+" others"
	case len(b) > 0:
		kind = in.any(b)
	}
	r.fields = append(r.fields, field{Name: name, Value: kind + " (" + octets(len(b)) + ")", Fields: in.fields})
	r.problem = in.problem
	return in.problem == ""
}

// inspectToken reads what can be read of b without a key.
func inspectToken(b []byte) *report {
	var r reader
	kind := r.any(b)
	return &report{OK: r.problem == "", Kind: kind, Length: len(b), Problem: r.problem, Fields: r.fields}
}

// any finds out what b is, reads it, and says what it is.
func (r *reader) any(b []byte) (kind string) {
	two := uint16(0)
	if len(b) >= 2 {
		two = binary.BigEndian.Uint16(b)
	}
	switch {
	case len(b) == 0:
		r.problem = "there are no octets"
		return "empty"
	case b[0] == 0x60:
		return r.framed(b)
	case b[0] == 0x6e || b[0] == 0x6f || b[0] == 0x7e:
		return r.krbMessage(b)
	case two == 0x0401:
		return r.exportedName(b)
	case two == 0x0404:
		return r.krbMIC(b)
	case two == 0x0504:
		return r.krbWrap(b)
	case b[0] == 0xa0 || b[0] == 0xa1:
		return r.spnego(b)
	case bytes.HasPrefix(b, []byte("NTLMSSP\x00")):
		return r.ntlm(b)
	}
	return r.own(b)
}

// framed reads RFC 2743 §3.1's framing and what is inside.
func (r *reader) framed(b []byte) string {
	mech, inner, err := gss.ParseToken(b)
	if err != nil {
		r.malformed("the framing (RFC 2743 §3.1)")
		return "framed token"
	}
	r.add("mechanism", "%s", describeOID(mech))
	switch {
	case mech == oid.Krb5 || mech == oid.MSKrb5 || mech == oid.IAKERB:
		return r.krbFramed(inner)
	case mech == oid.SPNEGO:
		return r.spnego(inner)
	case mech == oid.NTLM:
		return r.ntlm(inner)
	case mech == oid.PKIX || mech == oid.PKIXOneWay || mech == oid.PKIXAnon || mech == oid.PKIXPassword:
		return r.pkix(inner)
	case mech == oid.Introduced || mech.HasPrefix(oid.Reauth):
		return r.reauth(inner)
	}
	r.add("inner token", "%s, of a mechanism that is not known here", octets(len(inner)))
	return "first token of an unknown mechanism"
}

// exportedName reads RFC 2743 §3.2's form of a name.
func (r *reader) exportedName(b []byte) string {
	n, err := gss.ParseName(b)
	if err != nil {
		r.malformed("the exported name (RFC 2743 §3.2)")
		return "exported name"
	}
	r.add("mechanism", "%s", describeOID(n.Mech))
	if n.Mech == oid.Introduced {
		s := cryptobyte.String(n.Text)
		var by, who cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&by) || !s.ReadUint16LengthPrefixed(&who) || !s.Empty() {
			r.malformed("the composite name")
		} else if r.token("introducer", by) {
			r.token("introduced", who)
		}
		return "exported name of somebody who was introduced"
	}
	r.add("name", "%s", gss.Name{Text: clip(n.Text)})
	return "exported name"
}

func describeOID(o oid.OID) string {
	if d, ok := oid.Describe(o); ok {
		return fmt.Sprintf("%s  %s (%s)", o, d.Name, d.Long)
	}
	return o.String()
}

// clip bounds what is printed of a hostile string.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// printable is clip for octets that should be text: quoted if need be.
func printable(b []byte) string { return gss.Name{Text: clip(string(b))}.String() }

// octetsHex shows the beginning of opaque octets: enough to compare two by eye.
func octetsHex(b []byte) string {
	const most = 16
	if len(b) > most {
		return hex.EncodeToString(b[:most]) + "… (" + octets(len(b)) + ")"
	}
	return hex.EncodeToString(b)
}

// bitNames lists what is set in v; names[i] is the name of bit i, counted from the low end.
func bitNames(v uint64, names map[int]string) string {
	var s []string
	for i := range 64 {
		if v>>i&1 == 0 {
			continue
		}
		n := names[i]
		if n == "" {
			n = fmt.Sprintf("%#x", uint64(1)<<i)
		}
		s = append(s, n)
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, "|")
}

// explicit reads the context-specific, constructed element n.
func explicit(s, out *cryptobyte.String, n uint8) bool {
	return s.ReadASN1(out, asn1.Tag(n).ContextSpecific().Constructed())
}

// optional reads element n if it is next; it fails only if that is malformed.
func optional(s, out *cryptobyte.String, present *bool, n uint8) bool {
	return s.ReadOptionalASN1(out, present, asn1.Tag(n).ContextSpecific().Constructed())
}

// explicitInt reads element n, an INTEGER that fits an int64 and nothing else.
func explicitInt(s *cryptobyte.String, out *int64, n uint8) bool {
	var e cryptobyte.String
	return explicit(s, &e, n) && e.ReadASN1Integer(out) && e.Empty()
}

// explicitTime reads element n, a GeneralizedTime.
func explicitTime(s *cryptobyte.String, out *string, n uint8) bool {
	var e, t cryptobyte.String
	if !explicit(s, &e, n) || !e.ReadASN1(&t, asn1.GeneralizedTime) || !e.Empty() || len(t) > 32 {
		return false
	}
	*out = printable(t)
	return true
}

// explicitString reads element n, a GeneralString (RFC 4120 §5.2.1).
func explicitString(s *cryptobyte.String, out *string, n uint8) bool {
	var e, t cryptobyte.String
	if !explicit(s, &e, n) || !e.ReadASN1(&t, asn1.GeneralString) || !e.Empty() {
		return false
	}
	*out = string(t)
	return true
}
