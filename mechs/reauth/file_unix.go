//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package reauth

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lockFile waits until ctx is done for the lock of the file at path, which it makes. The system
// takes the lock back from a process that ends. A file that others can open is refused: they
// could hold the lock for ever.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !private(info) {
		err = fmt.Errorf("%w: %s", errMode, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == syscall.EWOULDBLOCK {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		} else if err == syscall.EINTR {
			continue
		}
		break
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// openPrivate does not follow links, nor wait for the other end of a pipe.
func openPrivate(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// private reports whether a file is this user's, and nobody else's to read or write.
func private(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && info.Mode().Perm()&0o077 == 0 && int(st.Uid) == os.Geteuid()
}
