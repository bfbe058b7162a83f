package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The messages of RFC 4120 are DER, every field explicitly tagged. What is read is
// DER to the letter (definite minimal lengths, minimal integers, no octet too many,
// no unknown field), with two exceptions that real peers need: see readUint32 and
// readFlags. No structure nests in itself, so depth is bounded by the types.
//
// Readers have the shape func(s, n, out) bool: they take the field [n] off s. An
// out of a failed read holds rubbish. Everything kept is a copy.

// ErrMalformed is what every Parse function of a message returns, wrapped with the
// message's name, for octets that are not that message.
var ErrMalformed = errors.New("malformed message")

func malformed(what string) error { return fmt.Errorf("krb5: %s: %w", what, ErrMalformed) }

// Bounds on what a message may hold. Nothing in use comes near them.
const (
	maxString     = 1024 // octets of a name component, a realm, a salt
	maxComponents = 16   // of a principal
	maxAuthData   = 64   // entries
	maxAddresses  = 64
	maxPAData     = 64
	maxETypes     = 64
	maxLastReqs   = 32
	maxTickets    = 16 // additional tickets of a request
)

// pvno is the protocol version in every message, RFC 4120 §5.4.1.
const pvno = 5

const tagGeneralString = asn1.Tag(27)

func explicit(n uint8) asn1.Tag    { return asn1.Tag(n).ContextSpecific().Constructed() }
func application(n uint8) asn1.Tag { return asn1.Tag(n | 0x40).Constructed() }

// parse runs read over all of b.
func parse[T any](b []byte, what string, read func(s *cryptobyte.String, out *T) bool) (*T, error) {
	s, out := cryptobyte.String(b), new(T)
	if !read(&s, out) || !s.Empty() {
		return nil, malformed(what)
	}
	return out, nil
}

// A builder appends DER to out. cryptobyte.Builder does that too, but allocates at
// every level, which made up half the cost of an AP exchange.
type builder struct{ out []byte }

// build appends what add adds to dst.
func build(dst []byte, add func(b *builder)) []byte {
	b := builder{dst}
	add(&b)
	return b.out
}

// add adds a value of any length. Its length is written behind it, when it is known.
func (b *builder) add(tag asn1.Tag, body func(b *builder)) {
	b.out = append(b.out, byte(tag), 0)
	start := len(b.out)
	body(b)
	n := len(b.out) - start
	if n < 0x80 {
		b.out[start-1] = byte(n)
		return
	}
	var long [8]byte
	binary.BigEndian.PutUint64(long[:], uint64(n))
	from := bits.LeadingZeros64(uint64(n)) / 8
	b.out[start-1] = 0x80 | byte(8-from)
	b.out = slices.Insert(b.out, start, long[from:]...)
}

func (b *builder) octets(v []byte) { b.out = append(b.out, v...) }

// integer adds an INTEGER of the fewest octets.
func (b *builder) integer(v int64) {
	n := 1
	for rest := v; rest < -128 || rest > 127; rest >>= 8 {
		n++
	}
	b.out = append(b.out, byte(asn1.INTEGER), byte(n))
	for n--; n >= 0; n-- {
		b.out = append(b.out, byte(v>>(8*n)))
	}
}

// readField takes [n] and the tagged value inside it.
func readField(s *cryptobyte.String, n uint8, body *cryptobyte.String, tag asn1.Tag) bool {
	var field cryptobyte.String
	return s.ReadASN1(&field, explicit(n)) && field.ReadASN1(body, tag) && field.Empty()
}

func readSequence(s *cryptobyte.String, n uint8, body *cryptobyte.String) bool {
	return readField(s, n, body, asn1.SEQUENCE)
}

// readApplication takes [APPLICATION n] SEQUENCE.
func readApplication(s *cryptobyte.String, n uint8, body *cryptobyte.String) bool {
	var app cryptobyte.String
	return s.ReadASN1(&app, application(n)) && app.ReadASN1(body, asn1.SEQUENCE) && app.Empty()
}

func addField(b *builder, n uint8, add func(b *builder)) {
	b.add(explicit(n), add)
}

func addSequence(b *builder, n uint8, add func(b *builder)) {
	addField(b, n, func(b *builder) { b.add(asn1.SEQUENCE, add) })
}

func addApplication(b *builder, n uint8, add func(b *builder)) {
	b.add(application(n), func(b *builder) { b.add(asn1.SEQUENCE, add) })
}

// peek says in *present whether [n] is next. It is always true, for chains.
func peek(s *cryptobyte.String, n uint8, present *bool) bool {
	*present = s.PeekASN1Tag(explicit(n))
	return true
}

// optional reads [n] if it is next.
func optional[T any](s *cryptobyte.String, n uint8, out *T, read func(*cryptobyte.String, uint8, *T) bool) bool {
	return !s.PeekASN1Tag(explicit(n)) || read(s, n, out)
}

// optionalPtr is optional with a nil *out for a field that is not there.
func optionalPtr[T any](s *cryptobyte.String, n uint8, out **T, read func(*cryptobyte.String, uint8, *T) bool) bool {
	if !s.PeekASN1Tag(explicit(n)) {
		return true
	}
	*out = new(T)
	return read(s, n, *out)
}

// readList reads [n] SEQUENCE OF, at most limit items; each is read by item.
func readList[T any](s *cryptobyte.String, n uint8, out *[]T, limit int, item func(*cryptobyte.String, *T) bool) bool {
	var body cryptobyte.String
	return readSequence(s, n, &body) && readItems(&body, out, limit, item)
}

// readItems reads all of body as items. The list grows as they come, so its size
// is what was received.
func readItems[T any](body *cryptobyte.String, out *[]T, limit int, item func(*cryptobyte.String, *T) bool) bool {
	for !body.Empty() {
		var v T
		if len(*out) == limit || !item(body, &v) {
			return false
		}
		*out = append(*out, v)
	}
	return true
}

// parseSequenceOf reads a bare SEQUENCE OF, at most limit items.
func parseSequenceOf[T any](b []byte, what string, limit int, item func(*cryptobyte.String, *T) bool) ([]T, error) {
	list, err := parse(b, what, func(s *cryptobyte.String, out *[]T) bool {
		var body cryptobyte.String
		return s.ReadASN1(&body, asn1.SEQUENCE) && readItems(&body, out, limit, item)
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func appendSequenceOf[T any](dst []byte, list []T, item func(*builder, *T)) []byte {
	return build(dst, func(b *builder) {
		b.add(asn1.SEQUENCE, func(b *builder) {
			for i := range list {
				item(b, &list[i])
			}
		})
	})
}

func addList[T any](b *builder, n uint8, list []T, item func(*builder, *T)) {
	addSequence(b, n, func(b *builder) {
		for i := range list {
			item(b, &list[i])
		}
	})
}

// Int32 ::= INTEGER (-2147483648..2147483647), RFC 4120 §5.2.4
func readInt32[T ~int32](s *cryptobyte.String, n uint8, out *T) bool {
	var field cryptobyte.String
	return s.ReadASN1(&field, explicit(n)) && readInt32Item(&field, out) && field.Empty()
}

func readInt32Item[T ~int32](s *cryptobyte.String, out *T) bool {
	var v int64
	if !s.ReadASN1Int64WithTag(&v, asn1.INTEGER) || v != int64(int32(v)) {
		return false
	}
	*out = T(v)
	return true
}

// readConst reads an INTEGER that can only be want.
func readConst(s *cryptobyte.String, n uint8, want int32) bool {
	var v int32
	return readInt32(s, n, &v) && v == want
}

// UInt32 ::= INTEGER (0..4294967295), RFC 4120 §5.2.4. Peers encode sequence
// numbers (RFC 4120 §5.5.1 asks for tolerance), nonces and key versions as signed
// 32-bit integers too: -1 is read as 4294967295, and written back as that.
func readUint32(s *cryptobyte.String, n uint8, out *uint32) bool {
	var field cryptobyte.String
	var v int64
	if !s.ReadASN1(&field, explicit(n)) || !field.ReadASN1Int64WithTag(&v, asn1.INTEGER) || !field.Empty() ||
		v < -1<<31 || v >= 1<<32 {
		return false
	}
	*out = uint32(v)
	return true
}

func addInt(b *builder, n uint8, v int64) {
	addField(b, n, func(b *builder) { b.integer(v) })
}

// Microseconds ::= INTEGER (0..999999), RFC 4120 §5.2.4
func readMicroseconds(s *cryptobyte.String, n uint8, out *int) bool {
	var v int32
	if !readInt32(s, n, &v) || v < 0 || v > 999999 {
		return false
	}
	*out = int(v)
	return true
}

// KerberosFlags ::= BIT STRING (SIZE (32..MAX)), RFC 4120 §5.2.8: bit 0 is the most
// significant one of the uint32. Bits after the 32nd have no meaning yet and are
// dropped; a string of more than 64 is refused.
func readFlags(s *cryptobyte.String, n uint8, out *uint32) bool {
	var body cryptobyte.String
	var unused uint8
	var octets []byte
	if !readField(s, n, &body, asn1.BIT_STRING) || !body.ReadUint8(&unused) || unused > 7 ||
		!body.ReadBytes(&octets, len(body)) || len(octets) < 4 || len(octets) > 8 {
		return false
	}
	if len(octets) == 4 && unused != 0 || octets[len(octets)-1]&(1<<unused-1) != 0 {
		return false
	}
	*out = uint32(octets[0])<<24 | uint32(octets[1])<<16 | uint32(octets[2])<<8 | uint32(octets[3])
	return true
}

func addFlags(b *builder, n uint8, flags uint32) {
	addField(b, n, func(b *builder) {
		b.add(asn1.BIT_STRING, func(b *builder) {
			b.out = append(b.out, 0) // no unused bits
			b.out = binary.BigEndian.AppendUint32(b.out, flags)
		})
	})
}

// KerberosString ::= GeneralString (IA5String), RFC 4120 §5.2.1. In practice it is
// UTF-8, and only that is read; without NUL, at which C programs would cut it.
func readString(s *cryptobyte.String, n uint8, out *string) bool {
	var field cryptobyte.String
	return s.ReadASN1(&field, explicit(n)) && readStringItem(&field, out) && field.Empty()
}

func readStringItem(s *cryptobyte.String, out *string) bool {
	var octets cryptobyte.String
	if !s.ReadASN1(&octets, tagGeneralString) || !validString(string(octets)) {
		return false
	}
	*out = string(octets)
	return true
}

func validString(s string) bool {
	if len(s) > maxString || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return true
}

func addString(b *builder, n uint8, s string) {
	addField(b, n, func(b *builder) { addStringItem(b, &s) })
}

func addStringItem(b *builder, s *string) {
	b.add(tagGeneralString, func(b *builder) { b.out = append(b.out, *s...) })
}

func readOctets(s *cryptobyte.String, n uint8, out *[]byte) bool {
	var body cryptobyte.String
	if !readField(s, n, &body, asn1.OCTET_STRING) {
		return false
	}
	*out = append([]byte{}, body...) // never nil: it was there
	return true
}

func addOctets(b *builder, n uint8, v []byte) {
	addField(b, n, func(b *builder) {
		b.add(asn1.OCTET_STRING, func(b *builder) { b.octets(v) })
	})
}

// KerberosTime ::= GeneralizedTime, RFC 4120 §5.2.3: YYYYMMDDHHMMSSZ and nothing
// else. Times before 1970 are refused, so that the zero time.Time can stand for a
// field that is not there.
func readTime(s *cryptobyte.String, n uint8, out *time.Time) bool {
	var body cryptobyte.String
	if !readField(s, n, &body, asn1.GeneralizedTime) || len(body) != 15 || body[14] != 'Z' {
		return false
	}
	digits := func(from, to int) (v int) {
		for _, c := range body[from:to] {
			if c < '0' || c > '9' {
				return -1 << 20 // stays negative, so out of every range
			}
			v = 10*v + int(c-'0')
		}
		return v
	}
	year, month, day := digits(0, 4), digits(4, 6), digits(6, 8)
	hour, minute, second := digits(8, 10), digits(10, 12), digits(12, 14)
	if year < 1970 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if t.Month() != time.Month(month) || t.Day() != day { // 31 February, month 13
		return false
	}
	*out = t
	return true
}

// addTime drops the fraction of a second, and takes what KerberosTime cannot hold
// to the nearest time that it can.
func addTime(b *builder, n uint8, t time.Time) {
	if t = t.UTC(); t.Before(firstTime) {
		t = firstTime
	} else if t.After(lastTime) {
		t = lastTime
	}
	addField(b, n, func(b *builder) {
		b.add(asn1.GeneralizedTime, func(b *builder) { b.out = t.AppendFormat(b.out, "20060102150405Z") })
	})
}

var (
	firstTime = time.Unix(0, 0).UTC()
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func addOptionalTime(b *builder, n uint8, t time.Time) {
	if !t.IsZero() {
		addTime(b, n, t)
	}
}
