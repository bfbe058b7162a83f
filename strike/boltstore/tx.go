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
	end     chan bool // commit?
	result  chan error
	over    bool
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
			end:     make(chan bool),
			result:  make(chan error, 1),
		}
		select {
		case w.begun <- n:
			x = n
		case <-w.ctx.Done():
			return errRollback
		}
		if !<-x.end {
			return errRollback
		}
		return nil
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

// Strike implements strike.Store: key is struck if the Tx is committed. After an
// error that is none of strike.ErrSeen, ErrUnsure and ErrFull, it has to be rolled
// back.
func (x *Tx) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if x.over {
		return strike.ErrClosed
	}
	return x.strikes.Strike(ctx, key, from, until)
}

// Commit returns when all is on the disk. Errors: strike.ErrBroken with the cause,
// after which it may be there or not; strike.ErrClosed if the Tx has ended.
func (x *Tx) Commit() error {
	if x.over {
		return strike.ErrClosed
	}
	return x.finish(true)
}

// Rollback ends the Tx without a trace. After Commit, or a second time, it has no
// effect.
func (x *Tx) Rollback() error {
	if x.over {
		return nil
	}
	return x.finish(false)
}

func (x *Tx) finish(commit bool) error {
	x.over = true
	x.end <- commit
	return <-x.result
}
