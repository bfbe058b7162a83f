package boltstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/record"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/boltstore"
	"github.com/gsseal/gss/strike/striketest"
)

func openDB(t testing.TB, noSync bool) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "app.db"), 0o600, &bolt.Options{NoSync: noSync})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// inTx strikes each key in a transaction of its own.
type inTx struct{ db *bolt.DB }

func (s inTx) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		st, err := boltstore.InTx(tx, boltstore.Options{})
		if err != nil {
			return err
		}
		return st.Strike(ctx, key, from, until)
	})
}

func TestInTxSuite(t *testing.T) {
	striketest.Rounds(t, 200, func(t *testing.T) strike.Store {
		db := openDB(t, true)
		err := db.Update(func(tx *bolt.Tx) error {
			_, err := boltstore.InTx(tx, boltstore.Options{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return inTx{db}
	})
}

// A strike lives and dies with its transaction.
func TestInTxRollback(t *testing.T) {
	db := openDB(t, false)
	key := sha256.Sum256([]byte("order 1"))
	var from time.Time
	bucket := []byte("paid")
	pay := func(fail error) error {
		return db.Update(func(tx *bolt.Tx) error {
			s, err := boltstore.InTx(tx, boltstore.Options{})
			if err != nil {
				return err
			}
			if err := s.Strike(t.Context(), key, from, from.Add(time.Hour)); err != nil {
				return err
			}
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			if err := b.Put(key[:], append(b.Get(key[:]), 'x')); err != nil {
				return err
			}
			return fail
		})
	}
	if err := db.Update(func(tx *bolt.Tx) error { _, err := boltstore.InTx(tx, boltstore.Options{}); return err }); err != nil {
		t.Fatal(err)
	}
	from = time.Now()
	crash := errors.New("crash")
	for range 3 {
		if err := pay(crash); err != crash {
			t.Fatalf("%v, want the crash", err)
		}
	}
	if err := pay(nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := pay(nil); !errors.Is(err, strike.ErrSeen) {
			t.Fatalf("%v, want ErrSeen", err)
		}
	}
	db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucket).Get(key[:]); len(v) != 1 {
			t.Errorf("paid %d times", len(v))
		}
		return nil
	})
}

func TestInTxNeedsTransaction(t *testing.T) {
	db := openDB(t, false)
	if err := db.View(func(tx *bolt.Tx) error { _, err := boltstore.InTx(tx, boltstore.Options{}); return err }); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("in a read-only transaction: %v", err)
	}
	var s strike.Store
	var late *bolt.Tx
	if err := db.Update(func(tx *bolt.Tx) (err error) {
		late = tx
		s, err = boltstore.InTx(tx, boltstore.Options{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := s.Strike(t.Context(), [32]byte{}, now, now.Add(time.Hour)); !errors.Is(err, strike.ErrClosed) {
		t.Errorf("after the transaction: %v", err)
	}
	if _, err := boltstore.InTx(late, boltstore.Options{}); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("in a transaction that ended: %v", err)
	}
}

// A recipient of sealed messages, made once, opens each in a transaction: what the
// message says is done and the message struck, or neither.
func TestByContextWithSeal(t *testing.T) {
	db := openDB(t, false)
	if err := db.Update(func(tx *bolt.Tx) error { _, err := boltstore.InTx(tx, boltstore.Options{}); return err }); err != nil {
		t.Fatal(err)
	}
	ends := make([]gss.Context, 2)
	name := func(who string) gss.Name { return gss.Name{Mech: oid.PKIX, Text: "mail:" + who + "@example.org"} }
	for i, who := range []string{"alice", "bob"} {
		var err error
		ends[i], err = record.New(record.Params{
			Info: gss.Info{Mech: oid.PKIX, Local: name(who), Peer: name([]string{"bob", "alice"}[i]), Initiator: i == 0, Flags: gss.DefaultFlags},
			MS:   make([]byte, 32), Hash: sha256.New, AEAD: record.AES256GCM,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sender, err := seal.NewSender(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	recipient := seal.NewRecipient(&seal.RecipientOptions{Store: boltstore.ByContext(boltstore.Options{})})
	defer recipient.Close()
	if _, err := recipient.Add(ends[1]); err != nil {
		t.Fatal(err)
	}
	sealed, err := sender.Seal(nil, []byte("pay 10"), &seal.Options{OneTime: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recipient.Unseal(t.Context(), nil, sealed, nil); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("without a transaction: %v", err)
	}
	paid := []byte("paid")
	open := func(fail error) error {
		return db.Update(func(tx *bolt.Tx) error {
			m, err := recipient.Unseal(boltstore.WithTx(t.Context(), tx), nil, sealed, nil)
			if err != nil {
				return err
			}
			b, err := tx.CreateBucketIfNotExists(paid)
			if err != nil {
				return err
			}
			if err := b.Put(m.StrikeKey[:], m.Body); err != nil {
				return err
			}
			return fail
		})
	}
	crash := errors.New("crash")
	for i, want := range []error{crash, crash, nil, gss.DuplicateToken, gss.DuplicateToken} {
		if err := open(want); !errors.Is(err, want) {
			t.Errorf("attempt %d: %v, want %v", i, err, want)
		}
	}
	db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket(paid).Stats().KeyN; n != 1 {
			t.Errorf("paid %d times", n)
		}
		return nil
	})
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for range 2 { // two lives of one process
		store, err := boltstore.Open(filepath.Join(dir, "strikes"), boltstore.Options{})
		if err != nil {
			panic(err)
		}
		key := sha256.Sum256([]byte("example order 1" + "order 4711"))
		time.Sleep(time.Millisecond) // what came before the store, it cannot know
		from := time.Now()
		fmt.Println(store.Strike(context.Background(), key, from, from.Add(time.Hour)))
		store.Close()
	}
	// Output:
	// <nil>
	// strike: seen before
}

// A payment is booked exactly once: the strike and what it stands for are one
// transaction. If the process dies before the commit neither has happened, and the
// message may come again.
func ExampleInTx() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := bolt.Open(filepath.Join(dir, "books.db"), 0o600, nil)
	if err != nil {
		panic(err)
	}
	defer db.Close()

	// When the database is made: from now on it knows what was struck.
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket([]byte("payments")); err != nil {
			return err
		}
		_, err := boltstore.InTx(tx, boltstore.Options{})
		return err
	})
	if err != nil {
		panic(err)
	}

	from := time.Now()
	book := func(order string) error {
		return db.Update(func(tx *bolt.Tx) error {
			store, err := boltstore.InTx(tx, boltstore.Options{})
			if err != nil {
				return err
			}
			// A message is opened here with RecipientOptions.Store = store; or, by hand:
			key := sha256.Sum256([]byte("example order 1" + order))
			if err := store.Strike(context.Background(), key, from, from.Add(time.Hour)); err != nil {
				return err // rolls back
			}
			return tx.Bucket([]byte("payments")).Put([]byte(order), []byte("paid"))
		})
	}
	for range 2 {
		fmt.Println(book("order 4711"))
	}
	// Output:
	// <nil>
	// strike: seen before
}
