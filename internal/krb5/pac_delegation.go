package krb5

// maxDelegations bounds the services on the way of a delegation.
const maxDelegations = 64

// A DelegationInfo is S4U_DELEGATION_INFO, MS-PAC §2.9: through whom a ticket came to be,
// by constrained delegation.
type DelegationInfo struct {
	Target    string   // the service that the ticket is for
	Transited []string // the services that acted for the user, the first one first
}

// ParseDelegationInfo reads a PAC's buffer of type PACDelegationInfo. Error: ErrMalformed.
func ParseDelegationInfo(b []byte) (*DelegationInfo, error) {
	r := ndrReader{b: b}
	r.header()
	target, n, listed := r.stringHead(), r.u32(), r.u32() != 0
	r.must(n <= maxDelegations && (listed || n == 0))
	d := &DelegationInfo{Target: r.stringBody(target)}
	var heads []ndrString
	if listed {
		for range r.count(8, n) {
			heads = append(heads, r.stringHead())
		}
	}
	for _, h := range heads {
		d.Transited = append(d.Transited, r.stringBody(h))
	}
	r.align(8)
	if r.bad || r.at != len(r.b) || !zero(b[r.at:]) {
		return nil, malformed("S4U_DELEGATION_INFO")
	}
	return d, nil
}

// Append appends the octets of d to dst, as in a buffer of type PACDelegationInfo.
func (d *DelegationInfo) Append(dst []byte) []byte {
	w := ndrWriter{}
	w.pointer(true)
	w.stringHead(d.Target)
	w.u32(uint32(len(d.Transited)))
	w.pointer(len(d.Transited) > 0)
	w.stringBody(d.Target)
	if len(d.Transited) > 0 {
		w.u32(uint32(len(d.Transited)))
		for _, s := range d.Transited {
			w.stringHead(s)
		}
	}
	for _, s := range d.Transited {
		w.align(4)
		w.stringBody(s)
	}
	return append(dst, w.headed()...)
}
