package krb5_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// openFiles counts this process' file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// TestNothingLeft: no goroutine and no file descriptor stays behind, whether things go well
// or not.
func TestNothingLeft(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what was forgotten
	r, config := realm(t, kdctest.Options{Realm: "LEAK.TEST", MaxUDPReply: 200})
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	r.WriteKeytab(in("keytab"), "host/h.test")
	r.WriteCCache(in("cc"), "alice")
	if err := os.WriteFile(in("bad"), []byte("\x05\x04rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("krb5.conf"), []byte("include "+in("bad")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon, err := net.Listen("unix", in("kcm")) // hangs up
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	go func() {
		for {
			c, err := daemon.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // never answers, nor hangs up
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	service := mustCred(t)(krb5.FromKeytabFile(in("keytab"), ""))
	good := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	with := func(kdc ...string) *krb5.Mech {
		c := *config
		c.KDCs = map[string][]string{r.Realm(): kdc}
		return krb5.New(krb5.Options{Config: &c})
	}
	deaf := with("tcp/"+silent.Addr().String(), "udp/"+silent.Addr().String())
	later := with("tcp/127.0.0.1:1", r.Addr()) // refused by the first
	narrow := with("udp/" + r.Addr())          // whose replies are too large

	round := func(n int) {
		password := "secret"
		if n%2 == 1 {
			password = "wrong"
		}
		for _, m := range []*krb5.Mech{good, later} {
			cred, err := krb5.FromPassword("alice@"+r.Realm(), password)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Login(t.Context(), cred); (err == nil) != (n%2 == 0) {
				t.Errorf("Login: %v", err)
			}
			cred.Close()
		}
		cred, err := krb5.FromPassword("alice@"+r.Realm(), "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer cred.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if deaf.Login(ctx, cred) == nil {
			t.Error("a silent KDC answered")
		}
		cancel()
		if err := narrow.Login(t.Context(), cred); gss.MajorOf(err) != gss.Failure {
			t.Errorf("by UDP alone: %v", err)
		}

		// A handshake in the middle of which nobody goes on, a refused one, a good one.
		h, err := good.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Step(t.Context(), nil); err != nil {
			t.Error(err)
		}
		h.Close()
		iopt := gss.InitOptions{Require: gss.DefaultFlags, Bindings: []byte("x")}
		if _, _, _, err := try(t, good, good, gss.Service("host", "h.test"), cred, service, &iopt, &gss.AcceptOptions{Bindings: []byte("y")}); gss.MajorOf(err) != gss.BadBindings {
			t.Error(err)
		}
		i, a := handshake(t, good, good, gss.Service("host", "h.test"), cred, service, &gss.InitOptions{Require: gss.DefaultFlags}, nil)
		if state, err := a.(gss.Exporter).Export(); err != nil {
			t.Error(err)
		} else if sc, err := good.Import(state); err != nil {
			t.Error(err)
		} else {
			sc.Close()
		}
		i.Close()

		// Files and sockets, good and bad.
		if _, err := krb5.LoadConfig(in("krb5.conf")); err == nil {
			t.Error("a bad configuration was read")
		}
		var memory krb5.MemoryCaches
		for _, name := range []string{"FILE:" + in("cc"), "FILE:" + in("bad"), "FILE:" + in("new"), "DIR:" + in("dir"), "MEMORY:x", "KCM:"} {
			c, err := krb5.OpenCache(name, &krb5.CacheOptions{Memory: &memory, KCMSocket: in("kcm"), StoreTickets: true})
			if err != nil {
				t.Error(err)
				continue
			}
			source := c.Source()
			for range 2 {
				if found, err := source(t.Context()); err == nil {
					h, err := good.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{found}})
					if err == nil {
						h.Step(t.Context(), nil)
						h.Close()
					}
					found.Close()
				}
				c.Store(t.Context(), cred)
				c.Collection(t.Context())
			}
			c.Switch(t.Context())
			if name != "FILE:"+in("bad") && name != "FILE:"+in("cc") {
				c.Destroy(t.Context())
			}
		}
		krb5.FromKeytabFile(in("bad"), "")
		krb5.FromCCacheFile(in("bad"))
	}

	round(0) // what is opened once for all
	round(1)
	settle := func(files, goroutines int) (int, int) {
		var f, g int
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if f, g = openFiles(t), runtime.NumGoroutine(); f <= files && g <= goroutines || time.Now().After(deadline) {
				return f, g
			}
		}
	}
	time.Sleep(50 * time.Millisecond) // the KDC's ends of connections
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for n := range 10 {
		round(n)
	}
	if f, g := settle(files, goroutines); f > files || g > goroutines {
		t.Errorf("%d file descriptors, were %d; %d goroutines, were %d", f, files, g, goroutines)
	}
}
