// Package redisstore is a strike.Store in Redis, for a fleet of hosts that accept
// the same messages.
//
// All keys are members of one sorted set, and every strike is one script that Redis
// runs as a whole. Plain SET with NX and PX would not do: Redis forgets such keys
// by its own clock and says nothing, so if that clock goes ahead and back, a key is
// gone while its message is still good; the store has to know the largest until
// that it ever forgot. And what says how far the store can vouch must not survive the
// keys, or be lost, alone: one Redis key is evicted, deleted, copied and restored as a
// whole.
//
// # Since when the store is complete
//
// The set knows which Redis it was filled in: the run_id, which every start draws
// anew, and the replication id, which every promotion does. Each strike compares
// them. If they differ, after a restart, whether or not Redis loaded its keys again,
// or a failover, whose replica may lack the last of them, the keys stay and the
// store vouches from now on only. So it does if the set is not there: first use,
// FLUSHALL, DEL, eviction. The first five minutes after that it refuses much with
// strike.ErrUnsure, and nothing needs to be done.
//
// That is as good as the failover itself. If the old master goes on for clients that
// still reach it, two stores admit a key each: configure min-replicas-to-write 1 and
// min-replicas-max-lag, so that a master without its replica refuses to write.
//
// # Clocks
//
// Hosts and Redis have clocks of their own. Every strike compares its host's with
// Redis's and is refused with ErrClock if they differ by more than Options.Skew; the
// store vouches from Skew after its start, and forgets a key Skew after its until.
// If Redis's clock steps, hosts are refused until it has been set right. If it was
// ahead while the store started anew, the store is unsure until then: delete the set
// once the clocks agree.
//
// # Bounds
//
// Options.Entries live keys, about 130 octets of Redis's memory each; each strike
// forgets up to 4 expired ones, 68 if the store is full. maxmemory-policy has to be
// noeviction. Where maxmemory is reached, or Entries, strikes are strike.ErrFull.
// No other clients may write the set.
//
// It takes Redis 5 or later, or what is compatible with it, a single master with or
// without replicas and Sentinel. Redis Cluster is refused. The user needs the
// commands EVAL, EVALSHA, INFO, TIME and those of sorted sets.
package redisstore
