// Package strike answers one question: was this seen before? A store that says
// "no" remembers the key, so it says so once.
//
// It is what keeps one-time messages, one-token handshakes and resumptions from
// being replayed. A caller hashes whatever must not come twice, a label of its own
// in front so that different uses of a store never meet, and calls Strike with the
// time span in which the original may have been made and used:
//
//	key := sha256.Sum256(append([]byte("example order 1"), id...))
//	if err := store.Strike(ctx, key, from, until); err != nil {
//		return err // seen, or the store cannot vouch: either way, refuse
//	}
//
// # Why two times
//
// Remembering keys is not enough; model checking finds a replay without each of
// these rules. A store that started, or lost its memory, at an instant "since"
// knows nothing of what was struck earlier, so it must not vouch for a key whose
// original may be older: from < since is [ErrUnsure]. Nor may from be later than the
// store's own clock, or what is struck now could be vouched for once more by a store
// that starts in between: that is ErrUnsure too. A store that forgets a key
// after its until must not vouch for it again when the clock steps back, or when
// the caller looked at the clock just before: it keeps the largest until that it
// ever forgot, its floor, and until ≤ floor is ErrUnsure. The floor never
// decreases. Looking up and inserting are one atomic step.
//
// # Which store
//
// [Memory] serves one process, and forgets when it ends. Package boltstore keeps a
// file: across restarts, for one process or several on one host, or inside the
// transactions of an application that keeps its own data in bbolt. Package
// redisstore serves a fleet. Package striketest checks any other, and is how to
// write one over an SQL database.
package strike

import (
	"context"
	"errors"
	"time"
)

// A Store strikes keys. It is safe for concurrent use.
type Store interface {
	// Strike returns nil the first time it is called with key, and never again.
	//
	// from is the earliest instant, on this host's clock and not in its future, at
	// which the first use of key may have been: the later of the peer's time stamp less the tolerated
	// skew, and the time at which this host got the keys that protect the message.
	// until is the last instant at which the caller would admit key, tolerated
	// skew included; it has to be the same whenever key comes. A caller that
	// is past until refuses without asking.
	//
	// Any error means: refuse. ErrSeen, ErrUnsure and ErrFull can be told apart
	// with errors.Is, and strike nothing. Whatever else comes, ctx's error, ErrBroken
	// and ErrClosed among it, means that the store is slow, broken or gone: the key
	// may or may not be struck.
	Strike(ctx context.Context, key [32]byte, from, until time.Time) error
}

var (
	// ErrSeen: key was struck before.
	ErrSeen = errors.New("strike: seen before")
	// ErrUnsure: the store is not complete back to from, or has already forgotten
	// what expired at until. A fresh message, made after the store, may do better.
	ErrUnsure = errors.New("strike: cannot tell whether it was seen before")
	// ErrFull: the store holds as many live keys as it may. Nothing live is ever
	// forgotten to make room.
	ErrFull = errors.New("strike: full")
	// ErrBroken: what the store keeps its keys in does not work, or cannot be
	// trusted. It wraps the cause, syscall.ENOSPC for example.
	ErrBroken = errors.New("strike: store is broken")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("strike: store is closed")
)
