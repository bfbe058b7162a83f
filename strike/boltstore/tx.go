package boltstore

import (
	"context"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/strike"
)

// A Tx is a transaction of the store's file that the caller has for himself: what
// he writes in buckets of his own is committed together with what he strikes, by
// the store's means. A package that keeps more than strikes in one file is made of it.
//
// It is as little for concurrent use as a bolt.Tx is. Until it ends nobody else
// strikes, and Close waits.
type Tx struct {
	tx      *bolt.Tx
	strikes txStore
	end     chan error // nil: commit
	result  chan error
	over    bool
	damage  error // what bbolt panicked about
}

// A turn is a call of Begin that waits.
type turn struct {
	ctx    context.Context
	begun  chan *Tx
	failed chan error
}

// errRollback: the caller did not commit.
var errRollback = errors.New("rolled back")

// Begin starts a transaction. It has to be ended, by Commit or Rollback. ctx bounds
// the wait for it. Errors: strike.ErrBroken with the cause, strike.ErrClosed, ctx's.
func (s *Store) Begin(ctx context.Context) (*Tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &turn{ctx: ctx, begun: make(chan *Tx), failed: make(chan error, 1)}
	select {
	case s.turns <- w:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.stop:
		return nil, strike.ErrClosed
	}
	select {
	case x := <-w.begun:
		return x, nil
	case err := <-w.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lend is the writer's part: it waits until the transaction has ended.
func (s *Store) lend(w *turn) {
	var x *Tx
	err := s.file.update(nil, nil, func(tx *bolt.Tx) error {
		n := &Tx{
			tx:      tx,
			strikes: txStore{tx: tx, now: s.file.env.now, entries: s.o.Entries},
			end:     make(chan error),
			result:  make(chan error, 1),
		}
		select {
		case w.begun <- n:
			x = n
		case <-w.ctx.Done():
			return errRollback
		}
		return <-x.end
	})
	switch {
	case errors.Is(err, errStopped):
		err = strike.ErrClosed
	case errors.Is(err, errRollback):
		err = nil
	}
	switch {
	case x != nil:
		x.result <- err
	case err == nil:
		w.failed <- w.ctx.Err()
	default:
		w.failed <- err
	}
}

// Bolt is the transaction for the caller's own buckets. He neither commits it nor
// rolls it back.
func (x *Tx) Bolt() *bolt.Tx { return x.tx }

// Do calls do with Bolt, and returns its error. If the file turns out to be damaged
// in it, and bbolt panics or reads where the file does not reach any more, that is
// ErrCorrupt, and nothing of the Tx can be committed: otherwise it would end the
// process.
func (x *Tx) Do(do func(*bolt.Tx) error) error {
	if x.over {
		return strike.ErrClosed
	}
	if x.damage != nil {
		return x.damage
	}
	err := guard(func() error { return do(x.tx) })
	if _, ok := errors.AsType[*panicked](err); ok {
		x.damage = err
	}
	return err
}

// Strike implements strike.Store: key is struck if the Tx is committed. After an
// error that is none of strike.ErrSeen, ErrUnsure and ErrFull, it has to be rolled
// back.
func (x *Tx) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	return x.Do(func(*bolt.Tx) error { return x.strikes.Strike(ctx, key, from, until) })
}

// Commit returns when all is on the disk. Errors: strike.ErrBroken with the cause,
// after which it may be there or not; strike.ErrClosed if the Tx has ended.
func (x *Tx) Commit() error {
	if x.over {
		return strike.ErrClosed
	}
	return x.finish(x.damage)
}

// Rollback ends the Tx without a trace. After Commit, or a second time, it has no
// effect.
func (x *Tx) Rollback() error {
	if x.over {
		return nil
	}
	if x.damage != nil {
		return x.finish(x.damage)
	}
	return x.finish(errRollback)
}

// finish ends the Tx: err is why it is not committed.
func (x *Tx) finish(err error) error {
	x.over = true
	x.end <- err
	return <-x.result
}
