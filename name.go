package gss

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss/oid"
)

// A Name is a comparable value; there is nothing to release.
//
// A name that a user gave has a Type and no Mech: each mechanism reads it in its
// own way. A mechanism name (MN, RFC 2743 §1.1.5) has a Mech and no Type, and Text
// is that mechanism's one canonical form, so that == is GSS_Compare_name and a
// Name can be a map key. Names of different mechanisms are never ==, even if
// their Text is. The zero Name is GSS_C_NO_NAME.
type Name struct {
	Type oid.OID
	Mech oid.OID
	Text string
}

// Service returns the name of a service on a host (GSS_C_NT_HOSTBASED_SERVICE,
// RFC 2743 §4.1).
func Service(service, host string) Name {
	return Name{Type: oid.NTHostService, Text: service + "@" + host}
}

// User returns the name of a user (GSS_C_NT_USER_NAME, RFC 2743 §4.2).
func User(user string) Name { return Name{Type: oid.NTUser, Text: user} }

// IsZero reports whether n is GSS_C_NO_NAME.
func (n Name) IsZero() bool { return n == Name{} }

// IsMN reports whether n is a mechanism name.
func (n Name) IsMN() bool { return n.Mech != "" }

// String is for people and logs: printable, quoted if need be, never for comparison.
func (n Name) String() string {
	if q := strconv.Quote(n.Text); len(q) != len(n.Text)+2 {
		return q
	}
	return n.Text
}

// An exported name, RFC 2743 §3.2:
//
//	04 01 | u16 length of the OID, tag and length included | OID | u32 length of the name | name
const tokIDName = 0x0401

// maxExportedOID bounds what the u16 may say: MaxLen contents octets, a tag and a length.
const maxExportedOID = oid.MaxLen + 4

// AppendExport appends the exported form of an MN, RFC 2743 §3.2, to dst. On an
// error (NameNotMN, BadName) dst comes back as it was.
func (n Name) AppendExport(dst []byte) ([]byte, error) {
	if !n.IsMN() {
		return dst, &Error{Op: "Export_name", Major: NameNotMN}
	}
	if len(n.Mech) > oid.MaxLen || uint64(len(n.Text)) > 1<<32-1 {
		return dst, &Error{Op: "Export_name", Major: BadName}
	}
	der := n.Mech.AppendDER(make([]byte, 0, 64))
	dst = binary.BigEndian.AppendUint16(dst, tokIDName)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(der)))
	dst = append(dst, der...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(n.Text)))
	return append(dst, n.Text...), nil
}

// Export returns the exported form of an MN (GSS_Export_name). Errors: NameNotMN,
// BadName.
func (n Name) Export() ([]byte, error) { return n.AppendExport(nil) }

// ParseName reads what Export wrote, and nothing else. The mechanism has not
// looked at it: a name from an untrusted place still has to be canonicalized.
// It copies what it keeps. Error: BadName.
func ParseName(exported []byte) (Name, error) {
	s := cryptobyte.String(exported)
	var id uint16
	var der cryptobyte.String
	var mech oid.OID
	var n uint32
	if !s.ReadUint16(&id) || id != tokIDName ||
		!s.ReadUint16LengthPrefixed(&der) || len(der) > maxExportedOID || !oid.Read(&der, &mech) || !der.Empty() ||
		!s.ReadUint32(&n) || uint64(n) != uint64(len(s)) {
		return Name{}, &Error{Op: "Import_name", Major: BadName}
	}
	return Name{Mech: mech, Text: string(s)}, nil
}
