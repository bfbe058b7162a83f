// Package gss is the GSS-API (RFC 2743) for Go: the words that every mechanism
// and every application share. It holds no mechanism and does no I/O.
//
// A [Mechanism] starts a [Handshake]; its Step consumes and produces tokens
// until it returns a [Context], which protects messages and derives keys:
//
//	h, err := mech.Initiate(gss.Service("host", "files.example.org"), nil)
//	...
//	out, sc, err := h.Step(ctx, in) // send out; if sc is nil, read the next in
//	...
//	tok, err := sc.Wrap(nil, []byte("hello"), gss.Confidential)
//
// Package gssnet runs that loop over a connection, package mechglue chooses a
// mechanism by OID, and package mechs lists those that work on this host.
//
// # How it differs from RFC 2743
//
// A handshake and an established context are different types, so nothing is
// wrapped on half a context. Names are comparable values. GSS_S_CONTINUE_NEEDED
// is not an error but a nil Context. The supplementary states of a per-message
// call (duplicate, old, out of sequence, gap) are errors, and the message is
// withheld. Confidentiality that a context lacks is Unavailable, never clear
// text. What a mechanism may lack is a small interface, found by type assertion
// (optional.go).
//
// RFC 1508 called GSS_Wrap "gss_seal". In this module sealing is something else:
// package seal, messages that travel through a third party.
package gss
