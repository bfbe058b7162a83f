// Package kdctest is a Kerberos KDC inside the process, for tests and demos of
// programs that use Kerberos: no Docker, no daemon, nothing in /etc. MIT's and
// Heimdal's tools and libraries and gokrb5 talk to it as to any other KDC.
//
//	func TestLogin(t *testing.T) {
//		realm := kdctest.New(t)
//		realm.AddUser("alice", "secret")
//		realm.AddService("host/localhost")
//		realm.WriteConf("krb5.conf")     // clients: KRB5_CONFIG
//		realm.WriteKeytab("krb5.keytab") // services: KRB5_KTNAME
//		...
//	}
//
// It answers AS and TGS requests (RFC 4120) over UDP and TCP on 127.0.0.1 with the
// AES encryption types 17 to 20 (RFC 3962, RFC 8009) and demands encrypted
// timestamps. Tickets can be forwardable, forwarded, proxiable, proxies, renewable
// and renewed. There is no postdating, no user-to-user and no FAST. Options for what is
// not there are refused, but for canonicalize and allow-postdate, which only say what a
// client would accept. Requests may be repeated: like other KDCs it keeps no replay
// cache. Addresses are put into tickets but not compared with where a request came from.
//
// # Several realms
//
// Each is a KDC of its own; [Realm.Trust] connects them, in one direction. Paths may lead
// through others: KDCs send clients the right way, write down who was on it (the
// transited field), and refuse who does not belong there.
//
// # Delegation
//
// Every service may get a ticket to itself in the name of a user (S4U2Self, MS-SFU).
// With [ServiceOptions] it may go on from there (S4U2Proxy):
//
//	realm.AddService("HTTP/front", kdctest.ServiceOptions{Impersonate: true, DelegateTo: []string{"host/back"}})
//
// Both within the realm only, and not by the permission of the service behind
// (resource-based delegation).
//
// # PACs
//
// With [Options].PAC tickets carry a PAC with all signatures (MS-PAC), which says what
// [Realm.SetLogon] said of the user.
//
// # Trouble
//
//	realm.FailNext(29)                         // the next request: KDC_ERR_SVC_UNAVAILABLE
//	realm.Intercept(func(r kdctest.Request) kdctest.Fault { … }) // errors, delays, silence, rubbish
//	realm.Refuse("alice", 18)                  // KDC_ERR_CLIENT_REVOKED
//	realm.Advance(time.Hour)                   // the KDC's clock
//	as, tgs := realm.Requests()                // how many there were
//
// It is not for production: its database is in memory, its operator is a test, and
// Keytab hands out every key.
package kdctest
