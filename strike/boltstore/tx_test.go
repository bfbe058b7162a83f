package boltstore

import (
	"context"
	"errors"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

// begun strikes in a Tx of its own each time.
type begun struct{ s *Store }

func (b begun) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	x, err := b.s.Begin(ctx)
	if err != nil {
		return err
	}
	defer x.Rollback()
	if err := x.Strike(ctx, key, from, until); err != nil {
		return err
	}
	return x.Commit()
}

func (b begun) Close() error { return b.s.Close() }

func TestTxSuite(t *testing.T) {
	striketest.Rounds(t, 200, func(t *testing.T) strike.Store { return begun{mustOpen(t, testPath(t), Options{}, environment{})} })
}

// note writes v in a bucket of the caller's.
func note(t *testing.T, x *Tx, v string) {
	t.Helper()
	b, err := x.Bolt().CreateBucketIfNotExists([]byte("mine"))
	if err == nil {
		err = b.Put([]byte("k"), []byte(v))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func noted(t *testing.T, x *Tx) string {
	t.Helper()
	if b := x.Bolt().Bucket([]byte("mine")); b != nil {
		return string(b.Get([]byte("k")))
	}
	return ""
}

func mustBegin(t *testing.T, s *Store) *Tx {
	t.Helper()
	x, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTx(t *testing.T) {
	for _, o := range []Options{{}, {Shared: true}} {
		path := testPath(t)
		s := mustOpen(t, path, o, environment{})
		now := time.Now()
		until := now.Add(time.Hour)

		x := mustBegin(t, s)
		note(t, x, "no")
		want(t, x, "first", 0, now, until, nil)
		want(t, x, "again", 0, now, until, strike.ErrSeen)
		if err := errors.Join(x.Rollback(), x.Rollback()); err != nil {
			t.Error(err)
		}
		want(t, x, "after its end", 1, now, until, strike.ErrClosed)
		if err := x.Commit(); !errors.Is(err, strike.ErrClosed) {
			t.Errorf("commit after rollback: %v", err)
		}

		x = mustBegin(t, s)
		if v := noted(t, x); v != "" {
			t.Errorf("rolled back, and there: %q", v)
		}
		note(t, x, "yes")
		want(t, x, "rolled back before", 0, now, until, nil)
		in, err := InTx(x.Bolt(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want(t, in, "in the same transaction", 7, now, until, nil)
		want(t, x, "in the same transaction", 7, now, until, strike.ErrSeen)
		want(t, x, "in the same transaction", 8, now, until, nil)
		want(t, in, "in the same transaction", 8, now, until, strike.ErrSeen)
		want(t, in, "in the same transaction", 9, now, until, nil)

		// Whoever strikes meanwhile waits, and so does another Begin.
		waits := make(chan error)
		go func() { waits <- s.Strike(t.Context(), key(0), now, until) }()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.Begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("two at once: %v", err)
		}
		select {
		case err := <-waits:
			t.Errorf("did not wait: %v", err)
		default:
		}
		if err := x.Commit(); err != nil {
			t.Error(err)
		}
		if err := <-waits; !errors.Is(err, strike.ErrSeen) {
			t.Errorf("struck in the Tx: %v", err)
		}
		if err := x.Rollback(); err != nil {
			t.Error(err)
		}
		want(t, s, "in between", 2, now, until, nil)
		s.Close()
		if _, err := s.Begin(t.Context()); !errors.Is(err, strike.ErrClosed) {
			t.Errorf("closed: %v", err)
		}

		s = mustOpen(t, path, o, environment{})
		want(t, s, "reopened", 0, now, until, strike.ErrSeen)
		want(t, s, "reopened", 2, now, until, strike.ErrSeen)
		want(t, s, "reopened", 7, now, until, strike.ErrSeen)
		x = mustBegin(t, s)
		if v := noted(t, x); v != "yes" {
			t.Errorf("committed, and there is %q", v)
		}
		x.Rollback()
		s.Close()
	}
}

// A transaction that takes its time is no change by others.
func TestTxTakesItsTime(t *testing.T) {
	path := testPath(t)
	env := environment{settle: 300 * time.Millisecond}
	s := mustOpen(t, path, Options{}, env)
	now := time.Now()
	x := mustBegin(t, s)
	want(t, x, "first", 0, now, now.Add(time.Hour), nil)
	time.Sleep(500 * time.Millisecond)
	if err := x.Commit(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = mustOpen(t, path, Options{}, env)
	want(t, s, "reopened", 0, now, now.Add(time.Hour), strike.ErrSeen)
}

// What the caller does to the bolt.Tx that he should not costs him the transaction,
// and nobody else anything.
func TestTxAbused(t *testing.T) {
	s := mustOpen(t, testPath(t), Options{}, environment{})
	now := time.Now()
	x := mustBegin(t, s)
	if err := x.Bolt().Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, x, "ended", 3, now, now.Add(time.Hour), strike.ErrClosed)
	if err := x.Commit(); !errors.Is(err, strike.ErrBroken) || errors.Is(err, ErrCorrupt) {
		t.Errorf("ended: %v", err)
	}
	time.Sleep(retry + 10*time.Millisecond)
	want(t, s, "recovered", 3, now, now.Add(time.Hour), nil)
}

// What bbolt panics about in Do is an error; nothing is committed after it, and the
// store strikes no more.
func TestTxDamaged(t *testing.T) {
	for _, end := range []func(*Tx) error{(*Tx).Commit, (*Tx).Rollback} {
		path := testPath(t)
		s := mustOpen(t, path, Options{}, environment{})
		now := time.Now()
		x := mustBegin(t, s)
		want(t, x, "before", 0, now, now.Add(time.Hour), nil)
		if err := x.Do(func(*bolt.Tx) error { return strike.ErrFull }); err != strike.ErrFull {
			t.Errorf("not the error of do: %v", err)
		}
		if err := x.Do(func(*bolt.Tx) error { panic("page 7 already freed") }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("damaged: %v", err)
		}
		want(t, x, "after it", 1, now, now.Add(time.Hour), ErrCorrupt)
		if err := end(x); !errors.Is(err, ErrCorrupt) {
			t.Errorf("ended: %v", err)
		}
		if err := x.Do(func(*bolt.Tx) error { return nil }); !errors.Is(err, strike.ErrClosed) {
			t.Errorf("after its end: %v", err)
		}
		want(t, s, "the store", 2, now, now.Add(time.Hour), ErrCorrupt)
		s.Close()
		s = mustOpen(t, path, Options{}, environment{})
		want(t, s, "not committed", 0, now, now.Add(time.Hour), nil)
	}
}
