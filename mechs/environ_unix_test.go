//go:build unix

package mechs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gsseal/gss/mechs"
)

// A program that runs with another's rights does not let who starts it choose its
// configuration and its keys.
func TestSetUserID(t *testing.T) {
	if slices.Contains(os.Args, "as-program") { // that program
		_, err := mechs.System()
		fmt.Printf("%t,%t\n", os.Getuid() != os.Geteuid(), err != nil && strings.Contains(err.Error(), "KRB5_CONFIG"))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make such a program and run it as somebody else")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "setuid") // where anybody comes to
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o755: "false,true", 0o755 | os.ModeSetuid: "true,false"} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(program, mode); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(program, "-test.run=^TestSetUserID$", "as-program")
		c.Dir, c.Env = "/", []string{"KRB5_CONFIG=/nonexistent/krb5.conf"}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, _, _ := strings.Cut(string(out), "\n")
		if mode&os.ModeSetuid != 0 && strings.HasPrefix(got, "false,") {
			t.Skip("no set-user-ID programs on this file system")
		}
		if got != want {
			t.Errorf("%v: %s, want %s", mode, got, want)
		}
	}
}
