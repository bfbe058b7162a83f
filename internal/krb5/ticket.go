package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Ticket flags, RFC 4120 §5.3; bit 0 is the most significant one.
const (
	TicketForwardable  uint32 = 1 << (31 - 1)
	TicketForwarded    uint32 = 1 << (31 - 2)
	TicketProxiable    uint32 = 1 << (31 - 3)
	TicketProxy        uint32 = 1 << (31 - 4)
	TicketMayPostdate  uint32 = 1 << (31 - 5)
	TicketPostdated    uint32 = 1 << (31 - 6)
	TicketInvalid      uint32 = 1 << (31 - 7)
	TicketRenewable    uint32 = 1 << (31 - 8)
	TicketInitial      uint32 = 1 << (31 - 9)
	TicketPreAuthent   uint32 = 1 << (31 - 10)
	TicketHWAuthent    uint32 = 1 << (31 - 11)
	TicketTransitedOK  uint32 = 1 << (31 - 12) // transited-policy-checked
	TicketOKAsDelegate uint32 = 1 << (31 - 13)
	TicketEncPARep     uint32 = 1 << (31 - 15) // the reply has encrypted-pa-data, RFC 6806 §11
	TicketAnonymous    uint32 = 1 << (31 - 16) // RFC 8062 §3
)

// UsageTicket is the key usage of a ticket's encrypted part, RFC 4120 §7.5.1.
const UsageTicket = 2

// A Ticket is what a KDC issues for a service. Only EncPart is protected, by the
// service's key: Realm and SName are whatever the sender wrote.
type Ticket struct {
	Realm   string
	SName   PrincipalName
	EncPart EncryptedData
}

// ParseTicket reads a Ticket. Error: ErrMalformed.
func ParseTicket(b []byte) (*Ticket, error) { return parse(b, "Ticket", readTicket) }

// Append appends the DER of t to dst.
func (t *Ticket) Append(dst []byte) []byte {
	return build(dst, func(b *builder) { addTicket(b, t) })
}

// Ticket ::= [APPLICATION 1] SEQUENCE {           RFC 4120 §5.3
//
//	tkt-vno  [0] INTEGER (5),
//	realm    [1] Realm,
//	sname    [2] PrincipalName,
//	enc-part [3] EncryptedData -- EncTicketPart }
//
// The realm may be empty: Heimdal 7.8 leaves it out of tickets that it cached under a
// name without one. It is not protected anyway.
func readTicket(s *cryptobyte.String, t *Ticket) bool {
	var body cryptobyte.String
	return readApplication(s, 1, &body) &&
		readConst(&body, 0, pvno) &&
		readString(&body, 1, &t.Realm) &&
		readName(&body, 2, &t.SName) &&
		readEncryptedData(&body, 3, &t.EncPart) &&
		body.Empty()
}

func addTicket(b *builder, t *Ticket) {
	addApplication(b, 1, func(b *builder) {
		addInt(b, 0, pvno)
		addString(b, 1, t.Realm)
		addName(b, 2, t.SName)
		addEncryptedData(b, 3, &t.EncPart)
	})
}

// An EncTicketPart is what the KDC tells the service about the client, and the one
// place to learn who the client is.
type EncTicketPart struct {
	Flags         uint32
	Key           EncryptionKey // session key
	CRealm        string
	CName         PrincipalName
	TransitedType int32 // 1: DOMAIN-X500-COMPRESS
	Transited     []byte
	AuthTime      time.Time
	StartTime     time.Time // zero: none, so AuthTime
	EndTime       time.Time
	RenewTill     time.Time     // zero: none
	CAddr         []HostAddress // empty: from anywhere
	AuthData      []AuthDataEntry
}

// Client is whose ticket it is.
func (t *EncTicketPart) Client() Principal { return Principal{t.CName, t.CRealm} }

// ParseEncTicketPart reads the decrypted part of a Ticket. Error: ErrMalformed.
func ParseEncTicketPart(b []byte) (*EncTicketPart, error) {
	return parse(b, "EncTicketPart", readEncTicketPart)
}

// EncTicketPart ::= [APPLICATION 3] SEQUENCE {    RFC 4120 §5.3
//
//	flags              [0] TicketFlags,
//	key                [1] EncryptionKey,
//	crealm             [2] Realm,
//	cname              [3] PrincipalName,
//	transited          [4] SEQUENCE { tr-type [0] Int32, contents [1] OCTET STRING },
//	authtime           [5] KerberosTime,
//	starttime          [6] KerberosTime OPTIONAL,
//	endtime            [7] KerberosTime,
//	renew-till         [8] KerberosTime OPTIONAL,
//	caddr              [9] HostAddresses OPTIONAL,
//	authorization-data [10] AuthorizationData OPTIONAL }
func readEncTicketPart(s *cryptobyte.String, t *EncTicketPart) bool {
	var body, transited cryptobyte.String
	return readApplication(s, 3, &body) &&
		readFlags(&body, 0, &t.Flags) &&
		readEncryptionKey(&body, 1, &t.Key) &&
		readRealm(&body, 2, &t.CRealm) &&
		readName(&body, 3, &t.CName) &&
		readSequence(&body, 4, &transited) &&
		readInt32(&transited, 0, &t.TransitedType) && readOctets(&transited, 1, &t.Transited) && transited.Empty() &&
		readTime(&body, 5, &t.AuthTime) &&
		optional(&body, 6, &t.StartTime, readTime) &&
		readTime(&body, 7, &t.EndTime) &&
		optional(&body, 8, &t.RenewTill, readTime) &&
		optional(&body, 9, &t.CAddr, readHostAddresses) &&
		optional(&body, 10, &t.AuthData, readAuthData) &&
		body.Empty()
}

// Append appends the DER of t to dst. It holds the session key: erase it.
func (t *EncTicketPart) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, 3, func(b *builder) {
			addFlags(b, 0, t.Flags)
			addEncryptionKey(b, 1, &t.Key)
			addString(b, 2, t.CRealm)
			addName(b, 3, t.CName)
			addSequence(b, 4, func(b *builder) {
				addInt(b, 0, int64(t.TransitedType))
				addOctets(b, 1, t.Transited)
			})
			addTime(b, 5, t.AuthTime)
			addOptionalTime(b, 6, t.StartTime)
			addTime(b, 7, t.EndTime)
			addOptionalTime(b, 8, t.RenewTill)
			if len(t.CAddr) > 0 {
				addHostAddresses(b, 9, t.CAddr)
			}
			if len(t.AuthData) > 0 {
				addList(b, 10, t.AuthData, addAuthDataEntry)
			}
		})
	})
}
