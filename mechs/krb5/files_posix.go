//go:build unix && !linux

package krb5

import "syscall"

// setLock locks against other processes, fcntl(2).
const setLock = syscall.F_SETLK
