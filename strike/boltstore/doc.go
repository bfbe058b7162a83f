// Package boltstore is a strike.Store in a file, a bbolt database: what was struck
// stays struck when the process ends, crashes or is killed, and when the host loses
// its power.
//
// A strike is on the disk when Strike returns nil. All callers who wait at the same
// time share one transaction, that is two syncs of the file. If it fails, because
// the disk is full or broken, the file read-only or its quota spent, every one of
// them gets strike.ErrBroken with the cause; the store closes the file, and opens
// and verifies it again, at most once a second, so it recovers when the cause is gone.
//
// # Since when the store is complete
//
// A new file starts at the clock's time; nothing older is vouched for. An old file
// goes on where it ended, whatever the clock does meanwhile. A file of which
// something may be missing goes on, but vouches only from its highest clock or the
// time when this was noticed, whichever is later:
//
//   - it was changed after the store's last commit, or is another file than that
//     was made in: a backup was restored (on systems other than Linux, unless the
//     file's time was restored with it);
//   - one of bbolt's last two transactions is not whole: a commit was cut off by a
//     loss of power, or damaged later;
//   - a backup was written over it while it was open, which the next transaction
//     notices, and fails.
//
// Within the ten seconds after its last commit a file can be restored in place
// without notice. So can a whole disk or virtual machine, with all its times: then
// remove the file, or use Options.Since. A clock that steps back while the file is
// lost or restored makes the store vouch for time that the lost one lived in:
// Options.Since is for that, too.
//
// A count and a checksum over all keys are committed with them. When the file is
// opened they are compared, and the structure of bbolt's pages is checked, before
// bbolt uses it; a file that fails is ErrCorrupt, and stays as it is. So does a store which finds out later, until it is
// opened anew. Such a file should be removed.
//
// # Several processes
//
// bbolt's lock lets one process use the file. Without Options.Shared that is the
// first, until it closes the store. With it, every process opens the file for a group
// of strikes and closes it again, which costs about as much as the strikes
// themselves; all processes should use the same Options. Do not remove the file, or
// move another into its place, while it is in use: a store that notices starts
// anew. flock(2) has to work between the processes, and mapped memory be coherent:
// a local file system.
//
// # Exactly once
//
// Strike and then act loses a message if the process dies in between. An
// application that keeps its data in bbolt can have both in one transaction: see
// InTx and ByContext.
//
// # Bounds
//
// Options.Entries live keys, about 250 octets each; the file does not shrink. Each
// strike forgets up to 4 expired keys, 68 if the store is full. At most 1024
// strikes share a transaction.
package boltstore
