// Package sqlstrike is a strike.Store in an SQL database, inside the caller's own
// transaction: a message is struck, and what it asks for is done, by one commit. If
// the process dies before that, neither has happened and the message may come again;
// so its effects happen exactly once.
//
// It is an example, for SQLite: to be copied and changed. In PostgreSQL key is a
// BYTEA, parameters are $1, $2, …, and the state is read FOR UPDATE, which makes
// strikes wait for each other as SQLite's BEGIN IMMEDIATE does; the transaction may
// be READ COMMITTED.
package sqlstrike

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gsseal/gss/strike"
)

// Times are Unix microseconds. since is the instant from which the table is
// complete; floor is the largest until of all keys that it has forgotten.
const schema = `
CREATE TABLE IF NOT EXISTS gss_strike (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gss_strike_until ON gss_strike (until);
CREATE TABLE IF NOT EXISTS gss_strike_state (id INTEGER PRIMARY KEY CHECK (id = 1), since INTEGER NOT NULL, floor INTEGER NOT NULL);
`

// Create makes the tables, unless they are there. They are complete since they were
// made: restoring a backup of the database takes back strikes and effects alike.
func Create(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `INSERT INTO gss_strike_state VALUES (1, ?, ?) ON CONFLICT DO NOTHING`, ceilMicro(time.Now()), firstTime.UnixMicro())
	return err
}

type txKey struct{}

// WithTx returns a context that carries tx to Strike. tx has to be one that writes
// from its start on (BEGIN IMMEDIATE).
func WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// Store strikes in the transaction that its caller's context carries. After an error
// the transaction should be rolled back.
type Store struct{}

// purge is how many expired keys a strike forgets, at most: more than one, so that
// the table does not grow.
const purge = 4

// Strike implements strike.Store.
func (Store) Strike(ctx context.Context, key [32]byte, from, until time.Time) error {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	if !ok {
		return fmt.Errorf("sqlstrike: %w: the context carries no transaction", strike.ErrBroken)
	}
	err := strikeIn(ctx, tx, key, floorMicro(from), ceilMicro(until), time.Now())
	switch {
	case err == nil, errors.Is(err, strike.ErrSeen), errors.Is(err, strike.ErrUnsure):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, sql.ErrTxDone):
		return strike.ErrClosed
	}
	return fmt.Errorf("sqlstrike: %w: %w", strike.ErrBroken, err)
}

func strikeIn(ctx context.Context, tx *sql.Tx, key [32]byte, from, until int64, now time.Time) error {
	var since, floor int64
	if err := tx.QueryRowContext(ctx, `SELECT since, floor FROM gss_strike_state`).Scan(&since, &floor); err != nil {
		return err
	}
	if from < since || from > ceilMicro(now) {
		return strike.ErrUnsure
	}
	var seen bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM gss_strike WHERE key = ?)`, key[:]).Scan(&seen); err != nil {
		return err
	}
	if seen {
		return strike.ErrSeen
	}
	// The largest until that goes is known before it goes.
	const old = `FROM (SELECT key, until FROM gss_strike WHERE until < ? ORDER BY until LIMIT ?)`
	if err := tx.QueryRowContext(ctx, `SELECT max(?, coalesce(max(until), ?)) `+old, floor, floor, floorMicro(now), purge).Scan(&floor); err != nil {
		return err
	}
	for _, q := range []struct {
		text string
		args []any
	}{
		{`UPDATE gss_strike_state SET floor = ?`, []any{floor}},
		{`DELETE FROM gss_strike WHERE key IN (SELECT key ` + old + `)`, []any{floorMicro(now), purge}},
	} {
		if _, err := tx.ExecContext(ctx, q.text, q.args...); err != nil {
			return err
		}
	}
	if until <= floor {
		return strike.ErrUnsure
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO gss_strike VALUES (?, ?)`, key[:], until)
	return err
}

// from is rounded down, since and until up; what is not in the years 1 to 9999 counts
// as their ends.

var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

func floorMicro(t time.Time) int64 {
	switch {
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	return t.UnixMicro()
}

func ceilMicro(t time.Time) int64 { return floorMicro(t.Add(time.Microsecond - 1)) }
