//go:build unix

package mechs

import (
	"os"
	"syscall"
)

// owned reports whether the file at path, and not a link to it, is this user's.
func owned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(st.Uid) == os.Getuid()
}
