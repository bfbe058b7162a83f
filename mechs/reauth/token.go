package reauth

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// First octets of the tokens.
const (
	tokFirst   = 0x01 // a first inner token
	tokInner   = 0x02 // any other inner token
	tokLast    = 0x03 // the acceptor's last
	tokResume  = 0x11
	tokResumed = 0x12
	tokConfirm = 0x13
	tokRefused = 0x14
	tokBadCB   = 0x15
)

// Kinds of RESUME.
const (
	kindTicket = 1
	kindGrant  = 2
)

const maxInner = 1<<24 - 1 // octets of an inner token

// maxTime keeps milliseconds far from where time.Time ends.
const maxTime = 1 << 52

func readTime(s *cryptobyte.String, out *time.Time) bool {
	var ms uint64
	ok := s.ReadUint64(&ms) && ms < maxTime
	*out = time.UnixMilli(int64(ms))
	return ok
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(min(max(t.UnixMilli(), 0), maxTime-1)))
}

func appendVec16(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

// last is
//
//	03 ‖ vec24 inner token or empty ‖ vec16 issue or empty
func appendLast(inner, issue []byte) []byte {
	b := make([]byte, 0, 6+len(inner)+len(issue))
	n := len(inner)
	b = append(b, tokLast, byte(n>>16), byte(n>>8), byte(n))
	return appendVec16(append(b, inner...), issue)
}

func parseLast(b []byte) (inner, issue []byte, ok bool) {
	s := cryptobyte.String(b)
	var t uint8
	var in, is cryptobyte.String
	ok = s.ReadUint8(&t) && t == tokLast && s.ReadUint24LengthPrefixed(&in) && s.ReadUint16LengthPrefixed(&is) && s.Empty()
	return in, is, ok
}

// The plaintext of an issue is
//
//	u64 end ‖ u8 tf ‖ ticket
func appendIssue(end time.Time, tf byte, ticket []byte) []byte {
	return append(append(appendTime(make([]byte, 0, 9+len(ticket)), end), tf), ticket...)
}

func parseIssue(b []byte) (end time.Time, tf byte, ticket []byte, ok bool) {
	s := cryptobyte.String(b)
	ok = readTime(&s, &end) && s.ReadUint8(&tf) && s.ReadBytes(&ticket, ticketLen) && s.Empty()
	return end, tf, ticket, ok
}

// A resume is
//
//	11 ‖ u8 kind ‖ u8 group ‖ ni(32) ‖ vec16 cred ‖ vec16 share ‖ vec16 auth
//
// in RFC 2743 §3.1 framing. head is what comes before auth.
type resume struct {
	kind              byte
	group             Group
	ni                []byte
	cred, share, auth []byte
	head              []byte
}

// appendHead returns what comes before vec16 auth.
func (r *resume) appendHead(b []byte) []byte {
	b = append(append(b, tokResume, r.kind, byte(r.group)), r.ni...)
	return appendVec16(appendVec16(b, r.cred), r.share)
}

func parseResume(b []byte) (*resume, bool) {
	s := cryptobyte.String(b)
	var t, group uint8
	var cred, share, auth cryptobyte.String
	r := new(resume)
	if !s.ReadUint8(&t) || t != tokResume || !s.ReadUint8(&r.kind) || !s.ReadUint8(&group) || !s.ReadBytes(&r.ni, nonceLen) ||
		!s.ReadUint16LengthPrefixed(&cred) || !s.ReadUint16LengthPrefixed(&share) {
		return nil, false
	}
	r.head = b[:len(b)-len(s)]
	if !s.ReadUint16LengthPrefixed(&auth) || !s.Empty() {
		return nil, false
	}
	r.group, r.cred, r.share, r.auth = Group(group), cred, share, auth
	return r, true
}

// An authenticator is the plaintext of RESUME's auth:
//
//	A = u64 time ‖ u32 flags ‖ u8 cbp ‖ cbh(32) ‖ vec16 N(initiator) of a grant, else empty ‖ vec16 N(target) ‖ 0-padding to a multiple of 128
type authenticator struct {
	time              time.Time
	flags             gss.Flags
	bind              binding
	initiator, target []byte
}

const authPad = 128

// A binding is whether channel bindings were given, and their hash.
type binding struct {
	present byte
	hash    []byte
}

func newBinding(b []byte) binding {
	p, h := gss.HashBindings(b)
	return binding{p, h[:]}
}

func (x binding) equal(y binding) bool {
	return x.present == y.present && subtle.ConstantTimeCompare(x.hash, y.hash) == 1
}

func readBinding(s *cryptobyte.String, b *binding) bool {
	return s.ReadUint8(&b.present) && b.present <= 1 && s.ReadBytes(&b.hash, keyLen)
}

func (a *authenticator) marshal() []byte {
	b := make([]byte, 0, 2*authPad)
	b = binary.BigEndian.AppendUint32(appendTime(b, a.time), uint32(a.flags))
	b = append(append(b, a.bind.present), a.bind.hash...)
	b = appendVec16(appendVec16(b, a.initiator), a.target)
	return append(b, make([]byte, -len(b)&(authPad-1))...)
}

func parseAuthenticator(b []byte) (*authenticator, bool) {
	s := cryptobyte.String(b)
	var flags uint32
	var initiator, target cryptobyte.String
	a := new(authenticator)
	if !readTime(&s, &a.time) || !s.ReadUint32(&flags) || !readBinding(&s, &a.bind) ||
		!s.ReadUint16LengthPrefixed(&initiator) || !s.ReadUint16LengthPrefixed(&target) ||
		len(s) >= authPad || len(b)%authPad != 0 || !zero(s) {
		return nil, false
	}
	a.flags, a.initiator, a.target = gss.Flags(flags), initiator, target
	return a, true
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// A resumed is
//
//	12 ‖ u8 rf ‖ nr(32) ‖ vec16 share ‖ vec16 reply
type resumed struct {
	rf           byte
	nr           []byte
	share, reply []byte
	head         []byte // what comes before reply
}

const rfConfirm = 0x01 // CONFIRM is wanted

func (r *resumed) appendHead(b []byte) []byte {
	return appendVec16(append(append(b, tokResumed, r.rf), r.nr...), r.share)
}

func parseResumed(b []byte) (*resumed, bool) {
	s := cryptobyte.String(b)
	var t uint8
	var share, reply cryptobyte.String
	r := new(resumed)
	if !s.ReadUint8(&t) || t != tokResumed || !s.ReadUint8(&r.rf) || r.rf&^rfConfirm != 0 || !s.ReadBytes(&r.nr, nonceLen) ||
		!s.ReadUint16LengthPrefixed(&share) {
		return nil, false
	}
	r.head = b[:len(b)-len(s)]
	if !s.ReadUint16LengthPrefixed(&reply) || !s.Empty() {
		return nil, false
	}
	r.share, r.reply = share, reply
	return r, true
}

// An answered is the plaintext of RESUMED's reply:
//
//	u64 time ‖ u32 flags ‖ u64 end ‖ u8 cbp ‖ cbh(32) ‖ vec16 ticket or empty
type answered struct {
	time, end time.Time
	flags     gss.Flags
	bind      binding
	ticket    []byte
}

func (a *answered) marshal() []byte {
	b := make([]byte, 0, 64+ticketLen+tagLen)
	b = binary.BigEndian.AppendUint32(appendTime(b, a.time), uint32(a.flags))
	b = append(append(appendTime(b, a.end), a.bind.present), a.bind.hash...)
	return appendVec16(b, a.ticket)
}

func parseAnswered(b []byte) (*answered, bool) {
	s := cryptobyte.String(b)
	var flags uint32
	var ticket cryptobyte.String
	a := new(answered)
	if !readTime(&s, &a.time) || !s.ReadUint32(&flags) || !readTime(&s, &a.end) || !readBinding(&s, &a.bind) ||
		!s.ReadUint16LengthPrefixed(&ticket) || !s.Empty() || len(ticket) != 0 && len(ticket) != ticketLen {
		return nil, false
	}
	a.flags, a.ticket = gss.Flags(flags), ticket
	return a, true
}

// parseMN reads the exported form of a mechanism name.
func parseMN(b []byte) (gss.Name, bool) {
	n, err := gss.ParseName(b)
	return n, err == nil && n.Text != ""
}

// reaches reports whether mech is m or in it, depth stacks deep.
func reaches(m gss.Mechanism, mech oid.OID, depth int) bool {
	if m.OID() == mech {
		return true
	}
	st, ok := m.(gss.Stack)
	if !ok || depth == 0 {
		return false
	}
	for _, in := range st.Inner() {
		if reaches(in, mech, depth-1) {
			return true
		}
	}
	return false
}
