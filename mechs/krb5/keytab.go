package krb5

import (
	"cmp"
	"errors"
	"slices"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

const maxKeytabSize = 4 << 20 // octets; an entry takes about a hundred

var errKeytab = errors.New("krb5: malformed keytab")

// A keytab holds long-term keys. It does not change.
type keytab struct {
	entries []keytabEntry // newest first: by time, then by version
}

type keytabEntry struct {
	principal ikrb5.Principal
	kvno      uint32
	short     bool // kvno is its last 8 bits only
	written   time.Time
	key       *ikrb5.Key
}

// parseKeytab reads a keytab of version 2, as MIT, Heimdal and Java write it.
// Integers are big-endian:
//
//	file   = 05 02 | { i32 length | entry of that length; if negative, a hole of that size }
//	entry  = u16 components | string realm | string component… | u32 name type | u32 time
//	         | u8 version | u16 encryption type | string key [ | u32 version ] | unused octets
//	string = u16 length | octets
//
// Keys of types that this package lacks are passed over.
func parseKeytab(b []byte) (*keytab, error) { return parseKeytabOf(b, ikrb5.EType.Supported) }

// parseKeytabOf is parseKeytab with keys of the types that are taken.
func parseKeytabOf(b []byte, takes func(ikrb5.EType) bool) (*keytab, error) {
	r := fileReader{b: b}
	if r.u8() != 5 || r.u8() != 2 {
		return nil, errKeytab
	}
	k := new(keytab)
	for len(r.b) > 0 {
		n := int64(int32(r.u32()))
		if n < 0 {
			r.take(int(-n))
			continue
		}
		entry := fileReader{b: r.take(int(n))}
		if r.bad {
			break
		}
		if n == 0 { // the rest of the file was never written
			r.b = nil
			break
		}
		e, ok := readKeytabEntry(&entry, takes)
		if !ok {
			k.erase()
			return nil, errKeytab
		}
		if e.key != nil {
			k.entries = append(k.entries, e)
		}
	}
	if !r.done() {
		k.erase()
		return nil, errKeytab
	}
	slices.SortStableFunc(k.entries, func(a, b keytabEntry) int {
		return cmp.Or(b.written.Compare(a.written), cmp.Compare(b.kvno, a.kvno))
	})
	return k, nil
}

func readKeytabEntry(r *fileReader, takes func(ikrb5.EType) bool) (e keytabEntry, ok bool) {
	components := uint32(r.u16())
	e.principal.Realm = string(r.data16())
	e.principal.Name.Components = r.components(components, r.data16)
	e.principal.Name.Type = int32(r.u32())
	e.written = r.time()
	e.kvno, e.short = uint32(r.u8()), true
	etype, value := ikrb5.EType(r.u16()), r.data16()
	if !r.bad && len(r.b) >= 4 {
		if v := r.u32(); v != 0 {
			e.kvno, e.short = v, false
		}
	}
	if r.bad || !validPrincipal(e.principal) {
		return e, false
	}
	if !takes(etype) {
		return e, true
	}
	var err error
	e.key, err = ikrb5.NewAnyKey(etype, value)
	return e, err == nil
}

// validPrincipal reports whether p can be written as text and read again.
func validPrincipal(p ikrb5.Principal) bool {
	if len(p.Name.Components) == 0 {
		return false
	}
	_, err := ikrb5.ParsePrincipal(p.String(), "")
	return err == nil
}

// has reports whether there is a key for p.
func (k *keytab) has(p ikrb5.Principal) bool {
	return slices.ContainsFunc(k.entries, func(e keytabEntry) bool { return e.principal.Equal(p) })
}

// candidates returns the keys of p, newest first, that a ciphertext may be under.
func (k *keytab) candidates(p ikrb5.Principal, d *ikrb5.EncryptedData) []*keytabEntry {
	var out []*keytabEntry
	for i := range k.entries {
		e := &k.entries[i]
		if e.key.EType() == d.EType && e.principal.Equal(p) && (!d.HasKVNO || e.kvno == d.KVNO || e.short && e.kvno == d.KVNO&0xff) {
			out = append(out, e)
		}
	}
	return out
}

// newest returns p's keys of the newest version, for an AS exchange.
func (k *keytab) newest(p ikrb5.Principal) []*ikrb5.Key {
	var out []*ikrb5.Key
	var kvno uint32
	for i := range k.entries {
		if e := &k.entries[i]; e.principal.Equal(p) && (out == nil || e.kvno == kvno) {
			kvno = e.kvno
			out = append(out, e.key)
		}
	}
	return out
}

func (k *keytab) erase() {
	for _, e := range k.entries {
		e.key.Erase()
	}
}
