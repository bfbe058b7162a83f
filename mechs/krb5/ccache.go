package krb5

import (
	"errors"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

const maxCCacheSize = 16 << 20 // octets; a ticket with a large PAC takes 64 KiB

var errCCache = errors.New("krb5: malformed credential cache")

// A ccache is what a credential cache file holds.
type ccache struct {
	client  ikrb5.Principal
	tickets []*ticket
}

// parseCCache reads a credential cache of version 3 or 4. Integers are big-endian:
//
//	file       = 05 | version | (4 only: u16 length | tagged fields) | principal | credential…
//	principal  = u32 name type | u32 components | data realm | data component…
//	credential = principal client | principal server
//	             | u16 key type | (3 only: u16 again) | data key
//	             | u32 auth time | u32 start time | u32 end time | u32 renew till
//	             | u8 is session key | u32 ticket flags
//	             | u32 n | n × (u16 type | data address) | u32 n | n × (u16 type | data authdata)
//	             | data ticket | data second ticket
//	data       = u32 length | octets
//
// Passed over are credentials of another client, for user-to-user authentication,
// with keys that this package lacks, for a server without a realm (MIT keeps a
// ticket that was found by referral under that name too), and what holds no ticket,
// such as the settings that MIT keeps as credentials of the realm "X-CACHECONF:".
func parseCCache(b []byte) (*ccache, error) {
	r := fileReader{b: b}
	five, version := r.u8(), r.u8()
	if five != 5 || version != 3 && version != 4 {
		return nil, errCCache
	}
	if version == 4 {
		r.data16()
	}
	c := &ccache{client: readCCachePrincipal(&r)}
	ok := !r.bad && validPrincipal(c.client)
	for ok && len(r.b) > 0 {
		var t *ticket
		if t, ok = readCredential(&r, version, c.client); t != nil {
			c.tickets = append(c.tickets, t)
		}
	}
	if !ok || !r.done() {
		c.erase()
		return nil, errCCache
	}
	return c, nil
}

func readCCachePrincipal(r *fileReader) (p ikrb5.Principal) {
	p.Name.Type = int32(r.u32())
	components := r.u32()
	p.Realm = string(r.data32())
	p.Name.Components = r.components(components, r.data32)
	return p
}

// readCredential returns nil and true for a credential that is of no use.
func readCredential(r *fileReader, version uint8, owner ikrb5.Principal) (*ticket, bool) {
	t := new(ticket)
	client := readCCachePrincipal(r)
	t.server = readCCachePrincipal(r)
	etype := ikrb5.EType(r.u16())
	if version == 3 {
		r.u16()
	}
	value := r.data32()
	_, t.start, t.end, t.renew = r.time(), r.time(), r.time(), r.time()
	userToUser := r.u8() != 0
	t.flags = r.u32()
	for range 2 { // addresses, authorization data
		for n := r.u32(); n > 0 && !r.bad; n-- {
			r.u16()
			r.data32()
		}
	}
	t.raw = append([]byte(nil), r.data32()...)
	r.data32()
	if r.bad {
		return nil, false
	}
	if userToUser || !etype.Supported() || !client.Equal(owner) || !validPrincipal(t.server) {
		return nil, true
	}
	if _, err := ikrb5.ParseTicket(t.raw); err != nil {
		return nil, true
	}
	var err error
	t.key, err = ikrb5.NewKey(etype, value)
	return t, err == nil
}

func (c *ccache) erase() {
	for _, t := range c.tickets {
		t.key.Erase()
	}
}
