package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

const msgPriv = 21

// UsagePrivEncPart is the key usage of EncKrbPrivPart, RFC 4120 §7.5.1.
const UsagePrivEncPart = 13

// A Priv is a KRB-PRIV: a message that is encrypted, outside of the GSS-API.
type Priv struct{ EncPart EncryptedData }

// ParsePriv reads a KRB-PRIV. Error: ErrMalformed.
func ParsePriv(b []byte) (*Priv, error) { return parse(b, "KRB-PRIV", readPriv) }

// KRB-PRIV ::= [APPLICATION 21] SEQUENCE {        RFC 4120 §5.7.1
//
//	pvno     [0] INTEGER (5),
//	msg-type [1] INTEGER (21),
//	enc-part [3] EncryptedData -- EncKrbPrivPart }
func readPriv(s *cryptobyte.String, p *Priv) bool {
	var body cryptobyte.String
	return readApplication(s, msgPriv, &body) &&
		readConst(&body, 0, pvno) &&
		readConst(&body, 1, msgPriv) &&
		readEncryptedData(&body, 3, &p.EncPart) &&
		body.Empty()
}

// Append appends the DER of p to dst.
func (p *Priv) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, msgPriv, func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, msgPriv)
			addEncryptedData(b, 3, &p.EncPart)
		})
	})
}

// An EncPrivPart is the message in a Priv, and what keeps it from being replayed or
// reflected. Zero fields are not there.
type EncPrivPart struct {
	UserData  []byte
	Timestamp time.Time
	USec      int    // if HasUSec
	SeqNumber uint32 // if HasSeq
	HasUSec   bool
	HasSeq    bool
	SAddress  HostAddress // of the sender
	RAddress  *HostAddress
}

// ParseEncPrivPart reads the decrypted part of a KRB-PRIV. Error: ErrMalformed.
func ParseEncPrivPart(b []byte) (*EncPrivPart, error) {
	return parse(b, "EncKrbPrivPart", readEncPrivPart)
}

// EncKrbPrivPart ::= [APPLICATION 28] SEQUENCE {  RFC 4120 §5.7.1
//
//	user-data  [0] OCTET STRING,
//	timestamp  [1] KerberosTime OPTIONAL,
//	usec       [2] Microseconds OPTIONAL,
//	seq-number [3] UInt32 OPTIONAL,
//	s-address  [4] HostAddress,
//	r-address  [5] HostAddress OPTIONAL }
func readEncPrivPart(s *cryptobyte.String, p *EncPrivPart) bool {
	var body cryptobyte.String
	return readApplication(s, 28, &body) &&
		readOctets(&body, 0, &p.UserData) &&
		optional(&body, 1, &p.Timestamp, readTime) &&
		peek(&body, 2, &p.HasUSec) && optional(&body, 2, &p.USec, readMicroseconds) &&
		peek(&body, 3, &p.HasSeq) && optional(&body, 3, &p.SeqNumber, readUint32) &&
		readHostAddress(&body, 4, &p.SAddress) &&
		optionalPtr(&body, 5, &p.RAddress, readHostAddress) &&
		body.Empty()
}

// Append appends the DER of p to dst. What it holds is secret: erase it.
func (p *EncPrivPart) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, 28, func(b *builder) {
			addOctets(b, 0, p.UserData)
			addOptionalTime(b, 1, p.Timestamp)
			if p.HasUSec {
				addInt(b, 2, int64(p.USec))
			}
			if p.HasSeq {
				addInt(b, 3, int64(p.SeqNumber))
			}
			addField(b, 4, func(b *builder) { addHostAddressItem(b, &p.SAddress) })
			if p.RAddress != nil {
				addField(b, 5, func(b *builder) { addHostAddressItem(b, p.RAddress) })
			}
		})
	})
}
