package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gsseal/gss/strike"
)

// A file is the database at path: open, or about to be opened for the next group.
type file struct {
	path string
	o    Options
	env  environment
	stop <-chan struct{}

	db      *bolt.DB // nil: not open
	f       *os.File // db's
	info    fs.FileInfo
	txn     int         // the last transaction
	torn    bool        // one of the last two commits is not whole
	changed time.Time   // by whomever, when it was opened
	trusted fs.FileInfo // of the file that was verified, nil: none
	fresh   bool        // nothing was committed since it was opened
	lost    bool        // others wrote over it while it was open

	err    error // why the last update failed
	failed time.Time
}

// errStopped: the store was closed while it waited for another process.
var errStopped = errors.New("stopped")

// retry is the least time between two attempts to open a file that failed: each
// reads all of it.
const retry = time.Second

// update strikes a group in one transaction, and fills in a result for each, unless
// it returns an error, which is everybody's. A commit that failed may have left
// pages in memory that are not on the disk, so after an error the file is closed,
// and opened and verified again the next time.
//
// lend, if not nil, gets the transaction, in which a group of none is struck, and
// ends when it returns: with errRollback nothing is written.
func (f *file) update(group []*request, results []error, lend func(*bolt.Tx) error) error {
	if f.err != nil && (errors.Is(f.err, ErrCorrupt) || time.Since(f.failed) < retry) {
		return f.err
	}
	err := guard(func() error {
		if err := f.open(); err != nil {
			return err
		}
		switch {
		case f.trusted == nil && lend == nil:
			return f.establish(group, results)
		case f.trusted == nil:
			if err := f.establish(nil, nil); err != nil {
				return err
			}
		}
		return f.commit(group, results, false, lend)
	})
	if err == nil || errors.Is(err, errRollback) {
		f.err = nil
		if f.o.Shared {
			return errors.Join(err, f.release()) // the lock; what was struck is on the disk
		}
		return err
	}
	f.abandon(err)
	if errors.Is(err, errStopped) || errors.Is(err, ErrLocked) {
		return err
	}
	if !errors.Is(err, strike.ErrBroken) {
		err = fmt.Errorf("boltstore: %w: %w", strike.ErrBroken, err)
	}
	f.err, f.failed, f.trusted = err, time.Now(), nil
	return err
}

// establish verifies the file, then commits twice, so that both of the pages that
// name a last transaction, and what they refer to, are known to be on the disk:
// after a failed sync the kernel shows pages that are not.
func (f *file) establish(group []*request, results []error) error {
	if err := f.verify(); err != nil {
		return err
	}
	if err := f.commit(nil, nil, true, nil); err != nil {
		return err
	}
	if err := f.commit(group, results, true, nil); err != nil {
		return err
	}
	f.trusted = f.info
	return nil
}

// commit strikes a group, and writes if there is something to write, or must be.
func (f *file) commit(group []*request, results []error, must bool, lend func(*bolt.Tx) error) error {
	// Whoever replaces the file has a store that is complete since a later time
	// than now. So what this group holds is either refused there or not struck here.
	if at, err := os.Stat(f.path); err != nil {
		return err
	} else if !os.SameFile(at, f.info) {
		return errors.New("file was replaced")
	}
	tx, err := f.db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback() // of no effect after Commit
	if tx.ID() != f.txn+1 {
		f.lost = true
		return errors.New("file was written over")
	}
	now, wrote := micro(f.env.now()), time.Now()
	t, err := openTable(tx, now)
	if err != nil {
		return err
	}
	if f.fresh && t.st.wrote != 0 {
		// Earlier than its last commit: the clock was ahead then, and was set back.
		if f.torn || t.st.inode != inode(f.info) || f.changed.Sub(time.UnixMicro(t.st.wrote)).Abs() > f.env.settle {
			t.lost(now)
		}
	}
	if f.lost {
		t.lost(now)
	}
	if !f.o.Since.IsZero() {
		t.raise(micro(f.o.Since))
	}
	for i, r := range group {
		if results[i] = r.ctx.Err(); results[i] != nil {
			continue // nobody waits for it
		}
		switch err := t.strike(now, r.key, r.from, r.until, f.o.Entries); err {
		case nil, strike.ErrSeen, strike.ErrUnsure, strike.ErrFull:
			results[i] = err
		default:
			return err
		}
	}
	if lend != nil {
		must, t.dirty = true, true
		if _, err := t.save(now); err != nil {
			return err
		}
		if err := lend(tx); err != nil {
			return err
		}
		if tx.DB() == nil {
			return berrors.ErrTxClosed
		}
		if t, err = openTable(tx, now); err != nil { // with what was struck in it
			return err
		}
		wrote = time.Now()
	}
	t.st.inode, t.st.wrote = inode(f.info), wrote.UnixMicro()
	t.dirty = t.dirty || must
	if write, err := t.save(now); err != nil || !write {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	f.txn++
	f.fresh, f.lost = false, false
	return nil
}

// open opens the database, unless it is open, and takes its lock.
func (f *file) open() error {
	if f.db != nil {
		return nil
	}
	deadline := time.Now().Add(f.o.LockTimeout)
	for {
		if err := f.create(); err != nil {
			return err
		}
		db, err := bolt.Open(f.path, 0o600, &bolt.Options{
			Timeout:      max(time.Until(deadline), time.Millisecond),
			FreelistType: bolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				return f.take(name, flag&^os.O_CREATE, perm, deadline)
			},
		})
		switch {
		case errors.Is(err, errReplaced) && time.Now().Before(deadline):
			continue // somebody else made it anew while this one waited
		case errors.Is(err, berrors.ErrTimeout):
			return ErrLocked
		case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		case err != nil:
			return err
		}
		f.db, f.fresh = db, true
		return db.View(func(tx *bolt.Tx) error {
			f.txn = tx.ID()
			return nil
		})
	}
}

var errReplaced = errors.New("file was replaced while it was opened")

// take opens the file itself, locks it, and looks at it before bbolt does.
func (f *file) take(name string, flag int, perm os.FileMode, deadline time.Time) (*os.File, error) {
	of, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	err = func() error {
		if err := lock(of, deadline, f.stop); err != nil {
			return err
		}
		info, err := of.Stat()
		if err != nil {
			return err
		}
		if at, err := os.Stat(name); err != nil || !os.SameFile(at, info) {
			return errReplaced
		}
		if !info.Mode().IsRegular() {
			return errors.New("not a regular file")
		}
		if info.Mode()&0o077 != 0 && runtime.GOOS != "windows" {
			return fmt.Errorf("mode is %v: others than the owner may use it (chmod 600 makes it private)", info.Mode())
		}
		var last meta
		if last, f.torn, err = lastMeta(of, info.Size()); err != nil {
			return err
		}
		if f.trusted == nil || !os.SameFile(f.trusted, info) {
			f.trusted = nil
			if err := checkPages(of, last); err != nil {
				return err
			}
		}
		f.f, f.info, f.changed = of, info, changed(info)
		return nil
	}()
	if err != nil {
		of.Close()
		return nil, err
	}
	return of, nil
}

// create makes the file if there is none. It appears whole, or not at all.
func (f *file) create() error {
	if _, err := os.Lstat(f.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, filepath.Base(f.path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	db, err := bolt.Open(tmp.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), f.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(tmp.Name()); err != nil {
		return err
	}
	return syncDir(dir)
}

// release closes the database, and with it the lock.
func (f *file) release() error {
	db := f.db
	f.db, f.f = nil, nil
	if db == nil {
		return nil
	}
	return db.Close()
}

// abandon is release after err. What panicked is in no state to be closed; then
// only the lock goes, and the file stays mapped; which would keep the lock, too.
func (f *file) abandon(err error) {
	of := f.f
	if _, ok := errors.AsType[*panicked](err); ok {
		f.db, f.f = nil, nil
		if of != nil {
			unlock(of)
			of.Close()
		}
	}
	f.release()
}

// panicked is why bbolt panicked about a file that was damaged later than it was
// verified, or the fault when it read where the file, mapped into memory, does not
// reach any more.
type panicked struct{ why any }

func (p *panicked) Error() string { return fmt.Sprint(p.why) }

// guard turns both into ErrCorrupt.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %w", ErrCorrupt, &panicked{r})
		}
	}()
	return do()
}
