package krb5

import (
	"slices"
	"strings"
)

// TransitedX500 is the transited encoding DOMAIN-X500-COMPRESS, RFC 4120 §3.3.3.2.
const TransitedX500 = 1

// maxTransited bounds the realms on a path.
const maxTransited = 64

// AppendTransited appends a realm to the contents of a transited encoding, uncompressed.
func AppendTransited(dst []byte, realm string) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	if strings.HasPrefix(realm, "/") { // not relative to the one before
		dst = append(dst, ' ')
	}
	for i := range len(realm) {
		if c := realm[i]; c == ',' || c == '\\' || c == '.' && i == len(realm)-1 || c == ' ' && i == 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, realm[i])
	}
	return dst
}

// ParseTransited reads the contents of a transited encoding of a ticket for a service of
// one realm and a client of another: the realms between them. In a field
//
//	'\' makes the next octet literal; ',' ends the field
//	'.' at the end stands for what is to be appended, the realm before
//	'/' at the start for what is to be put in front, the realm before
//	' ' at the start says that it is not relative
//
// and a field of nothing stands for all realms between its neighbours in the hierarchy.
// Error: ErrMalformed.
func ParseTransited(b []byte, client, server string) ([]string, error) {
	bad := malformed("TransitedEncoding")
	if len(b) == 0 {
		return nil, nil
	}
	var out []string
	last, gap := client, false // a field of nothing was before
	add := func(next string) bool {
		if gap {
			between, ok := hierarchyBetween(last, next)
			if !ok {
				return false
			}
			out = append(out, between...)
			gap = false
		}
		last = next
		return len(out) <= maxTransited
	}
	prefix := "" // RFC 4120 §3.3.3.2: the first is relative to nothing
	for len(b) > 0 {
		var field []byte
		suffixed, relative, absolute, literal := false, false, false, false
		i, ended := 0, false
		for ; i < len(b); i++ {
			c := b[i]
			if c == ',' {
				ended = true
				i++
				break
			}
			literal = c == '\\'
			if literal {
				if i++; i == len(b) {
					return nil, bad
				}
				c = b[i]
			} else if len(field) == 0 && !absolute && c == ' ' {
				absolute = true
				continue
			} else if len(field) == 0 && !absolute && c == '/' {
				relative = true
			}
			field = append(field, c)
		}
		suffixed = len(field) > 0 && field[len(field)-1] == '.' && !literal
		b = b[i:]
		if len(field) == 0 {
			if absolute || gap {
				return nil, bad
			}
			gap = true
		} else {
			realm := string(field)
			switch {
			case suffixed && prefix != "":
				realm += prefix
			case relative && prefix != "":
				realm = prefix + realm
			}
			if !validString(realm) || !add(realm) {
				return nil, bad
			}
			out, prefix = append(out, realm), realm
		}
		if ended && len(b) == 0 { // a comma at the end: nothing follows it
			if gap {
				return nil, bad
			}
			gap = true
		}
	}
	if gap && !add(server) {
		return nil, bad
	}
	if len(out) > maxTransited {
		return nil, bad
	}
	return out, nil
}

// hierarchyBetween returns the realms between two, of which one is above the other, in
// the order from a to b.
func hierarchyBetween(a, b string) ([]string, bool) {
	if a == b {
		return nil, true
	}
	if len(a) < len(b) {
		out, ok := hierarchyBetween(b, a)
		slices.Reverse(out)
		return out, ok
	}
	var out []string
	if strings.HasPrefix(a, "/") { // X.500: the higher one is the start
		if !strings.HasPrefix(a, b+"/") {
			return nil, false
		}
		for p := a[:strings.LastIndexByte(a, '/')]; p != b; p = p[:strings.LastIndexByte(p, '/')] {
			out = append(out, p)
		}
		return out, true
	}
	if !strings.HasSuffix(a, "."+b) {
		return nil, false
	}
	for {
		if _, a, _ = strings.Cut(a, "."); a == b {
			return out, true
		}
		out = append(out, a)
	}
}

// RealmPath returns the realms from one to another by the hierarchy of their names, both
// included: up to what they have in common, and down. Realms that have nothing in common
// are neighbours: nobody is above both.
func RealmPath(from, to string) []string {
	up := []string{from}
	for p := from; p != to && !strings.HasSuffix(to, "."+p); {
		_, rest, ok := strings.Cut(p, ".")
		if !ok { // no common ancestor
			return []string{from, to}
		}
		p = rest
		up = append(up, p)
	}
	top := up[len(up)-1]
	if top == to {
		return up
	}
	down, _ := hierarchyBetween(top, to)
	return append(append(up, down...), to)
}
