// Package window is the replay and sequence check of per-message tokens, RFC 2743
// §1.2.3: which of their sequence numbers have been seen, and which was due.
package window

import "github.com/gsseal/gss"

// Size is how many numbers a Window judges exactly: the highest so far and those
// just before it. (RFC 2743 leaves it open; MIT krb5 keeps 64.)
const Size = (words - 1) * 64

// The bitmap is a ring of words with one more than Size needs, so that moving on
// clears whole words and shifts nothing (RFC 6479 §2).
const words = 4

// A Window judges the sequence numbers of one direction of a context. It is made
// by New, has no pointers and may be copied into the context's struct. It is not
// safe for concurrent use: the context's lock guards it.
//
// Numbers count up from the first and may wrap from 2^64−1 to 0. A number that
// precedes the first, which is one at least 2^63 ahead of it, is too old to judge.
type Window struct {
	first            uint64
	next             uint64 // one more than the highest seen; like all below, relative to first
	seen             [words]uint64
	replay, sequence bool
}

// New returns the window of a context that expects first. replay and sequence are
// what the context was given of gss.Replay and gss.Sequence; with neither, every
// number is fine and none is remembered. sequence detects replays as well.
func New(first uint64, replay, sequence bool) Window {
	return Window{first: first, replay: replay, sequence: sequence}
}

// Check judges n and records nothing. Its answer is a bare gss.Major, or nil:
//
//	DuplicateToken  n was seen
//	OldToken        n is behind the window, so nobody can say
//	UnseqToken      sequence only: n is behind the expected number, but new
//	GapToken        sequence only: n is ahead of the expected number
//
// Before its token is authenticated n is anybody's claim: a caller may drop the
// token on DuplicateToken and OldToken, which Commit would repeat, and must
// authenticate it in the other cases, as they too are to be committed.
func (w *Window) Check(n uint64) error {
	if !w.replay && !w.sequence {
		return nil
	}
	n -= w.first
	switch {
	case n >= 1<<63 || n < w.next && w.next-n > Size:
		return gss.OldToken
	case n < w.next && w.seen[n/64%words]>>(n%64)&1 != 0:
		return gss.DuplicateToken
	case w.sequence && n < w.next:
		return gss.UnseqToken
	case w.sequence && n > w.next:
		return gss.GapToken
	}
	return nil
}

// Commit judges n as Check does and records that it was seen. Call it only after
// the token that carried n was shown to be authentic, or anybody moves the window.
// After UnseqToken and GapToken n has been recorded, and after GapToken the number
// behind it is the one expected: these tokens do not get a second chance.
func (w *Window) Commit(n uint64) error {
	err := w.Check(n)
	if err == gss.OldToken || err == gss.DuplicateToken || !w.replay && !w.sequence {
		return err
	}
	n -= w.first
	if n >= w.next {
		// Words that n's overtakes belong to numbers of the past now. The word of
		// next itself is clear from next on, unless next is the first in it.
		from := (w.next + 63) / 64
		for i := from; i <= n/64 && i < from+words; i++ {
			w.seen[i%words] = 0
		}
		w.next = n + 1
	}
	w.seen[n/64%words] |= 1 << (n % 64)
	return err
}
