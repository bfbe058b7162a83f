// Package pkix is a mechanism in which both sides prove themselves with
// certificates: the service of SPKM-1 (RFC 2025) with the cryptography of today.
// It shares no octets with SPKM, whose mandatory algorithms are broken and which
// nothing alive speaks.
//
// The exchange is SIGMA-I with the key schedule of TLS 1.3's kind: ephemeral key
// agreement, then each side signs the whole transcript and confirms the key, and
// identities are encrypted. Who listens learns the target's name, and nothing else
// of either side. The acceptor shows itself to anybody who asks; the initiator only
// to an acceptor that it has verified.
//
// # Messages
//
// ‖ is concatenation, integers are big-endian, vec8, vec16 and vec24 are a length
// and that many octets. Each message travels in the framing of RFC 2743 §3.1, with
// the mechanism's OID; what it holds itself is not framed again.
//
//	initiator                                                  acceptor
//	M1 = 01 ‖ u8 1 ‖ ni(32) ‖ u32 flags ‖ vec8 (u16 suite)* ‖ vec16 (u16 suite ‖ vec16 share)*
//	     ‖ vec16 N(target) ‖ vec16 cookie                        →
//	                        ←  MR = 03 ‖ u16 suite ‖ vec16 cookie, at most once, for another M1
//	                        ←  M2 = 02 ‖ u16 suite ‖ nr(32) ‖ vec16 share ‖ vec24 E2
//	M3 = 04 ‖ vec24 E3                                          →
//
// N(x) is x's exported name (RFC 2743 §3.2). flags are RFC 2744's; unknown bits are
// ignored, and no more is granted than was asked. Unknown suites are ignored; a
// suite or share that comes twice, a share of an unlisted suite or of a wrong
// length, and octets too many are defects. The M1 after an MR is the first with one
// share, of MR's suite (the same if it was there), and the cookie.
//
// Instead of M2, and of M3 before the initiator has verified the acceptor, ME = 0F ‖
// u8 code may come: advice that is not authenticated. Instead of M3, 0E ‖ vec8 of
// an encrypted alert says that all was well but the channel bindings.
//
// # Keys
//
// H, HMAC and HKDF (RFC 5869) are the suite's, h is the hash's length, and AEAD's
// nonce is 0, as each key encrypts one plaintext.
//
//	TR  = oid ‖ M1, or after a retry oid ‖ FE ‖ H(M1) ‖ MR ‖ M1'      (oid: DER, with tag and length)
//	TH1 = H("gss pkix 1" ‖ TR ‖ M2 before vec24 E2)
//	HS  = Extract("gss pkix 1" ‖ u16 suite, ML-KEM's secret ‖ ECDH's)
//	E2  = AEAD(Expand(HS, "a hs" ‖ TH1, 32), P2)
//	TH2 = H(TH1 ‖ P2)
//	E3  = AEAD(Expand(HS, "i hs" ‖ TH2, 32), P3)
//	TH3 = H(TH2 ‖ P3)
//	MS  = Expand(HS, "master" ‖ TH3, 32)           PARTIAL PRF key = Expand(HS, "prf partial" ‖ TH2, 32)
//
// P2 and P3, the proofs, are
//
//	P   = u32 flags ‖ u8 cbp ‖ cbh(32) ‖ vec16 N(signer) ‖ vec24 (vec24 certificate)* ‖ vec16 OCSP
//	      ‖ u16 scheme ‖ vec16 sig ‖ fin(h) ‖ 0-padding to a multiple of 512
//	sig of 0x20×64 ‖ "gss pkix 1 acceptor" | "gss pkix 1 initiator" ‖ 00 ‖ H(TH ‖ P before sig's vec16)
//	fin = HMAC(Expand(HS, "a fin" | "i fin" ‖ TH, h), H(TH ‖ P before fin))
//
// with TH1 for P2 and TH2 for P3. Messages are then protected as package
// internal/record describes, with the suite's AEAD and hash.
//
// # Choices
//
// Channel bindings are the same on both sides, or neither side has any. In RFC 2744
// an acceptor without bindings ignores the initiator's; here the initiator, who
// wanted to be sure of its channel, finds out and gives up with BadBindings.
//
// Names come from subjectAltName, and from the subject only in their full form; a
// common name is never a host. Any host of an acceptor's certificate may serve any
// service there. A certificate has to say that it is for this: see
// Config.AllowServerAuth.
//
// The name constraints of CAs that crypto/x509 knows are those on hosts, mail
// addresses, URIs and IP addresses; a critical one of another kind is refused. So no
// CA is limited in the upn and dn names that it gives: who trusts CAs with
// constraints believes such names of none of them, or checks in Config.VerifyChain.
//
// An OCSP response that a peer sends must be good; that none comes is no error, and
// revocation lists are up to Config.VerifyChain.
//
// M3 is not answered, not even with an error: an honest initiator has finished.
// Whether an initiator was let in, it learns from the application.
//
// Contexts cannot be exported yet. With GODEBUG=fips140=only New is Unavailable: that
// mode lets nobody choose an AEAD's nonces but crypto/tls.
package pkix
