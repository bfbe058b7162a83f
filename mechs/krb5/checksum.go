package krb5

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// The checksum of an AP-REQ's authenticator is none: it carries what GSS adds to
// Kerberos, RFC 4121 §4.1.1. Integers are little-endian.
//
//	0..3    16, the length of Bnd
//	4..19   Bnd: MD5 of the channel bindings, or zero octets
//	20..23  flags
//	24..25  1      }
//	26..27  length } with the flag deleg only
//	28..    KRB-CRED }
//	then    extensions, ignored
const (
	checksumType = 0x8003
	checksumLen  = 24
)

// wireFlags are the flags of RFC 4121 §4.1.1.1 and RFC 4757 §7.1 that this package
// means anything by, but for gss.Deleg. Senders clear all others, receivers ignore them.
const wireFlags = gss.Mutual | gss.Replay | gss.Sequence | gss.Conf | gss.Integ | gss.DCEStyle | gss.Identify

// A gssChecksum is what the checksum of type 0x8003 says.
type gssChecksum struct {
	bindings [md5.Size]byte // zero: none
	flags    gss.Flags      // of the peer, unmasked
	cred     []byte         // KRB-CRED, with gss.Deleg; at most maxDelegated octets
}

const maxDelegated = 1<<16 - 1

func (c *gssChecksum) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, md5.Size)
	dst = append(dst, c.bindings[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.flags))
	if c.flags.Has(gss.Deleg) {
		dst = binary.LittleEndian.AppendUint16(dst, 1)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.cred)))
		dst = append(dst, c.cred...)
	}
	return dst
}

// parseGSSChecksum reports false for what is malformed. What it returns aliases b.
func parseGSSChecksum(b []byte) (c gssChecksum, ok bool) {
	if len(b) < checksumLen || binary.LittleEndian.Uint32(b) != md5.Size {
		return c, false
	}
	copy(c.bindings[:], b[4:20])
	c.flags = gss.Flags(binary.LittleEndian.Uint32(b[20:]))
	if c.flags.Has(gss.Deleg) {
		const head = checksumLen + 4
		if len(b) < head || binary.LittleEndian.Uint16(b[24:]) != 1 || len(b)-head < int(binary.LittleEndian.Uint16(b[26:])) {
			return c, false
		}
		c.cred = b[head : head+int(binary.LittleEndian.Uint16(b[26:]))]
	}
	return c, true
}

// hashBindings is the field Bnd for RFC 5056 application data, RFC 4121 §4.1.1.2:
// no addresses, of type GSS_C_AF_UNSPEC. MD5 is what the protocol has. Whoever
// finds a collision needs a channel of his own on both sides to gain anything.
func hashBindings(data []byte) (sum [md5.Size]byte) {
	if len(data) == 0 {
		return sum
	}
	// initiator_addrtype, length of initiator_address, acceptor_addrtype, length
	// of acceptor_address: zero; then length of application_data.
	var head [20]byte
	binary.LittleEndian.PutUint32(head[16:], uint32(len(data)))
	h := md5.New()
	h.Write(head[:])
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// checkMD5 refuses bindings where MD5 panics.
func checkMD5(bindings []byte, op string) error {
	if len(bindings) == 0 || !fips140.Enforced() {
		return nil
	}
	return &gss.Error{Op: op, Mech: oid.Krb5, Major: gss.Unavailable, Err: errors.New("krb5: channel bindings need MD5")}
}

// checkBindings compares what the acceptor was given with what the initiator sent.
// bound: both gave the same. ok: the handshake may go on.
func checkBindings(mine []byte, optional bool, theirs [md5.Size]byte) (bound, ok bool) {
	if len(mine) == 0 {
		return false, true
	}
	if theirs == [md5.Size]byte{} {
		return false, optional
	}
	want := hashBindings(mine)
	bound = subtle.ConstantTimeCompare(want[:], theirs[:]) == 1
	return bound, bound
}
