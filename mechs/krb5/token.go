package krb5

import "encoding/binary"

// Per-message tokens, RFC 4121 §4.2.6: not framed, and no ASN.1. Integers are
// big-endian.
//
//	MIC  = 04 04 | flags | FF FF FF FF FF     | u64 sequence number | checksum(message | header)
//	Wrap = 05 04 | flags | FF | u16 EC | u16 RRC | u64 sequence number | body rotated right by RRC octets
//	body = encrypt(message | EC octets of filler | header with RRC 0)     sealed
//	     | message | checksum(message | header with EC 0 and RRC 0)       not sealed: EC is the checksum's length
//
// The header is the first 16 octets. Tokens of RFC 1964, which begin with 60, are
// not for the encryption types that there are here.
const (
	headerLen = 16

	tokMIC  = 0x0404
	tokWrap = 0x0504

	flagSentByAcceptor = 1 << 0 // RFC 4121 §4.2.2; other flags are ignored
	flagSealed         = 1 << 1
	flagAcceptorSubkey = 1 << 2

	atEC, atRRC = 4, 6 // octets of a Wrap header
)

// Key usage numbers, RFC 4121 §2: SEAL is for Wrap tokens, sealed or not.
const (
	usageAcceptorSeal  = 22
	usageAcceptorSign  = 23
	usageInitiatorSeal = 24
	usageInitiatorSign = 25
)

// appendMICHeader appends the header of a MIC token.
func appendMICHeader(dst []byte, flags byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, tokMIC>>8, tokMIC&0xff, flags, 0xff, 0xff, 0xff, 0xff, 0xff), seq)
}

// appendWrapHeader appends the header of a Wrap token with EC and RRC 0.
func appendWrapHeader(dst []byte, flags byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, tokWrap>>8, tokWrap&0xff, flags, 0xff, 0, 0, 0, 0), seq)
}

// parseMIC splits a MIC token; sum aliases it.
func parseMIC(tok []byte) (flags byte, seq uint64, sum []byte, ok bool) {
	if len(tok) < headerLen || binary.BigEndian.Uint16(tok) != tokMIC ||
		binary.BigEndian.Uint32(tok[3:]) != 0xffffffff || tok[7] != 0xff {
		return 0, 0, nil, false
	}
	return tok[2], binary.BigEndian.Uint64(tok[8:]), tok[headerLen:], true
}

// A wrapToken is a Wrap token that was split, not checked. Its body is head
// followed by tail, which undoes the rotation; both alias the token.
type wrapToken struct {
	flags      byte
	ec         int
	seq        uint64
	head, tail []byte
}

// parseWrap splits a Wrap token. Any RRC is understood, also one beyond the length
// of the body (RFC 4121 §4.2.5). dce says that the context is DCE style: what is
// rotated at all and sealed there is rotated by RRC + EC ([MS-KILE] §3.4.5.4.1).
func parseWrap(tok []byte, dce bool) (w wrapToken, ok bool) {
	if len(tok) <= headerLen || binary.BigEndian.Uint16(tok) != tokWrap || tok[3] != 0xff {
		return wrapToken{}, false
	}
	body := tok[headerLen:]
	ec, r := int(binary.BigEndian.Uint16(tok[atEC:])), int(binary.BigEndian.Uint16(tok[atRRC:]))
	if dce && r != 0 && tok[2]&flagSealed != 0 {
		r += ec
	}
	r %= len(body)
	return wrapToken{
		flags: tok[2],
		ec:    ec,
		seq:   binary.BigEndian.Uint64(tok[8:]),
		head:  body[r:],
		tail:  body[:r],
	}, true
}
