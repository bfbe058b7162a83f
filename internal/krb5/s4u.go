package krb5

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Pre-authentication data of services that act for users, MS-SFU §2.2 and MS-KILE §2.2.10.
const (
	PAForUser     = 129 // PAForUserData
	PAS4UX509User = 130 // PAS4UX509UserData
	PAPACOptions  = 167 // AppendPACOptions
)

// Key usages of PA-S4U-X509-USER's checksum, MS-SFU §2.2.2, under the request's
// subkey, or else the TGT's session key.
const (
	UsageS4UX509UserRequest = 26
	UsageS4UX509UserReply   = 27
)

// ChecksumHMACMD5 is the checksum type of RFC 4757 §4, which MS-SFU asks for whatever
// the key's type.
const ChecksumHMACMD5 = -138

// usageForUser is KERB_NON_KERB_CKSUM_SALT, the usage of PA-FOR-USER and of PACs.
const usageForUser = 17

// PAForUserData names the user whom a service asks a ticket to itself for.
type PAForUserData struct {
	User    Principal
	Cksum   Checksum
	Package string // "Kerberos"
}

// NewPAForUser makes a PAForUserData, with its checksum under the TGT's session key.
// That is HMAC-MD5 (which panics under GODEBUG=fips140=only), MS-SFU §2.2.1.
func NewPAForUser(user Principal, session *Key) *PAForUserData {
	p := &PAForUserData{User: user, Package: "Kerberos"}
	p.Cksum = Checksum{Type: ChecksumHMACMD5, Sum: hmacMD5(session, usageForUser, p.signed())}
	return p
}

// Verify reports whether the checksum is of what p says, under the TGT's session key. It may
// also be one of the key's own type, as Heimdal makes it; under GODEBUG=fips140=only it has to be.
func (p *PAForUserData) Verify(session *Key) bool {
	switch p.Cksum.Type {
	case session.EType().ChecksumType():
		return session.VerifyChecksum(p.signed(), p.Cksum.Sum, usageForUser)
	case ChecksumHMACMD5:
		return !fips140.Enforced() && hmac.Equal(hmacMD5(session, usageForUser, p.signed()), p.Cksum.Sum)
	}
	return false
}

// signed is u32 name type (little-endian), components, realm and package, joined.
func (p *PAForUserData) signed() []byte {
	msg := binary.LittleEndian.AppendUint32(nil, uint32(p.User.Name.Type))
	for _, c := range p.User.Name.Components {
		msg = append(msg, c...)
	}
	return append(append(msg, p.User.Realm...), p.Package...)
}

// hmacMD5 is the checksum of RFC 4757 §4 with a key of any type.
func hmacMD5(k *Key, usage uint32, msg []byte) []byte {
	mac := func(key, msg []byte) []byte {
		h := hmac.New(func() hash.Hash { return md5.New() }, key)
		h.Write(msg)
		return h.Sum(nil)
	}
	key := k.Bytes()
	defer clear(key)
	sign := mac(key, []byte("signaturekey\x00"))
	defer clear(sign)
	h := md5.New()
	h.Write(binary.LittleEndian.AppendUint32(nil, usage))
	h.Write(msg)
	return mac(sign, h.Sum(nil))
}

// ParsePAForUser reads a PA-FOR-USER. Error: ErrMalformed.
//
//	PA-FOR-USER ::= SEQUENCE {                      MS-SFU §2.2.1
//		userName     [0] PrincipalName,
//		userRealm    [1] Realm,
//		cksum        [2] Checksum,
//		auth-package [3] KerberosString }
func ParsePAForUser(b []byte) (*PAForUserData, error) {
	return parse(b, "PA-FOR-USER", func(s *cryptobyte.String, p *PAForUserData) bool {
		var body cryptobyte.String
		return s.ReadASN1(&body, asn1.SEQUENCE) &&
			readName(&body, 0, &p.User.Name) &&
			readRealm(&body, 1, &p.User.Realm) &&
			readChecksum(&body, 2, &p.Cksum) &&
			readString(&body, 3, &p.Package) &&
			body.Empty()
	})
}

// Append appends the DER of p to dst.
func (p *PAForUserData) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) {
			addName(b, 0, p.User.Name)
			addString(b, 1, p.User.Realm)
			addChecksum(b, 2, &p.Cksum)
			addString(b, 3, p.Package)
		})
	})
}

// S4UUseReplyKeyUsage is an option of an S4UUserID: the reply's checksum is to have a
// key usage of its own.
const S4UUseReplyKeyUsage uint32 = 1 << (31 - 2)

// An S4UUserID is what the checksum of a PA-S4U-X509-USER covers.
type S4UUserID struct {
	Nonce       uint32        // of the request
	CName       PrincipalName // nil Components: none
	CRealm      string
	Certificate []byte // of the user; nil: none
	Options     uint32 // if HasOptions
	HasOptions  bool
}

// PAS4UX509UserData names the user whom a service asks a ticket to itself for. Despite
// its name it needs no certificate; unlike PA-FOR-USER it is bound to the request, and
// its checksum is of the key's own type.
type PAS4UX509UserData struct {
	UserID S4UUserID
	// RawUserID is the DER of UserID as it came, which the checksum covers. Append
	// writes it in place of UserID if it is not nil.
	RawUserID []byte
	Cksum     Checksum
}

// NewPAS4UX509User signs id with key.
func NewPAS4UX509User(id S4UUserID, key *Key, usage uint32) *PAS4UX509UserData {
	p := &PAS4UX509UserData{UserID: id, RawUserID: build(nil, id.add)}
	p.Cksum = Checksum{Type: key.EType().ChecksumType(), Sum: key.Checksum(nil, p.RawUserID, usage)}
	return p
}

// Verify reports whether the checksum is of what p says.
func (p *PAS4UX509UserData) Verify(key *Key, usage uint32) bool {
	return p.Cksum.Type == key.EType().ChecksumType() && key.VerifyChecksum(p.RawUserID, p.Cksum.Sum, usage)
}

// ParsePAS4UX509User reads a PA-S4U-X509-USER. Error: ErrMalformed.
//
//	PA-S4U-X509-USER ::= SEQUENCE {                 MS-SFU §2.2.2
//		user-id  [0] S4UUserID,
//		checksum [1] Checksum }
func ParsePAS4UX509User(b []byte) (*PAS4UX509UserData, error) {
	return parse(b, "PA-S4U-X509-USER", func(s *cryptobyte.String, p *PAS4UX509UserData) bool {
		var body, id cryptobyte.String
		if !s.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&id, explicit(0)) {
			return false
		}
		p.RawUserID = append([]byte{}, id...)
		return readS4UUserID(&id, &p.UserID) && id.Empty() &&
			readChecksum(&body, 1, &p.Cksum) &&
			body.Empty()
	})
}

// S4UUserID ::= SEQUENCE {                        MS-SFU §2.2.2
//
//	nonce               [0] UInt32,
//	cname               [1] PrincipalName OPTIONAL,
//	crealm              [2] Realm,
//	subject-certificate [3] OCTET STRING OPTIONAL,
//	options             [4] BIT STRING OPTIONAL }
func readS4UUserID(s *cryptobyte.String, i *S4UUserID) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, asn1.SEQUENCE) &&
		readUint32(&body, 0, &i.Nonce) &&
		optional(&body, 1, &i.CName, readName) &&
		readRealm(&body, 2, &i.CRealm) &&
		optional(&body, 3, &i.Certificate, readOctets) &&
		peek(&body, 4, &i.HasOptions) && optional(&body, 4, &i.Options, readFlags) &&
		body.Empty()
}

func (i *S4UUserID) add(b *builder) {
	b.add(asn1.SEQUENCE, func(b *builder) {
		addInt(b, 0, int64(i.Nonce))
		if len(i.CName.Components) > 0 {
			addName(b, 1, i.CName)
		}
		addString(b, 2, i.CRealm)
		if i.Certificate != nil {
			addOctets(b, 3, i.Certificate)
		}
		if i.HasOptions {
			addFlags(b, 4, i.Options)
		}
	})
}

// Append appends the DER of p to dst.
func (p *PAS4UX509UserData) Append(dst []byte) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) {
			addField(b, 0, func(b *builder) {
				if p.RawUserID != nil {
					b.octets(p.RawUserID)
				} else {
					p.UserID.add(b)
				}
			})
			addChecksum(b, 1, &p.Cksum)
		})
	})
}

// PACOptionRBCD in PA-PAC-OPTIONS: the client understands resource-based constrained
// delegation, MS-KILE §2.2.10.
const PACOptionRBCD uint32 = 1 << (31 - 3)

// AppendPACOptions appends the DER of a PA-PAC-OPTIONS to dst.
//
//	PA-PAC-OPTIONS ::= SEQUENCE { flags [0] KerberosFlags }   MS-KILE §2.2.10
func AppendPACOptions(dst []byte, flags uint32) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) { addFlags(b, 0, flags) })
	})
}

// ParsePACOptions reads a PA-PAC-OPTIONS. Error: ErrMalformed.
func ParsePACOptions(b []byte) (flags uint32, err error) {
	f, err := parse(b, "PA-PAC-OPTIONS", func(s *cryptobyte.String, f *uint32) bool {
		var body cryptobyte.String
		return s.ReadASN1(&body, asn1.SEQUENCE) && readFlags(&body, 0, f) && body.Empty()
	})
	if err != nil {
		return 0, err
	}
	return *f, nil
}
