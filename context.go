package gss

import (
	"time"

	"github.com/gsseal/gss/oid"
)

// Info describes an established context (GSS_Inquire_context). It does not change.
type Info struct {
	Mech      oid.OID   // whose per-message tokens these are; never SPNEGO
	Local     Name      // zero or MN; what the peer knows as Peer, octet for octet
	Peer      Name      // zero (unauthenticated, anonymous) or MN; Peer.Mech may differ from Mech
	Initiator bool      // this side initiated
	Flags     Flags     // what the context has, whether or not with ProtReady
	Expiry    time.Time // zero: never. After it every call but Info and Close is ContextExpired
	Overhead  int       // most octets that Wrap adds, at any level
}

// A Level is how far Wrap protects a message. The zero value is the safer one.
type Level uint8

const (
	Confidential  Level = iota // encrypted and authenticated
	IntegrityOnly              // authenticated, readable by anyone
)

// String is for people and logs.
func (l Level) String() string {
	switch l {
	case Confidential:
		return "confidential"
	case IntegrityOnly:
		return "integrity-only"
	}
	return "invalid level"
}

// A PRFKey chooses the key of a PRF, RFC 4401 §2.
type PRFKey uint8

const (
	PRFFull    PRFKey = 0 // both sides contributed
	PRFPartial PRFKey = 1 // the initiator's key alone
)

// MaxPRF is the most octets that a PRF takes, and the most that it returns: what
// RFC 4401 §2 obliges every mechanism to support, and no more.
const MaxPRF = 1 << 14

// A Context is established. It is safe for concurrent use; with Sequence the
// messages must still be unwrapped in the order in which they were wrapped.
//
// Methods that take dst append to it and return the result, as cipher.AEAD does;
// the octets behind len(dst) must not overlap the other arguments. They do not
// allocate if dst is big enough. On an error dst comes back as it was.
// All but Info fail with NoContext after Close, and with ContextExpired after
// Info().Expiry.
type Context interface {
	Info() Info

	// Wrap protects msg. Confidential on a context without Conf is Unavailable,
	// never clear text; an unknown level is BadQOP.
	Wrap(dst, msg []byte, l Level) ([]byte, error)

	// Unwrap checks a token of Wrap and returns its message and level. On any
	// error (BadMIC, DefectiveToken; DuplicateToken, OldToken under Replay;
	// UnseqToken, GapToken under Sequence) the context stays usable and no
	// plaintext is returned. After a GapToken the number behind it is the one due.
	Unwrap(dst, tok []byte) ([]byte, Level, error)

	// MIC returns a token that VerifyMIC checks together with msg.
	MIC(dst, msg []byte) ([]byte, error)
	VerifyMIC(msg, mic []byte) error

	// PRF is GSS_Pseudo_random (RFC 4401): n octets that both sides, and nobody
	// else, derive from in. in or n over MaxPRF, or n < 0, is a Failure; a key that
	// the mechanism lacks is Unavailable.
	PRF(key PRFKey, in []byte, n int) ([]byte, error)

	// Close erases every key. It waits for calls in progress. It can be called twice.
	Close() error
}
