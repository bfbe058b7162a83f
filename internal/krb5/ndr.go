package krb5

import (
	"encoding/binary"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// An ndrReader takes little-endian fields off what NDR serialized (C706 chapter 14,
// MS-RPCE §2.2.6): of the transfer syntax, what PACs need. The first field that is not
// there in full, or says what cannot be, makes it fail for good; what it returns then
// is empty. Padding is to the start of the data.
type ndrReader struct {
	b   []byte
	at  int
	bad bool
}

func (r *ndrReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

func (r *ndrReader) align(n int) { r.take(-r.at & (n - 1)) }

func (r *ndrReader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *ndrReader) u16() uint16 {
	r.align(2)
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *ndrReader) u32() uint32 {
	r.align(4)
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// must makes r fail unless ok.
func (r *ndrReader) must(ok bool) { r.bad = r.bad || !ok }

// count reads the number of elements of an array, of at least size octets each, which
// have to be there, and has to be what was announced.
func (r *ndrReader) count(size int, announced uint32) int {
	n := r.u32()
	r.must(n == announced && uint64(n)*uint64(size) <= uint64(len(r.b)-r.at))
	if r.bad {
		return 0
	}
	return int(n)
}

// header reads the type serialization version 1 headers, MS-RPCE §2.2.6.1 and §2.2.6.2:
// version 1, little-endian, 8 octets long, 4 of filler; then u32 length of what follows,
// u32 filler. The pointer to the one structure comes after them.
func (r *ndrReader) header() {
	r.must(r.u8() == 1 && r.u8() == 0x10 && r.u16() == 8)
	r.take(4)
	n := r.u32()
	r.take(4)
	r.must(uint64(n) <= uint64(len(r.b)-r.at) && n%8 == 0)
	if r.bad {
		return
	}
	r.b = r.b[:r.at+int(n)]
	r.must(r.u32() != 0)
}

// filetime reads a time in units of 100 ns since 1601. Never (2⁶³−1) and none (0) are
// the zero Time.
func (r *ndrReader) filetime() time.Time {
	v := uint64(r.u32())
	v |= uint64(r.u32()) << 32
	return fileTime(v)
}

// epochGap is from 1601 to 1970, in units of 100 ns.
const epochGap = 116444736000000000

func fileTime(v uint64) time.Time {
	if v == 0 || v >= 1<<63-1 {
		return time.Time{}
	}
	d := int64(v) - epochGap
	return time.Unix(d/1e7, d%1e7*100).UTC()
}

func toFileTime(t time.Time) uint64 {
	if t.IsZero() {
		return 1<<63 - 1
	}
	return uint64(t.Unix()*1e7+int64(t.Nanosecond()/100)) + epochGap
}

// An ndrString is the head of an RPC_UNICODE_STRING, whose characters come later.
type ndrString struct {
	length, size uint16
	there        bool
}

func (r *ndrReader) stringHead() ndrString {
	s := ndrString{length: r.u16(), size: r.u16()}
	s.there = r.u32() != 0
	r.must(s.length%2 == 0 && s.length <= s.size && (s.there || s.length == 0))
	return s
}

// stringBody reads a conformant and varying array of UTF-16: u32 maximum, u32 offset,
// u32 number, and as many characters.
func (r *ndrReader) stringBody(s ndrString) string {
	if !s.there {
		return ""
	}
	most, offset, n := r.u32(), r.u32(), r.u32()
	// Some write a maximum that is rounded up.
	r.must(most >= n && uint64(most) <= (uint64(s.size)+1)/2 && offset == 0 && n == uint32(s.length)/2)
	if r.bad {
		return ""
	}
	return r.utf16(r.take(2 * int(n)))
}

func (r *ndrReader) utf16(b []byte) string {
	s, ok := decodeUTF16(b)
	r.must(ok)
	return s
}

// decodeUTF16 reads little-endian UTF-16, without NUL and lone surrogates.
func decodeUTF16(b []byte) (string, bool) {
	if len(b)%2 != 0 {
		return "", false
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(units); i++ {
		c := rune(units[i])
		if utf16.IsSurrogate(c) {
			if i++; i == len(units) {
				return "", false
			}
			if c = utf16.DecodeRune(c, rune(units[i])); c == utf8.RuneError {
				return "", false
			}
		}
		if c == 0 {
			return "", false
		}
		out = utf8.AppendRune(out, c)
	}
	return string(out), true
}

func appendUTF16(dst []byte, s string) []byte {
	for _, u := range utf16.Encode([]rune(s)) {
		dst = binary.LittleEndian.AppendUint16(dst, u)
	}
	return dst
}

// sid reads a conformant RPC_SID: u32 number of subauthorities, and the SID.
func (r *ndrReader) sid() SID {
	n := r.u32()
	r.must(n <= maxSubAuthorities)
	r.must(len(r.b)-r.at >= 8 && !r.bad && uint32(r.b[r.at+1]) == n)
	if r.bad {
		return SID{}
	}
	s, ok := parseSID(r.take(8 + 4*int(n)))
	r.must(ok)
	return s
}

// An ndrWriter appends what an ndrReader reads.
type ndrWriter struct {
	b    []byte
	refs uint32
}

func (w *ndrWriter) align(n int) {
	for len(w.b)%n != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *ndrWriter) u16(v uint16) {
	w.align(2)
	w.b = binary.LittleEndian.AppendUint16(w.b, v)
}

func (w *ndrWriter) u32(v uint32) {
	w.align(4)
	w.b = binary.LittleEndian.AppendUint32(w.b, v)
}

func (w *ndrWriter) filetime(t time.Time) {
	v := toFileTime(t)
	w.u32(uint32(v))
	w.u32(uint32(v >> 32))
}

// pointer writes a referent, or null.
func (w *ndrWriter) pointer(there bool) {
	if !there {
		w.u32(0)
		return
	}
	w.refs++
	w.u32(0x00020000 + 4*w.refs)
}

func (w *ndrWriter) stringHead(s string) {
	n := len(appendUTF16(nil, s))
	w.u16(uint16(n))
	w.u16(uint16(n))
	w.pointer(true)
}

func (w *ndrWriter) stringBody(s string) {
	b := appendUTF16(nil, s)
	n := uint32(len(b) / 2)
	w.u32(n)
	w.u32(0)
	w.u32(n)
	w.b = append(w.b, b...)
}

func (w *ndrWriter) sid(s SID) {
	w.u32(uint32(len(s.Sub)))
	w.b = s.Append(w.b)
}

// headed returns what w has behind its headers, padded to 8 octets.
func (w *ndrWriter) headed() []byte {
	w.align(8)
	out := []byte{1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc}
	out = binary.LittleEndian.AppendUint32(out, uint32(len(w.b)))
	return append(append(out, 0, 0, 0, 0), w.b...)
}
