package krb5

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ADAPOptions is the type of KERB_AP_OPTIONS in an authenticator's authorization data,
// inside AD-IF-RELEVANT, MS-KILE §3.2.5.8: u32, little-endian.
const ADAPOptions = 143

// APOptionsCBT in KERB_AP_OPTIONS: the client knows of channel bindings, so that none
// means that it is on no channel.
const APOptionsCBT uint32 = 0x4000

// AppendETypeList appends the DER of list, which goes with ADETypeNegotiation, to dst:
// the most preferred type first.
//
//	EtypeList ::= SEQUENCE OF Int32    RFC 4537 §4
func AppendETypeList(dst []byte, list []EType) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) {
			for _, e := range list {
				b.integer(int64(e))
			}
		})
	})
}

// ParseETypeList reads an EtypeList. Error: ErrMalformed.
func ParseETypeList(b []byte) ([]EType, error) {
	list, err := parse(b, "EtypeList", func(s *cryptobyte.String, out *[]EType) bool {
		var body cryptobyte.String
		if !s.ReadASN1(&body, asn1.SEQUENCE) {
			return false
		}
		for !body.Empty() {
			var e EType
			if len(*out) == maxETypes || !readInt32Item(&body, &e) {
				return false
			}
			*out = append(*out, e)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// IfRelevant returns the entries of a type that are inside AD-IF-RELEVANT in list.
// What is malformed in there is passed over, as all of it may be.
func IfRelevant(list []AuthDataEntry, typ int32) (values [][]byte) {
	for _, e := range list {
		if e.Type != ADIfRelevant {
			continue
		}
		inner, err := ParseAuthData(e.Data)
		if err != nil {
			continue
		}
		for _, e := range inner {
			if e.Type == typ {
				values = append(values, slices.Clip(e.Data))
			}
		}
	}
	return values
}
