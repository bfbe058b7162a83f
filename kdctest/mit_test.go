package kdctest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

// mitEnv is the environment of MIT's tools, with a keytab of what is named.
func mitEnv(t *testing.T, realm *kdctest.Realm, libdefaults ...string) (env []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	pairs, err := realm.Env(dir, libdefaults...)
	if err != nil {
		t.Fatal(err)
	}
	return peers.Env(pairs...), dir
}

func kinit(t *testing.T, env []string, args ...string) {
	t.Helper()
	if out, err := peers.RunInput(t, env, "secret\n", "kinit", args...); err != nil {
		t.Fatalf("kinit %v: %v\n%s", args, err, out)
	}
}

// MIT's kvno walks from realm to realm: one step, two steps by what the KDCs say, and by
// referral, where the client does not know the service's realm.
func TestMITCrossRealm(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	for _, pac := range []bool{false, true} {
		a := kdctest.New(t, kdctest.Options{Realm: "A.TEST", PAC: pac})
		b := kdctest.New(t, kdctest.Options{Realm: "B.TEST", PAC: pac})
		c := kdctest.New(t, kdctest.Options{Realm: "C.TEST", PAC: pac})
		a.AddUser("alice", "secret")
		b.AddService("host/h.b.test")
		c.AddService("host/h.c.test")
		c.AddService("host/elsewhere.example")
		b.Trust(a)
		c.Trust(b)
		env, dir := mitEnv(t, a)
		b.WriteKeytab(filepath.Join(dir, "b"))
		c.WriteKeytab(filepath.Join(dir, "c"))
		kinit(t, env, "alice")
		for _, tt := range []struct{ keytab, service, tgts string }{
			{"b", "host/h.b.test@B.TEST", "krbtgt/B.TEST@A.TEST"},
			{"c", "host/h.c.test@C.TEST", "krbtgt/C.TEST@B.TEST"},
			{"c", "host/h.c.test", "krbtgt/C.TEST@B.TEST"},
			{"c", "host/elsewhere.example@", "krbtgt/C.TEST@B.TEST"},
		} {
			out := peers.MustRun(t, env, "kvno", "-k", filepath.Join(dir, tt.keytab), tt.service)
			if !strings.Contains(out, "keytab entry valid") {
				t.Errorf("%s: %s", tt.service, out)
			}
			if out := peers.MustRun(t, env, "klist", "-f"); !strings.Contains(out, tt.tgts) {
				t.Errorf("%s: no %s:\n%s", tt.service, tt.tgts, out)
			}
		}
		// Nobody trusts in the other direction.
		c.AddUser("carol", "secret")
		env, _ = mitEnv(t, c)
		kinit(t, env, "carol@C.TEST")
		a.AddService("host/h.a.test")
		if out, err := peers.Run(t, env, "kvno", "host/h.a.test@A.TEST"); err == nil {
			t.Errorf("against the trust: %s", out)
		}
	}
}

// Tickets that MIT's tools forward, proxy and renew.
func TestMITForwarded(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	realm := kdctest.New(t, kdctest.Options{PAC: true})
	realm.AddUser("alice", "secret")
	realm.SetLogon("alice", kdctest.Logon{FullName: "Alice", Groups: []uint32{1100}})
	realm.AddService("host/localhost")
	env, dir := mitEnv(t, realm)
	kinit(t, env, "-f", "-p", "-r", "2d", "alice")
	peers.MustRun(t, env, "kinit", "-R")
	peers.MustRun(t, env, "kvno", "-k", filepath.Join(dir, "krb5.keytab"), "host/localhost")
	if out := peers.MustRun(t, env, "klist", "-f"); !strings.Contains(out, "Flags: FPRA") {
		t.Error(out)
	}
	realm.Advance(3 * 24 * 60 * 60 * 1e9)
	if out, err := peers.Run(t, env, "kinit", "-R"); err == nil {
		t.Errorf("renewed after its end: %s", out)
	}
}

// MIT's kvno gets a ticket in the name of a user to its own service, and with it one for
// another service, as the KDC permits.
func TestMITS4U(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	for _, pac := range []bool{false, true} {
		realm := kdctest.New(t, kdctest.Options{PAC: pac})
		realm.AddUser("alice", "secret")
		realm.SetLogon("alice", kdctest.Logon{})
		realm.AddService("HTTP/front", kdctest.ServiceOptions{Impersonate: true, DelegateTo: []string{"host/back"}})
		realm.AddService("HTTP/plain", kdctest.ServiceOptions{DelegateTo: []string{"host/back"}})
		realm.AddService("host/back")
		realm.AddService("host/other")
		env, dir := mitEnv(t, realm)
		keytab := filepath.Join(dir, "krb5.keytab")
		kinit(t, env, "-f", "-k", "-t", keytab, "HTTP/front")
		out := peers.MustRun(t, env, "kvno", "-U", "alice", "-k", keytab, "HTTP/front")
		if !strings.Contains(out, "keytab entry valid") {
			t.Errorf("S4U2Self: %s", out)
		}
		if out, err := peers.Run(t, env, "kvno", "-U", "mallory", "HTTP/front"); err == nil {
			t.Errorf("S4U2Self of nobody: %s", out)
		}
		cc := filepath.Join(dir, "proxy")
		out = peers.MustRun(t, env, "kvno", "-U", "alice", "-P", "--out-cache", cc, "host/back")
		if !strings.Contains(out, "host/back@GSS.TEST: kvno = 1") {
			t.Errorf("S4U2Proxy: %s", out)
		}
		if out := peers.MustRun(t, append(env, "KRB5CCNAME="+cc), "klist"); !strings.Contains(out, "Default principal: alice@GSS.TEST") || !strings.Contains(out, "host/back@") {
			t.Error(out)
		}
		if out, err := peers.Run(t, env, "kvno", "-U", "alice", "-P", "host/other"); err == nil {
			t.Errorf("S4U2Proxy to a service that is not permitted: %s", out)
		}
		os.Remove(filepath.Join(dir, "ccache"))
		kinit(t, env, "-f", "-k", "-t", keytab, "HTTP/plain")
		peers.MustRun(t, env, "kvno", "-U", "alice", "HTTP/plain")
		if out, err := peers.Run(t, env, "kvno", "-U", "alice", "-P", "host/back"); err == nil {
			t.Errorf("evidence that is not forwardable: %s", out)
		}
	}
}
