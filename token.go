package gss

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss/oid"
)

// The framing of a mechanism's first token, RFC 2743 §3.1:
//
//	InitialContextToken ::= [APPLICATION 0] IMPLICIT SEQUENCE {
//		thisMech          OBJECT IDENTIFIER,
//		innerContextToken ANY DEFINED BY thisMech }
const tagInitial = asn1.Tag(0x60)

// ParseToken splits a framed token. The lengths must be DER, and nothing may
// follow. inner aliases tok. Error: DefectiveToken.
func ParseToken(tok []byte) (mech oid.OID, inner []byte, err error) {
	s := cryptobyte.String(tok)
	var body cryptobyte.String
	if !s.ReadASN1(&body, tagInitial) || !s.Empty() || !oid.Read(&body, &mech) {
		return "", nil, &Error{Op: "Parse_token", Major: DefectiveToken}
	}
	return mech, body, nil
}

// AppendToken appends the framing of ParseToken around inner to dst. It panics
// if inner has 4 GiB or mech is longer than oid.MaxLen.
func AppendToken(dst []byte, mech oid.OID, inner []byte) []byte {
	if len(mech) > oid.MaxLen {
		panic("gss: AppendToken: OID too long")
	}
	b := cryptobyte.NewBuilder(dst)
	b.AddASN1(tagInitial, func(b *cryptobyte.Builder) {
		b.AddBytes(mech.AppendDER(nil))
		b.AddBytes(inner)
	})
	return b.BytesOrPanic()
}
