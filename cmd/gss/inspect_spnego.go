package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss/oid"
)

// spnego reads a NegotiationToken, RFC 4178 §4.2.
func (r *reader) spnego(b []byte) string {
	s := cryptobyte.String(b)
	var choice, seq cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&choice, &tag) || !s.Empty() || !choice.ReadASN1(&seq, asn1.SEQUENCE) || !choice.Empty() {
		r.malformed("the negotiation token (RFC 4178 §4.2)")
		return "SPNEGO token"
	}
	switch tag {
	case 0xa0:
		if !r.negTokenInit(seq) {
			r.malformed("the NegTokenInit (RFC 4178 §4.2.1)")
		}
		return "SPNEGO NegTokenInit"
	case 0xa1:
		if !r.negTokenResp(seq) {
			r.malformed("the NegTokenResp (RFC 4178 §4.2.2)")
		}
		return "SPNEGO NegTokenResp"
	}
	r.malformed("the negotiation token (RFC 4178 §4.2)")
	return "SPNEGO token"
}

// NegTokenInit ::= SEQUENCE { mechTypes [0] MechTypeList, reqFlags [1] ContextFlags
// OPTIONAL, mechToken [2] OCTET STRING OPTIONAL, mechListMIC [3] OCTET STRING OPTIONAL }
//
// Windows' NegTokenInit2 (MS-SPNG §2.2.1) has negHints [3] and mechListMIC [4].
func (r *reader) negTokenInit(s cryptobyte.String) bool {
	var e, list, c cryptobyte.String
	var has bool
	if !explicit(&s, &e, 0) || !e.ReadASN1(&list, asn1.SEQUENCE) || !e.Empty() {
		return false
	}
	for n := 1; !list.Empty(); n++ {
		var m oid.OID
		if !oid.Read(&list, &m) || n > 64 {
			return false
		}
		r.add(fmt.Sprintf("mechanism %d", n), "%s", describeOID(m))
	}
	if !optional(&s, &e, &has, 1) {
		return false
	}
	if has {
		r.add("reqFlags", "%s", octets(len(e)))
	}
	if !r.optionalToken(&s, 2, "mechToken") || !optional(&s, &e, &has, 3) {
		return false
	}
	switch {
	case !has:
		return s.Empty()
	case e.PeekASN1Tag(asn1.SEQUENCE):
		r.add("negHints", "%s (Windows)", octets(len(e)))
		return r.optionalToken(&s, 4, "mechListMIC") && s.Empty()
	}
	return e.ReadASN1(&c, asn1.OCTET_STRING) && e.Empty() && r.token("mechListMIC", c) && s.Empty()
}

// optionalToken reads element n, an OCTET STRING with a token, if it is next.
func (r *reader) optionalToken(s *cryptobyte.String, n uint8, name string) bool {
	var e, c cryptobyte.String
	var has bool
	if !optional(s, &e, &has, n) || has && (!e.ReadASN1(&c, asn1.OCTET_STRING) || !e.Empty()) {
		return false
	}
	return !has || r.token(name, c)
}

// NegTokenResp ::= SEQUENCE { negState [0] ENUMERATED OPTIONAL, supportedMech [1]
// MechType OPTIONAL, responseToken [2] OCTET STRING OPTIONAL, mechListMIC [3] OCTET STRING OPTIONAL }
func (r *reader) negTokenResp(s cryptobyte.String) bool {
	var e cryptobyte.String
	var has bool
	var state int
	if !optional(&s, &e, &has, 0) || has && (!e.ReadASN1Enum(&state) || !e.Empty()) {
		return false
	}
	if has {
		name := map[int]string{0: "accept-completed", 1: "accept-incomplete", 2: "reject", 3: "request-mic"}[state]
		if name == "" {
			return false
		}
		r.add("state", "%s", name)
	}
	var m oid.OID
	if !optional(&s, &e, &has, 1) || has && (!oid.Read(&e, &m) || !e.Empty()) {
		return false
	}
	if has {
		r.add("chosen mechanism", "%s", describeOID(m))
	}
	return r.optionalToken(&s, 2, "responseToken") && r.optionalToken(&s, 3, "mechListMIC") && s.Empty()
}

// ntlm reads the head of an NTLM message, MS-NLMP §2.2.
func (r *reader) ntlm(b []byte) string {
	s := cryptobyte.String(b)
	var sig, typ []byte
	if !s.ReadBytes(&sig, 8) || string(sig) != "NTLMSSP\x00" || !s.ReadBytes(&typ, 4) {
		r.malformed("the NTLM message (MS-NLMP §2.2)")
		return "NTLM message"
	}
	name := map[uint32]string{1: "NEGOTIATE", 2: "CHALLENGE", 3: "AUTHENTICATE"}[binary.LittleEndian.Uint32(typ)]
	if name == "" {
		r.malformed("the NTLM message type (MS-NLMP §2.2)")
	}
	return "NTLM " + name + " message"
}
