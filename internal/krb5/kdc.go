package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// KDC options, RFC 4120 §5.4.1 and RFC 6806 §5; bit 0 is the most significant one.
const (
	KDCForwardable    uint32 = 1 << (31 - 1)
	KDCForwarded      uint32 = 1 << (31 - 2)
	KDCProxiable      uint32 = 1 << (31 - 3)
	KDCProxy          uint32 = 1 << (31 - 4)
	KDCAllowPostdate  uint32 = 1 << (31 - 5)
	KDCPostdated      uint32 = 1 << (31 - 6)
	KDCRenewable      uint32 = 1 << (31 - 8)
	KDCCNameInAddlTkt uint32 = 1 << (31 - 14) // constrained delegation, MS-SFU §2.2.3
	KDCCanonicalize   uint32 = 1 << (31 - 15)
	KDCAnonymous      uint32 = 1 << (31 - 16) // RFC 8062 §3
	KDCNoTransitCheck uint32 = 1 << (31 - 26) // disable-transited-check
	KDCRenewableOK    uint32 = 1 << (31 - 27)
	KDCEncTktInSkey   uint32 = 1 << (31 - 28) // user to user
	KDCRenew          uint32 = 1 << (31 - 30)
	KDCValidate       uint32 = 1 << 0
)

// Key usages of the AS and TGS exchanges, RFC 4120 §7.5.1.
const (
	UsagePAEncTimestamp  = 1 // PA-ENC-TIMESTAMP, under the client's key
	UsageASRep           = 3 // EncASRepPart, under the client's key
	UsageTGSReqADSession = 4 // authorization data, under the TGT's session key
	UsageTGSReqADSubkey  = 5 // authorization data, under the authenticator's subkey
	UsageTGSReqCksum     = 6 // checksum over the request body, under the TGT's session key
	UsageTGSReqAuth      = 7 // authenticator, under the TGT's session key
	UsageTGSRepSession   = 8 // EncTGSRepPart, under the TGT's session key
	UsageTGSRepSubkey    = 9 // EncTGSRepPart, under the authenticator's subkey
)

// A KDCReq is an AS-REQ or a TGS-REQ.
type KDCReq struct {
	TGS    bool // a TGS-REQ
	PAData []PAData
	Body   KDCReqBody
	// RawBody is the DER of the body as it came, which the checksum of a TGS-REQ
	// covers. ParseKDCReq sets it; Append writes it in place of Body if it is not nil.
	RawBody []byte
}

// A KDCReqBody says which ticket a client wants.
type KDCReqBody struct {
	Options     uint32
	CName       PrincipalName // nil Components: none, as in a TGS-REQ
	Realm       string        // of the server; in an AS-REQ of the client too
	SName       PrincipalName // nil Components: none
	From        time.Time     // zero: none
	Till        time.Time     // 1970-01-01: as long as possible
	RTime       time.Time     // zero: none
	Nonce       uint32
	ETypes      []EType // in order of preference
	Addresses   []HostAddress
	EncAuthData *EncryptedData // nil: none
	Tickets     []Ticket       // additional tickets
	// RawTickets, if not nil, are the additional tickets as a KDC sent them, and Append
	// writes them in place of Tickets. ParseKDCReq leaves it nil.
	RawTickets [][]byte
}

// ParseKDCReq reads an AS-REQ or a TGS-REQ. Error: ErrMalformed.
func ParseKDCReq(b []byte) (*KDCReq, error) { return parse(b, "KDC-REQ", readKDCReq) }

// AS-REQ  ::= [APPLICATION 10] KDC-REQ            RFC 4120 §5.4.1
// TGS-REQ ::= [APPLICATION 12] KDC-REQ
//
//	KDC-REQ ::= SEQUENCE {
//		pvno     [1] INTEGER (5),
//		msg-type [2] INTEGER (10 -- AS -- | 12 -- TGS --),
//		padata   [3] SEQUENCE OF PA-DATA OPTIONAL,
//		req-body [4] KDC-REQ-BODY }
func readKDCReq(s *cryptobyte.String, r *KDCReq) bool {
	r.TGS = s.PeekASN1Tag(application(msgTGSReq))
	var body, field cryptobyte.String
	if !readApplication(s, r.msgType(), &body) ||
		!readConst(&body, 1, pvno) ||
		!readConst(&body, 2, int32(r.msgType())) ||
		!optional(&body, 3, &r.PAData, readPADataList) ||
		!body.ReadASN1(&field, explicit(4)) || !body.Empty() {
		return false
	}
	r.RawBody = append([]byte{}, field...)
	return readKDCReqBody(&field, &r.Body) && field.Empty()
}

func (r *KDCReq) msgType() uint8 {
	if r.TGS {
		return msgTGSReq
	}
	return msgASReq
}

// Append appends the DER of r to dst.
func (r *KDCReq) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, r.msgType(), func(b *builder) {
			addInt(b, 1, pvno)
			addInt(b, 2, int64(r.msgType()))
			if len(r.PAData) > 0 {
				addList(b, 3, r.PAData, addPAData)
			}
			addField(b, 4, func(b *builder) {
				if r.RawBody != nil {
					b.octets(r.RawBody)
				} else {
					r.Body.add(b)
				}
			})
		})
	})
}

// KDC-REQ-BODY ::= SEQUENCE {                     RFC 4120 §5.4.1
//
//	kdc-options            [0] KDCOptions,
//	cname                  [1] PrincipalName OPTIONAL,
//	realm                  [2] Realm,
//	sname                  [3] PrincipalName OPTIONAL,
//	from                   [4] KerberosTime OPTIONAL,
//	till                   [5] KerberosTime,
//	rtime                  [6] KerberosTime OPTIONAL,
//	nonce                  [7] UInt32,
//	etype                  [8] SEQUENCE OF Int32,
//	addresses              [9] HostAddresses OPTIONAL,
//	enc-authorization-data [10] EncryptedData OPTIONAL,
//	additional-tickets     [11] SEQUENCE OF Ticket OPTIONAL }
func readKDCReqBody(s *cryptobyte.String, r *KDCReqBody) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readFlags(&body, 0, &r.Options) &&
		optional(&body, 1, &r.CName, readName) &&
		readRealm(&body, 2, &r.Realm) &&
		optional(&body, 3, &r.SName, readName) &&
		optional(&body, 4, &r.From, readTime) &&
		readTime(&body, 5, &r.Till) &&
		optional(&body, 6, &r.RTime, readTime) &&
		readUint32(&body, 7, &r.Nonce) &&
		readList(&body, 8, &r.ETypes, maxETypes, readInt32Item) &&
		optional(&body, 9, &r.Addresses, readHostAddresses) &&
		optionalPtr(&body, 10, &r.EncAuthData, readEncryptedData) &&
		optional(&body, 11, &r.Tickets, readTickets) &&
		body.Empty()
}

func readTickets(s *cryptobyte.String, n uint8, out *[]Ticket) bool {
	return readList(s, n, out, maxTickets, readTicket)
}

// Append appends the DER of the body alone to dst: what the checksum covers.
func (r *KDCReqBody) Append(dst []byte) []byte { return build(dst, r.add) }

func (r *KDCReqBody) add(b *builder) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addFlags(b, 0, r.Options)
		if len(r.CName.Components) > 0 {
			addName(b, 1, r.CName)
		}
		addString(b, 2, r.Realm)
		if len(r.SName.Components) > 0 {
			addName(b, 3, r.SName)
		}
		addOptionalTime(b, 4, r.From)
		addTime(b, 5, r.Till)
		addOptionalTime(b, 6, r.RTime)
		addInt(b, 7, int64(r.Nonce))
		addList(b, 8, r.ETypes, func(b *builder, e *EType) { b.integer(int64(*e)) })
		if len(r.Addresses) > 0 {
			addHostAddresses(b, 9, r.Addresses)
		}
		if r.EncAuthData != nil {
			addEncryptedData(b, 10, r.EncAuthData)
		}
		if r.RawTickets != nil {
			addList(b, 11, r.RawTickets, func(b *builder, t *[]byte) { b.octets(*t) })
		} else if len(r.Tickets) > 0 {
			addList(b, 11, r.Tickets, addTicket)
		}
	})
}

// A KDCRep is an AS-REP or a TGS-REP. Only EncPart is protected: what a client
// learns of its ticket it takes from there.
type KDCRep struct {
	TGS    bool // a TGS-REP
	PAData []PAData
	CRealm string
	CName  PrincipalName
	Ticket Ticket
	// RawTicket is the DER of the ticket as it came. ParseKDCRep sets it; Append
	// writes it in place of Ticket if it is not nil.
	RawTicket []byte
	EncPart   EncryptedData
}

// ParseKDCRep reads an AS-REP or a TGS-REP. Error: ErrMalformed.
func ParseKDCRep(b []byte) (*KDCRep, error) { return parse(b, "KDC-REP", readKDCRep) }

// AS-REP  ::= [APPLICATION 11] KDC-REP            RFC 4120 §5.4.2
// TGS-REP ::= [APPLICATION 13] KDC-REP
//
//	KDC-REP ::= SEQUENCE {
//		pvno     [0] INTEGER (5),
//		msg-type [1] INTEGER (11 -- AS -- | 13 -- TGS --),
//		padata   [2] SEQUENCE OF PA-DATA OPTIONAL,
//		crealm   [3] Realm,
//		cname    [4] PrincipalName,
//		ticket   [5] Ticket,
//		enc-part [6] EncryptedData -- EncASRepPart or EncTGSRepPart }
func readKDCRep(s *cryptobyte.String, r *KDCRep) bool {
	r.TGS = s.PeekASN1Tag(application(msgTGSRep))
	var body, field cryptobyte.String
	if !readApplication(s, r.msgType(), &body) ||
		!readConst(&body, 0, pvno) ||
		!readConst(&body, 1, int32(r.msgType())) ||
		!optional(&body, 2, &r.PAData, readPADataList) ||
		!readRealm(&body, 3, &r.CRealm) ||
		!readName(&body, 4, &r.CName) ||
		!body.ReadASN1(&field, explicit(5)) ||
		!readEncryptedData(&body, 6, &r.EncPart) || !body.Empty() {
		return false
	}
	r.RawTicket = append([]byte{}, field...)
	return readTicket(&field, &r.Ticket) && field.Empty()
}

func (r *KDCRep) msgType() uint8 {
	if r.TGS {
		return msgTGSRep
	}
	return msgASRep
}

// Append appends the DER of r to dst.
func (r *KDCRep) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, r.msgType(), func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, int64(r.msgType()))
			if len(r.PAData) > 0 {
				addList(b, 2, r.PAData, addPAData)
			}
			addString(b, 3, r.CRealm)
			addName(b, 4, r.CName)
			addField(b, 5, func(b *builder) {
				if r.RawTicket != nil {
					b.octets(r.RawTicket)
				} else {
					addTicket(b, &r.Ticket)
				}
			})
			addEncryptedData(b, 6, &r.EncPart)
		})
	})
}

// A LastReq is one element of last-req; type 0 says nothing.
type LastReq struct {
	Type  int32
	Value time.Time
}

// An EncKDCRepPart is what the KDC tells the client about its ticket.
type EncKDCRepPart struct {
	TGS           bool          // written as EncTGSRepPart; see ParseEncKDCRepPart
	Key           EncryptionKey // session key
	LastReq       []LastReq
	Nonce         uint32
	KeyExpiration time.Time // zero: none
	Flags         uint32    // of the ticket
	AuthTime      time.Time
	StartTime     time.Time // zero: none
	EndTime       time.Time
	RenewTill     time.Time // zero: none
	SRealm        string
	SName         PrincipalName
	CAddr         []HostAddress
	EncPAData     []PAData // RFC 6806 §11
}

// ParseEncKDCRepPart reads the decrypted part of a KDC-REP. Some KDCs tag that of an
// AS-REP as EncTGSRepPart, RFC 4120 §5.4.2, so either is read. Error: ErrMalformed.
func ParseEncKDCRepPart(b []byte) (*EncKDCRepPart, error) {
	return parse(b, "EncKDCRepPart", readEncKDCRepPart)
}

const (
	tagEncASRepPart  = 25
	tagEncTGSRepPart = 26
)

// EncASRepPart  ::= [APPLICATION 25] EncKDCRepPart          RFC 4120 §5.4.2
// EncTGSRepPart ::= [APPLICATION 26] EncKDCRepPart
//
//	EncKDCRepPart ::= SEQUENCE {
//		key               [0] EncryptionKey,
//		last-req          [1] SEQUENCE OF SEQUENCE { lr-type [0] Int32, lr-value [1] KerberosTime },
//		nonce             [2] UInt32,
//		key-expiration    [3] KerberosTime OPTIONAL,
//		flags             [4] TicketFlags,
//		authtime          [5] KerberosTime,
//		starttime         [6] KerberosTime OPTIONAL,
//		endtime           [7] KerberosTime,
//		renew-till        [8] KerberosTime OPTIONAL,
//		srealm            [9] Realm,
//		sname             [10] PrincipalName,
//		caddr             [11] HostAddresses OPTIONAL,
//		encrypted-pa-data [12] SEQUENCE OF PA-DATA OPTIONAL }   RFC 6806 §11
func readEncKDCRepPart(s *cryptobyte.String, p *EncKDCRepPart) bool {
	p.TGS = s.PeekASN1Tag(application(tagEncTGSRepPart))
	var body cryptobyte.String
	return readApplication(s, p.tag(), &body) &&
		readEncryptionKey(&body, 0, &p.Key) &&
		readList(&body, 1, &p.LastReq, maxLastReqs, readLastReq) &&
		readUint32(&body, 2, &p.Nonce) &&
		optional(&body, 3, &p.KeyExpiration, readTime) &&
		readFlags(&body, 4, &p.Flags) &&
		readTime(&body, 5, &p.AuthTime) &&
		optional(&body, 6, &p.StartTime, readTime) &&
		readTime(&body, 7, &p.EndTime) &&
		optional(&body, 8, &p.RenewTill, readTime) &&
		readRealm(&body, 9, &p.SRealm) &&
		readName(&body, 10, &p.SName) &&
		optional(&body, 11, &p.CAddr, readHostAddresses) &&
		optional(&body, 12, &p.EncPAData, readPADataList) &&
		body.Empty()
}

func (p *EncKDCRepPart) tag() uint8 {
	if p.TGS {
		return tagEncTGSRepPart
	}
	return tagEncASRepPart
}

func readLastReq(s *cryptobyte.String, l *LastReq) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readInt32(&body, 0, &l.Type) &&
		readTime(&body, 1, &l.Value) &&
		body.Empty()
}

// Append appends the DER of p to dst. It holds the session key: erase it.
func (p *EncKDCRepPart) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, p.tag(), func(b *builder) {
			addEncryptionKey(b, 0, &p.Key)
			addList(b, 1, p.LastReq, func(b *builder, l *LastReq) {
				b.add(asn1.SEQUENCE, func(b *builder) {
					addInt(b, 0, int64(l.Type))
					addTime(b, 1, l.Value)
				})
			})
			addInt(b, 2, int64(p.Nonce))
			addOptionalTime(b, 3, p.KeyExpiration)
			addFlags(b, 4, p.Flags)
			addTime(b, 5, p.AuthTime)
			addOptionalTime(b, 6, p.StartTime)
			addTime(b, 7, p.EndTime)
			addOptionalTime(b, 8, p.RenewTill)
			addString(b, 9, p.SRealm)
			addName(b, 10, p.SName)
			if len(p.CAddr) > 0 {
				addHostAddresses(b, 11, p.CAddr)
			}
			if len(p.EncPAData) > 0 {
				addList(b, 12, p.EncPAData, addPAData)
			}
		})
	})
}
