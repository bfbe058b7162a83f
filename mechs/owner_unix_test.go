//go:build unix

package mechs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwned(t *testing.T) {
	dir := t.TempDir()
	mine, link := filepath.Join(dir, "mine"), filepath.Join(dir, "link")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{mine: true, link: false, dir: false, filepath.Join(dir, "none"): false} {
		if owned(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(mine, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if owned(mine) {
			t.Error("another user's file is ours")
		}
	}
}
