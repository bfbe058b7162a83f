// Package reauth is a stackable mechanism: any mechanism, and tickets with which an
// initiator comes back in one round trip, after the acceptor forgot everything. And it is a mechanism
// of its own ([Introduced]), with which somebody comes in because somebody else says so.
//
//	ring, err := reauth.OpenRing("/var/lib/files/ring")
//	server := reauth.New(krb5Server, reauth.Options{Ring: ring})
//	client := reauth.New(krb5Client, reauth.Options{})
//
// The first time, it carries the inner mechanism's tokens and hands out the inner
// mechanism's context. A ticket comes with the acceptor's last token, encrypted under
// the context's PRF, so that nobody who listens can tell who uses it later. Resuming
// needs symmetric cryptography alone, or a key agreement too (Options.Group), and no
// KDC, no certificate and no signature. The secret of a ticket is computed by both
// sides and never travels.
//
// # Tokens
//
// ‖ is concatenation, integers are big-endian, times are milliseconds of Unix time, vec8,
// vec16 and vec24 are a length and that many octets; N(x) is x's exported name (RFC
// 2743 §3.2) and hN(x) its hash; H, Extract and Expand are SHA-256 and HKDF-SHA-256
// (RFC 5869); GCM(k, p) is AES-256-GCM with a nonce of zeros, and each k encrypts one
// p. The mechanism's OID, P.1.5 below, is oid.Reauth and the arcs of the inner OID. A context's
// first token is in RFC 2743 §3.1 framing, the others are not.
//
//	01 ‖ inner token                                        the initiator's first
//	02 ‖ inner token                                        either side's, any other
//	03 ‖ vec24 inner token or empty ‖ vec16 issue or empty  the acceptor's last
//	RESUME  = 11 ‖ u8 kind (1 ticket, 2 grant) ‖ u8 group ‖ ni(32) ‖ vec16 ticket or sealed message ‖ vec16 share ‖ vec16 auth
//	RESUMED = 12 ‖ u8 rf (01: confirm) ‖ nr(32) ‖ vec16 share ‖ vec16 reply
//	CONFIRM = 13 ‖ HMAC(Expand(MS, "confirm", 32), TH3)
//	REFUSED = 14          then 01 ‖ inner token, not framed
//	BADCB   = 15 ‖ GCM(Expand(ES, "a alert" ‖ TH1, 32), 04 ‖ 0^15)
//
// in hexadecimal. If the inner exchange ends with the initiator's token, the acceptor's 03
// is one more. Inside are
//
//	issue = GCM(Expand(TS, "issue", 32), u64 end ‖ u8 tf ‖ ticket)
//	auth  = GCM(Expand(ES, "i auth" ‖ TH0, 32), u64 time ‖ u32 flags ‖ u8 cbp ‖ cbh(32) ‖ vec16 N(initiator) of kind 2, else empty
//	        ‖ vec16 N(target) ‖ 0-padding to a multiple of 128)
//	reply = GCM(Expand(HS, "a auth" ‖ TH2, 32), u64 time ‖ u32 flags ‖ u64 end ‖ u8 cbp ‖ cbh(32) ‖ vec16 ticket)
//
// with gss.HashBindings' cbp and cbh, and the keys
//
//	TS   = Extract("gss reauth 1", PRF(inner, FULL, "gss reauth 1", 64) ‖ oid(inner) ‖ hN(initiator) ‖ hN(acceptor))
//	psk  = Expand(TS, "psk", 32)
//	ES   = Extract("gss reauth 1 " ‖ u8 kind, psk)
//	TH0  = H(oid(P.1.5) ‖ RESUME from its type octet, up to vec16 auth)
//	TH1  = H(TH0 ‖ vec16 auth)    TH2 = H(TH1 ‖ RESUMED up to vec16 reply)    TH3 = H(TH2 ‖ vec16 reply)
//	HS   = Extract(Expand(ES, "derived" ‖ TH1, 32), shared secret, or 0^32 without shares)
//	psk' = Expand(HS, "psk" ‖ TH2, 32)      secret of the next ticket
//	MS   = Expand(HS, "master" ‖ TH3, 32)   as package internal/record uses it
//
// oid(x) is DER with tag and length; oid(inner) is that of the inner context's
// Info().Mech. Shares are as in TLS 1.3; for X25519MLKEM768 ML-KEM's come first, in shares
// and in the secret. The ticket itself is the acceptor's affair; see Ring.
//
// # What is checked
//
// The acceptor opens the ticket, finds that it is for this mechanism and for a name of its own,
// not expired and not revoked, that the share is as it wants it and the nonce is none of this process's
// own, and opens auth. Whatever fails until then is REFUSED, the same octet for
// all, and the same handshake goes on with the inner mechanism. So does the initiator; who
// forges a REFUSED gets no more than what the inner mechanism shows. Then bindings: equal on
// both sides, or none of the initiator's where gss.AcceptOptions.BindingsOptional allows that; a ticket of a
// bound context is good with bindings only. Otherwise it is BADCB, which does not fall back:
// somebody who has the secret is on another channel. Flags are those of the first context at
// most, without delegation, and what the options require is checked again.
//
// That a RESUME is new is said by Options.Store, if its time is right within 5 minutes.
// In all other cases the acceptor asks for CONFIRM, and completes when it has come: neither a
// clock nor a store lets anybody in. Every resumption brings a new ticket, whose end is never
// later than the first one's, and which says when the initiator did authenticate.
//
// A ticket is issued for contexts with mutual authentication only. The keys of others may
// depend on the initiator's token alone, and two acceptors that were handed the same token would
// encrypt two issues under one key. There is none either for anonymous initiators, DCE
// style and Identify, if the names are too long, or if the context is no gss.Claimer. Of reauth
// within reauth the innermost issues, and a resumed context's ticket keeps the time of the
// first authentication.
//
// An initiator resumes with bindings only what was established with bindings, and the other way round: over
// a mechanism whose acceptors may ignore bindings, such as Kerberos, an initiator that
// has some and an acceptor that has none authenticate in full each time, and get along. Who asks for
// delegation, DCE style or Identify authenticates in full, too.
//
// # Introductions
//
// Alice has a context with Bob, and one with Carol. With package seal she makes a grant for Carol, an
// introduction (Sender.Introduce). Carol makes a [Credential] of it, and presents it to Bob with the
// mechanism oid.Introduced, P.1.6, which gives both a context in one round trip, whatever mechanisms
// Alice used:
//
//	server := reauth.Introduced(recipient, reauth.IntroducedOptions{Introduce: policy, Ring: ring})
//	client := reauth.Introduced(nil, reauth.IntroducedOptions{})
//	cred, err := reauth.FromGrant(held, alice, carolToAlice.Info().Local)
//	h, err := client.Initiate(cred.Target(), &gss.InitOptions{Credentials: []gss.Credential{cred}})
//
// The tokens are RESUME and its answers, framed with P.1.6, which also stands in TH0. In
// a RESUME of kind 2 psk is the key of the grant, Expand(Krelay, "gss reauth 1 grant", 32), which Alice and
// Carol have and Bob finds in the message. The reply brings a ticket, which is used in a RESUME of kind 1
// under P.1.6, and there only. A kind 2 under P.1.5, and anything that is no RESUME under P.1.6, is a
// DefectiveToken. REFUSED ends the handshake (NoCred): there is no mechanism to fall back on.
//
// Neither end has the name of somebody who came by himself, so that no list of names admits one by
// accident. Carol's context is from (Alice, Carol) to (Alice, Bob), the names that Alice
// has for the three, and Bob's the other way round; see [IntroducedName]. N(target) is plain N(Bob) all
// the same, in grants and tickets, and so is hN(acceptor) in tickets, but N(initiator) is that of
// (Alice, Carol): with Carol's alone, an introducer could tell Carol that it is somebody else, and Bob
// and Carol would not be of one mind about who introduced her.
//
// Bob opens the message as package seal says, checks that it is an introduction, opens auth, and finds that
// its N(initiator) has the introducer of the message's context and a name with the hash that is in the
// message, and that N(target) is the recipient. He asks IntroducedOptions.Introduce, and Revoked; checks the
// end, the bindings and the flags; and then strikes the message, so that nothing of what is refused
// uses the grant up. Once struck it is: if the reply is lost Carol needs another one. Introduce and
// Revoked are asked again whenever a ticket comes. A share is required, always, with tickets too. The context, and all that
// come of its tickets, end with the grant, or with Alice's context with Bob if that is earlier.
//
// What Alice sealed for Bob is an attribute of his end of the context (AttributeIntroduction) and of those
// that come of its tickets; if it does not fit a ticket, there is none.
//
// An introduction proves to Bob that Alice said so, lately, to somebody whom she calls Carol, and that
// this is whoever has the key that Alice let Carol have. It does not prove that this is Carol: Alice has the key, so
// she can come as Carol, be Bob to Carol, and stand between the two if she is on the path; Carol can lend the
// key. The name is what Alice calls her: an application that admits
// (Alice, Carol) trusts Alice in this. Who only listens, Alice included, does not get the context's keys, as the
// share is not hers, and learns who came and when. To Carol it proves that the peer is whom Alice calls Bob, or Alice; that
// it was Alice who made the grant only the context shows on which it came, so FromGrant wants to be told who it was.
// Nobody else's name can be used: the introducer's is that of the context which opened the message.
//
// Introduced contexts introduce nobody: package seal refuses to make such grants of one, and to redeem them;
// and neither name here may be an introduced one. Package reauth over Introduced issues no tickets.
//
// # What is not claimed
//
// Without shares, who gets the ring, or the initiator's tickets, before they are erased reads what
// was recorded. With shares he can impersonate until the tickets' end, as a thief of a
// Kerberos credential cache can. The first 8 octets of a ticket show which ring key it is under,
// not whose it is; a ticket that is used twice shows that. A Mech finds out that it is
// talking to itself (one process with both roles in one Mech) by the nonces of its own; two Mechs do
// not know of each other's.
//
// # What is not there
//
// Resumed and introduced contexts cannot be exported. Credentials of grants live as long as the process:
// tickets of introductions that are in a file serve nobody who has lost the grant. Files of rings
// and tickets need flock, so there are none on Windows, Solaris, AIX and Plan 9.
package reauth
