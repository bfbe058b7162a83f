// Package rpcsecgss is ONC RPC version 2 (RFC 5531) with the security flavor
// RPCSEC_GSS, versions 1 to 3 (RFC 2203, 5403, 7861), client and server, over any
// mechanism. Version 1 is what MIT's kadmind, libtirpc and nfs-ganesha speak; it is tried with all three.
// Of the others no second implementation is known: they are tried with octets that a
// program of their own makes from the RFCs' XDR.
//
//	c := rpcsecgss.NewClient(conn, 2112, 2, rpcsecgss.ClientOptions{Mech: mech, Target: target})
//	defer c.Close()
//	results, err := c.Call(ctx, 12, args)
//
//	s := rpcsecgss.NewServer(rpcsecgss.ServerOptions{
//		Accept: func() (gss.Handshake, error) { return mech.Accept(nil) },
//	})
//	s.Handle(200100, 1, func(ctx context.Context, c *rpcsecgss.Call) ([]byte, error) { … })
//	err := s.Serve(listener)
//
// Arguments and results are octets, in XDR (RFC 4506): [Encoder] and [Decoder]
// write and read them. Messages travel by record marking over a stream (RFC 5531
// §11), or one to a datagram.
//
// # What is protected
//
// The header of a call (program, version, procedure) can be read by anyone and is
// authenticated. Arguments and results are encrypted with [Privacy], the default;
// authenticated with [Integrity]; with [None] they are neither, and whoever sits
// on the line changes them; with [Channel] all is up to the connection beneath. The
// verifier of a reply covers the call's sequence number and nothing else, or in version
// 3 the call's header, so that with None a reply proves only that the server has seen
// the call. That a call failed (the accept_stat) is outside of what is protected
// under every service, and a denial has no verifier at all: who sits on the line can
// make a call fail, but not have it done otherwise than it was made.
//
// # Sequence numbers
//
// Each transmission has a number of its own. A server remembers the last
// [Window] of them in each context, moves on only for a number whose header
// verified, and drops in silence what it has seen and what is too old to say.
// A context's own replay detection must be off (RFC 2203 §5.2.2), as messages
// overtake each other, and the client never asks for it; a server goes along with
// initiators that did (MIT's do), but refuses a context with gss.Sequence.
//
// # At most once
//
// A client repeats a call that was denied because its context is gone or has
// ended, and over datagrams one that is not answered: the same xid, a new
// sequence number, a new context if need be. The server knows such a call by its
// principal, host, xid and a hash of what it asks, and answers again what it
// answered before instead of executing it again, until its memory of replies
// (ServerOptions.Replies, ReplyOctets) is full of later ones. An anonymous
// principal's calls are told apart by context instead.
//
// With ClientOptions.Dial a client outlives its connection, and so the server's
// process: what was not answered is repeated over the next connection. The memory of
// replies does not outlive that process. A call that it had executed when it crashed
// is executed again, so that this is at least once, unless the handler keeps effects and
// results where they last, under [Call.Key].
//
// # Versions
//
// A client speaks version 1, unless its options need more or ask for more. The others
// are for:
//
// [Channel]: there is TLS, say, beneath, and no need to protect each call twice. Client
// and server show each other, by a MIC in the context, that they see the same channel:
// BIND_CHANNEL in version 2, a part of CREATE in version 3. Both sides' Bindings say what
// they see. From then on the connection vouches for who calls, in that context, so that
// whoever else may write on it can do so, too. A handle is good for Channel on the
// connection it was bound on, and the client binds anew on each. In version 2 each
// BIND_CHANNEL that does not verify halves what is left of the context's life.
//
// Child handles, version 3: calls come with [Assertion], which the server's
// [AssertionPolicy] judges, or from a [User] whom a host vouches for. A client with such
// options makes one child handle for each of its contexts and calls by that; a client
// without has none. They end with the context, the user's too.
//
// Where the RFCs leave it open: names of hashes are an OID's contents octets, without tag
// and length. PREF_NOTSUPP is authenticated by the bindings of the first prefix in its
// list. The name of a privilege is an array, as the XDR says, of one string, as the
// words say. A privilege, or kind of assertion, that the server does not know is
// UNKNOWN_MESSAGE, one that it knows and cannot read PRIVILEGE_PROBLEM, one that it does not
// grant is left out. A host that may not vouch is AUTH_REJECTEDCRED.
//
// # Tickets
//
// Over package mechs/reauth a client whose context is gone is back with one INIT, or one
// and a CONTINUE_INIT if the server's strike store cannot vouch that the first one is
// new. (RPC could do without that: a context does nothing before a call verifies in it,
// and who repeats a token can make none. But it takes a place among its principal's
// contexts, and a mechanism does not know what it is used for.)
//
// # Real peers
//
// The servers of MIT (gssrpc) and libtirpc look a context up by TCP connection and
// not by handle, keep to the service of its first message, deny the INIT of
// service 0, and deny a repeated sequence number with CTXPROBLEM where RFC 2203
// drops it. The client keeps to what works with both: one context, one service, a
// connection; it destroys a context that was denied before it makes another, and
// numbers calls in the order in which they leave. What has expired here cannot be
// destroyed there: then it takes another connection, if there is Dial. (libtirpc
// 1.3.3's server leaves the context of a connection that was lost to the next one
// that gets its file descriptor, and then denies that one's INIT.)
// The server is as RFC 2203 says: handles are random, and good on any connection; the
// service is each call's own.
//
// # What is not there
//
// Other flavors but AUTH_NONE. The port mapper. Batching: each call has a reply.
// Several child handles of one context: that takes a Client each. Over datagrams an
// INIT is answered at the length of the mechanism's token, to whatever address it says
// it came from, and there is no Channel. The number of a server's connections is up to
// its net.Listener.
package rpcsecgss
