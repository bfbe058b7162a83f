package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// DirEnv is the variable with the folder of the peers that are unpacked, not installed;
// without it, it is gss-peers in the user's cache.
const DirEnv = "GSS_PEERS"

// Unpacked returns the root of a peer that scripts/unpack has unpacked, "heimdal" or
// "ganesha"; without it, it does as Need does.
func Unpacked(t testing.TB, name string) (root string) {
	t.Helper()
	dir := os.Getenv(DirEnv)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		dir = filepath.Join(cache, "gss-peers")
	}
	root = filepath.Join(dir, name)
	if _, err := os.Stat(root); err != nil {
		reason := fmt.Sprintf("missing peer: %s is not unpacked (Debian: scripts/unpack %s)", name, name)
		if os.Getenv(RequireEnv) == "1" {
			t.Fatalf("%s, and %s=1", reason, RequireEnv)
		}
		t.Skip(reason)
	}
	return root
}

// libraries returns the value of LD_LIBRARY_PATH for programs below root.
func libraries(root string) string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/ganesha"} {
		m, _ := filepath.Glob(filepath.Join(root, pattern))
		dirs = append(dirs, m...)
	}
	return strings.Join(dirs, ":")
}

// Build compiles a C program, and returns its path. flags stand behind the source.
func Build(t testing.TB, source string, flags ...string) (program string) {
	t.Helper()
	Need(t, "cc")
	dir := t.TempDir()
	file := filepath.Join(dir, "program.c")
	program = filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-O1", "-Wall", "-Wno-deprecated-declarations", "-o", program, file}, flags...)
	if out, err := exec.Command(path("cc"), args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return program
}
