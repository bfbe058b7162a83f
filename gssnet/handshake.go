// Package gssnet runs handshakes and contexts over connections: [Initiate] and
// [Accept] over any [Transport] of whole tokens, [Stream] over a stream of octets,
// [Conn] as a net.Conn whose octets are wrapped, and the channel bindings of TLS
// ([TLSExporter], [TLSServerEndPoint]).
//
// GSS-API leaves framing to the application. The one here is the commonest: four
// octets of length, big endian, then the token.
package gssnet

import (
	"context"
	"errors"
	"io"

	"github.com/gsseal/gss"
)

// A Transport carries whole tokens. Both methods honour ctx, and are called one at
// a time.
type Transport interface {
	Send(ctx context.Context, token []byte) error // does not keep token

	// Receive returns the next token, which is the caller's; io.EOF if there is none.
	Receive(ctx context.Context) ([]byte, error)
}

// maxLegs is more tokens than any mechanism sends; a peer that goes on is keeping
// us busy.
const maxLegs = 32

var (
	errLegs   = errors.New("gssnet: no end after too many tokens")
	errSilent = errors.New("gssnet: the mechanism neither sends, ends nor fails")
)

// Initiate runs h, the result of an Initiate, over t to its end, and closes it.
// A token that a failing Step leaves for the peer is sent. ctx bounds all of it,
// Steps included. The caller closes the context.
//
// Errors are Step's (a *gss.Error), the Transport's, io.ErrUnexpectedEOF if the
// peer leaves halfway, or a *gss.Error of Major Failure if there is no end.
func Initiate(ctx context.Context, t Transport, h gss.Handshake) (gss.Context, error) {
	return run(ctx, t, h, true)
}

// Accept is Initiate for the result of an Accept. It returns io.EOF if the peer
// left before it said anything.
func Accept(ctx context.Context, t Transport, h gss.Handshake) (gss.Context, error) {
	return run(ctx, t, h, false)
}

func run(ctx context.Context, t Transport, h gss.Handshake, initiate bool) (gss.Context, error) {
	defer h.Close()
	for leg := range maxLegs {
		var in []byte
		if leg > 0 || !initiate {
			var err error
			if in, err = t.Receive(ctx); err != nil {
				if err == io.EOF && (leg > 0 || initiate) {
					err = io.ErrUnexpectedEOF
				}
				return nil, err
			}
		}
		out, sc, err := h.Step(ctx, in)
		if len(out) > 0 {
			if sendErr := t.Send(ctx, out); sendErr != nil && err == nil {
				if sc != nil {
					sc.Close()
				}
				return nil, sendErr
			}
		}
		switch {
		case err != nil || sc != nil:
			return sc, err
		case len(out) == 0: // both would wait
			return nil, &gss.Error{Op: operation(initiate), Major: gss.Failure, Err: errSilent}
		}
	}
	return nil, &gss.Error{Op: operation(initiate), Major: gss.Failure, Err: errLegs}
}

func operation(initiate bool) string {
	if initiate {
		return "Init_sec_context"
	}
	return "Accept_sec_context"
}
