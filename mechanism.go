package gss

import (
	"context"

	"github.com/gsseal/gss/oid"
)

// A Mechanism is one way to authenticate. It is safe for concurrent use.
type Mechanism interface {
	OID() oid.OID

	// Initiate starts a context with target. It does no I/O: it fails if it can
	// already tell that target, the credentials or the required flags are not
	// for this mechanism (BadNameType, NoCred, Unavailable), so that negotiation
	// can pass it over; all else fails in Step. The zero target is a BadName,
	// unless the mechanism says otherwise.
	Initiate(target Name, o *InitOptions) (Handshake, error)

	// Accept starts a context with whoever sends the first token.
	Accept(o *AcceptOptions) (Handshake, error)
}

// A Handshake is a context under construction. It is not safe for concurrent use.
type Handshake interface {
	// Step consumes a token of the peer and produces one for it. The initiator's
	// first call has an empty in. ctx bounds I/O (a KDC, a store) in this call only.
	//
	// out, if not empty, has to be sent whatever err is: on an error it tells the
	// peer why. sc is non-nil once, when this side is done; then err is nil, and
	// the caller closes sc. If sc is nil and err is nil, a token of the peer is
	// due. After an error or a context, Step fails with NoContext.
	// in is not kept or changed; out belongs to the caller.
	Step(ctx context.Context, in []byte) (out []byte, sc Context, err error)

	// Close erases what the handshake holds. It does not touch a Context that Step
	// returned, so it can be deferred. It can be called twice.
	Close() error
}
