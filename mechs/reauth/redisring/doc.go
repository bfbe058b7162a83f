// Package redisring keeps a reauth.Ring in Redis, for a fleet of hosts that honour
// each other's tickets.
//
//	ring, err := redisring.Open(ctx, client, redisring.Options{Prefix: "files:"})
//	server := reauth.New(inner, reauth.Options{Ring: ring})
//
// The ring is the value of one key, which is replaced as a whole, and only by who has seen
// what it replaces: of hosts that rotate at once one makes the new key, and the others
// take it. Each asks Redis when a key is due, when it meets a ticket under a key that it
// does not know, and once a minute; resuming takes no round trip to Redis.
//
// # What is in Redis is secret
//
// Whoever reads the ring can open every ticket under it, make tickets for anybody, and
// read what was resumed without a share (reauth.Options.RequireShare). So reach Redis by TLS
// or over loopback, give the ring's user a password and the ring to nobody else (ACL), and
// mind who reads Redis's disk, backups, replicas, MONITOR and SLOWLOG. A ring erases keys when
// no ticket can need them, but an append-only file has them until it is rewritten, and a
// snapshot as long as it is kept: have neither, and a restart costs each client one
// authentication in full.
//
// # What can go wrong
//
// A ring that is lost or damaged, by a restart, FLUSHALL, or a failover to a replica that
// lacks the last key, is replaced by a new one or by what is there, within a minute: clients
// authenticate in full and get new tickets. Who writes to Redis can say what he likes, and
// a replica that lags may bring back a ring that reauth.Ring.Forget had done away with: hosts that had
// known do not take it, but hosts that start then do. Forget again after such a failover.
// If Redis cannot be reached a host goes on with the keys that it has, for up to 12
// hours, and then issues no tickets; whoever has one that cannot be opened authenticates
// in full. An answer is awaited 2 seconds at most, and not by every handshake; a client
// with ContextTimeoutEnabled ends the command then, too.
//
// # The strike store
//
// A store lets an acceptor be done with its first token, if it has all strikes of all who
// share the ring; package strike/redisstore over the same Redis is one. It is used if
// reauth.Options.StoreDomain is the ring's Domain, and else the initiator is asked to
// confirm. So it is, until the host starts again, when the ring was lost and another is in
// its place.
//
// # Bounds
//
// It takes Redis 5 or later, or what is compatible with it, a single master with or
// without replicas and Sentinel. maxmemory-policy has to be noeviction: a ring that is
// thrown away does no harm but that all authenticate in full. The user needs the commands
// EVAL, EVALSHA, INFO, GET and SET.
package redisring
