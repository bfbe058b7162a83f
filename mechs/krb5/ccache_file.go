package krb5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// A fileCache is a cache of type FILE. Who reads or adds locks the file as MIT
// does; who replaces it renames a new one over it, so that nobody sees half of one.
type fileCache struct {
	path string
	dir  *dirCollection // that it is a member of, or nil
	own  bool           // it has to be this user's own
}

func (f *fileCache) String() string {
	if f.dir != nil {
		return "DIR::" + f.path
	}
	return "FILE:" + f.path
}

// lockWait is how long a file is waited for that somebody else has locked. Locks
// are held for as long as a credential takes to write.
const lockWait = 5 * time.Second

var (
	errLocked       = errors.New("krb5: the credential cache stays locked")
	errNoCache      = fmt.Errorf("krb5: no such credential cache: %w", fs.ErrNotExist)
	errOtherClient  = errors.New("krb5: the credential cache is another client's")
	errNotOurFolder = errors.New("krb5: not a folder that this user alone may write to")
	errNotOurs      = errors.New("krb5: not a file of this user's alone")
	errNoLock       = errors.New("krb5: files cannot be locked here")
	errNoCollection = errors.New("krb5: the credential cache is not in a collection")
)

// lock locks file, for writing or for reading, until it is closed. Where the file
// system has no locks, it is as if nobody else were there.
func lock(ctx context.Context, file *os.File, write bool) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		busy, err := tryLock(file, write)
		if err != nil && !errors.Is(err, errNoLock) {
			return err
		}
		if !busy {
			return nil
		}
		select {
		case <-ctx.Done():
			return errLocked
		case <-time.After(wait):
		}
	}
}

func (f *fileCache) read(ctx context.Context) (*ccache, error) {
	b, err := readLocked(ctx, f.path, f.own)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return parseCCache(b)
}

// readLocked reads a file of at most maxCCacheSize that nobody is writing to. own
// makes one of somebody else's, and a link, as good as none.
func readLocked(ctx context.Context, path string, own bool) ([]byte, error) {
	flags := os.O_RDONLY
	if own {
		flags |= noFollow
	}
	file, err := openFile(path, flags)
	if err != nil && own {
		err = errors.Join(errNoCache, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || own && !ownedFile(info) {
		return nil, errors.Join(errNoCache, err)
	}
	if err := lock(ctx, file, false); err != nil {
		return nil, err
	}
	return readAll(file, maxCCacheSize)
}

// replace writes the file anew, for this user alone.
func (f *fileCache) replace(_ context.Context, c *ccache) error {
	if f.dir != nil {
		if err := f.dir.make(); err != nil {
			return err
		}
	}
	b := c.append(nil)
	defer clear(b)
	return writeFile(f.path, b)
}

// writeFile puts a file of this user's alone at path, whatever was there.
func writeFile(path string, b []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(b)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}

// add appends a credential to a cache of client's. What cannot be written in full
// is taken away again. A file that was replaced while it was waited for is left.
func (f *fileCache) add(ctx context.Context, client ikrb5.Principal, cred *ccacheCred) error {
	file, err := openFile(f.path, os.O_RDWR|noFollow)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := lock(ctx, file, true); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(f.path); err != nil || !os.SameFile(info, now) || !ownFile(info) {
		return errors.Join(errNotOurs, err)
	}
	b, err := readAll(file, maxCCacheSize)
	if err != nil {
		return err
	}
	defer clear(b)
	c, err := parseCCache(b)
	if err != nil {
		return err
	}
	defer c.erase()
	if !c.client.Equal(client) {
		return errOtherClient
	}
	if c.has(cred) {
		return nil
	}
	more := cred.append(nil, c.version)
	defer clear(more)
	if len(b)+len(more) > maxCCacheSize {
		return errors.New("krb5: the credential cache is full")
	}
	if _, err := file.WriteAt(more, int64(len(b))); err != nil {
		return errors.Join(err, file.Truncate(int64(len(b))))
	}
	return nil
}

// has reports whether c has that very ticket.
func (c *ccache) has(cred *ccacheCred) bool {
	for i := range c.creds {
		if bytes.Equal(c.creds[i].ticket, cred.ticket) && c.creds[i].server.Equal(cred.server) {
			return true
		}
	}
	return false
}

func (f *fileCache) destroy(context.Context) error {
	// As MIT and Heimdal do: not because it would help on every file system.
	if file, err := openFile(f.path, os.O_WRONLY|noFollow); err == nil {
		if info, err := file.Stat(); err == nil && ownFile(info) {
			io.CopyN(file, zeros{}, min(info.Size(), maxCCacheSize))
		}
		file.Close()
	}
	return os.Remove(f.path)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// state tells one state of the file from another.
func (f *fileCache) state() (fs.FileInfo, error) { return os.Stat(f.path) }
