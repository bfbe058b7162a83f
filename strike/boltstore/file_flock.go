//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package boltstore

import (
	"os"
	"syscall"
	"time"
)

// lock locks f as bbolt does, which then finds it locked by itself; but bbolt waits
// 50 ms between two attempts.
func lock(f *os.File, deadline time.Time, stop <-chan struct{}) error {
	for wait := 200 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return err
		}
		if time.Now().After(deadline) {
			return ErrLocked
		}
		select {
		case <-stop:
			return errStopped
		case <-time.After(wait):
		}
	}
}

func unlock(f *os.File) { syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
