package sqlstrike_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gsseal/gss/examples/sqlstrike"
	"github.com/gsseal/gss/strike"
	"github.com/gsseal/gss/strike/striketest"
)

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(2)
	if err := sqlstrike.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// each strikes every key in a transaction of its own.
type each struct{ db *sql.DB }

func (s each) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := (sqlstrike.Store{}).Strike(sqlstrike.WithTx(ctx, tx), key, from, until); err != nil {
		if errors.Is(err, strike.ErrUnsure) {
			tx.Commit() // what was forgotten
		}
		return err
	}
	return tx.Commit()
}

func TestSuite(t *testing.T) {
	striketest.Rounds(t, 20, func(t *testing.T) strike.Store {
		return each{open(t, filepath.Join(t.TempDir(), "db"))}
	})
}

// What is rolled back was not struck; what was committed stays struck, also for
// another process.
func TestExactlyOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path)
	if _, err := db.Exec(`CREATE TABLE payments (id INTEGER PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256([]byte("order 1"))
	from := time.Now()
	crash := errors.New("crash")
	for i, want := range []error{crash, crash, nil, strike.ErrSeen, strike.ErrSeen} {
		err := func() error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := (sqlstrike.Store{}).Strike(sqlstrike.WithTx(t.Context(), tx), key, from, from.Add(time.Hour)); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO payments DEFAULT VALUES`); err != nil {
				return err
			}
			if want == crash {
				return crash
			}
			return tx.Commit()
		}()
		if !errors.Is(err, want) {
			t.Errorf("attempt %d: %v, want %v", i, err, want)
		}
		db.Close()
		db = open(t, path)
	}
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM payments`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d payments, %v", n, err)
	}
}

func TestNoTransaction(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	now := time.Now()
	if err := (sqlstrike.Store{}).Strike(t.Context(), [32]byte{}, now, now.Add(time.Hour)); !errors.Is(err, strike.ErrBroken) {
		t.Errorf("none: %v", err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	if err := (sqlstrike.Store{}).Strike(sqlstrike.WithTx(t.Context(), tx), [32]byte{}, now, now.Add(time.Hour)); !errors.Is(err, strike.ErrClosed) {
		t.Errorf("one that has ended: %v", err)
	}
}

// A payment is booked exactly once: strike and booking are one transaction.
func Example() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "books.db")+"?_txlock=immediate")
	check(err)
	defer db.Close()
	ctx := context.Background()
	check(sqlstrike.Create(ctx, db))
	_, err = db.Exec(`CREATE TABLE payments (name TEXT)`)
	check(err)

	from := time.Now()
	book := func(order string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // of no effect after Commit
		ctx := sqlstrike.WithTx(ctx, tx)
		// A seal.Recipient with RecipientOptions.Store = sqlstrike.Store{} unseals here,
		// under ctx; or, by hand:
		key := sha256.Sum256([]byte("example order 1" + order))
		if err := (sqlstrike.Store{}).Strike(ctx, key, from, from.Add(time.Hour)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO payments VALUES (?)`, order); err != nil {
			return err
		}
		return tx.Commit()
	}
	for range 2 {
		fmt.Println(book("order 4711"))
	}
	// Output:
	// <nil>
	// strike: seen before
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
