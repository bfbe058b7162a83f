package krb5

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"math"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// Per-message tokens of contexts whose key is RC4's or triple DES's: RFC 1964 §1.2 with the
// algorithms of RFC 4757 §7, or of MIT krb5 for des3-cbc-sha1. Each is framed like a first
// token.
//
//	MIC  = 01 01 | SGN_ALG | FF FF FF FF   | seq(8) | checksum
//	Wrap = 02 01 | SGN_ALG | SEAL_ALG FF FF | seq(8) | checksum | confounder(8) | message | padding
//
// The checksum, of eight octets with RC4 and twenty with triple DES, is of the first eight
// octets and of all behind it in clear; what follows it is encrypted if sealed. seq is
// the number, big-endian with RC4 and little-endian with triple DES, and four octets that
// say who sent it, encrypted under the checksum. These tokens know no subkey of the
// acceptor's. With RC4 nothing protects the number of one that is not sealed: replays
// of it can be made to look new, in every implementation.
const (
	oldMIC  = 0x0101
	oldWrap = 0x0201

	oldHeader     = 8
	oldSeqLen     = 8
	oldConfounder = 8

	oldNotSealed = 0xffff
)

// Key usage numbers: the checksum of Wrap tokens, and with triple DES of all.
const (
	usageOldSign = 23
	usageOldMIC  = 15 // RC4
)

// oldAlgs are what differs between the two.
type oldAlgs struct {
	sign, seal uint16
	sumLen     int
	pad        int
	micUsage   uint32
}

func (c *secContext) oldAlgs() oldAlgs {
	if c.key.EType() == ikrb5.RC4HMAC {
		return oldAlgs{0x1100, 0x1000, 8, 1, usageOldMIC}
	}
	return oldAlgs{0x0400, 0x0200, 20, 8, usageOldSign}
}

// oldOverhead is the most that a token of RFC 1964 adds: framing, all of the above.
func oldOverhead(a oldAlgs) int {
	return 1 + 5 + 2 + len(oid.Krb5) + oldHeader + oldSeqLen + a.sumLen + oldConfounder + a.pad
}

// oldNext takes a sequence number; there are only 2³².
func (c *secContext) oldNext(op string) (uint32, error) {
	n := c.sendSeq.Add(1) - 1
	if n > math.MaxUint32 {
		return 0, c.fail(op, gss.ContextExpired)
	}
	return uint32(n), nil
}

// oldSequence returns the field seq in clear.
func (c *secContext) oldSequence(n uint32, fromAcceptor bool) []byte {
	b := make([]byte, oldSeqLen)
	if c.key.EType() == ikrb5.RC4HMAC {
		binary.BigEndian.PutUint32(b, n)
	} else {
		binary.LittleEndian.PutUint32(b, n)
	}
	if fromAcceptor {
		binary.LittleEndian.PutUint32(b[4:], math.MaxUint32)
	}
	return b
}

// oldToken puts a token together: header, sequence number, checksum, data.
func (c *secContext) oldToken(op string, dst, header, sum, data []byte, n uint32) ([]byte, error) {
	seq := c.oldSequence(n, !c.info.Initiator)
	if err := c.key.OldSeq(seq, sum, false); err != nil {
		return dst, c.keyError(op)
	}
	return gss.AppendToken(dst, oid.Krb5, bytes.Join([][]byte{header, seq, sum, data}, nil)), nil
}

func (c *secContext) oldWrap(op string, dst, msg []byte, l gss.Level) ([]byte, error) {
	a := c.oldAlgs()
	seal := a.seal
	switch {
	case l != gss.Confidential && l != gss.IntegrityOnly:
		return dst, c.fail(op, gss.BadQOP)
	case l == gss.IntegrityOnly:
		seal = oldNotSealed
	case !c.info.Flags.Has(gss.Conf):
		return dst, c.fail(op, gss.Unavailable)
	}
	n, err := c.oldNext(op)
	if err != nil {
		return dst, err
	}
	header := binary.BigEndian.AppendUint16(nil, oldWrap)
	header = binary.BigEndian.AppendUint16(header, a.sign)
	header = append(binary.BigEndian.AppendUint16(header, seal), 0xff, 0xff)
	pad := a.pad - len(msg)%a.pad
	data := make([]byte, oldConfounder, oldConfounder+len(msg)+pad)
	rand.Read(data) // never fails
	data = append(append(data, msg...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	defer clear(data)
	sum, err := c.key.ChecksumParts(nil, usageOldSign, header, data)
	if err != nil {
		return dst, c.keyError(op)
	}
	if l == gss.Confidential {
		if err := c.key.OldData(data, n, false); err != nil {
			return dst, c.keyError(op)
		}
	}
	return c.oldToken(op, dst, header, sum[:a.sumLen], data, n)
}

func (c *secContext) oldMIC(op string, dst, msg []byte) ([]byte, error) {
	a := c.oldAlgs()
	n, err := c.oldNext(op)
	if err != nil {
		return dst, err
	}
	header := binary.BigEndian.AppendUint16(nil, oldMIC)
	header = append(binary.BigEndian.AppendUint16(header, a.sign), 0xff, 0xff, 0xff, 0xff)
	sum, err := c.key.ChecksumParts(nil, a.micUsage, header, msg)
	if err != nil {
		return dst, c.keyError(op)
	}
	return c.oldToken(op, dst, header, sum[:a.sumLen], nil, n)
}

// oldParse splits a token; what it returns aliases it, but for seq, which is decrypted.
func (c *secContext) oldParse(op string, tok []byte, id uint16, a oldAlgs) (header, seq, sum, data []byte, err error) {
	mech, b, err := gss.ParseToken(tok)
	if err != nil || mech != oid.Krb5 || len(b) < oldHeader+oldSeqLen+a.sumLen || binary.BigEndian.Uint16(b) != id ||
		binary.BigEndian.Uint16(b[2:]) != a.sign || binary.BigEndian.Uint16(b[6:]) != 0xffff {
		return nil, nil, nil, nil, c.fail(op, gss.DefectiveToken)
	}
	header, b = b[:oldHeader], b[oldHeader:]
	seq, b = bytes.Clone(b[:oldSeqLen]), b[oldSeqLen:]
	sum, data = b[:a.sumLen], b[a.sumLen:]
	if err := c.key.OldSeq(seq, sum, true); err != nil {
		return nil, nil, nil, nil, c.keyError(op)
	}
	return header, seq, sum, data, nil
}

// oldNumber returns the number in seq.
func (c *secContext) oldNumber(seq []byte) uint32 {
	if c.key.EType() == ikrb5.RC4HMAC {
		return binary.BigEndian.Uint32(seq)
	}
	return binary.LittleEndian.Uint32(seq)
}

// oldCheck compares a checksum, and who sent it, in constant time. good is 1 if whatever
// else was to be checked is as it should be: all failures look alike.
func (c *secContext) oldCheck(op string, seq, sum, computed []byte, good int) error {
	n := c.oldNumber(seq)
	good &= subtle.ConstantTimeCompare(sum, computed[:len(sum)])
	good &= subtle.ConstantTimeCompare(seq, c.oldSequence(n, c.info.Initiator))
	if good != 1 {
		return c.fail(op, gss.BadMIC)
	}
	return c.commit(op, uint64(n))
}

func (c *secContext) oldUnwrap(op string, dst, tok []byte) ([]byte, gss.Level, error) {
	a := c.oldAlgs()
	header, seq, sum, data, err := c.oldParse(op, tok, oldWrap, a)
	if err != nil {
		return dst, 0, err
	}
	l := gss.IntegrityOnly
	switch binary.BigEndian.Uint16(header[4:]) {
	case a.seal:
		l = gss.Confidential
	case oldNotSealed:
	default:
		return dst, 0, c.fail(op, gss.DefectiveToken)
	}
	if len(data) <= oldConfounder || len(data)%a.pad != 0 {
		return dst, 0, c.fail(op, gss.DefectiveToken)
	}
	plain := bytes.Clone(data)
	defer clear(plain)
	if l == gss.Confidential {
		if err := c.key.OldData(plain, c.oldNumber(seq), true); err != nil {
			return dst, 0, c.keyError(op)
		}
	}
	computed, err := c.key.ChecksumParts(nil, usageOldSign, header, plain)
	if err != nil {
		return dst, 0, c.keyError(op)
	}
	pad, good := oldPadding(plain, a.pad)
	if err := c.oldCheck(op, seq, sum, computed, good); err != nil {
		return dst, 0, err
	}
	return append(dst, plain[oldConfounder:len(plain)-pad]...), l, nil
}

// oldPadding returns how many octets of padding plain has, 1 to most, and whether each of
// them says so. It takes as long whatever they are.
func oldPadding(plain []byte, most int) (n, good int) {
	n = int(plain[len(plain)-1])
	good = subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, most)
	for i := 1; i <= most && i <= len(plain)-oldConfounder; i++ {
		inside := subtle.ConstantTimeLessOrEq(i, n)
		same := subtle.ConstantTimeByteEq(plain[len(plain)-i], byte(n))
		good &= subtle.ConstantTimeSelect(inside, same, 1)
	}
	return n, good
}

func (c *secContext) oldVerifyMIC(op string, msg, mic []byte) error {
	a := c.oldAlgs()
	header, seq, sum, data, err := c.oldParse(op, mic, oldMIC, a)
	if err != nil {
		return err
	}
	if len(data) != 0 || binary.BigEndian.Uint16(header[4:]) != oldNotSealed {
		return c.fail(op, gss.DefectiveToken)
	}
	computed, err := c.key.ChecksumParts(nil, a.micUsage, header, msg)
	if err != nil {
		return c.keyError(op)
	}
	return c.oldCheck(op, seq, sum, computed, 1)
}

// FromWeakKeytab is FromKeytab, but with the keys of the types that Options.AllowWeak lets
// in, too, and only accepts. Without that option they do nothing.
func FromWeakKeytab(keytab []byte, principal string) (*Credential, error) {
	var p ikrb5.Principal
	if principal != "" {
		var err error
		if p, err = parsePrincipal(principal); err != nil {
			return nil, err
		}
	}
	k, err := parseKeytabOf(keytab, func(e ikrb5.EType) bool { return e.Supported() || e.Legacy() })
	if err != nil {
		return nil, credError(gss.DefectiveCredential, err)
	}
	if len(k.entries) == 0 || principal != "" && !k.has(p) {
		k.erase()
		return nil, noKey(p)
	}
	return newCredential(&shared{principal: p, accepts: true, keys: k}), nil
}
