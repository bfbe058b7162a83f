package main

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/gsseal/gss"
)

// The tokens of this module's own mechanisms. vecN is an N-bit length and as many
// octets; integers are big-endian.

var pkixSuites = map[uint16]string{
	1: "X25519MLKEM768, AES-256-GCM, SHA-384", 2: "X25519, ChaCha20-Poly1305, SHA-256",
	3: "P-256, AES-256-GCM, SHA-256", 4: "SecP256r1MLKEM768, AES-256-GCM, SHA-384",
}

func suite(n uint16) string {
	if s := pkixSuites[n]; s != "" {
		return fmt.Sprintf("%04x (%s)", n, s)
	}
	return fmt.Sprintf("%04x (unknown)", n)
}

// pkix reads what pkix, pkix-oneway, pkix-anon and pkix-password frame.
func (r *reader) pkix(b []byte) string {
	s := cryptobyte.String(b)
	var typ uint8
	if !s.ReadUint8(&typ) {
		r.malformed("the message type")
		return "pkix token"
	}
	kind, read := "pkix token", func(*reader, cryptobyte.String) bool { return false }
	switch typ {
	case 0x01:
		kind, read = "pkix M1, the initiator's first", (*reader).pkixM1
	case 0x02:
		kind, read = "pkix M2, the acceptor's answer", (*reader).pkixM2
	case 0x03:
		kind, read = "pkix MR, the acceptor asks for another try", (*reader).pkixMR
	case 0x04:
		kind, read = "pkix M3, the initiator's proof", sealedPart(24, "certificates, signature and the rest")
	case 0x05:
		kind, read = "pkix M3p, the initiator's password", sealedPart(16, "user name, password and the rest")
	case 0x06:
		kind, read = "pkix M4p, the acceptor's verdict on the password", sealedPart(16, "verdict")
	case 0x0e:
		kind, read = "pkix alert: the initiator found other channel bindings", sealedPart(8, "alert")
	case 0x0f:
		kind, read = "pkix ME, the acceptor refuses (unauthenticated)", (*reader).pkixError
	case 0x21:
		kind, read = "pkix-oneway token", (*reader).pkixOneWay
	}
	if !read(r, s) {
		r.malformed("the pkix message")
	}
	return kind
}

// 01 | u8 1 | nonce(32) | u32 flags | vec8 (u16 suite)* | vec16 (u16 suite | vec16 share)* | vec16 target | vec16 cookie
func (r *reader) pkixM1(s cryptobyte.String) bool {
	var version uint8
	var nonce []byte
	var flags uint32
	var suites, shares, target, cookie cryptobyte.String
	if !s.ReadUint8(&version) || version != 1 || !s.ReadBytes(&nonce, 32) || !s.ReadUint32(&flags) ||
		!s.ReadUint8LengthPrefixed(&suites) || !s.ReadUint16LengthPrefixed(&shares) ||
		!s.ReadUint16LengthPrefixed(&target) || !s.ReadUint16LengthPrefixed(&cookie) || !s.Empty() {
		return false
	}
	r.add("version", "1")
	r.add("nonce", "%s", octetsHex(nonce))
	r.add("flags asked for", "%s", gss.Flags(flags))
	for !suites.Empty() {
		var id uint16
		if !suites.ReadUint16(&id) {
			return false
		}
		r.add("suite", "%s", suite(id))
	}
	for !shares.Empty() {
		var id uint16
		var share cryptobyte.String
		if !shares.ReadUint16(&id) || !shares.ReadUint16LengthPrefixed(&share) {
			return false
		}
		r.add("key share", "%s for suite %04x", octets(len(share)), id)
	}
	if len(target) == 0 {
		r.add("target", "any")
	} else if !r.token("target", target) {
		return false
	}
	if len(cookie) > 0 {
		r.add("cookie", "%s", octetsHex(cookie))
	}
	return true
}

// 02 | u16 suite | nonce(32) | vec16 share | vec24 encrypted
func (r *reader) pkixM2(s cryptobyte.String) bool {
	var id uint16
	var nonce []byte
	var share, enc cryptobyte.String
	if !s.ReadUint16(&id) || !s.ReadBytes(&nonce, 32) || !s.ReadUint16LengthPrefixed(&share) || !s.ReadUint24LengthPrefixed(&enc) || !s.Empty() {
		return false
	}
	r.add("suite", "%s", suite(id))
	r.add("nonce", "%s", octetsHex(nonce))
	r.add("key share", "%s", octets(len(share)))
	r.add("encrypted", "%s: certificates, signature and the rest", octets(len(enc)))
	return true
}

// 03 | u16 suite | vec16 cookie
func (r *reader) pkixMR(s cryptobyte.String) bool {
	var id uint16
	var cookie cryptobyte.String
	if !s.ReadUint16(&id) || !s.ReadUint16LengthPrefixed(&cookie) || !s.Empty() {
		return false
	}
	r.add("suite", "%s", suite(id))
	r.add("cookie", "%s", octetsHex(cookie))
	return true
}

// 0f | u8 code
func (r *reader) pkixError(s cryptobyte.String) bool {
	var code uint8
	if !s.ReadUint8(&code) || !s.Empty() {
		return false
	}
	switch code {
	case 1:
		r.add("code", "1: no acceptable suite or target")
	default:
		r.add("code", "%d: refused; the acceptor's log has the reason", code)
	}
	return true
}

// 21 | u8 1 | hash of the key statement(32) | vec16 enc | ciphertext
func (r *reader) pkixOneWay(s cryptobyte.String) bool {
	var version uint8
	var ks []byte
	var enc cryptobyte.String
	if !s.ReadUint8(&version) || version != 1 || !s.ReadBytes(&ks, 32) || !s.ReadUint16LengthPrefixed(&enc) || s.Empty() {
		return false
	}
	r.add("version", "1")
	r.add("recipient's key", "%s", octetsHex(ks))
	r.add("encapsulated", "%s (HPKE)", octets(len(enc)))
	r.add("encrypted", "%s: certificates, signature and the rest", octets(len(s)))
	return true
}

// sealedPart reads a message that is one encrypted field with a length of bits bits.
func sealedPart(bits int, what string) func(*reader, cryptobyte.String) bool {
	return func(r *reader, s cryptobyte.String) bool {
		var enc cryptobyte.String
		read := map[int]func(*cryptobyte.String) bool{8: s.ReadUint8LengthPrefixed, 16: s.ReadUint16LengthPrefixed, 24: s.ReadUint24LengthPrefixed}[bits]
		if !read(&enc) || !s.Empty() {
			return false
		}
		r.add("encrypted", "%s: %s", octets(len(enc)), what)
		return true
	}
}

// reauth reads the tokens of reauth and introduced, framed or not.
func (r *reader) reauth(b []byte) string {
	s := cryptobyte.String(b)
	var typ uint8
	if !s.ReadUint8(&typ) {
		r.malformed("the message type")
		return "reauth token"
	}
	kind, ok := "reauth token", false
	switch typ {
	case 0x01, 0x02:
		kind, ok = "reauth, a token of the mechanism inside", r.token("inner token", s)
	case 0x03:
		kind, ok = "reauth, the acceptor's last, with a ticket", r.reauthIssue(s)
	case 0x11:
		kind, ok = "reauth RESUME, the initiator comes back", r.reauthResume(s)
	case 0x12:
		kind, ok = "reauth RESUMED, the acceptor's answer", r.reauthResumed(s)
	case 0x13:
		kind, ok = "reauth CONFIRM, the initiator is no replay", len(s) == 32
	case 0x14:
		kind, ok = "reauth REFUSED: the mechanism inside takes over", s.Empty()
	case 0x15:
		kind, ok = "reauth BADCB, other channel bindings", len(s) == 32
	}
	if !ok {
		r.malformed("the reauth message")
	}
	return kind
}

// 03 | vec24 inner token or empty | vec16 ticket, encrypted, or empty
func (r *reader) reauthIssue(s cryptobyte.String) bool {
	var inner, issue cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&inner) || !s.ReadUint16LengthPrefixed(&issue) || !s.Empty() {
		return false
	}
	r.add("ticket", "%s, encrypted", octets(len(issue)))
	return len(inner) == 0 || r.token("inner token", inner)
}

var reauthGroups = map[uint8]string{0: "none", 1: "X25519", 2: "X25519MLKEM768", 3: "P-256"}

// 11 | u8 kind | u8 group | nonce(32) | vec16 credential | vec16 share | vec16 authenticator
func (r *reader) reauthResume(s cryptobyte.String) bool {
	var kind, group uint8
	var nonce []byte
	var cred, share, auth cryptobyte.String
	if !s.ReadUint8(&kind) || !s.ReadUint8(&group) || !s.ReadBytes(&nonce, 32) || reauthGroups[group] == "" ||
		!s.ReadUint16LengthPrefixed(&cred) || !s.ReadUint16LengthPrefixed(&share) || !s.ReadUint16LengthPrefixed(&auth) || !s.Empty() {
		return false
	}
	switch {
	case kind == 1 && len(cred) > 8:
		r.add("credential", "ticket, %s, key %x", octets(len(cred)), []byte(cred[:8]))
	case kind == 2:
		r.add("credential", "grant, %s", octets(len(cred)))
	default:
		return false
	}
	r.add("nonce", "%s", octetsHex(nonce))
	r.add("key share", "%s, group %s", octets(len(share)), reauthGroups[group])
	r.add("authenticator", "%s, encrypted", octets(len(auth)))
	return true
}

// 12 | u8 flags | nonce(32) | vec16 share | vec16 reply
func (r *reader) reauthResumed(s cryptobyte.String) bool {
	var flags uint8
	var nonce []byte
	var share, reply cryptobyte.String
	if !s.ReadUint8(&flags) || !s.ReadBytes(&nonce, 32) || !s.ReadUint16LengthPrefixed(&share) || !s.ReadUint16LengthPrefixed(&reply) || !s.Empty() {
		return false
	}
	r.add("flags", "%s", bitNames(uint64(flags), map[int]string{0: "confirm-wanted"}))
	r.add("nonce", "%s", octetsHex(nonce))
	r.add("key share", "%s", octets(len(share)))
	r.add("reply", "%s, encrypted: the next ticket and the rest", octets(len(reply)))
	return true
}

// own reads what comes without framing and without a token id: messages of reauth
// after the first, per-message tokens
//
//	u8 type (1, 2, 4) | u64 sequence number, below 2^48 | body
//
// and grants of package seal. Nothing else can be told from noise; a sealed
// message is meant not to be.
func (r *reader) own(b []byte) string {
	if r.grant(b) {
		return "grant of a sealed message"
	}
	numbered := len(b) >= 1+8+16 && b[1] == 0 && b[2] == 0
	switch {
	case numbered && (b[0] == 1 || b[0] == 2 || b[0] == 4):
		return r.record(b)
	case (b[0] == 1 || b[0] == 2) && len(b) > 1 && looksFramed(b[1:]), b[0] == 3, b[0] == 0x12, b[0] == 0x13 && len(b) == 33, b[0] == 0x14 && len(b) == 1, b[0] == 0x15 && len(b) == 33:
		return r.reauth(b)
	}
	if r.depth == 0 {
		r.problem = "nothing known begins like this (a sealed message, for one, looks like noise)"
	}
	r.add("octets", "%s", octetsHex(b))
	return "opaque"
}

func (r *reader) record(b []byte) string {
	s := cryptobyte.String(b)
	var typ uint8
	var seq uint64
	if !s.ReadUint8(&typ) || !s.ReadUint64(&seq) {
		r.malformed("the token")
		return "per-message token"
	}
	r.add("sequence number", "%d", seq)
	switch typ {
	case 1:
		r.add("body", "%s, encrypted", octets(len(s)))
		return "Wrap token of pkix or reauth, confidential"
	case 2:
		r.add("body", "%s, message in clear and tag", octets(len(s)))
		return "Wrap token of pkix or reauth, integrity only"
	}
	r.add("tag", "%s", octets(len(s)))
	return "MIC token of pkix or reauth"
}

// grant reads
//
//	u8 1 | u8 mode | u24 epoch | u64 not after | vec8 key | vec16 originator | vec16 recipient | vec32 sealed
//
// and reports whether that is what b is. Epochs are hours, times milliseconds since 1970.
func (r *reader) grant(b []byte) bool {
	s := cryptobyte.String(b)
	var version, mode uint8
	var epoch, size uint32
	var until uint64
	var key, from, to cryptobyte.String
	if !s.ReadUint8(&version) || version != 1 || !s.ReadUint8(&mode) || mode > 1 || !s.ReadUint24(&epoch) || !s.ReadUint64(&until) ||
		!s.ReadUint8LengthPrefixed(&key) || (len(key) == 0) != (mode == 0) ||
		!s.ReadUint16LengthPrefixed(&from) || !s.ReadUint16LengthPrefixed(&to) || !s.ReadUint32(&size) || uint64(size) != uint64(len(s)) {
		return false
	}
	r.add("sealed in the hour of", "%s", time.Unix(int64(epoch)*3600, 0).UTC().Format(time.RFC3339))
	r.add("good until", "%s", time.UnixMilli(int64(until&(1<<53-1))).UTC().Format(time.RFC3339))
	if mode == 0 {
		r.add("relay key", "derived by the relay")
	} else {
		r.add("relay key", "carried in this grant: keep it secret")
	}
	if r.token("originator", from) && r.token("recipient", to) {
		r.add("sealed message", "%s", octets(len(s)))
	}
	return true
}

// looksFramed reports whether b begins like a token that an inner mechanism sends.
func looksFramed(b []byte) bool {
	switch b[0] {
	case 0x60, 0x6e, 0x6f, 0x7e, 0xa0, 0xa1:
		return true
	}
	return false
}
