package krb5

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// What a full disk cuts short is taken away again: the cache is as it was.
func TestFileCacheFull(t *testing.T) {
	data, more := cached(t, 1)
	f := &fileCache{path: filepath.Join(t.TempDir(), "cc")}
	if err := f.replace(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(len(before) + 40), Max: old.Max}); err != nil {
		t.Skip(err)
	}
	err = f.add(t.Context(), data.client, &more)
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(f.path); err != nil || string(after) != string(before) {
		t.Errorf("%d octets, %v; there were %d", len(after), err, len(before))
	}
	if err := f.add(t.Context(), data.client, &more); err != nil {
		t.Error(err)
	}
}
