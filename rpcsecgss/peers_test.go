package rpcsecgss

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
)

// krb returns the mechanism with a cache's tickets, and the keytab of realm r.
func krb(t *testing.T, r *peers.Realm, ccache string) *krb5.Mech {
	t.Helper()
	config, err := krb5.LoadConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	return krb5.New(krb5.Options{Config: config, Initiator: krb5.FileSource(ccache, krb5.FromCCacheFile),
		Acceptor: krb5.FileSource(r.Keytab, func(p string) (*krb5.Credential, error) { return krb5.FromKeytabFile(p, "") })})
}

// run starts a program that ends with the test.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// program finds one that need not be in an ordinary user's PATH.
func program(t *testing.T, name string) string {
	peers.Need(t, name)
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	return filepath.Join("/usr/sbin", name)
}

// startKadmind starts MIT's kadmind for r, and returns its address.
func startKadmind(t *testing.T, r *peers.Realm) string {
	t.Helper()
	kadmind := program(t, "kadmind")
	conf, err := os.ReadFile(filepath.Join(r.Dir, "kdc.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "acl"), []byte("user@"+r.Name+" *\nlimited@"+r.Name+" i\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 { // somebody may take the ports
		var addrs []string
		for range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addrs = append(addrs, l.Addr().String())
			l.Close()
		}
		listen := fmt.Sprintf("    kadmind_listen = %s\n    kpasswd_listen = %s\n    acl_file =", addrs[0], addrs[1])
		profile := filepath.Join(t.TempDir(), "kadmind.conf")
		if err := os.WriteFile(profile, bytes.Replace(conf, []byte("    acl_file ="), []byte(listen), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(kadmind, "-nofork", "-r", r.Name)
		cmd.Env = peers.Env("KRB5_CONFIG="+r.Config, "KRB5_KDC_PROFILE="+profile, "KRB5RCACHEDIR="+r.Dir)
		var out bytes.Buffer
		cmd.Stderr = &out
		run(t, cmd)
		for range 500 {
			if c, err := net.Dial("tcp", addrs[0]); err == nil {
				c.Close()
				return addrs[0]
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Fatal("kadmind does not listen")
	return ""
}

// What kadmin speaks with kadmind.
const (
	kadmProg, kadmVers = 2112, 2
	kadmAPI            = 0x12345704
	kadmGetPrivs       = 12
	kadmInit           = 13
	kadmGetPrincs      = 14
)

func TestKadmind(t *testing.T) {
	peers.Need(t, "kadmind", "kinit")
	r := peers.MITRealm(t, peers.Options{Users: []string{"user", "limited"}})
	addr := startKadmind(t, r)
	target, err := krb5.ParseName(r.Principal("kadmin/admin"))
	if err != nil {
		t.Fatal(err)
	}
	// A ticket for kadmin/admin is to be had from the AS alone.
	user := krb(t, r, r.Kinit(t, "user", "-S", "kadmin/admin"))
	limited := krb(t, r, r.Kinit(t, "limited", "-S", "kadmin/admin"))
	dial := func(m gss.Mechanism, s Service) *Client {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(conn, kadmProg, kadmVers, ClientOptions{Mech: m, Target: target, Service: s})
		t.Cleanup(func() { c.Close() })
		return c
	}
	var arg Encoder
	arg.Uint32(kadmAPI)
	privs := func(t *testing.T, c *Client) uint32 {
		t.Helper()
		res, err := c.Call(within(t), kadmGetPrivs, arg.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(res)
		api, code, privs := d.Uint32(), d.Uint32(), d.Uint32()
		if d.Done() != nil || api != kadmAPI || code != 0 {
			t.Fatalf("GET_PRIVS: %x", res)
		}
		return privs
	}
	for _, s := range []Service{Integrity, Privacy} {
		t.Run(s.String(), func(t *testing.T) {
			c := dial(user, s)
			res, err := c.Call(within(t), kadmInit, arg.Bytes())
			if err != nil || !bytes.Equal(res, append(slices.Clone(arg.Bytes()), 0, 0, 0, 0)) {
				t.Fatalf("INIT: %x, %v", res, err)
			}
			if p := privs(t, c); p != 1<<32-1 {
				t.Errorf("the privileges of *: %#x", p)
			}

			// Principals: a string is its length with a NUL, 0 for none.
			list := func(c *Client) (all []string, code uint32) {
				var e Encoder
				e.Uint32(kadmAPI)
				e.String("*\x00")
				res, err := c.Call(within(t), kadmGetPrincs, e.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				d := NewDecoder(res)
				d.Uint32()
				if code = d.Uint32(); code == 0 {
					d.Uint32()
					for range d.Len(4) {
						all = append(all, strings.TrimSuffix(d.String(1000), "\x00"))
					}
				}
				if d.Done() != nil {
					t.Fatalf("GET_PRINCS: %x", res)
				}
				slices.Sort(all)
				return all, code
			}
			if all, code := list(dial(limited, s)); code == 0 {
				t.Errorf("one who may not list sees %q", all)
			}
			got, code := list(c)
			out := peers.MustRun(t, peers.Env("KRB5_CONFIG="+r.Config, "KRB5_KDC_PROFILE="+filepath.Join(r.Dir, "kdc.conf")),
				"kadmin.local", "-r", r.Name, "listprincs")
			var want []string
			for line := range strings.Lines(out) {
				if line = strings.TrimSpace(line); strings.HasSuffix(line, "@"+r.Name) && !strings.Contains(line, " ") {
					want = append(want, line)
				}
			}
			slices.Sort(want)
			if code != 0 || len(want) < 5 || !slices.Equal(got, want) {
				t.Errorf("code %d, principals %q, want %q", code, got, want)
			}

			// Many at a time, more than its window of 32.
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					if p := privs(t, c); p != 1<<32-1 {
						t.Errorf("%#x", p)
					}
				})
			}
			wg.Wait()

			if _, err := c.Call(within(t), 99, nil); !errors.Is(err, ProcUnavail) {
				t.Errorf("procedure 99: %v", err)
			}
			if res, err := c.Call(within(t), nullProc, nil); err != nil || len(res) > 0 {
				t.Errorf("null: %x, %v", res, err)
			}
		})
	}

	t.Run("refresh", func(t *testing.T) {
		c := dial(user, Privacy)
		privs(t, c)
		// It takes a number twice for the end of the context, and says so.
		first := present(c)
		first.seq--
		if p := privs(t, c); p != 1<<32-1 {
			t.Errorf("%#x", p)
		}
		if present(c) == first {
			t.Error("the context was not refreshed")
		}
		privs(t, c)
	})

	// It denies the others with AUTH_BADCRED.
	t.Run("versions", func(t *testing.T) {
		c := NewClient(nil, kadmProg, kadmVers, ClientOptions{Mech: user, Target: target, MaxVersion: 3,
			Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			}})
		defer c.Close()
		if privs(t, c); present(c).version != version1 {
			t.Error("version", present(c).version)
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c = NewClient(conn, kadmProg, kadmVers, ClientOptions{Mech: user, Target: target, MinVersion: 2})
		defer c.Close()
		if _, err := c.Call(within(t), kadmGetPrivs, arg.Bytes()); err != AuthBadCred {
			t.Error(err)
		}
	})

	// What has ended by our clock alone cannot be destroyed there, and is in the way on
	// that connection.
	t.Run("expired here", func(t *testing.T) {
		dead := &mortal{Mechanism: user}
		dialed := 0
		c := NewClient(nil, kadmProg, kadmVers, ClientOptions{Mech: dead, Target: target,
			Dial: func(ctx context.Context) (net.Conn, error) {
				dialed++
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			}})
		defer c.Close()
		for i := range 4 {
			if privs(t, c); dialed != i+1 {
				t.Fatalf("dialed %d times", dialed)
			}
			dead.made[i].over.Store(true)
		}
	})

	t.Run("other flavors", func(t *testing.T) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(conn, kadmProg, kadmVers, ClientOptions{})
		defer c.Close()
		if _, err := c.Call(within(t), nullProc, nil); err != AuthTooWeak {
			t.Error(err)
		}
	})
}

// tirpc compiles testdata/tirpc.c.
func tirpc(t *testing.T) string {
	t.Helper()
	peers.Need(t, "cc", "kinit", "krb5-config", "/usr/include/tirpc/rpc/rpc.h")
	bin := filepath.Join(t.TempDir(), "tirpc")
	if out, err := exec.Command("cc", "-Wall", "-Wno-unused", "-I", "/usr/include/tirpc", "-o", bin, "testdata/tirpc.c", "-ltirpc").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func TestTIRPC(t *testing.T) {
	bin := tirpc(t)
	r := peers.MITRealm(t, peers.Options{})
	cc := r.Kinit(t, "user")
	m := krb(t, r, cc)
	env := r.Env("KRB5CCNAME=FILE:" + cc)

	t.Run("their client", func(t *testing.T) {
		for _, network := range []string{"tcp", "udp"} {
			for _, sv := range []Service{None, Integrity, Privacy} {
				t.Run(fmt.Sprint(network, "/", sv), func(t *testing.T) {
					s := serve(t, network, ServerOptions{Accept: acceptor(m), MinService: sv})
					_, port, _ := net.SplitHostPort(s.addr.String())
					out, err := peers.Run(t, env, bin, "client", network, port, fmt.Sprint(uint32(sv)), "200")
					if err != nil || !strings.Contains(out, "200 calls are fine") {
						t.Errorf("%v: %s", err, out)
					}
					if n := s.executed.Load(); n != 201 {
						t.Errorf("executed %d", n)
					}
					if n := s.open.len(); n != 0 {
						t.Errorf("%d contexts are left", n)
					}
				})
			}
		}
	})

	t.Run("their server", func(t *testing.T) {
		cmd := exec.Command(bin, "server")
		cmd.Env = env
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		run(t, cmd)
		line, err := bufio.NewReader(pipe).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		for _, sv := range []Service{None, Integrity, Privacy} {
			t.Run(sv.String(), func(t *testing.T) {
				conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(line))
				if err != nil {
					t.Fatal(err)
				}
				c := NewClient(conn, testProg, testVers, ClientOptions{Mech: m, Target: gss.Service("host", "localhost"), Service: sv})
				defer c.Close()
				var wg sync.WaitGroup
				for i := range 64 { // its window is 5
					wg.Go(func() {
						msg := text(strings.Repeat("y", 97*i))
						if got, err := c.Call(within(t), procEcho, msg); err != nil || !bytes.Equal(got, msg) {
							t.Errorf("%d: %d octets, %v", i, len(got), err)
						}
					})
				}
				wg.Wait()
				res, err := c.Call(within(t), procWho, nil)
				if d := NewDecoder(res); err != nil || Service(d.Uint32()) != sv || d.Done() != nil {
					t.Errorf("the service is %x there, %v", res, err)
				}
				if _, err := c.Call(within(t), 99, nil); !errors.Is(err, ProcUnavail) {
					t.Errorf("procedure 99: %v", err)
				}
				if t.Failed() {
					t.FailNow()
				}
				first := present(c)
				again := func() { // a number twice ends the context there
					first.mu.Lock()
					first.seq--
					first.mu.Unlock()
				}
				again()
				if _, err := c.Call(within(t), procEcho, text("again")); err != nil || present(c) == first {
					t.Fatalf("refresh: %v, the same session: %v", err, present(c) == first)
				}
			})
		}

		t.Run("versions", func(t *testing.T) {
			for _, min := range []uint32{1, 2} {
				conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(line))
				if err != nil {
					t.Fatal(err)
				}
				c := NewClient(conn, testProg, testVers, ClientOptions{Mech: m, Target: gss.Service("host", "localhost"), MinVersion: min, MaxVersion: 3})
				defer c.Close()
				_, err = c.Call(within(t), procEcho, text("x"))
				if min == 1 && (err != nil || present(c).version != version1) || min == 2 && err != AuthBadCred {
					t.Errorf("at least %d: %v", min, err)
				}
			}
		})

		// Denials amid many calls, of which each is answered in the end.
		t.Run("refresh under load", func(t *testing.T) {
			conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(conn, testProg, testVers, ClientOptions{Mech: m, Target: gss.Service("host", "localhost"), Service: Integrity})
			defer c.Close()
			var stop atomic.Bool
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					msg := text(strings.Repeat("z", 97*i))
					for !stop.Load() && !t.Failed() {
						if got, err := c.Call(within(t), procEcho, msg); err != nil || !bytes.Equal(got, msg) {
							t.Errorf("%d: %d octets, %v", i, len(got), err)
						}
					}
				})
			}
			var last *session
			refreshed := 0
			for range 50 {
				time.Sleep(10 * time.Millisecond)
				s := present(c)
				if s == nil || s == last {
					continue // once each: another time, and DESTROY's number would be denied
				}
				refreshed++
				last = s
				s.mu.Lock()
				if s.seq > 0 {
					s.seq--
				}
				s.mu.Unlock()
			}
			stop.Store(true)
			wg.Wait()
			if refreshed < 3 {
				t.Errorf("%d contexts", refreshed)
			}
		})
	})
}
