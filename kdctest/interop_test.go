package kdctest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
)

func eachEnctype(t *testing.T, test func(t *testing.T, id int, name string)) {
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) { test(t, e.ID, e.Name) })
	}
}

// enctypeRealm has a user and a service that have no choice.
func enctypeRealm(t *testing.T, id int, logf func(string, ...any)) *kdctest.Realm {
	realm := kdctest.New(t, kdctest.Options{Enctypes: []int32{int32(id)}, Logf: logf})
	realm.AddUser("alice", "secret")
	realm.AddService("host/localhost")
	return realm
}

// transports are the lines of [libdefaults] that send clients there.
var transports = []struct{ name, libdefault string }{
	{"UDP", "udp_preference_limit = 1465"},
	{"TCP", "udp_preference_limit = 1"},
}

// A kdcLog is a Logf that knows over which transports requests came.
type kdcLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *kdcLog) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *kdcLog) check(t *testing.T, transport string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if !strings.Contains(line, "("+transport+")") {
			t.Errorf("not over %s: %s", transport, line)
		}
	}
	if len(l.lines) == 0 {
		t.Error("no requests")
	}
}

func goConfig(t *testing.T, realm *kdctest.Realm, libdefaults ...string) *config.Config {
	t.Helper()
	c, err := config.NewFromString(realm.Krb5Conf(libdefaults...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGokrb5(t *testing.T) {
	eachEnctype(t, func(t *testing.T, id int, _ string) {
		for _, tr := range transports {
			var log kdcLog
			realm := enctypeRealm(t, id, log.logf)
			cfg := goConfig(t, realm, tr.libdefault, "forwardable = true", "renew_lifetime = 2d")
			b, err := realm.Keytab("alice")
			if err != nil {
				t.Fatal(err)
			}
			kt := keytab.New()
			if err := kt.Unmarshal(b); err != nil {
				t.Fatal(err)
			}
			for kind, c := range map[string]*client.Client{
				"password": client.NewWithPassword("alice", realm.Realm(), "secret", cfg),
				"keytab":   client.NewWithKeytab("alice", realm.Realm(), kt, cfg),
			} {
				if err := c.Login(); err != nil {
					t.Fatalf("%s, %s: %v", tr.name, kind, err)
				}
				tkt, key, err := c.GetServiceTicket("host/localhost")
				if err != nil {
					t.Fatalf("%s, %s: %v", tr.name, kind, err)
				}
				if int(tkt.EncPart.EType) != id || int(key.KeyType) != id {
					t.Errorf("%s, %s: ticket %d, session %d, want %d", tr.name, kind, tkt.EncPart.EType, key.KeyType, id)
				}
				services, err := realm.Keytab()
				if err != nil {
					t.Fatal(err)
				}
				skt := keytab.New()
				if err := skt.Unmarshal(services); err != nil {
					t.Fatal(err)
				}
				if err := tkt.DecryptEncPart(skt, nil); err != nil {
					t.Fatal(err)
				}
				if got := tkt.DecryptedEncPart.CName.PrincipalNameString(); got != "alice" {
					t.Errorf("ticket of %q", got)
				}
				c.Destroy()
			}
			wrong := client.NewWithPassword("alice", realm.Realm(), "Secret", cfg)
			if err := wrong.Login(); err == nil || !strings.Contains(err.Error(), "KDC_ERR_PREAUTH_FAILED") {
				t.Errorf("wrong password: %v", err)
			}
			wrong.Destroy()
			log.check(t, tr.name)
		}
	})
}

func TestGokrb5CCache(t *testing.T) {
	eachEnctype(t, func(t *testing.T, id int, _ string) {
		realm := enctypeRealm(t, id, nil)
		path := filepath.Join(t.TempDir(), "ccache")
		realm.WriteCCache(path, "alice", "host/localhost")
		cc, err := credentials.LoadCCache(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.NewFromCCache(cc, goConfig(t, realm))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Destroy()
		_, key, err := c.GetServiceTicket("host/localhost")
		if err != nil || int(key.KeyType) != id {
			t.Errorf("session key of type %d, %v", key.KeyType, err)
		}
		realm.AddService("HTTP/localhost")
		if _, _, err := c.GetServiceTicket("HTTP/localhost"); err != nil {
			t.Errorf("through the TGT: %v", err)
		}
	})
}

// MIT's tools log in with a password and with a keytab, get a ticket, and decrypt
// it with the service's keytab; over UDP and over TCP.
func TestMIT(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	eachEnctype(t, func(t *testing.T, id int, name string) {
		for _, tr := range transports {
			t.Run(tr.name, func(t *testing.T) {
				var log kdcLog
				realm := enctypeRealm(t, id, log.logf)
				dir := t.TempDir()
				pairs, err := realm.Env(dir, tr.libdefault)
				if err != nil {
					t.Fatal(err)
				}
				env := peers.Env(pairs...)
				kt := filepath.Join(dir, "alice.keytab")
				realm.WriteKeytab(kt, "alice")
				for _, args := range [][]string{{"alice"}, {"-k", "-t", kt, "alice"}} {
					if out, err := peers.RunInput(t, env, "secret\n", "kinit", args...); err != nil {
						t.Fatalf("kinit %v: %v\n%s", args, err, out)
					}
					out := peers.MustRun(t, env, "kvno", "-k", filepath.Join(dir, "krb5.keytab"), "host/localhost")
					if !strings.Contains(out, "kvno = 1, keytab entry valid") {
						t.Errorf("kvno: %s", out)
					}
					out = peers.MustRun(t, env, "klist", "-e")
					want := fmt.Sprintf("Etype (skey, tkt): %s, %[1]s", name)
					if n := strings.Count(out, want); n != 2 || !strings.Contains(out, "host/localhost@"+realm.Realm()) {
						t.Errorf("want two tickets with %q:\n%s", want, out)
					}
				}
				out, err := peers.RunInput(t, env, "wrong\n", "kinit", "alice")
				if err == nil || !strings.Contains(out, "Password incorrect") {
					t.Errorf("kinit with a wrong password: %v\n%s", err, out)
				}
				out, err = peers.RunInput(t, env, "secret\n", "kinit", "mallory")
				if err == nil || !strings.Contains(out, "not found in Kerberos database") {
					t.Errorf("kinit of nobody: %v\n%s", err, out)
				}
				log.check(t, tr.name)
			})
		}
	})
}

// Flags, renewal, and caches that nobody logged in for.
func TestMITTickets(t *testing.T) {
	peers.Need(t, "kinit", "kvno", "klist")
	realm := kdctest.New(t)
	realm.AddUser("alice", "secret")
	realm.AddService("host/localhost", kdctest.ServiceOptions{OKAsDelegate: true})
	dir := t.TempDir()
	pairs, err := realm.Env(dir)
	if err != nil {
		t.Fatal(err)
	}
	env := peers.Env(pairs...)
	flags := func() string {
		t.Helper()
		return peers.MustRun(t, env, "klist", "-f")
	}
	if out, err := peers.RunInput(t, env, "secret\n", "kinit", "-f", "-p", "-r", "2d", "-l", "1h", "alice"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := flags(); !strings.Contains(out, "Flags: FPRIA") {
		t.Errorf("want a forwardable, proxiable, renewable, initial, preauthenticated TGT:\n%s", out)
	}
	peers.MustRun(t, env, "kvno", "host/localhost")
	if out := flags(); !strings.Contains(out, "Flags: FPRATO") {
		t.Errorf("want a ticket that is ok as delegate, transit checked:\n%s", out)
	}
	peers.MustRun(t, env, "kinit", "-R")
	if out := flags(); !strings.Contains(out, "Flags: FPRA\n") || strings.Contains(out, "host/") {
		t.Errorf("want a renewed TGT alone:\n%s", out)
	}

	path := strings.TrimPrefix(pairs[2], "KRB5CCNAME=FILE:")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	realm.WriteCCache(path, "alice", "host/localhost")
	if out := peers.MustRun(t, env, "kvno", "--cached-only", "host/localhost"); !strings.Contains(out, "kvno = 1") {
		t.Error(out)
	}
	realm.Rekey("host/localhost")
	realm.AddService("HTTP/localhost")
	realm.WriteKeytab(filepath.Join(dir, "krb5.keytab"))
	out := peers.MustRun(t, env, "kvno", "-k", filepath.Join(dir, "krb5.keytab"), "HTTP/localhost", "host/localhost")
	if strings.Count(out, "keytab entry valid") != 2 {
		t.Error(out)
	}
	peers.MustRun(t, env, "kinit", "-R")
	out = peers.MustRun(t, env, "kvno", "-k", filepath.Join(dir, "krb5.keytab"), "host/localhost")
	if !strings.Contains(out, "kvno = 2, keytab entry valid") {
		t.Error(out)
	}
	out = peers.MustRun(t, env, "klist", "-k", "-e")
	if n := strings.Count(out, "host/localhost@"); n != 8 {
		t.Errorf("%d keys of host/localhost in the keytab, want 4 of each of 2 versions\n%s", n, out)
	}
}
