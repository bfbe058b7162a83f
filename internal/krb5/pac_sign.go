package krb5

import (
	"encoding/binary"
	"slices"
)

// A PACBuilder makes a PAC for a ticket: what a KDC does.
type PACBuilder struct {
	types []uint32
	data  [][]byte
}

// Add adds a buffer. Those of checksums come by Sign.
func (p *PACBuilder) Add(typ uint32, data []byte) {
	p.types, p.data = append(p.types, typ), append(p.data, data)
}

// AddFrom adds every buffer of another PAC but the checksums, and those for which
// except is true.
func (p *PACBuilder) AddFrom(old *PAC, except func(typ uint32) bool) {
	for _, b := range old.buffers {
		switch b.typ {
		case PACServerChecksum, PACKDCChecksum, PACTicketChecksum, PACFullChecksum:
			continue
		}
		if !except(b.typ) {
			p.Add(b.typ, old.raw[b.from:b.to])
		}
	}
}

// Without is p without the buffers of these types.
func (p *PACBuilder) Without(types ...uint32) *PACBuilder {
	q := new(PACBuilder)
	for i, typ := range p.types {
		if !slices.Contains(types, typ) {
			q.Add(typ, p.data[i])
		}
	}
	return q
}

// WithoutPAC is list without the PACs in it.
func WithoutPAC(list []AuthDataEntry) []AuthDataEntry {
	var out []AuthDataEntry
	for _, e := range list {
		inner, err := ParseAuthData(e.Data)
		if e.Type != ADIfRelevant || err != nil || !slices.ContainsFunc(inner, isPAC) {
			out = append(out, e)
			continue
		}
		if inner = slices.DeleteFunc(inner, isPAC); len(inner) > 0 {
			out = append(out, AuthDataEntry{ADIfRelevant, AppendAuthData(nil, inner)})
		}
	}
	return out
}

func isPAC(e AuthDataEntry) bool { return e.Type == ADWin2kPAC }

// Sign returns the authorization data of t with the PAC in front, whose server checksum
// is under server and whose others are under kdc. The checksums over the ticket and the
// whole PAC are those of service tickets, which a KDC gets to see as evidence: a TGT has
// none. t must be complete otherwise, and AuthData without a PAC.
func (p *PACBuilder) Sign(t *EncTicketPart, server, kdc *Key, service bool) ([]AuthDataEntry, error) {
	q := PACBuilder{slices.Clone(p.types), slices.Clone(p.data)}
	empty := func(k *Key) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(k.EType().ChecksumType()))
		return append(b, make([]byte, k.EType().ChecksumLen())...)
	}
	wrap := func(raw []byte) []AuthDataEntry {
		entry := AuthDataEntry{ADIfRelevant, AppendAuthData(nil, []AuthDataEntry{{ADWin2kPAC, raw}})}
		return append([]AuthDataEntry{entry}, t.AuthData...)
	}
	if service {
		c := *t
		c.AuthData = wrap([]byte{0})
		sum := binary.LittleEndian.AppendUint32(nil, uint32(kdc.EType().ChecksumType()))
		q.Add(PACTicketChecksum, kdc.Checksum(sum, c.Append(nil), usagePAC))
		q.Add(PACFullChecksum, empty(kdc))
	}
	q.Add(PACServerChecksum, empty(server))
	q.Add(PACKDCChecksum, empty(kdc))
	pac, err := ParsePAC(q.layout())
	if err != nil {
		return nil, err
	}
	sign := func(typ uint32, k *Key, msg []byte) {
		from, to, _ := pac.signature(typ, k)
		copy(pac.raw[from:to], k.Checksum(nil, msg, usagePAC))
	}
	if service {
		sign(PACFullChecksum, kdc, pac.raw)
	}
	sign(PACServerChecksum, server, pac.raw)
	from, to, _ := pac.signature(PACServerChecksum, server)
	sign(PACKDCChecksum, kdc, pac.raw[from:to])
	return wrap(pac.raw), nil
}

// layout is the PACTYPE.
func (p *PACBuilder) layout() []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(p.data)))
	out = binary.LittleEndian.AppendUint32(out, 0)
	at := pacHeaderLen + pacBufferHeaderLen*len(p.data)
	for i, d := range p.data {
		out = binary.LittleEndian.AppendUint32(out, p.types[i])
		out = binary.LittleEndian.AppendUint32(out, uint32(len(d)))
		out = binary.LittleEndian.AppendUint64(out, uint64(at))
		at += (len(d) + 7) &^ 7
	}
	for _, d := range p.data {
		out = append(out, d...)
		out = append(out, make([]byte, -len(d)&7)...)
	}
	return out
}
