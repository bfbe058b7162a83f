// Package kdctest is a Kerberos KDC inside the process, for tests and demos of
// programs that use Kerberos: no Docker, no daemon, nothing in /etc. MIT's tools
// and gokrb5 talk to it as to any other KDC.
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
// and renewed. There is no other realm, no postdating, no user-to-user, no
// constrained delegation, no FAST and no PAC. Options for what is not there are
// refused, but for canonicalize and allow-postdate, which only say what a client
// would accept. Requests may be repeated: like other KDCs it keeps no replay cache.
// Addresses are put into tickets but not compared with where a request came from.
//
// It is not for production: its database is in memory, its operator is a test, and
// Keytab hands out every key.
package kdctest
