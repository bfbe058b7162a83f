package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Message types, RFC 4120 §7.5.7.
const (
	msgASReq  = 10
	msgASRep  = 11
	msgTGSReq = 12
	msgTGSRep = 13
	msgAPReq  = 14
	msgAPRep  = 15
	msgError  = 30
)

// Options of an AP-REQ, RFC 4120 §5.5.1; bit 0 is the most significant one.
const (
	APUseSessionKey  uint32 = 1 << (31 - 1) // the ticket is encrypted in a TGT's session key
	APMutualRequired uint32 = 1 << (31 - 2)
)

// Key usages of the AP exchange, RFC 4120 §7.5.1.
const (
	UsageAPReqCksum = 10 // checksum in the authenticator
	UsageAPReqAuth  = 11 // authenticator, under the ticket's session key
	UsageAPRepEnc   = 12 // EncAPRepPart, under the ticket's session key
)

// An APReq is the client's message to a service.
type APReq struct {
	Options uint32
	Ticket  Ticket
	// RawTicket, if not nil, is the ticket as a KDC sent it, and Append writes it in
	// place of Ticket: a client need not understand its ticket. ParseAPReq leaves it nil.
	RawTicket     []byte
	Authenticator EncryptedData
}

// ParseAPReq reads an AP-REQ. Nothing in it is authenticated before the ticket and
// the authenticator are decrypted. Error: ErrMalformed.
func ParseAPReq(b []byte) (*APReq, error) { return parse(b, "AP-REQ", readAPReq) }

// AP-REQ ::= [APPLICATION 14] SEQUENCE {          RFC 4120 §5.5.1
//
//	pvno          [0] INTEGER (5),
//	msg-type      [1] INTEGER (14),
//	ap-options    [2] APOptions,
//	ticket        [3] Ticket,
//	authenticator [4] EncryptedData -- Authenticator }
func readAPReq(s *cryptobyte.String, r *APReq) bool {
	var body, ticket cryptobyte.String
	return readApplication(s, msgAPReq, &body) &&
		readConst(&body, 0, pvno) &&
		readConst(&body, 1, msgAPReq) &&
		readFlags(&body, 2, &r.Options) &&
		body.ReadASN1(&ticket, explicit(3)) && readTicket(&ticket, &r.Ticket) && ticket.Empty() &&
		readEncryptedData(&body, 4, &r.Authenticator) &&
		body.Empty()
}

// Append appends the DER of r to dst.
func (r *APReq) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, msgAPReq, func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, msgAPReq)
			addFlags(b, 2, r.Options)
			addField(b, 3, func(b *builder) {
				if r.RawTicket != nil {
					b.octets(r.RawTicket)
				} else {
					addTicket(b, &r.Ticket)
				}
			})
			addEncryptedData(b, 4, &r.Authenticator)
		})
	})
}

// An Authenticator is what the client says under the ticket's session key. CRealm
// and CName are its claim; they have to match the ticket's.
type Authenticator struct {
	CRealm    string
	CName     PrincipalName
	Cksum     *Checksum // nil: none
	CUsec     int       // microseconds of CTime
	CTime     time.Time
	Subkey    *EncryptionKey // nil: none
	SeqNumber uint32         // if HasSeq
	HasSeq    bool
	AuthData  []AuthDataEntry
}

// ParseAuthenticator reads a decrypted Authenticator. Error: ErrMalformed.
func ParseAuthenticator(b []byte) (*Authenticator, error) {
	return parse(b, "Authenticator", readAuthenticator)
}

// Authenticator ::= [APPLICATION 2] SEQUENCE {    RFC 4120 §5.5.1
//
//	authenticator-vno  [0] INTEGER (5),
//	crealm             [1] Realm,
//	cname              [2] PrincipalName,
//	cksum              [3] Checksum OPTIONAL,
//	cusec              [4] Microseconds,
//	ctime              [5] KerberosTime,
//	subkey             [6] EncryptionKey OPTIONAL,
//	seq-number         [7] UInt32 OPTIONAL,
//	authorization-data [8] AuthorizationData OPTIONAL }
func readAuthenticator(s *cryptobyte.String, a *Authenticator) bool {
	var body cryptobyte.String
	return readApplication(s, 2, &body) &&
		readConst(&body, 0, pvno) &&
		readRealm(&body, 1, &a.CRealm) &&
		readName(&body, 2, &a.CName) &&
		optionalPtr(&body, 3, &a.Cksum, readChecksum) &&
		readMicroseconds(&body, 4, &a.CUsec) &&
		readTime(&body, 5, &a.CTime) &&
		optionalPtr(&body, 6, &a.Subkey, readEncryptionKey) &&
		peek(&body, 7, &a.HasSeq) && optional(&body, 7, &a.SeqNumber, readUint32) &&
		optional(&body, 8, &a.AuthData, readAuthData) &&
		body.Empty()
}

// Append appends the DER of a to dst. It may hold a subkey: erase it.
func (a *Authenticator) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, 2, func(b *builder) {
			addInt(b, 0, pvno)
			addString(b, 1, a.CRealm)
			addName(b, 2, a.CName)
			if a.Cksum != nil {
				addChecksum(b, 3, a.Cksum)
			}
			addInt(b, 4, int64(a.CUsec))
			addTime(b, 5, a.CTime)
			if a.Subkey != nil {
				addEncryptionKey(b, 6, a.Subkey)
			}
			if a.HasSeq {
				addInt(b, 7, int64(a.SeqNumber))
			}
			if len(a.AuthData) > 0 {
				addList(b, 8, a.AuthData, addAuthDataEntry)
			}
		})
	})
}

// An APRep is the service's answer when mutual authentication was asked for.
type APRep struct{ EncPart EncryptedData }

// ParseAPRep reads an AP-REP. Error: ErrMalformed.
func ParseAPRep(b []byte) (*APRep, error) { return parse(b, "AP-REP", readAPRep) }

// AP-REP ::= [APPLICATION 15] SEQUENCE {          RFC 4120 §5.5.2
//
//	pvno     [0] INTEGER (5),
//	msg-type [1] INTEGER (15),
//	enc-part [2] EncryptedData -- EncAPRepPart }
func readAPRep(s *cryptobyte.String, r *APRep) bool {
	var body cryptobyte.String
	return readApplication(s, msgAPRep, &body) &&
		readConst(&body, 0, pvno) &&
		readConst(&body, 1, msgAPRep) &&
		readEncryptedData(&body, 2, &r.EncPart) &&
		body.Empty()
}

// Append appends the DER of r to dst.
func (r *APRep) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, msgAPRep, func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, msgAPRep)
			addEncryptedData(b, 2, &r.EncPart)
		})
	})
}

// An EncAPRepPart repeats the authenticator's time, which proves that the service
// could read it.
type EncAPRepPart struct {
	CTime     time.Time
	CUsec     int            // microseconds of CTime
	Subkey    *EncryptionKey // nil: none
	SeqNumber uint32         // if HasSeq
	HasSeq    bool
}

// ParseEncAPRepPart reads the decrypted part of an AP-REP. Error: ErrMalformed.
func ParseEncAPRepPart(b []byte) (*EncAPRepPart, error) {
	return parse(b, "EncAPRepPart", readEncAPRepPart)
}

// EncAPRepPart ::= [APPLICATION 27] SEQUENCE {    RFC 4120 §5.5.2
//
//	ctime      [0] KerberosTime,
//	cusec      [1] Microseconds,
//	subkey     [2] EncryptionKey OPTIONAL,
//	seq-number [3] UInt32 OPTIONAL }
func readEncAPRepPart(s *cryptobyte.String, p *EncAPRepPart) bool {
	var body cryptobyte.String
	return readApplication(s, 27, &body) &&
		readTime(&body, 0, &p.CTime) &&
		readMicroseconds(&body, 1, &p.CUsec) &&
		optionalPtr(&body, 2, &p.Subkey, readEncryptionKey) &&
		peek(&body, 3, &p.HasSeq) && optional(&body, 3, &p.SeqNumber, readUint32) &&
		body.Empty()
}

// Append appends the DER of p to dst. It may hold a subkey: erase it.
func (p *EncAPRepPart) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, 27, func(b *builder) {
			addTime(b, 0, p.CTime)
			addInt(b, 1, int64(p.CUsec))
			if p.Subkey != nil {
				addEncryptionKey(b, 2, p.Subkey)
			}
			if p.HasSeq {
				addInt(b, 3, int64(p.SeqNumber))
			}
		})
	})
}
