package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/peers"
)

// startKDC runs gss kdc and returns what it printed for a shell, as a file.
func startKDC(t *testing.T, args ...string) (d *daemon, script string) {
	t.Helper()
	d, _ = gssStart(t, peers.Env(), "An interrupt", append([]string{"kdc"}, args...)...)
	script = filepath.Join(t.TempDir(), "env.sh")
	if err := os.WriteFile(script, []byte(d.output()), 0o600); err != nil {
		t.Fatal(err)
	}
	return d, script
}

// inShell runs commands in a shell that has sourced script.
func inShell(t *testing.T, script, stdin, commands string) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "set -e; . "+shellQuote(script)+"; export GORACE=atexit_sleep_ms=0; gss() { GSS_TEST_RUN_MAIN=1 "+shellQuote(exe)+" \"$@\"; }; "+commands)
	cmd.WaitDelay = time.Second
	cmd.Env, cmd.Stdin = peers.Env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// MIT's kinit and kvno take gss kdc for a KDC.
func TestKDCWithMIT(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	_, script := startKDC(t)
	out, err := inShell(t, script, "", `kinit -kt "$KRB5_CLIENT_KTNAME" user && kvno host/localhost && klist -e`)
	if err != nil || !strings.Contains(out, "host/localhost@GSS.TEST: kvno = 1") || !strings.Contains(out, "Default principal: user@GSS.TEST") {
		t.Errorf("%v\n%s", err, out)
	}
	// With a password, and other names, which need quoting in the shell.
	_, script = startKDC(t, "--realm", "OTHER.TEST", "--user", "o'hara", "--password", "se same", "--service", "http/www.test")
	out, err = inShell(t, script, "se same\n", `kinit "o'hara" && kvno http/www.test`)
	if err != nil || !strings.Contains(out, "http/www.test@OTHER.TEST: kvno = 1") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := inShell(t, script, "wrong\n", `kinit "o'hara"`); err == nil {
		t.Errorf("a wrong password: %s", out)
	}
}

// What it prints is enough for our own client and server, and nothing is left of it.
func TestKDC(t *testing.T) {
	peers.Need(t, "sh", "seq", "sed", "grep")
	d, script := startKDC(t)
	out, err := inShell(t, script, "", `
		gss server --port 0 --once host@localhost >"$KRB5CCNAME.log" & server=$!
		for i in $(seq 500); do grep -q Listening "$KRB5CCNAME.log" && break; sleep 0.01; done
		port=$(sed -n 's/^Listening on .*://p' "$KRB5CCNAME.log")
		gss client --port "$port" localhost host@localhost hello
		wait "$server"; cat "$KRB5CCNAME.log"; echo "in $KRB5_CONFIG"`)
	if err != nil || !strings.Contains(out, "Signature verified.") || !strings.Contains(out, "user@GSS.TEST") {
		t.Errorf("%v\n%s", err, out)
	}
	d.stop(t)
	_, conf, _ := strings.Cut(strings.TrimSpace(out), "in ")
	conf = conf[strings.LastIndexByte(conf, ' ')+1:]
	if _, err := os.Stat(filepath.Dir(conf)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", filepath.Dir(conf), err)
	}

	// Nor if nobody reads what it prints.
	tmp := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := gssCommand(t.Context(), t, peers.Env("TMPDIR="+tmp), "kdc")
	cmd.Stdout = w
	err = cmd.Run()
	w.Close()
	if left, _ := os.ReadDir(tmp); err == nil || len(left) != 0 {
		t.Errorf("standard output is closed: %v, %v left", err, left)
	}

	// A folder of one's own stays.
	dir := filepath.Join(t.TempDir(), "a b")
	d, _ = startKDC(t, "--dir", dir)
	d.stop(t)
	if _, err := os.Stat(filepath.Join(dir, "krb5.conf")); err != nil {
		t.Error(err)
	}
}

func TestShellQuote(t *testing.T) {
	peers.Need(t, "sh")
	for _, s := range []string{"", "/tmp/a-b_c.d", "a b", "o'hara", "$HOME", "`x`", "a\\b", "\"", "*", "a\nb"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q came out as %q, %v", s, out, err)
		}
	}
}
