// Package krb5 is the Kerberos mechanism (RFC 4121, over RFC 4120), on the wire
// what other implementations speak. It is tried with MIT krb5, Heimdal and
// python3-gssapi, in both directions, and with the KDCs of the former two.
//
//	config, err := krb5.LoadConfig("/etc/krb5.conf")
//	mech := krb5.New(krb5.Options{Config: config})
//	cred, err := krb5.FromPassword("alice@EXAMPLE.ORG", password)
//	h, err := mech.Initiate(gss.Service("host", "files.example.org"), &gss.InitOptions{
//		Credentials: []gss.Credential{cred},
//	})
//
// It reads no environment and looks for no file by itself: package mechs does that.
// All four AES encryption types are there (17 to 20, RFC 3962 and RFC 8009). Older
// ones are received if [Options].AllowWeak says so, and never asked for. The acceptor
// may choose a better one for a context's keys than the KDC chose for the ticket
// (RFC 4537), of those that both sides permit.
//
// # What a context proves
//
// The client's name is the ticket's, never what an authenticator claims. The
// service's name is the ticket's too, as the initiator asked for it; a keytab in
// which two principals have one key (aliases) cannot tell which of them was meant.
// [Options].Services says for which of its keys' names an acceptor answers.
//
// A ticket from another realm is accepted if this realm's KDC has checked the realms
// on its path, or if all of them are on the path as the configuration here knows it:
// [capaths], or the hierarchy of names. To whom that name belongs here is the
// application's to say. Addresses in tickets are not looked at.
//
// What a PAC says of the client (gss.Attributed) is heard if it is signed with the
// service's key and about the ticket's client. One that is not good says nothing, and
// is no reason to refuse. The ticket's other authorization data is there, too, but only as
// asserted: a KDC puts into a ticket what the client asks it to.
//
// Channel bindings count on the acceptor's side: one that has some refuses who has
// others. With gss.AcceptOptions.BindingsOptional it lets those in who have none, but not
// who says that he would have some if he were on a channel (MS-KILE's KERB_AP_OPTIONS,
// which an initiator says that requests gss.Bound).
//
// A context has the services that the initiator asks for, and tells the acceptor of; who
// asks for neither gss.Conf nor gss.Integ is promised neither, although MICs can still be
// made.
//
// Forward secrecy there is none: whoever has the service's key, or the ticket's
// session key, and the recorded handshake, has the context's keys.
//
// # Replays
//
// An AP-REQ says everything in one token, so an acceptor has to know it when it
// comes again: see [Options]. With mutual authentication (the default) a replayed
// one gains nothing, as the keys then depend on a subkey of the acceptor's; without
// it, one that the store cannot vouch for is refused. One in a file (package
// strike/boltstore) vouches across restarts.
//
// # KDCs
//
// The AS and TGS exchanges here are this package's own, over the messages that the
// AP exchange needs anyway, and so are the readers of krb5.conf, keytabs and
// credential caches. (gokrb5, which has them too, takes no context.Context, believes
// the length and the iteration count of whoever answers in the KDC's place, panics
// on malformed caches, and misses includes, quotes and enctypes 19 and 20 in common
// configurations. The tests use it as a second implementation.) Pre-authentication
// is by encrypted time stamp. A KDC is asked by TCP, by UDP if that is refused.
// Other realms are reached from realm to realm, by [capaths], by the hierarchy of
// names, or as the KDCs say; in which realm a host is, of which the configuration says
// nothing, the client's KDC is asked (referrals, RFC 6806 §8).
//
// # Credentials and users
//
// [OpenCache] opens what kinit wrote, whatever keeps it, and writes it too:
// [Mech.Login] and [Mech.Renew] do what kinit does. Of a collection the primary cache
// counts; the file .k5identity, by which MIT chooses another for a service, does not.
// Which user of this host a peer is, [LocalUser] says by an explicit policy; .k5login
// files it does not read. An enterprise name (RFC 6806 §5) is a name to compare and
// to ask for; nobody logs in by one here, as that takes a KDC's word for who he is.
//
// # Acting for users
//
// A user can hand a service his TGT: gss.Deleg, or gss.DelegPolicy for services that the
// KDC trusts with that, and gss.Delegator on the other side. What comes has to be tickets of the
// peer's own that are good now, or the handshake fails. Or the
// KDC lets the service act for users towards other services, and the user has no say
// in it: [Options].ActForUsers for who came with a forwardable ticket, [Mech.Impersonate] for
// who did not come at all (S4U2Proxy and S4U2Self, MS-SFU; within one realm).
//
// # What is not there
//
// User-to-user, FAST, PKINIT, IAKERB, S4U between realms; of what tickets say,
// authentication indicators (RFC 8129, inside a CAMMAC, RFC 7751) and the services that a
// PAC says delegation went through.
package krb5
