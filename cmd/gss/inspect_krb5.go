package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// krbFramed reads the inner token of krb5: TOK_ID and a message, RFC 4121 §4.1;
// RFC 1964 §1.2 framed per-message tokens too.
func (r *reader) krbFramed(b []byte) string {
	if len(b) < 2 {
		r.malformed("the token id (RFC 4121 §4.1)")
		return "Kerberos token"
	}
	id, rest := binary.BigEndian.Uint16(b), b[2:]
	switch id {
	case 0x0100, 0x0200, 0x0300:
		r.add("token id", "%04x", id)
		return r.krbMessage(rest)
	case 0x0101:
		return r.krbOld("MIC", rest)
	case 0x0201:
		return r.krbOld("Wrap", rest)
	case 0x0400, 0x0401, 0x0501:
		kind := map[uint16]string{0x0400: "user-to-user TGT request", 0x0401: "user-to-user TGT reply", 0x0501: "IAKERB proxy message"}[id]
		r.add("token id", "%04x", id)
		r.add("message", "%s", octets(len(rest)))
		return kind
	}
	r.add("token id", "%04x", id)
	r.malformed("the token id (RFC 4121 §4.1)")
	return "Kerberos token"
}

// krbMessage reads an AP-REQ, AP-REP or KRB-ERROR (RFC 4120 §5.5, §5.9.1), framed
// or bare as in DCE style.
func (r *reader) krbMessage(b []byte) string {
	s := cryptobyte.String(b)
	kind, n, read := "Kerberos message", uint8(0), func(*reader, cryptobyte.String) bool { return false }
	switch {
	case len(b) > 0 && b[0] == 0x6e:
		kind, n, read = "Kerberos AP-REQ", 14, (*reader).apReq
	case len(b) > 0 && b[0] == 0x6f:
		kind, n, read = "Kerberos AP-REP", 15, (*reader).apRep
	case len(b) > 0 && b[0] == 0x7e:
		kind, n, read = "Kerberos KRB-ERROR", 30, (*reader).krbError
	}
	var app, seq cryptobyte.String
	var pvno, typ int64
	if !s.ReadASN1(&app, asn1.Tag(0x60|n)) || !s.Empty() || !app.ReadASN1(&seq, asn1.SEQUENCE) || !app.Empty() ||
		!explicitInt(&seq, &pvno, 0) || pvno != 5 || !explicitInt(&seq, &typ, 1) || typ != int64(n) || !read(r, seq) {
		r.malformed("the " + kind + " (RFC 4120)")
	}
	return kind
}

// AP-REQ ::= [APPLICATION 14] SEQUENCE { pvno [0], msg-type [1], ap-options [2]
// APOptions, ticket [3] Ticket, authenticator [4] EncryptedData }
func (r *reader) apReq(s cryptobyte.String) bool {
	var e, app, ticket, sname, enc, auth cryptobyte.String
	var options asn1Bits
	var vno int64
	var realm, name string
	if !explicit(&s, &e, 2) || !options.read(&e) || !e.Empty() ||
		!explicit(&s, &e, 3) || !e.ReadASN1(&app, 0x61) || !e.Empty() || !app.ReadASN1(&ticket, asn1.SEQUENCE) || !app.Empty() ||
		!explicitInt(&ticket, &vno, 0) || vno != 5 || !explicitString(&ticket, &realm, 1) ||
		!explicit(&ticket, &sname, 2) || !principal(&sname, &name) ||
		!explicit(&ticket, &enc, 3) || !ticket.Empty() ||
		!explicit(&s, &auth, 4) || !s.Empty() {
		return false
	}
	r.add("options", "%s", options.names(map[int]string{0: "reserved", 1: "use-session-key", 2: "mutual-required"}))
	r.add("service", "%s", printable([]byte(name+"@"+realm)))
	return r.encrypted("ticket", enc) && r.encrypted("authenticator", auth)
}

// AP-REP ::= [APPLICATION 15] SEQUENCE { pvno [0], msg-type [1], enc-part [2] EncryptedData }
func (r *reader) apRep(s cryptobyte.String) bool {
	var enc cryptobyte.String
	return explicit(&s, &enc, 2) && s.Empty() && r.encrypted("encrypted part", enc)
}

// KRB-ERROR ::= [APPLICATION 30] SEQUENCE { pvno [0], msg-type [1], ctime [2] OPTIONAL,
// cusec [3] OPTIONAL, stime [4], susec [5], error-code [6], crealm [7] OPTIONAL,
// cname [8] OPTIONAL, realm [9], sname [10], e-text [11] OPTIONAL, e-data [12] OPTIONAL }
func (r *reader) krbError(s cryptobyte.String) bool {
	var ignore, cname, sname, etext, edata, t cryptobyte.String
	var hasC, hasText, hasData, has bool
	var susec, code int64
	var stime, realm, client, service string
	if !optional(&s, &ignore, &has, 2) || !optional(&s, &ignore, &has, 3) ||
		!explicitTime(&s, &stime, 4) || !explicitInt(&s, &susec, 5) || !explicitInt(&s, &code, 6) ||
		!optional(&s, &ignore, &has, 7) || !optional(&s, &cname, &hasC, 8) || hasC && !principal(&cname, &client) ||
		!explicitString(&s, &realm, 9) || !explicit(&s, &sname, 10) || !principal(&sname, &service) ||
		!optional(&s, &etext, &hasText, 11) || hasText && (!etext.ReadASN1(&t, asn1.GeneralString) || !etext.Empty()) ||
		!optional(&s, &edata, &hasData, 12) || !s.Empty() {
		return false
	}
	meaning := krbErrors[code]
	if meaning == "" {
		meaning = "see RFC 4120 §7.5.9"
	}
	r.add("error", "%d: %s", code, meaning)
	r.add("time", "%s", stime)
	if hasC {
		r.add("client", "%s", printable([]byte(client)))
	}
	r.add("service", "%s", printable([]byte(service+"@"+realm)))
	if hasText {
		r.add("text", "%s", printable(t))
	}
	if hasData {
		r.add("data", "%s", octets(len(edata)))
	}
	return true
}

// krbErrors are those that an acceptor sends, RFC 4120 §7.5.9.
var krbErrors = map[int64]string{
	6:  "KDC_ERR_C_PRINCIPAL_UNKNOWN: the KDC does not know the client",
	7:  "KDC_ERR_S_PRINCIPAL_UNKNOWN: the KDC does not know the service",
	14: "KDC_ERR_ETYPE_NOSUPP: no common encryption type",
	25: "KDC_ERR_PREAUTH_REQUIRED: pre-authentication is required",
	31: "KRB_AP_ERR_BAD_INTEGRITY: decryption failed (wrong key or wrong password)",
	32: "KRB_AP_ERR_TKT_EXPIRED: the ticket has expired",
	33: "KRB_AP_ERR_TKT_NYV: the ticket is not valid yet",
	34: "KRB_AP_ERR_REPEAT: a replay",
	35: "KRB_AP_ERR_NOT_US: the ticket is for somebody else",
	36: "KRB_AP_ERR_BADMATCH: ticket and authenticator do not match",
	37: "KRB_AP_ERR_SKEW: the clocks are too far apart",
	39: "KRB_AP_ERR_BADVERSION: protocol version",
	40: "KRB_AP_ERR_MSG_TYPE: message type",
	41: "KRB_AP_ERR_MODIFIED: the message was modified",
	44: "KRB_AP_ERR_BADKEYVER: that version of the key is not available",
	45: "KRB_AP_ERR_NOKEY: the service's key is not available",
	46: "KRB_AP_ERR_MUT_FAIL: mutual authentication failed",
	50: "KRB_AP_ERR_INAPP_CKSUM: inappropriate checksum",
	60: "KRB_ERR_GENERIC: a generic error; see the text",
}

// principal reads PrincipalName ::= SEQUENCE { name-type [0] Int32, name-string [1]
// SEQUENCE OF GeneralString }, RFC 4120 §5.2.2, as people write it.
func principal(s *cryptobyte.String, out *string) bool {
	var seq, e, list cryptobyte.String
	var typ int64
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() || !explicitInt(&seq, &typ, 0) ||
		!explicit(&seq, &e, 1) || !seq.Empty() || !e.ReadASN1(&list, asn1.SEQUENCE) || !e.Empty() {
		return false
	}
	var parts []string
	for !list.Empty() {
		var c cryptobyte.String
		if !list.ReadASN1(&c, asn1.GeneralString) || len(parts) == 32 {
			return false
		}
		parts = append(parts, string(c))
	}
	*out = strings.Join(parts, "/")
	return true
}

// encrypted reads EncryptedData ::= SEQUENCE { etype [0], kvno [1] OPTIONAL,
// cipher [2] OCTET STRING }, RFC 4120 §5.2.9.
func (r *reader) encrypted(name string, e cryptobyte.String) bool {
	var seq, v, c cryptobyte.String
	var etype, kvno int64
	var hasKvno bool
	if !e.ReadASN1(&seq, asn1.SEQUENCE) || !e.Empty() || !explicitInt(&seq, &etype, 0) ||
		!optional(&seq, &v, &hasKvno, 1) || hasKvno && (!v.ReadASN1Integer(&kvno) || !v.Empty()) ||
		!explicit(&seq, &v, 2) || !v.ReadASN1(&c, asn1.OCTET_STRING) || !v.Empty() || !seq.Empty() {
		return false
	}
	kv := ""
	if hasKvno {
		kv = fmt.Sprintf(", key version %d", kvno)
	}
	r.add(name, "%s, encrypted with %s%s", octets(len(c)), enctype(etype), kv)
	return true
}

var enctypes = map[int64]string{
	1: "des-cbc-crc", 3: "des-cbc-md5", 16: "des3-cbc-sha1-kd",
	17: "aes128-cts-hmac-sha1-96", 18: "aes256-cts-hmac-sha1-96",
	19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192",
	23: "rc4-hmac", 25: "camellia128-cts-cmac", 26: "camellia256-cts-cmac",
}

func enctype(n int64) string {
	if s := enctypes[n]; s != "" {
		return fmt.Sprintf("%s (%d)", s, n)
	}
	return fmt.Sprintf("enctype %d", n)
}

// An asn1Bits is a BIT STRING of at most 64 bits; bit 0 is the first.
type asn1Bits struct{ bits uint64 }

func (b *asn1Bits) read(s *cryptobyte.String) bool {
	var c cryptobyte.String
	var unused uint8
	if !s.ReadASN1(&c, asn1.BIT_STRING) || !c.ReadUint8(&unused) || unused > 7 || len(c) > 8 || len(c) == 0 && unused != 0 {
		return false
	}
	for i, o := range c {
		for j := range 8 {
			if o>>(7-j)&1 == 1 {
				b.bits |= 1 << (8*i + j)
			}
		}
	}
	return true
}

func (b asn1Bits) names(n map[int]string) string { return bitNames(b.bits, n) }

var krbTokenFlags = map[int]string{0: "sent-by-acceptor", 1: "sealed", 2: "acceptor-subkey"}

// RFC 4121 §4.2.6.1: 0404 | u8 flags | FF*5 | u64 sequence number | checksum
func (r *reader) krbMIC(b []byte) string {
	const kind = "Kerberos MIC token (RFC 4121)"
	s := cryptobyte.String(b)
	var filler []byte
	var flags uint8
	var seq uint64
	if !s.Skip(2) || !s.ReadUint8(&flags) || !s.ReadBytes(&filler, 5) || string(filler) != "\xff\xff\xff\xff\xff" || !s.ReadUint64(&seq) || s.Empty() {
		r.malformed("the MIC token (RFC 4121 §4.2.6.1)")
		return kind
	}
	r.add("flags", "%s", bitNames(uint64(flags), krbTokenFlags))
	r.add("sequence number", "%d", seq)
	r.add("checksum", "%s", octets(len(s)))
	return kind
}

// RFC 4121 §4.2.6.2: 0504 | u8 flags | FF | u16 EC | u16 RRC | u64 sequence number | data
func (r *reader) krbWrap(b []byte) string {
	const kind = "Kerberos Wrap token (RFC 4121)"
	s := cryptobyte.String(b)
	var flags, filler uint8
	var ec, rrc uint16
	var seq uint64
	if !s.Skip(2) || !s.ReadUint8(&flags) || !s.ReadUint8(&filler) || filler != 0xff ||
		!s.ReadUint16(&ec) || !s.ReadUint16(&rrc) || !s.ReadUint64(&seq) || s.Empty() {
		r.malformed("the Wrap token (RFC 4121 §4.2.6.2)")
		return kind
	}
	r.add("flags", "%s", bitNames(uint64(flags), krbTokenFlags))
	r.add("extra count", "%d", ec)
	r.add("right rotation", "%d", rrc)
	r.add("sequence number", "%d", seq)
	if flags&2 != 0 {
		r.add("data", "%s, encrypted", octets(len(s)))
	} else {
		r.add("data", "%s, message in clear and checksum", octets(len(s)))
	}
	return kind
}

// RFC 1964 §1.2: u16 SGN_ALG | FFFF or u16 SEAL_ALG, FFFF | encrypted sequence number (8) | checksum …
func (r *reader) krbOld(what string, b []byte) string {
	kind := "Kerberos " + what + " token (RFC 1964, obsolete)"
	s := cryptobyte.String(b)
	var sgn, seal, filler uint16
	if !s.ReadUint16(&sgn) || !s.ReadUint16(&seal) || !s.ReadUint16(&filler) || filler != 0xffff || len(s) < 16 {
		r.malformed("the token (RFC 1964 §1.2)")
		return kind
	}
	// The algorithms are little-endian.
	name := map[uint16]string{0x0000: "DES MAC MD5", 0x0100: "MD2.5", 0x0200: "DES MAC", 0x0400: "HMAC SHA1 DES3-KD", 0x1100: "HMAC MD5 (RC4)"}[sgn]
	r.add("checksum algorithm", "%02x %02x %s", sgn>>8, sgn&0xff, name)
	if what == "Wrap" {
		r.add("seal algorithm", "%02x %02x %s", seal>>8, seal&0xff, map[uint16]string{0x0000: "DES", 0x0200: "DES3-KD", 0x1000: "RC4", 0xffff: "none"}[seal])
	}
	r.add("rest", "%s", octets(len(s)))
	return kind
}
