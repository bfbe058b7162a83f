package kdctest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

// Heimdal's tools: a login, a forwarded and a renewed TGT, a ticket of another realm, and
// one in the name of a user.
func TestHeimdal(t *testing.T) {
	h := peers.NeedHeimdal(t)
	for _, pac := range []bool{false, true} {
		a := kdctest.New(t, kdctest.Options{Realm: "A.TEST", PAC: pac})
		b := kdctest.New(t, kdctest.Options{Realm: "B.TEST", PAC: pac})
		c := kdctest.New(t, kdctest.Options{Realm: "C.TEST", PAC: pac})
		b.Trust(a)
		c.Trust(b)
		a.AddUser("alice", "secret")
		a.AddService("HTTP/front", kdctest.ServiceOptions{Impersonate: true, DelegateTo: []string{"host/back"}})
		a.AddService("host/back")
		b.AddService("host/h.b.test")
		c.AddService("host/h.c.test")
		dir := t.TempDir()
		pairs, err := a.Env(dir)
		if err != nil {
			t.Fatal(err)
		}
		env := h.Env(pairs...)
		run := func(program string, args ...string) string {
			t.Helper()
			return peers.MustRun(t, env, h.Program(t, program), args...)
		}
		keytab := filepath.Join(dir, "alice.keytab")
		a.WriteKeytab(keytab, "alice")
		run("kinit", "-f", "-r", "2d", "-k", "-t", keytab, "alice@A.TEST")
		for _, service := range []string{"host/back@A.TEST", "host/h.b.test@B.TEST", "host/h.c.test@C.TEST"} {
			run("kgetcred", service)
		}
		run("kinit", "-R")
		if out := run("klist", "klist", "-v"); !strings.Contains(out, "renewable") || !strings.Contains(out, "forwardable") {
			t.Error(out)
		}
		run("kinit", "-f", "-k", "-t", filepath.Join(dir, "krb5.keytab"), "HTTP/front@A.TEST")
		cache := filepath.Join(dir, "impersonated")
		run("kgetcred", "--impersonate=alice@A.TEST", "--out-cache=FILE:"+cache, "--forwardable", "HTTP/front@A.TEST")
		out := run("klist", "klist", "--cache=FILE:"+cache)
		if !strings.Contains(out, "Principal: alice@A.TEST") || !strings.Contains(out, "HTTP/front@A.TEST") {
			t.Error(out)
		}
		run("kgetcred", "--delegation-credential-cache=FILE:"+cache, "host/back@A.TEST")
		if out, err := peers.Run(t, env, h.Program(t, "kgetcred"), "--impersonate=mallory@A.TEST", "HTTP/front@A.TEST"); err == nil {
			t.Errorf("in the name of nobody: %s", out)
		}
	}
}
