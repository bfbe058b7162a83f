package boltstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/strike"
)

// InTx returns a store that strikes inside tx, a writable transaction of the
// caller's own database: the key and what the caller does about it are committed
// together, or not at all. (Where the store is fixed before the transaction begins:
// ByContext.) So a message that is lost to a crash before the commit
// comes again and is admitted, and its effects happen exactly once.
//
// The table is a bucket named "gss strike 1". It is complete since it was made,
// which is since the first transaction with InTx that was committed: a program
// should run one, and nothing else in it, when it makes its database. Restoring the
// database takes back strikes and effects alike and needs no care. Of o, Entries
// and Since count.
//
// After an error of Strike that is none of ErrSeen, ErrUnsure and ErrFull, or if tx
// is not committed, nothing was struck for good: roll tx back. The store is good
// until tx ends and then answers with ErrClosed. Although it locks, it is as little
// for concurrent use as tx is.
func InTx(tx *bolt.Tx, o Options) (strike.Store, error) {
	if tx.DB() == nil || !tx.Writable() {
		return nil, fmt.Errorf("boltstore: %w: InTx needs a writable transaction", strike.ErrBroken)
	}
	if o.Entries <= 0 {
		o.Entries = 1 << 20
	}
	now := micro(time.Now())
	t, err := openTable(tx, now)
	if err != nil {
		return nil, broken(err)
	}
	if !o.Since.IsZero() {
		t.raise(micro(o.Since))
	}
	if _, err := t.save(now); err != nil {
		return nil, broken(err)
	}
	return &txStore{tx: tx, now: time.Now, entries: o.Entries}, nil
}

type txKey struct{}

// WithTx returns a context that carries tx to the Strike of ByContext.
func WithTx(ctx context.Context, tx *bolt.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// ByContext returns a store that strikes in the transaction which its caller's
// context carries, as InTx does: what strikes, a seal.Recipient for example, is made
// once, with this store, and called in many transactions. Without a transaction a
// strike is strike.ErrBroken.
func ByContext(o Options) strike.Store { return byContext{o} }

type byContext struct{ o Options }

func (s byContext) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	tx, ok := ctx.Value(txKey{}).(*bolt.Tx)
	if !ok {
		return fmt.Errorf("boltstore: %w: the context carries no transaction", strike.ErrBroken)
	}
	in, err := InTx(tx, s.o)
	if err != nil {
		return err
	}
	return in.Strike(ctx, key, from, until)
}

// A txStore reads the table's state anew each time: there may be others in tx.
type txStore struct {
	mu      sync.Mutex
	tx      *bolt.Tx
	now     func() time.Time
	entries int
}

func (s *txStore) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx.DB() == nil {
		return strike.ErrClosed
	}
	now := micro(s.now())
	t, err := openTable(s.tx, now)
	if err != nil {
		return broken(err)
	}
	err = t.strike(now, key, floorMicro(from), ceilMicro(until), s.entries)
	if _, e := t.save(now); e != nil {
		err = e
	}
	return broken(err)
}

// broken marks an error of bbolt's.
func broken(err error) error {
	switch err {
	case nil, strike.ErrSeen, strike.ErrUnsure, strike.ErrFull, ErrCorrupt:
		return err
	}
	return fmt.Errorf("boltstore: %w: %w", strike.ErrBroken, err)
}
