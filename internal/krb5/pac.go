package krb5

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// ADWin2kPAC is the authorization data type of a PAC, MS-KILE §3.3.5.6.3: inside
// AD-IF-RELEVANT, as a service that knows nothing of it may pass it over.
const ADWin2kPAC = 128

// Types of a PAC's buffers, MS-PAC §2.4.
const (
	PACLogonInfo       = 1  // LogonInfo
	PACServerChecksum  = 6  // under the service's key
	PACKDCChecksum     = 7  // under the KDC's key
	PACClientInfoType  = 10 // PACClientInfo
	PACDelegationInfo  = 11
	PACUPNInfoType     = 12 // UPNInfo
	PACTicketChecksum  = 16 // over the ticket, under the KDC's key
	PACAttributes      = 17 // in TGTs
	PACRequestor       = 18 // a SID; in TGTs
	PACFullChecksum    = 19 // over the PAC, under the KDC's key
	maxPACBuffers      = 64
	maxPACSize         = 1 << 20 // octets
	pacHeaderLen       = 8
	pacBufferHeaderLen = 16
)

// usagePAC is KERB_NON_KERB_CKSUM_SALT, MS-PAC §2.8.
const usagePAC = 17

// ErrPACChecksum is returned for a PAC with a signature that is missing, not keyed, or
// not the one that it should be.
var ErrPACChecksum = errors.New("krb5: a PAC's signature is missing or wrong")

// ErrPACClient is returned for a PAC that is about somebody else than its ticket is,
// or about two people.
var ErrPACClient = errors.New("krb5: the PAC is not about the ticket's client")

// A PAC is a privilege attribute certificate, MS-PAC: what a KDC says of a client to
// services, in buffers. Nothing in it is to be believed before it was verified.
type PAC struct {
	raw     []byte
	buffers []pacBuffer
}

type pacBuffer struct {
	typ      uint32
	from, to int // of raw
}

// ParsePAC reads a PACTYPE, MS-PAC §2.3:
//
//	u32 n, u32 version (0), n × (u32 type, u32 size, u64 offset)   little-endian
//
// Buffers start at multiples of 8, do not reach into the header or into each other,
// and each type occurs once. Error: ErrMalformed.
func ParsePAC(b []byte) (*PAC, error) {
	bad := malformed("PAC")
	if len(b) < pacHeaderLen || len(b) > maxPACSize {
		return nil, bad
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxPACBuffers || binary.LittleEndian.Uint32(b[4:]) != 0 || len(b) < pacHeaderLen+int(n)*pacBufferHeaderLen {
		return nil, bad
	}
	p := &PAC{raw: slices.Clone(b), buffers: make([]pacBuffer, 0, n)}
	header := pacHeaderLen + int(n)*pacBufferHeaderLen
	for h := b[pacHeaderLen:header]; len(h) > 0; h = h[pacBufferHeaderLen:] {
		typ, size, offset := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint64(h[8:])
		if offset%8 != 0 || offset < uint64(header) || offset > uint64(len(b)) || uint64(size) > uint64(len(b))-offset {
			return nil, bad
		}
		buf := pacBuffer{typ, int(offset), int(offset) + int(size)}
		for _, o := range p.buffers {
			if o.typ == typ || buf.from < o.to && o.from < buf.to {
				return nil, bad
			}
		}
		p.buffers = append(p.buffers, buf)
	}
	return p, nil
}

// Buffer returns what is in the buffer of a type; it aliases p.
func (p *PAC) Buffer(typ uint32) (b []byte, ok bool) {
	for _, buf := range p.buffers {
		if buf.typ == typ {
			return p.raw[buf.from:buf.to:buf.to], true
		}
	}
	return nil, false
}

// signature returns where in p.raw the checksum of a type is, whose type is that of k:
// nothing else is a signature. RC4's and the unkeyed ones of old KDCs are refused.
//
//	u32 checksum type, checksum, (u16 number of a read-only KDC)   MS-PAC §2.8
func (p *PAC) signature(typ uint32, k *Key) (from, to int, ok bool) {
	for _, b := range p.buffers {
		if b.typ != typ {
			continue
		}
		from, to = b.from+4, b.from+4+k.EType().ChecksumLen()
		if b.to != to && b.to != to+2 || int32(binary.LittleEndian.Uint32(p.raw[b.from:])) != k.EType().ChecksumType() {
			return 0, 0, false
		}
		return from, to, true
	}
	return 0, 0, false
}

// cleared returns the PAC with the checksums in buffers of these types zero.
func (p *PAC) cleared(types ...uint32) []byte {
	b := slices.Clone(p.raw)
	for _, buf := range p.buffers {
		if !slices.Contains(types, buf.typ) || buf.to-buf.from < 4 {
			continue
		}
		// Its length goes with its own type: the key is not ours, perhaps.
		sum := b[buf.from+4 : buf.to]
		clear(sum[:min(len(sum), checksumLen(int32(binary.LittleEndian.Uint32(b[buf.from:]))))])
	}
	return b
}

// checksumLen is the length of a checksum of that type; 0 if it is none of a key's.
func checksumLen(typ int32) int {
	for _, list := range [][]profile{profiles[:], legacyProfiles[:]} {
		for i := range list {
			if list[i].sumType == typ {
				return list[i].macLen
			}
		}
	}
	return 0
}

// Verify checks the signature under the service's key, MS-PAC §2.8.1, and, if kdc is
// not nil, those under the KDC's: the one over it, and the one over the whole PAC if
// there is one. Error: ErrPACChecksum.
func (p *PAC) Verify(server, kdc *Key) error {
	from, to, ok := p.signature(PACServerChecksum, server)
	_, signed := p.Buffer(PACKDCChecksum)
	if !ok || !signed || !server.VerifyChecksum(p.cleared(PACServerChecksum, PACKDCChecksum), p.raw[from:to], usagePAC) {
		return ErrPACChecksum
	}
	if kdc == nil {
		return nil
	}
	kfrom, kto, ok := p.signature(PACKDCChecksum, kdc)
	if !ok || !kdc.VerifyChecksum(p.raw[from:to], p.raw[kfrom:kto], usagePAC) {
		return ErrPACChecksum
	}
	if _, there := p.Buffer(PACFullChecksum); there {
		from, to, ok := p.signature(PACFullChecksum, kdc)
		if !ok || !kdc.VerifyChecksum(p.cleared(PACServerChecksum, PACKDCChecksum, PACFullChecksum), p.raw[from:to], usagePAC) {
			return ErrPACChecksum
		}
	}
	return nil
}

// VerifyTicket checks the KDC's signature over the ticket that p came in, MS-PAC §2.8.3:
// a service could otherwise change its own ticket and show it as evidence. The KDC's
// key is needed for it, and a signature has to be there. Error: ErrPACChecksum.
func (p *PAC) VerifyTicket(ticket *EncTicketPart, kdc *Key) error {
	from, to, ok := p.signature(PACTicketChecksum, kdc)
	if !ok || !kdc.VerifyChecksum(ticketWithoutPAC(ticket), p.raw[from:to], usagePAC) {
		return ErrPACChecksum
	}
	return nil
}

// ticketWithoutPAC is the DER of a ticket whose PAC is one zero octet.
func ticketWithoutPAC(t *EncTicketPart) []byte {
	c := *t
	c.AuthData = slices.Clone(t.AuthData)
	for i, e := range c.AuthData {
		list, err := ParseAuthData(e.Data)
		if e.Type != ADIfRelevant || err != nil {
			continue
		}
		for j := range list {
			if list[j].Type == ADWin2kPAC {
				list[j].Data = []byte{0}
				c.AuthData[i].Data = AppendAuthData(nil, list)
				return c.Append(nil)
			}
		}
	}
	return c.Append(nil)
}

// FindPAC returns the PAC in a ticket's authorization data; nil if there is none. Two
// are an error. Error: ErrMalformed.
func FindPAC(list []AuthDataEntry) (*PAC, error) {
	var raw []byte
	for _, e := range list {
		if e.Type != ADIfRelevant {
			continue
		}
		inner, err := ParseAuthData(e.Data)
		if err != nil {
			return nil, err
		}
		for _, e := range inner {
			if e.Type != ADWin2kPAC {
				continue
			}
			if raw != nil {
				return nil, malformed("PAC")
			}
			raw = e.Data
		}
	}
	if raw == nil {
		return nil, nil
	}
	return ParsePAC(raw)
}

// VerifyPAC returns the PAC of a ticket, verified as Verify does it and to be about the
// ticket's client: who is meant the ticket says, and every name and SID in the PAC has
// to agree. nil if there is none. Errors: ErrMalformed, ErrPACChecksum, ErrPACClient.
func VerifyPAC(t *EncTicketPart, server, kdc *Key) (*PAC, error) {
	p, err := FindPAC(t.AuthData)
	if p == nil || err != nil {
		return nil, err
	}
	if err := p.Verify(server, kdc); err != nil {
		return nil, err
	}
	if err := p.checkClient(t); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *PAC) checkClient(t *EncTicketPart) error {
	b, ok := p.Buffer(PACClientInfoType)
	if !ok {
		return ErrPACClient
	}
	info, err := ParsePACClientInfo(b)
	if err != nil {
		return err
	}
	// In a ticket that a service got of another realm in the name of a user the
	// realm is said too, MS-SFU §3.2.5.2.3.
	client := t.Client()
	name := plainName(client.Name)
	if info.Name != name && info.Name != name+"@"+client.Realm || !info.AuthTime.Equal(t.AuthTime) {
		return ErrPACClient
	}
	l, err := p.Logon()
	if err != nil || l == nil {
		return err
	}
	if u, err := p.UPN(); err != nil {
		return err
	} else if u != nil && !u.SID.IsZero() && !u.SID.Equal(l.User()) {
		return ErrPACClient
	}
	if b, ok := p.Buffer(PACRequestor); ok {
		if s, ok := parseSID(b); !ok {
			return malformed("PAC_REQUESTOR")
		} else if !s.Equal(l.User()) {
			return ErrPACClient
		}
	}
	return nil
}

// plainName is a name without quoting, as PACs have it.
func plainName(n PrincipalName) string {
	var out []byte
	for i, c := range n.Components {
		if i > 0 {
			out = append(out, '/')
		}
		out = append(out, c...)
	}
	return string(out)
}

// Logon returns what the KDC says of the user; nil if nothing, as MIT's. Error: ErrMalformed.
func (p *PAC) Logon() (*LogonInfo, error) {
	b, ok := p.Buffer(PACLogonInfo)
	if !ok {
		return nil, nil
	}
	return ParseLogonInfo(b)
}

// UPN returns the names of the user in the directory; nil if they are not there.
// Error: ErrMalformed.
func (p *PAC) UPN() (*UPNInfo, error) {
	b, ok := p.Buffer(PACUPNInfoType)
	if !ok {
		return nil, nil
	}
	return ParseUPNInfo(b)
}

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
