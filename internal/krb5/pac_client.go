package krb5

import (
	"encoding/binary"
	"time"
)

// A PACClientInfo is PAC_CLIENT_INFO, MS-PAC §2.7: it binds a PAC to its ticket.
type PACClientInfo struct {
	AuthTime time.Time // of the ticket
	Name     string    // of the client
}

// ParsePACClientInfo reads u64 time, u16 length, name in UTF-16. Error: ErrMalformed.
func ParsePACClientInfo(b []byte) (*PACClientInfo, error) {
	if len(b) < 10 || int(binary.LittleEndian.Uint16(b[8:])) != len(b)-10 {
		return nil, malformed("PAC_CLIENT_INFO")
	}
	name, ok := decodeUTF16(b[10:])
	if !ok || name == "" {
		return nil, malformed("PAC_CLIENT_INFO")
	}
	return &PACClientInfo{fileTime(binary.LittleEndian.Uint64(b)), name}, nil
}

// Append appends the octets of c to dst.
func (c *PACClientInfo) Append(dst []byte) []byte {
	name := appendUTF16(nil, c.Name)
	dst = binary.LittleEndian.AppendUint64(dst, toFileTime(c.AuthTime))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(name)))
	return append(dst, name...)
}

// Flags of a UPNInfo, MS-PAC §2.10.
const (
	UPNConstructed uint32 = 1 // the user has no UPN: it is made of account and domain
	upnExtended    uint32 = 2 // Account and SID are there
)

// A UPNInfo is UPN_DNS_INFO, MS-PAC §2.10.
type UPNInfo struct {
	UPN, DNSDomain string
	Flags          uint32
	Account        string // zero, as SID, in what old KDCs send
	SID            SID
}

// ParseUPNInfo reads, little-endian,
//
//	u16 length, u16 offset of the UPN; the same of the domain; u32 flags
//	(with flag 2) the same of account and SID
//
// and what they point to. Error: ErrMalformed.
func ParseUPNInfo(b []byte) (*UPNInfo, error) {
	bad := malformed("UPN_DNS_INFO")
	if len(b) < 12 {
		return nil, bad
	}
	u := &UPNInfo{Flags: binary.LittleEndian.Uint32(b[8:])}
	header := 12
	if u.Flags&upnExtended != 0 {
		header = 20
	}
	if len(b) < header {
		return nil, bad
	}
	field := func(at int) ([]byte, bool) {
		n, from := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
		if n == 0 {
			return nil, true
		}
		if from < header || from+n > len(b) {
			return nil, false
		}
		return b[from : from+n], true
	}
	text := func(at int, out *string) bool {
		f, ok := field(at)
		if ok {
			*out, ok = decodeUTF16(f)
		}
		return ok
	}
	if !text(0, &u.UPN) || !text(4, &u.DNSDomain) {
		return nil, bad
	}
	if u.Flags&upnExtended == 0 {
		return u, nil
	}
	sid, ok := field(16)
	if !ok || !text(12, &u.Account) {
		return nil, bad
	}
	if u.SID, ok = parseSID(sid); !ok {
		return nil, bad
	}
	return u, nil
}

// Append appends the octets of u, with account and SID, to dst.
func (u *UPNInfo) Append(dst []byte) []byte {
	head, body := []byte(nil), []byte(nil)
	field := func(v []byte) {
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
		head = binary.LittleEndian.AppendUint16(head, uint16(len(v)))
		head = binary.LittleEndian.AppendUint16(head, uint16(24+len(body)))
		body = append(body, v...)
	}
	field(appendUTF16(nil, u.UPN))
	field(appendUTF16(nil, u.DNSDomain))
	head = binary.LittleEndian.AppendUint32(head, u.Flags|upnExtended)
	field(appendUTF16(nil, u.Account))
	field(u.SID.Append(nil))
	return append(append(append(dst, head...), 0, 0, 0, 0), body...)
}
