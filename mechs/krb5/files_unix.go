//go:build unix

package krb5

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// ownedFile reports whether a file is this user's.
func ownedFile(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(st.Uid) == os.Geteuid()
}

// ownFile reports whether it is this user's alone: nobody else may read it, and it
// has no other name.
func ownFile(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && ownedFile(info) && info.Mode().Perm()&0o077 == 0 && st.Nlink == 1
}

// ownFolder reports whether it is a folder of this user's that nobody else may write
// to.
func ownFolder(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// tryLock tries to lock a file, for writing or for reading; busy, if somebody else
// has locked it.
func tryLock(file *os.File, write bool) (busy bool, err error) {
	l := syscall.Flock_t{Type: syscall.F_RDLCK} // all of it
	if write {
		l.Type = syscall.F_WRLCK
	}
	err = syscall.FcntlFlock(file.Fd(), setLock, &l)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		return true, nil
	case errors.Is(err, syscall.EINTR):
		return true, nil
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EOPNOTSUPP):
		return false, errNoLock
	}
	return false, err
}
