package seal

import (
	"errors"
	"fmt"
	"io"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// Causes of the *gss.Error that this package returns; errors.Is finds them.
var (
	// ErrBusy: finding the originator would take a scan of all contexts, and the
	// budget for that is spent. Try again later, or narrow it with From.
	ErrBusy = errors.New("seal: too many contexts to search now")
	// ErrClock: this host's clock stepped back too far to seal, or is nonsense.
	ErrClock = errors.New("seal: clock stepped back")
	// ErrTooLong: the body does not fit a message, or the payload a proof.
	ErrTooLong = errors.New("seal: too long")
	// ErrLifetime: outside one millisecond to MaxLifetime.
	ErrLifetime = errors.New("seal: lifetime out of range")
	// ErrExpired: now is after all that bounds the message's life.
	ErrExpired = errors.New("seal: expired")
	// ErrNotYet: made later than now, and not because clocks differ by Skew.
	ErrNotYet = errors.New("seal: made in the future")
	// ErrErased: the key of the hour in which it was sealed is gone.
	ErrErased = errors.New("seal: key erased")
	// ErrRelay: handed over by somebody else than the named relay, or by nobody known.
	ErrRelay = errors.New("seal: not handed over by its relay")
	// ErrProof: no proof of the relay's key for this channel.
	ErrProof = errors.New("seal: no valid proof by its relay")
	// ErrClaim: it lacks a claim that is required.
	ErrClaim = errors.New("seal: required claim absent")
	// ErrIntroduction: Unseal got an introduction, or Redeem something else.
	ErrIntroduction = errors.New("seal: introductions are redeemed, messages unsealed")
	// ErrIntroduced: who was introduced grants nothing, introduces nobody, and is introduced
	// no further.
	ErrIntroduced = errors.New("seal: who was introduced does not grant or introduce")
	// ErrStream: Unseal got a stream, or UnsealStream something else.
	ErrStream = errors.New("seal: streams and messages are unsealed each in their own way")
	// ErrTruncated: a stream's end is missing, or what came last is not its end.
	// It is an io.ErrUnexpectedEOF.
	ErrTruncated = fmt.Errorf("seal: the stream's end is missing or damaged: %w", io.ErrUnexpectedEOF)
	// ErrQuota: too many live strikes by this originator.
	ErrQuota = errors.New("seal: originator's quota of strikes is spent")

	errAnonymous = errors.New("seal: an end of the context is anonymous")
	errPRF       = errors.New("seal: PRF output is not usable")
	errHeader    = errors.New("seal: authentic but malformed")
	errNames     = errors.New("seal: names are not those of the context")
	errRemoved   = errors.New("seal: context removed meanwhile")
	errData      = errors.New("seal: an introduction has no Data")
	errGrant     = errors.New("seal: malformed grant")
	errBinding   = errors.New("seal: one of a context, channel bindings and Unbound has to be given")
)

// fail returns a *gss.Error.
func fail(op string, mech oid.OID, m gss.Major, cause error) error {
	return &gss.Error{Op: op, Mech: mech, Major: m, Err: cause}
}
