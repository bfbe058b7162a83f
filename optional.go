package gss

import (
	"context"
	"iter"

	"github.com/gsseal/gss/oid"
)

// What follows is optional: found by type assertion. Whoever hands out another's
// Context (negotiation, tickets) hands out the value itself, so nothing is hidden.

// A Claimer is a Context that can say whether it is the first to be asked for
// something, so that a protocol on top of its PRF may number from zero.
type Claimer interface {
	Context
	// Claim reports true the first time it is called with label on this context,
	// and only if this is the object that completed the handshake: never on an
	// imported one.
	Claim(label string) bool
}

// A Delegator is a Context of an acceptor that may have received a credential.
type Delegator interface {
	Context
	// Delegated returns a new handle on it, which the caller closes; NoCred if none came.
	Delegated() (Credential, error)
}

// An Exporter is a Context that can move to another process (RFC 2743 §2.2.8).
type Exporter interface {
	Context
	// Export returns the state, which is secret, without any framing, and closes
	// the context if it succeeds. mechglue.Export adds the OID. Importing one
	// state twice repeats nonces: its reader must strike it.
	Export() ([]byte, error)
}

// A HandshakeExporter is a Handshake that can move between two Steps.
type HandshakeExporter interface {
	Handshake
	ExportHandshake() ([]byte, error)
}

// An Importer is a Mechanism that reads what its contexts Export.
type Importer interface {
	Mechanism
	Import(state []byte) (Context, error)
}

// A HandshakeImporter is a Mechanism that reads what its handshakes export.
// o replaces the options of the first process, which do not travel.
type HandshakeImporter interface {
	Mechanism
	ImportHandshake(state []byte, o *AcceptOptions) (Handshake, error)
}

// An Attributed is a Context that knows more of its peer (RFC 6680).
type Attributed interface {
	Context
	PeerAttributes() iter.Seq2[string, Attribute]
}

// An Attribute is a value of a name, such as a group or a certificate's SAN.
type Attribute struct {
	Value         []byte
	Display       string
	Authenticated bool // vouched for by the mechanism, not just asserted
}

// A Canonicalizer is a Mechanism that turns a user's name into its own MN
// (GSS_Canonicalize_name). Errors: BadNameType, BadName.
type Canonicalizer interface {
	Mechanism
	Canonicalize(ctx context.Context, n Name) (Name, error)
}

// An Acquirer is a Mechanism that can say which credentials it would use for an
// Initiate without any (GSS_Acquire_cred): one of a plain mechanism, several of a
// Stack. The caller closes them, which does not touch the mechanism's own. The
// answer may differ from call to call: somebody ran kinit.
type Acquirer interface {
	Mechanism
	Acquire(ctx context.Context) ([]Credential, error)
}

// A Described mechanism lists its attributes (RFC 5587 §3.2): oid.MAAuthInit and so on.
type Described interface {
	Mechanism
	Attributes() []oid.OID
}

// A Sniffer is a Mechanism whose first token may come without RFC 2743 §3.1
// framing (DCE-style Kerberos, NTLM in SPNEGO's place).
type Sniffer interface {
	Mechanism
	Sniff(first []byte) bool
}

// A Stack is a Mechanism made of others, whose contexts it may hand out.
type Stack interface {
	Mechanism
	Inner() []Mechanism
}

// An AEADContext authenticates associated data with a wrapped message.
type AEADContext interface {
	Context
	WrapAEAD(dst, msg, ad []byte, l Level) ([]byte, error)
	UnwrapAEAD(dst, tok, ad []byte) ([]byte, Level, error)
}

// An IOVContext wraps in place, in pieces that need not be adjacent.
type IOVContext interface {
	Context
	WrapIOV(l Level, iov []Buffer) error
	UnwrapIOV(iov []Buffer) (Level, error)
	IOVLengths(l Level, iov []Buffer) error
}

// A Buffer is a piece of a message of an IOVContext.
type Buffer struct {
	Kind BufferKind
	Data []byte
}

// A BufferKind says what a Buffer holds.
type BufferKind uint8

const (
	BufferData BufferKind = iota
	BufferSignOnly
	BufferHeader
	BufferPadding
	BufferTrailer
)

// An EarlyHandshake can protect messages before it is complete (PROT_READY).
type EarlyHandshake interface {
	Handshake
	// Early returns nil until then; the result shares keys and sequence numbers
	// with the Context to come, and its Info may still gain flags.
	Early() Context
}
