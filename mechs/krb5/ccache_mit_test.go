package krb5_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
)

// kcm starts Heimdal's credential cache daemon, and returns its socket. The place of
// that is compiled in, below /run: the daemon gets a /run of its own.
func kcm(t *testing.T) (socket string) {
	t.Helper()
	h := peers.NeedHeimdal(t)
	peers.Need(t, "unshare")
	dir := t.TempDir()
	conf := filepath.Join(dir, "kcm.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	flags := "-m"
	if os.Getuid() != 0 {
		flags = "-rm"
	}
	cmd := exec.Command("unshare", flags, "sh", "-c", `mount --bind "$1" /run && exec "$2" --config-file="$3"`, "sh", dir, h.Program(t, "kcm"), conf)
	cmd.Env = h.Env()
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
	socket = filepath.Join(dir, ".heim_org.h5l.kcm-socket")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(3 * time.Millisecond) {
		if info, err := os.Stat(socket); err == nil && info.Mode().Perm()&0o022 != 0 { // bound, listening, and open to all
			return socket
		}
		select {
		case <-exited:
			if strings.Contains(out.String(), "unshare") || strings.Contains(out.String(), "mount") {
				t.Skipf("no folder /run of its own for kcm here: %s", out)
			}
			t.Fatalf("kcm ended: %s", out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("kcm does not listen")
		}
	}
}

// cacheKinds are names of caches that MIT's programs can use too, each a collection
// but for the first.
func cacheKinds(t *testing.T, each func(t *testing.T, name string, o krb5.CacheOptions, libdefaults string)) {
	t.Run("FILE", func(t *testing.T) {
		each(t, "FILE:"+filepath.Join(t.TempDir(), "cc"), krb5.CacheOptions{}, "")
	})
	t.Run("DIR", func(t *testing.T) {
		each(t, "DIR:"+filepath.Join(t.TempDir(), "cc"), krb5.CacheOptions{}, "")
	})
	t.Run("KCM", func(t *testing.T) {
		socket := kcm(t)
		each(t, "KCM:", krb5.CacheOptions{KCMSocket: socket}, "kcm_socket = "+socket)
	})
	for _, anchor := range []string{"session", "user", "legacy"} {
		t.Run("KEYRING "+anchor, func(t *testing.T) {
			needKeyring(t)
			each(t, "KEYRING:"+anchor+":gsstest"+rand.Text(), krb5.CacheOptions{}, "")
		})
	}
	t.Run("KEYRING persistent", func(t *testing.T) { // one cache: the collection may be in use
		needKeyring(t)
		each(t, "KEYRING:persistent::gsstest"+rand.Text(), krb5.CacheOptions{}, "")
	})
}

// needKeyring skips the test where the kernel, or what guards it, has no keyrings.
func needKeyring(t *testing.T) {
	t.Helper()
	c, err := krb5.OpenCache("KEYRING:user:gsstest", nil)
	if err != nil {
		t.Skip(err)
	}
	if _, err := c.Principal(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Skipf("no keyring: %v", err)
	}
}

// What we store MIT's tools list and use; what they store we use.
func TestCachesWithMIT(t *testing.T) {
	peers.Need(t, "kinit", "klist", "kvno", "kdestroy", "kswitch")
	r := peers.MITRealm(t, peers.Options{Users: []string{"alice", "bob"}, Services: []string{"host/h.test", "host/other.test", "host/third.test"}})
	config, err := krb5.LoadConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	must := mustCred(t)
	service := must(krb5.FromKeytabFile(r.Keytab, ""))
	cacheKinds(t, func(t *testing.T, name string, o krb5.CacheOptions, libdefaults string) {
		more := filepath.Join(t.TempDir(), "more.conf")
		if err := os.WriteFile(more, []byte("[libdefaults]\n"+libdefaults+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := r.Env("KRB5CCNAME="+name, "KRB5_CONFIG="+r.Config+":"+more)
		run := func(program string, args ...string) string { return peers.MustRun(t, env, program, args...) }
		o.StoreTickets = true
		cache, err := krb5.OpenCache(name, &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			list, _ := cache.Collection(t.Context())
			for _, c := range list {
				if strings.Contains(c.String(), "gsstest") {
					c.Destroy(t.Context())
				}
			}
			if !strings.Contains(name, "persistent") {
				krb5.RemoveCollection(cache)
			}
		})
		if _, err := cache.Credential(t.Context()); gss.MajorOf(err) != gss.NoCred {
			t.Fatalf("a cache that is not there: %v", err)
		}

		// Ours, for MIT.
		alice := must(krb5.FromClientKeytabFile(r.ClientKeytab, r.Principal("alice")))
		if err := cache.Store(t.Context(), alice); gss.MajorOf(err) != gss.NoCred {
			t.Fatalf("nothing to store: %v", err)
		}
		if err := m.Login(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if err := cache.Store(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if out := run("klist"); !strings.Contains(out, "Default principal: alice@TEST.GSS") || !strings.Contains(out, "krbtgt/TEST.GSS@TEST.GSS") {
			t.Errorf("klist: %s", out)
		}
		run("klist", "-s") // exit code 0: there is a TGT, and it is good
		run("kvno", "host/h.test")

		// MIT stored a ticket: no KDC is asked for it. Ours is stored for MIT.
		cred := must(cache.Credential(t.Context()))
		offline := krb5.New(krb5.Options{Config: &krb5.Config{DefaultRealm: r.Name}})
		handshake(t, offline, m, gss.Service("host", "h.test"), cred, service, nil, nil)
		handshake(t, m, m, gss.Service("host", "other.test"), cred, service, nil, nil)
		if out := run("klist"); strings.Count(out, "host/h.test@") != 1 || strings.Count(out, "host/other.test@") != 1 {
			t.Errorf("klist: %s", out)
		}
		run("kvno", "--cached-only", "host/other.test")
		if n, err := cache.Principal(t.Context()); err != nil || n != cred.Name() || n.Text != "alice@TEST.GSS" {
			t.Errorf("%v, %v", n, err)
		}

		// MIT's, and its setting, stay as they are when a ticket is added.
		run("kinit", "-k", "-t", r.ClientKeytab, "-c", cacheNow(t, cache), "bob")
		cred2 := must(cache.Credential(t.Context()))
		settings := run("klist", "-C")
		handshake(t, m, m, gss.Service("host", "third.test"), cred2, service, nil, nil)
		if out := run("klist", "-C"); !strings.Contains(out, "bob@") || !strings.Contains(out, "host/third.test@") || strings.Count(out, "config: ") != strings.Count(settings, "config: ") || !strings.Contains(out, "config: ") {
			t.Errorf("klist -C: %s, was %s", out, settings)
		}
		// alice's credential does not put her tickets into a cache that is bob's now.
		handshake(t, m, m, gss.Service("host", "third.test"), cred, service, nil, nil)
		if out := run("klist"); strings.Count(out, "host/third.test@") != 1 || strings.Contains(out, "alice") {
			t.Errorf("klist: %s", out)
		}

		source := krb5.New(krb5.Options{Config: config, Initiator: cache.Source()})
		acquire := func(want string) {
			t.Helper()
			cs, err := source.Acquire(t.Context())
			if err != nil || cs[0].Name().Text != want+"@TEST.GSS" {
				t.Fatalf("%v, %v, want %s", cs, err, want)
			}
			cs[0].Close()
		}
		acquire("bob")

		if list, err := cache.Collection(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("collection: %v, %v", list, err)
		} else if single := strings.HasPrefix(name, "FILE:"); single {
			if err := cache.Switch(t.Context()); gss.MajorOf(err) != gss.Unavailable {
				t.Errorf("switch: %v", err)
			}
			if _, err := cache.New(t.Context()); gss.MajorOf(err) != gss.Unavailable {
				t.Errorf("new: %v", err)
			}
		} else if !strings.Contains(name, "persistent") {
			if err := cache.Switch(t.Context()); err != nil { // kcm has another primary each time, until it is told one
				t.Fatal(err)
			}
			second, err := cache.New(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Store(t.Context(), alice); err != nil {
				t.Fatal(err)
			}
			if out := run("klist", "-l"); strings.Count(out, "@TEST.GSS") != 2 || !strings.Contains(out, second.String()) {
				t.Errorf("klist -l: %s", out)
			}
			acquire("bob")
			if err := second.Switch(t.Context()); err != nil {
				t.Fatal(err)
			}
			acquire("alice")
			if out := run("klist"); !strings.Contains(out, "Default principal: alice@") {
				t.Errorf("klist after our switch: %s", out)
			}
			run("kswitch", "-p", "bob")
			acquire("bob")
			list, err := cache.Collection(t.Context())
			if err != nil || len(list) != 2 || list[1].String() != second.String() {
				t.Errorf("collection: %v, %v", list, err)
			}
			if err := second.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out := run("klist", "-l"); strings.Count(out, "@TEST.GSS") != 1 {
				t.Errorf("klist -l after our Destroy: %s", out)
			}
		}
		run("kdestroy")
		if _, err := cache.Credential(t.Context()); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("after kdestroy: %v", err)
		}
	})
}

// cacheNow is the name of the one cache that is meant.
func cacheNow(t *testing.T, c *krb5.Cache) string {
	t.Helper()
	list, err := c.Collection(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range list {
		if n, err := member.Principal(t.Context()); err == nil && n.Text == "alice@TEST.GSS" {
			return member.String()
		}
	}
	t.Fatal(fmt.Sprint("no cache of alice's in ", list))
	return ""
}
