// Package reauth is a stackable mechanism: any mechanism, and tickets with which an
// initiator comes back in one round trip, after the acceptor forgot everything.
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
//	RESUME  = 11 ‖ u8 1 ‖ u8 group ‖ ni(32) ‖ vec16 ticket ‖ vec16 share ‖ vec16 auth
//	RESUMED = 12 ‖ u8 rf (01: confirm) ‖ nr(32) ‖ vec16 share ‖ vec16 reply
//	CONFIRM = 13 ‖ HMAC(Expand(MS, "confirm", 32), TH3)
//	REFUSED = 14          then 01 ‖ inner token, not framed
//	BADCB   = 15 ‖ GCM(Expand(ES, "a alert" ‖ TH1, 32), 04 ‖ 0^15)
//
// in hexadecimal. If the inner exchange ends with the initiator's token, the acceptor's 03
// is one more. Inside are
//
//	issue = GCM(Expand(TS, "issue", 32), u64 end ‖ u8 tf ‖ ticket)
//	auth  = GCM(Expand(ES, "i auth" ‖ TH0, 32), u64 time ‖ u32 flags ‖ u8 cbp ‖ cbh(32) ‖ vec16 empty
//	        ‖ vec16 N(target) ‖ 0-padding to a multiple of 128)
//	reply = GCM(Expand(HS, "a auth" ‖ TH2, 32), u64 time ‖ u32 flags ‖ u64 end ‖ u8 cbp ‖ cbh(32) ‖ vec16 ticket)
//
// with gss.HashBindings' cbp and cbh, and the keys
//
//	TS   = Extract("gss reauth 1", PRF(inner, FULL, "gss reauth 1", 64) ‖ oid(inner) ‖ hN(initiator) ‖ hN(acceptor))
//	psk  = Expand(TS, "psk", 32)
//	ES   = Extract("gss reauth 1 " ‖ u8 1, psk)
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
// Grants of package seal are not redeemed: kind 2 of RESUME is a DefectiveToken, and
// there is no mechanism oid.Introduced. Resumed contexts cannot be exported. Files of rings
// and tickets need flock, so there are none on Windows, Solaris, AIX and Plan 9.
package reauth
