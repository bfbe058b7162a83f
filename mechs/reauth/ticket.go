package reauth

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A ticket is
//
//	id(8) ‖ x(24 random) ‖ AES-256-GCM(Expand(key, "gss reauth 1 ticket" ‖ id ‖ x, 32), body(512))
//
// with the ring's key of that id, and
//
//	body = u8 1 ‖ u8 tf ‖ u16 0 ‖ u32 flags ‖ u64 auth-time ‖ u64 issued ‖ u64 end ‖ psk(32) ‖ hN(acceptor)
//	       ‖ vec8 oid(inner) ‖ vec16 N(initiator) ‖ vec16 N(introducer) or empty ‖ vec8 application data ‖ 0-padding
type ticket struct {
	tf                    byte
	flags                 gss.Flags
	authTime, issued, end time.Time
	psk, acceptor         []byte // 32 octets each
	inner                 oid.OID
	initiator             gss.Name
	introducer            []byte
	app                   []byte
}

const (
	idLen     = 8
	saltLen   = 24
	bodyLen   = 512
	ticketLen = idLen + saltLen + bodyLen + tagLen
)

// tf.
const (
	tfBound      = 0x01 // bindings were used: only with bindings again
	tfIntroduced = 0x02 // of a grant: for oid.Introduced, and nothing else is
	tfShare      = 0x04 // only with a share
)

// MaxAuthorization is the most octets that Options.Authorization may return. With
// long names even fewer fit.
const MaxAuthorization = 255

// marshal returns the body; false if it does not fit.
func (t *ticket) marshal() ([]byte, bool) {
	name, err := t.initiator.Export()
	if err != nil {
		return nil, false
	}
	der := t.inner.AppendDER(nil)
	if len(t.app) > MaxAuthorization || len(der) > 255 || 96+1+len(der)+2+len(name)+2+len(t.introducer)+1+len(t.app) > bodyLen {
		return nil, false
	}
	b := make([]byte, 0, bodyLen)
	b = binary.BigEndian.AppendUint32(append(b, 1, t.tf, 0, 0), uint32(t.flags))
	b = appendTime(appendTime(appendTime(b, t.authTime), t.issued), t.end)
	b = append(append(b, t.psk...), t.acceptor...)
	b = append(append(b, byte(len(der))), der...)
	b = appendVec16(appendVec16(b, name), t.introducer)
	b = append(append(b, byte(len(t.app))), t.app...)
	return b[:bodyLen], true
}

func parseTicket(b []byte) (*ticket, bool) {
	s := cryptobyte.String(b)
	var version uint8
	var reserved uint16
	var flags uint32
	var der, initiator, introducer, app cryptobyte.String
	t := new(ticket)
	if len(b) != bodyLen || !s.ReadUint8(&version) || version != 1 || !s.ReadUint8(&t.tf) || !s.ReadUint16(&reserved) || reserved != 0 ||
		!s.ReadUint32(&flags) || !readTime(&s, &t.authTime) || !readTime(&s, &t.issued) || !readTime(&s, &t.end) ||
		!s.ReadBytes(&t.psk, keyLen) || !s.ReadBytes(&t.acceptor, keyLen) ||
		!s.ReadUint8LengthPrefixed(&der) || !oid.Read(&der, &t.inner) || !der.Empty() ||
		!s.ReadUint16LengthPrefixed(&initiator) || !s.ReadUint16LengthPrefixed(&introducer) || !s.ReadUint8LengthPrefixed(&app) || !zero(s) {
		return nil, false
	}
	var ok bool
	t.initiator, ok = parseMN(initiator)
	t.flags, t.introducer, t.app = gss.Flags(flags), introducer, app
	return t, ok
}

// seal encrypts t under the ring's newest key; nil if it does not fit, or the ring
// has no key.
func (r *Ring) seal(t *ticket, now time.Time, life time.Duration) []byte {
	body, ok := t.marshal()
	if !ok {
		return nil
	}
	defer clear(body)
	out := make([]byte, idLen+saltLen, ticketLen)
	rand.Read(out[idLen:])
	key := r.issuingKey(out[:idLen], out[idLen:], now, life)
	if key == nil {
		return nil
	}
	out, err := appendSealed(out, key, body)
	if err != nil {
		return nil
	}
	return out
}

// open decrypts a ticket.
func (r *Ring) open(b []byte, now time.Time, life time.Duration) (*ticket, bool) {
	if len(b) != ticketLen {
		return nil, false
	}
	key := r.key(b[:idLen], b[idLen:idLen+saltLen], now, life)
	if key == nil {
		return nil, false
	}
	body, err := open(key, b[idLen+saltLen:])
	if err != nil {
		return nil, false
	}
	return parseTicket(body)
}
