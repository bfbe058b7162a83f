// Package peers starts real peers for tests: a private MIT realm, and the
// programs that speak to one. Everything lives in the test's temporary folder and
// on loopback, needs no root, touches nothing in /etc, and is ended by its
// process id when the test ends.
//
// A test says what it needs first:
//
//	peers.Need(t, "krb5kdc", "gss-server")
//	realm := peers.MITRealm(t, peers.Options{Enctype: "aes256-cts-hmac-sha384-192"})
//
// Where a program is missing the test is skipped, with the Debian package that
// has it. With GSS_REQUIRE_PEERS=1 it fails instead, so that a run which is meant
// to be complete cannot be incomplete in silence.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// RequireEnv is the variable which, if it is 1, turns a missing peer into a failure.
const RequireEnv = "GSS_REQUIRE_PEERS"

// packages has the Debian package of every program or file that tests ask for. scripts/test
// has the same table, and installs them.
var packages = map[string]string{
	"kinit":        "krb5-user",
	"klist":        "krb5-user",
	"kvno":         "krb5-user",
	"krb5kdc":      "krb5-kdc",
	"kdb5_util":    "krb5-kdc",
	"kadmin.local": "krb5-admin-server",
	"gss-client":   "krb5-gss-samples",
	"gss-server":   "krb5-gss-samples",
	"krb5-config":  "libkrb5-dev", // stands for the headers too
	"cc":           "gcc",
	"openssl":      "openssl",
	"spin":         "spin",
	"strace":       "strace",
	"redis-server": "redis-server",
	"kadmind":      "krb5-admin-server",

	"/usr/include/tirpc/rpc/rpc.h":                      "libtirpc-dev",
	"/usr/lib/python3/dist-packages/gssapi/__init__.py": "python3-gssapi",
}

// Need skips the test unless every program is there; see the package's
// documentation. MITRealm, GSSServer and GSSClient call it themselves.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if path(p) != "" {
			continue
		}
		reason := fmt.Sprintf("missing peer: %s is not installed", p)
		if deb := packages[p]; deb != "" {
			reason += fmt.Sprintf(" (Debian: apt-get install %s)", deb)
		}
		if os.Getenv(RequireEnv) == "1" {
			t.Fatalf("%s, and %s=1", reason, RequireEnv)
		}
		t.Skip(reason)
	}
}

// path finds a program, also where an ordinary user's PATH does not look, or a
// file with an absolute path.
func path(program string) string {
	if filepath.IsAbs(program) {
		if _, err := os.Stat(program); err != nil {
			return ""
		}
		return program
	}
	if p, err := exec.LookPath(program); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return p
		}
	}
	return ""
}

// Env is this process's environment without what steers Kerberos, and with pairs
// ("KRB5_CONFIG=…") added. Messages come in English.
func Env(pairs ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "KRB5") || strings.HasPrefix(s, "LC_") || strings.HasPrefix(s, "LANG") || strings.HasPrefix(s, "GSS_MECH_CONFIG=")
	})
	return append(append(env, "LC_ALL=C"), pairs...)
}

// Run runs a program to its end, at most 30 seconds, and returns all it printed.
func Run(t testing.TB, env []string, program string, args ...string) (string, error) {
	t.Helper()
	return RunInput(t, env, "", program, args...)
}

// RunInput is Run with something on standard input.
func RunInput(t testing.TB, env []string, stdin, program string, args ...string) (string, error) {
	t.Helper()
	Need(t, program)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path(program), args...)
	cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s was still running after 30 seconds", program)
	}
	return string(out), err
}

// MustRun is Run, and ends the test if the program fails.
func MustRun(t testing.TB, env []string, program string, args ...string) string {
	t.Helper()
	out, err := Run(t, env, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// start runs a program until the test ends. exited is closed when it ends by
// itself; output may be read then.
func start(t testing.TB, env []string, program string, args ...string) (exited <-chan struct{}, output *bytes.Buffer) {
	t.Helper()
	Need(t, program)
	output = new(bytes.Buffer)
	cmd := exec.Command(path(program), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, output, output
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	return done, output
}

// freePort returns a loopback port on which nobody listens now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
