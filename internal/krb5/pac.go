package krb5

import (
	"encoding/binary"
	"errors"
	"slices"
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
