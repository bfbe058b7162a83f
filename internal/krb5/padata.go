package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Pre-authentication data types, RFC 4120 §7.5.2, RFC 6806 §11.
const (
	PATGSReq       = 1   // an AP-REQ
	PAEncTimestamp = 2   // EncryptedData of PAEncTSEnc
	PAETypeInfo2   = 19  // ETypeInfo2
	PAReqEncPARep  = 149 // the client understands encrypted-pa-data
)

// PAData is one element of pre-authentication data.
type PAData struct {
	Type  int32
	Value []byte
}

// PA-DATA ::= SEQUENCE {                          RFC 4120 §5.2.7
//
//	padata-type  [1] Int32,
//	padata-value [2] OCTET STRING }
func readPAData(s *cryptobyte.String, p *PAData) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readInt32(&body, 1, &p.Type) &&
		readOctets(&body, 2, &p.Value) &&
		body.Empty()
}

func addPAData(b *builder, p *PAData) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addInt(b, 1, int64(p.Type))
		addOctets(b, 2, p.Value)
	})
}

func readPADataList(s *cryptobyte.String, n uint8, out *[]PAData) bool {
	return readList(s, n, out, maxPAData, readPAData)
}

// FindPAData returns the value of the first element of that type.
func FindPAData(list []PAData, typ int32) (value []byte, ok bool) {
	for _, p := range list {
		if p.Type == typ {
			return p.Value, true
		}
	}
	return nil, false
}

// ParseMethodData reads METHOD-DATA ::= SEQUENCE OF PA-DATA, the e-data of
// KDC_ERR_PREAUTH_REQUIRED (RFC 4120 §5.9.1). Error: ErrMalformed.
func ParseMethodData(b []byte) ([]PAData, error) {
	return parseSequenceOf(b, "METHOD-DATA", maxPAData, readPAData)
}

// AppendMethodData appends the DER of list to dst.
func AppendMethodData(dst []byte, list []PAData) []byte {
	return appendSequenceOf(dst, list, addPAData)
}

// An ETypeInfo2Entry tells a client how to make one of its keys from a password.
type ETypeInfo2Entry struct {
	EType     EType
	Salt      string // if HasSalt; otherwise realm and components, joined (RFC 4120 §4)
	HasSalt   bool
	S2KParams []byte // nil: the etype's default
}

// ETYPE-INFO2-ENTRY ::= SEQUENCE {                RFC 4120 §5.2.7.5
//
//	etype     [0] Int32,
//	salt      [1] KerberosString OPTIONAL,
//	s2kparams [2] OCTET STRING OPTIONAL }
func readETypeInfo2Entry(s *cryptobyte.String, e *ETypeInfo2Entry) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readInt32(&body, 0, &e.EType) &&
		peek(&body, 1, &e.HasSalt) && optional(&body, 1, &e.Salt, readString) &&
		optional(&body, 2, &e.S2KParams, readOctets) &&
		body.Empty()
}

func addETypeInfo2Entry(b *builder, e *ETypeInfo2Entry) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addInt(b, 0, int64(e.EType))
		if e.HasSalt {
			addString(b, 1, e.Salt)
		}
		if e.S2KParams != nil {
			addOctets(b, 2, e.S2KParams)
		}
	})
}

// ParseETypeInfo2 reads ETYPE-INFO2 ::= SEQUENCE SIZE (1..MAX) OF ETYPE-INFO2-ENTRY.
// Error: ErrMalformed.
func ParseETypeInfo2(b []byte) ([]ETypeInfo2Entry, error) {
	list, err := parseSequenceOf(b, "ETYPE-INFO2", maxETypes, readETypeInfo2Entry)
	if err == nil && len(list) == 0 {
		return nil, malformed("ETYPE-INFO2")
	}
	return list, err
}

// AppendETypeInfo2 appends the DER of list to dst.
func AppendETypeInfo2(dst []byte, list []ETypeInfo2Entry) []byte {
	return appendSequenceOf(dst, list, addETypeInfo2Entry)
}

// PAEncTSEnc is the client's clock, encrypted in its key to prove that it has it.
type PAEncTSEnc struct {
	Time time.Time
	USec int // microseconds of Time
}

// ParsePAEncTSEnc reads a decrypted PA-ENC-TS-ENC. Error: ErrMalformed.
//
//	PA-ENC-TS-ENC ::= SEQUENCE {                    RFC 4120 §5.2.7.2
//		patimestamp [0] KerberosTime,
//		pausec      [1] Microseconds OPTIONAL }
func ParsePAEncTSEnc(b []byte) (*PAEncTSEnc, error) {
	return parse(b, "PA-ENC-TS-ENC", func(s *cryptobyte.String, p *PAEncTSEnc) bool {
		var body cryptobyte.String
		return s.ReadASN1(&body, asn1.SEQUENCE) &&
			readTime(&body, 0, &p.Time) &&
			optional(&body, 1, &p.USec, readMicroseconds) &&
			body.Empty()
	})
}

// Append appends the DER of p to dst.
func (p *PAEncTSEnc) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) {
			addTime(b, 0, p.Time)
			addInt(b, 1, int64(p.USec))
		})
	})
}
