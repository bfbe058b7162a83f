package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxSubAuthorities bounds a SID, MS-DTYP §2.4.2.
const maxSubAuthorities = 15

// A SID is a security identifier, MS-DTYP §2.4.2: a domain, or somebody in it, who then
// is the last of Sub. The zero SID is none.
type SID struct {
	Authority uint64 // 48 bits; 5 is NT's
	Sub       []uint32
}

// Equal reports whether they are the same.
func (s SID) Equal(o SID) bool { return s.Authority == o.Authority && slices.Equal(s.Sub, o.Sub) }

// IsZero reports whether s is none.
func (s SID) IsZero() bool { return s.Authority == 0 && len(s.Sub) == 0 }

// With is somebody in the domain s.
func (s SID) With(rid uint32) SID { return SID{s.Authority, append(slices.Clone(s.Sub), rid)} }

// String is "S-1-5-21-1-2-3".
func (s SID) String() string {
	var b strings.Builder
	if s.Authority < 1<<32 { // MS-DTYP §2.4.2.1
		fmt.Fprintf(&b, "S-1-%d", s.Authority)
	} else {
		fmt.Fprintf(&b, "S-1-0x%012X", s.Authority)
	}
	for _, n := range s.Sub {
		fmt.Fprintf(&b, "-%d", n)
	}
	return b.String()
}

// ParseSID reads what [SID.String] writes.
func ParseSID(text string) (SID, error) {
	parts := strings.Split(text, "-")
	if len(parts) < 3 || len(parts)-3 > maxSubAuthorities || parts[0] != "S" || parts[1] != "1" {
		return SID{}, errors.New("krb5: not a SID")
	}
	var s SID
	var err error
	if s.Authority, err = strconv.ParseUint(parts[2], 0, 48); err != nil {
		return SID{}, fmt.Errorf("krb5: SID: %w", err)
	}
	for _, p := range parts[3:] {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return SID{}, fmt.Errorf("krb5: SID: %w", err)
		}
		s.Sub = append(s.Sub, uint32(n))
	}
	return s, nil
}

// parseSID reads u8 1, u8 number of subauthorities, 48 bits of authority (big-endian),
// and u32 subauthorities (little-endian), MS-DTYP §2.4.2.2.
func parseSID(b []byte) (SID, bool) {
	if len(b) < 8 || b[0] != 1 || b[1] > maxSubAuthorities || len(b) != 8+4*int(b[1]) {
		return SID{}, false
	}
	s := SID{Authority: uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[4:]))}
	for b = b[8:]; len(b) > 0; b = b[4:] {
		s.Sub = append(s.Sub, binary.LittleEndian.Uint32(b))
	}
	return s, true
}

// Append appends the octets of s to dst.
func (s SID) Append(dst []byte) []byte {
	dst = append(dst, 1, byte(len(s.Sub)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Authority>>32))
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Authority))
	for _, n := range s.Sub {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return dst
}
