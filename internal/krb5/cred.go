package krb5

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const msgCred = 22

// UsageCredEncPart is the key usage of EncKrbCredPart, RFC 4120 §7.5.1.
const UsageCredEncPart = 14

// A Cred is a KRB-CRED: tickets on their way to somebody else, in delegation.
type Cred struct {
	Tickets []Ticket
	// RawTickets, if not nil, are the tickets as a KDC sent them, and Append writes
	// them in place of Tickets. ParseCred leaves it nil.
	RawTickets [][]byte
	EncPart    EncryptedData // etype 0: not encrypted, EncKrbCredPart in clear
}

// ParseCred reads a KRB-CRED. Error: ErrMalformed.
func ParseCred(b []byte) (*Cred, error) { return parse(b, "KRB-CRED", readCred) }

// KRB-CRED ::= [APPLICATION 22] SEQUENCE {        RFC 4120 §5.8.1
//
//	pvno     [0] INTEGER (5),
//	msg-type [1] INTEGER (22),
//	tickets  [2] SEQUENCE OF Ticket,
//	enc-part [3] EncryptedData -- EncKrbCredPart }
func readCred(s *cryptobyte.String, c *Cred) bool {
	var body cryptobyte.String
	return readApplication(s, msgCred, &body) &&
		readConst(&body, 0, pvno) &&
		readConst(&body, 1, msgCred) &&
		readTickets(&body, 2, &c.Tickets) &&
		readEncryptedData(&body, 3, &c.EncPart) &&
		body.Empty()
}

// Append appends the DER of c to dst.
func (c *Cred) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, msgCred, func(b *builder) {
			addInt(b, 0, pvno)
			addInt(b, 1, msgCred)
			if c.RawTickets != nil {
				addList(b, 2, c.RawTickets, func(b *builder, t *[]byte) { b.octets(*t) })
			} else {
				addList(b, 2, c.Tickets, addTicket)
			}
			addEncryptedData(b, 3, &c.EncPart)
		})
	})
}

// A CredInfo belongs to the ticket at the same place of a Cred. Zero fields are not there.
type CredInfo struct {
	Key       EncryptionKey // session key
	PRealm    string        // of the client
	PName     PrincipalName
	Flags     uint32 // if HasFlags
	HasFlags  bool
	AuthTime  time.Time
	StartTime time.Time
	EndTime   time.Time
	RenewTill time.Time
	SRealm    string // of the service
	SName     PrincipalName
	CAddr     []HostAddress
}

// An EncCredPart is the protected part of a Cred. Whoever reads one checks that it
// has as many infos as the Cred has tickets.
type EncCredPart struct {
	Infos     []CredInfo
	Nonce     uint32 // if HasNonce
	HasNonce  bool
	Timestamp time.Time // zero: none
	USec      int
	SAddress  *HostAddress
	RAddress  *HostAddress
}

// ParseEncCredPart reads the decrypted part of a KRB-CRED. Error: ErrMalformed.
func ParseEncCredPart(b []byte) (*EncCredPart, error) {
	return parse(b, "EncKrbCredPart", readEncCredPart)
}

// EncKrbCredPart ::= [APPLICATION 29] SEQUENCE {  RFC 4120 §5.8.1
//
//	ticket-info [0] SEQUENCE OF KrbCredInfo,
//	nonce       [1] UInt32 OPTIONAL,
//	timestamp   [2] KerberosTime OPTIONAL,
//	usec        [3] Microseconds OPTIONAL,
//	s-address   [4] HostAddress OPTIONAL,
//	r-address   [5] HostAddress OPTIONAL }
func readEncCredPart(s *cryptobyte.String, p *EncCredPart) bool {
	var body cryptobyte.String
	return readApplication(s, 29, &body) &&
		readList(&body, 0, &p.Infos, maxTickets, readCredInfo) &&
		peek(&body, 1, &p.HasNonce) && optional(&body, 1, &p.Nonce, readUint32) &&
		optional(&body, 2, &p.Timestamp, readTime) &&
		optional(&body, 3, &p.USec, readMicroseconds) &&
		optionalPtr(&body, 4, &p.SAddress, readHostAddress) &&
		optionalPtr(&body, 5, &p.RAddress, readHostAddress) &&
		body.Empty()
}

// KrbCredInfo ::= SEQUENCE {                      RFC 4120 §5.8.1
//
//	key        [0] EncryptionKey,
//	prealm     [1] Realm OPTIONAL,
//	pname      [2] PrincipalName OPTIONAL,
//	flags      [3] TicketFlags OPTIONAL,
//	authtime   [4] KerberosTime OPTIONAL,
//	starttime  [5] KerberosTime OPTIONAL,
//	endtime    [6] KerberosTime OPTIONAL,
//	renew-till [7] KerberosTime OPTIONAL,
//	srealm     [8] Realm OPTIONAL,
//	sname      [9] PrincipalName OPTIONAL,
//	caddr      [10] HostAddresses OPTIONAL }
func readCredInfo(s *cryptobyte.String, i *CredInfo) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readEncryptionKey(&body, 0, &i.Key) &&
		optional(&body, 1, &i.PRealm, readRealm) &&
		optional(&body, 2, &i.PName, readName) &&
		peek(&body, 3, &i.HasFlags) && optional(&body, 3, &i.Flags, readFlags) &&
		optional(&body, 4, &i.AuthTime, readTime) &&
		optional(&body, 5, &i.StartTime, readTime) &&
		optional(&body, 6, &i.EndTime, readTime) &&
		optional(&body, 7, &i.RenewTill, readTime) &&
		optional(&body, 8, &i.SRealm, readRealm) &&
		optional(&body, 9, &i.SName, readName) &&
		optional(&body, 10, &i.CAddr, readHostAddresses) &&
		body.Empty()
}

func addCredInfo(b *builder, i *CredInfo) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addEncryptionKey(b, 0, &i.Key)
		if i.PRealm != "" {
			addString(b, 1, i.PRealm)
		}
		if len(i.PName.Components) > 0 {
			addName(b, 2, i.PName)
		}
		if i.HasFlags {
			addFlags(b, 3, i.Flags)
		}
		addOptionalTime(b, 4, i.AuthTime)
		addOptionalTime(b, 5, i.StartTime)
		addOptionalTime(b, 6, i.EndTime)
		addOptionalTime(b, 7, i.RenewTill)
		if i.SRealm != "" {
			addString(b, 8, i.SRealm)
		}
		if len(i.SName.Components) > 0 {
			addName(b, 9, i.SName)
		}
		if len(i.CAddr) > 0 {
			addHostAddresses(b, 10, i.CAddr)
		}
	})
}

// Append appends the DER of p to dst. It holds session keys: erase it.
func (p *EncCredPart) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		addApplication(b, 29, func(b *builder) {
			addList(b, 0, p.Infos, addCredInfo)
			if p.HasNonce {
				addInt(b, 1, int64(p.Nonce))
			}
			addOptionalTime(b, 2, p.Timestamp)
			if !p.Timestamp.IsZero() || p.USec != 0 {
				addInt(b, 3, int64(p.USec))
			}
			if p.SAddress != nil {
				addField(b, 4, func(b *builder) { addHostAddressItem(b, p.SAddress) })
			}
			if p.RAddress != nil {
				addField(b, 5, func(b *builder) { addHostAddressItem(b, p.RAddress) })
			}
		})
	})
}
