//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package reauth

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whoever else can open the lock file could hold its lock for ever.
func TestLockOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Chmod(0o666), syscall.Flock(int(f.Fd()), syscall.LOCK_EX)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRing(path); !errors.Is(err, errMode) {
		t.Errorf("ring: %v", err)
	}
	if _, err := OpenCache(path, CacheOptions{}); !errors.Is(err, errMode) {
		t.Errorf("cache: %v", err)
	}
}
