package boltstate

import (
	"context"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike/boltstore"
)

// Once unseals in and calls effect with the message and a transaction of the file
// that strikes it, one-time or not. What effect writes, in buckets of its own, is
// committed with the strike, or neither is: a message takes effect exactly once,
// however often it comes and whenever the process dies. If effect returns an error,
// or panics, nothing happened.
//
// The message is valid until effect returns, and the transaction is neither
// committed nor rolled back by it. Meanwhile nobody else strikes, and a call of the
// File or its Recipient would wait for ever. o.Strike is not used.
//
// Errors: those of Recipient.Unseal; effect's as it is; of the commit, strike.ErrBroken
// with its cause.
func (f *File) Once(ctx context.Context, in []byte, o *seal.UnsealOptions, effect func(tx *bolt.Tx, m seal.Message) error) error {
	late := &lateTx{store: f.store}
	defer late.rollback()
	var once seal.UnsealOptions
	if o != nil {
		once = *o
	}
	once.Strike = true
	m, err := f.r.Unseal(context.WithValue(ctx, lateKey{}, late), nil, in, &once)
	if err != nil {
		return err
	}
	defer clear(m.Body)
	if err := effect(late.tx.Bolt(), m); err != nil {
		return err
	}
	return late.tx.Commit()
}

// strikes is the Recipient's store: the file, or the transaction of a call of Once.
type strikes struct{ *boltstore.Store }

func (s strikes) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if late, ok := ctx.Value(lateKey{}).(*lateTx); ok {
		return late.Strike(ctx, key, from, until)
	}
	return s.Store.Strike(ctx, key, from, until)
}

type lateKey struct{}

// A lateTx begins a transaction when the first strike is asked for, so that what is
// refused before costs none.
type lateTx struct {
	store *boltstore.Store
	tx    *boltstore.Tx
}

func (l *lateTx) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if l.tx == nil {
		var err error
		if l.tx, err = l.store.Begin(ctx); err != nil {
			return err
		}
	}
	return l.tx.Strike(ctx, key, from, until)
}

func (l *lateTx) rollback() {
	if l.tx != nil {
		l.tx.Rollback()
	}
}
