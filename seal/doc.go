// Package seal makes messages that travel through a third party and still prove who
// sealed them, for whom, and who carried them. It works over any GSS-API context
// that has a PRF (RFC 4401), whatever its mechanism, and needs no more of it.
//
// Alice has a context with Bob. She seals; Carol, whom Bob knows in her own way,
// hands the message over; Bob unseals it and knows that
//
//  1. Alice sealed this, for
//  2. Bob; and, where Alice says so or Bob requires it,
//  3. Carol was to hand it over, and did,
//  4. it was sealed recently,
//  5. it opens once.
//
// Everybody else sees octets that look random: no name, no identifier, no version, no
// counter, and of the body its length, rounded up. Either end of a context may seal.
//
//	s, err := seal.NewSender(aliceToBob)             // Alice
//	m, err := s.Seal(nil, body, &seal.Options{OneTime: true, Relay: carol})
//
//	r := seal.NewRecipient(nil)                      // Bob
//	_, err = r.Add(bobToAlice)
//	got, err := r.Unseal(ctx, nil, m, &seal.UnsealOptions{Relay: bobToCarol})
//
// RFC 1508 had a call gss_seal; it is what RFC 2743 calls GSS_Wrap, and has nothing to
// do with this package.
//
// # Who carried it
//
// A message may name its relay (Options.Relay). Bob then opens it only if it came on
// a context whose peer has that name: Carol's own credential was used with Bob, and
// Alice cannot put the blame on her.
//
// Or it may have a relay key ([Sender.Grant]). Alice and Carol derive it, each from
// their context with the other, so that it does not travel; Carol ([Relay], [Held])
// proves to Bob that she has it, and the proof holds on her channel with Bob alone,
// which may be a context, or anything with channel bindings. That shows that whoever
// hands it over is someone whom Alice or Carol let have the key. Carol may add a
// payload of her own.
//
// A message may have both.
//
// # Keys and time
//
// The context's PRF is used once. Each hour has a key, and hours are numbered since
// 1970, so that both sides agree without talking; the hours' keys are the leaves of a
// hash tree, and the past is erased from it: the sender's as it goes, the recipient's
// when nothing from that hour can open any more. Each message has a key of its own
// that is committed to, and 32 octets that are its one-time tag and its salted length:
//
//	T(16) | U(16) | commitment(32) | AES-256-GCM(header(160) | body | padding)
//
// A sender keeps no state that may not be lost or come again. Its numbers run in
// lanes: lane 0 belongs to the object that completed the handshake, and everybody else
// who gets hold of the context (a second sender, an importing process) draws one at
// random. A number that repeats all the same, after a snapshot was restored, shows
// that two messages have one sender, and nothing more.
//
// A [State] is what sealing needs of a context, in 1 KiB that outlive the context and
// the process; package boltstate keeps those of many contexts in a file, and the
// strikes with them.
//
// Bob looks a message's tag up among those that he expects, whatever the number of
// his contexts. What is not there, after losses or from a new lane, he finds by trying
// his contexts, within a budget that garbage cannot spend for those who are
// authenticated.
//
// # Large bodies
//
// A stream ([Sender.SealStream], [Recipient.UnsealStream]) begins with a message, of
// which all of the above holds, and goes on in chunks of 64 KiB, which are released
// one by one: what was read is the beginning of what was sealed, and only io.EOF says
// that it was all. docs/seal.md has the format of everything, the order of checks and
// a table of threats.
//
// # What is not claimed
//
// Only Bob is convinced. The keys are symmetric: he can make any message from Alice
// through Carol himself. To convince others, sign inside the body.
//
// Whoever steals Alice's or Bob's keys while they live can be Alice to Bob, but nobody
// else. Whoever steals them later learns which recorded messages belong to this
// context, in which order, hour and rounded length they were sealed, and nothing of what
// was in them once their hour is erased. That holds only after the context itself is gone:
// while it lives, its PRF gives everything again; and what the context's mechanism
// does not protect is not protected here (over Kerberos, whoever has the service's key
// and recorded the exchange has the context). Erasure is what Go's memory allows:
// copies in registers, in the collector's hands and inside standard library
// objects are dropped, not overwritten.
//
// The relay key shows less than the relay's name: Alice can play Carol, and Carol can
// lend the key. Clocks may differ by [Skew]. That a message is one-time means that it
// opens at most once: it is lost if Bob dies between the strike and what he does with
// it. Traffic analysis of when messages pass, and how Carol behaves when one is
// refused, is beyond this package: give one answer for all failures. How long Bob takes
// tells whoever hands him octets whether he knew their tag or had to search.
//
// A PRF keyed with less than 128 bits makes all of this worthless; the package cannot
// see it. Contexts of single-DES Kerberos must not be used.
package seal
