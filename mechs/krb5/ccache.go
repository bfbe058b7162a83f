package krb5

import (
	"encoding/binary"
	"errors"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

const maxCCacheSize = 16 << 20 // octets; a ticket with a large PAC takes 64 KiB

var errCCache = errors.New("krb5: malformed credential cache")

// A ccache is what a credential cache holds, whatever keeps it. Integers are
// big-endian:
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
// Caches that are not files have a principal and credentials in version 4's layout.
type ccache struct {
	version uint8  // 3 or 4
	fields  []byte // tagged fields, in version 4: MIT keeps a clock's offset there
	client  ikrb5.Principal
	creds   []ccacheCred
}

// A ccacheCred is a credential as it is kept, also one of no use here: it can be
// written as it was read.
type ccacheCred struct {
	client, server         ikrb5.Principal // not checked
	etype                  uint16
	key                    []byte
	auth, start, end, till uint32 // seconds since 1970
	skey                   uint8  // not 0: for user-to-user authentication
	flags                  uint32
	addresses, authData    []typedData
	ticket, second         []byte
}

type typedData struct {
	kind uint16
	data []byte
}

// confRealm is the realm of what is no credential but a setting, which MIT and
// Heimdal keep among them.
const confRealm = "X-CACHECONF:"

// parseCCache reads a credential cache file of version 3 or 4. It copies what it
// keeps.
func parseCCache(b []byte) (*ccache, error) {
	r := fileReader{b: b}
	five, version := r.u8(), r.u8()
	if five != 5 || version != 3 && version != 4 {
		return nil, errCCache
	}
	c := &ccache{version: version}
	if version == 4 {
		c.fields = append(c.fields, r.data16()...)
	}
	c.client = readCCachePrincipal(&r)
	ok := !r.bad && validPrincipal(c.client)
	for ok && len(r.b) > 0 {
		cred := readCCacheCred(&r, version)
		ok = !r.bad
		c.creds = append(c.creds, cred)
	}
	if !ok || !r.done() {
		c.erase()
		return nil, errCCache
	}
	return c, nil
}

// parseCCachePrincipal and parseCCacheCred read what other caches than files keep.
func parseCCachePrincipal(b []byte) (ikrb5.Principal, error) {
	r := fileReader{b: b}
	p := readCCachePrincipal(&r)
	if !r.done() || !validPrincipal(p) {
		return p, errCCache
	}
	return p, nil
}

func parseCCacheCred(b []byte) (ccacheCred, error) {
	r := fileReader{b: b}
	c := readCCacheCred(&r, 4)
	if !r.done() {
		c.erase()
		return ccacheCred{}, errCCache
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

func readCCacheCred(r *fileReader, version uint8) (c ccacheCred) {
	c.client = readCCachePrincipal(r)
	c.server = readCCachePrincipal(r)
	c.etype = r.u16()
	if version == 3 {
		r.u16()
	}
	c.key = append(c.key, r.data32()...)
	c.auth, c.start, c.end, c.till = r.u32(), r.u32(), r.u32(), r.u32()
	c.skey = r.u8()
	c.flags = r.u32()
	c.addresses, c.authData = readTypedData(r), readTypedData(r)
	c.ticket = append(c.ticket, r.data32()...)
	c.second = append(c.second, r.data32()...)
	return c
}

func readTypedData(r *fileReader) (list []typedData) {
	for n := r.u32(); n > 0 && !r.bad; n-- { // six octets each at least, or r is bad
		t := typedData{kind: r.u16()}
		t.data = append(t.data, r.data32()...)
		list = append(list, t)
	}
	return list
}

// append appends the file.
func (c *ccache) append(b []byte) []byte {
	b = append(b, 5, c.version)
	if c.version == 4 {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(c.fields))), c.fields...)
	}
	b = appendCCachePrincipal(b, c.client)
	for i := range c.creds {
		b = c.creds[i].append(b, c.version)
	}
	return b
}

func appendCCachePrincipal(b []byte, p ikrb5.Principal) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.Name.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Name.Components)))
	b = appendData32(b, p.Realm)
	for _, c := range p.Name.Components {
		b = appendData32(b, c)
	}
	return b
}

func (c *ccacheCred) append(b []byte, version uint8) []byte {
	b = appendCCachePrincipal(b, c.client)
	b = appendCCachePrincipal(b, c.server)
	b = binary.BigEndian.AppendUint16(b, c.etype)
	if version == 3 {
		b = binary.BigEndian.AppendUint16(b, c.etype)
	}
	b = appendData32(b, c.key)
	for _, t := range [...]uint32{c.auth, c.start, c.end, c.till} {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	b = append(b, c.skey)
	b = binary.BigEndian.AppendUint32(b, c.flags)
	for _, list := range [...][]typedData{c.addresses, c.authData} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
		for _, t := range list {
			b = appendData32(binary.BigEndian.AppendUint16(b, t.kind), t.data)
		}
	}
	return appendData32(appendData32(b, c.ticket), c.second)
}

func appendData32[T ~string | ~[]byte](b []byte, data T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

func (c *ccache) erase() {
	for i := range c.creds {
		c.creds[i].erase()
	}
}

func (c *ccacheCred) erase() { clear(c.key) }

// tickets returns the tickets of c, with keys of their own. Passed over are
// credentials of another client, for user-to-user authentication, with keys that
// this package lacks or that are malformed, and what holds no ticket, such as a
// setting. A server without a realm is MIT's, for a ticket that was found by referral:
// its realm is the ticket's.
func (c *ccache) tickets() []*ticket {
	var out []*ticket
	for i := range c.creds {
		if t := c.creds[i].usable(c.client); t != nil {
			out = append(out, t)
		}
	}
	return out
}

func (c *ccacheCred) usable(owner ikrb5.Principal) *ticket {
	etype := ikrb5.EType(c.etype)
	if c.skey != 0 || !etype.Supported() || !c.client.Equal(owner) || c.server.Realm == confRealm {
		return nil
	}
	parsed, err := ikrb5.ParseTicket(c.ticket)
	if err != nil {
		return nil
	}
	server := c.server
	if server.Realm == "" && parsed.SName.Equal(server.Name) {
		server.Realm = parsed.Realm
	}
	if !validPrincipal(server) {
		return nil
	}
	key, err := ikrb5.NewKey(etype, c.key)
	if err != nil {
		return nil
	}
	return &ticket{
		server: server, raw: c.ticket, key: key, flags: c.flags,
		auth: ccacheTime(c.auth), start: ccacheTime(c.start), end: ccacheTime(c.end), renew: ccacheTime(c.till),
	}
}

// ccacheTime reads seconds since 1970, to 2106; 0 is the zero Time.
func ccacheTime(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

func ccacheSeconds(t time.Time) uint32 {
	if s := t.Unix(); s > 0 && s < 1<<32 {
		return uint32(s)
	}
	return 0
}

// ccacheCred is t as a cache of client keeps it. It has the session key: erase it.
func (t *ticket) ccacheCred(client ikrb5.Principal) ccacheCred {
	c := ccacheCred{
		client: client, server: t.server, etype: uint16(t.key.EType()), key: t.key.Bytes(), flags: t.flags, ticket: t.raw,
		auth: ccacheSeconds(t.auth), start: ccacheSeconds(t.start), end: ccacheSeconds(t.end), till: ccacheSeconds(t.renew),
	}
	if c.auth == 0 {
		c.auth = c.start
	}
	return c
}
