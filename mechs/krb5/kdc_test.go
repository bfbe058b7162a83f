package krb5_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// realm is a KDC in this process with alice, bob (no password) and host/h.test.
func realm(t *testing.T, o kdctest.Options) (*kdctest.Realm, *krb5.Config) {
	t.Helper()
	r := kdctest.New(t, o)
	r.AddUser("alice", "secret")
	r.AddUser("bob", "")
	r.AddService("host/h.test")
	config, err := krb5.ParseConfig(r.Krb5Conf())
	if err != nil {
		t.Fatal(err)
	}
	return r, config
}

func TestKDC(t *testing.T) {
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			r, config := realm(t, kdctest.Options{Enctypes: []int32{int32(e.ID)}})
			dir := t.TempDir()
			r.WriteKeytab(filepath.Join(dir, "service"), "host/h.test")
			r.WriteKeytab(filepath.Join(dir, "client"), "bob")
			r.WriteCCache(filepath.Join(dir, "cc"), "alice")
			must := mustCred(t)
			m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
			service := must(krb5.FromKeytabFile(filepath.Join(dir, "service"), ""))
			for kind, cred := range map[string]*krb5.Credential{
				"password": must(krb5.FromPassword("alice@"+r.Realm(), "secret")),
				"keytab":   must(krb5.FromKeytabFile(filepath.Join(dir, "client"), "bob@"+r.Realm())),
				"ccache":   must(krb5.FromCCacheFile(filepath.Join(dir, "cc"))),
			} {
				for mode, flags := range modes {
					t.Run(kind+"/"+mode, func(t *testing.T) {
						i, a := handshake(t, m, m, gss.Service("host", "h.test"), cred, service, &gss.InitOptions{Require: flags}, &gss.AcceptOptions{Require: flags})
						if i.Info().Local != cred.Name() || i.Info().Local != a.Info().Peer || i.Info().Peer != a.Info().Local {
							t.Errorf("%+v and %+v", i.Info(), a.Info())
						}
						if i.Info().Flags != flags|gss.ProtReady|gss.Trans || a.Info().Flags != i.Info().Flags || !i.Info().Expiry.Equal(a.Info().Expiry) {
							t.Errorf("%+v and %+v", i.Info(), a.Info())
						}
						tok, err := i.Wrap(nil, []byte("hello"), gss.Confidential)
						if err != nil {
							t.Fatal(err)
						}
						if msg, _, err := a.Unwrap(nil, tok); err != nil || string(msg) != "hello" {
							t.Errorf("%q, %v", msg, err)
						}
					})
				}
			}
		})
	}
}

// Of every key and order of preference, what both sides permit is used.
func TestEncTypes(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	file := filepath.Join(t.TempDir(), "service")
	var target gss.Name
	var service *krb5.Credential
	for _, e := range peers.Enctypes {
		// A service of that type: its key is subject to EncTypes too.
		host := fmt.Sprintf("h%d.test", e.ID)
		r.AddService("host/"+host, kdctest.ServiceOptions{Enctypes: []int32{int32(e.ID)}})
		r.WriteKeytab(file, "host/"+host)
		service = mustCred(t)(krb5.FromKeytabFile(file, ""))
		target = gss.Service("host", host)
		c := *config
		c.EncTypes = []int32{23, int32(e.ID)}
		m := krb5.New(krb5.Options{Config: &c})
		cred := mustCred(t)(krb5.FromPassword("alice@"+r.Realm(), "secret"))
		handshake(t, m, m, target, cred, service, nil, nil)

		// The same credential, whose tickets are of that type, where it is not permitted.
		c2 := *config
		c2.EncTypes = []int32{int32(17 + (e.ID-17+1)%4)}
		strict := krb5.New(krb5.Options{Config: &c2})
		if _, _, ierr, _ := try(t, strict, strict, target, cred, service, nil, nil); gss.MajorOf(ierr) != gss.Unavailable {
			t.Errorf("initiator, %s is not permitted: %v", e.Name, ierr)
		}
		if _, _, _, aerr := try(t, m, strict, target, cred, service, nil, nil); gss.MajorOf(aerr) != gss.Unavailable {
			t.Errorf("acceptor, %s is not permitted: %v", e.Name, aerr)
		}
	}
	none := *config
	none.EncTypes = []int32{}
	m := krb5.New(krb5.Options{Config: &none})
	cred := mustCred(t)(krb5.FromPassword("alice@"+r.Realm(), "secret"))
	if _, _, ierr, _ := try(t, m, m, target, cred, service, nil, nil); gss.MajorOf(ierr) != gss.Unavailable {
		t.Errorf("nothing is permitted: %v", ierr)
	}
}

// What a KDC refuses, and one that is not there.
func TestNoTicket(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	must := mustCred(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	nobody := *config
	nobody.KDCs = map[string][]string{r.Realm(): {"tcp/" + closed.Addr().String()}}
	unknown := krb5.Config{DefaultRealm: r.Realm()}
	other := filepath.Join(t.TempDir(), "keytab")
	wrong := kdctest.New(t, kdctest.Options{Realm: r.Realm()})
	wrong.AddUser("bob", "")
	wrong.WriteKeytab(other, "bob")
	for _, tt := range []struct {
		name   string
		config *krb5.Config
		cred   *krb5.Credential
		target gss.Name
		major  gss.Major
		minor  uint32
	}{
		{"wrong password", config, must(krb5.FromPassword("alice@"+r.Realm(), "Secret")), gss.Service("host", "h.test"), gss.NoCred, 24},
		{"wrong key", config, must(krb5.FromKeytabFile(other, "bob@"+r.Realm())), gss.Service("host", "h.test"), gss.NoCred, 24},
		{"unknown client", config, must(krb5.FromPassword("mallory@"+r.Realm(), "secret")), gss.Service("host", "h.test"), gss.NoCred, 6},
		{"unknown service", config, must(krb5.FromPassword("alice@"+r.Realm(), "secret")), gss.Service("host", "x.test"), gss.BadName, 7},
		{"unknown realm", &unknown, must(krb5.FromPassword("alice@"+r.Realm(), "secret")), gss.Service("host", "h.test"), gss.Failure, 0},
		{"no KDC", &nobody, must(krb5.FromPassword("alice@"+r.Realm(), "secret")), gss.Service("host", "h.test"), gss.Failure, 0},
	} {
		h, err := krb5.New(krb5.Options{Config: tt.config}).Initiate(tt.target, &gss.InitOptions{Credentials: []gss.Credential{tt.cred}})
		if err != nil {
			t.Fatal(err)
		}
		out, sc, err := h.Step(t.Context(), nil)
		e, ok := errors.AsType[*gss.Error](err)
		if len(out) > 0 || sc != nil || !ok || e.Major != tt.major || e.Minor != tt.minor {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("%s: a second Step: %v", tt.name, err)
		}
	}
}

// counting counts connections to KDCs.
func counting(n *atomic.Int32) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Many handshakes with one service are one AS and one TGS exchange.
func TestConcurrentHandshakes(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	keytab, err := r.Keytab("host/h.test")
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int32
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore(), Dial: counting(&dials)})
	cred := mustCred(t)(krb5.FromPassword("alice@"+r.Realm(), "secret"))
	service := mustCred(t)(krb5.FromKeytab(keytab, ""))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			ih, err := m.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
			if err != nil {
				t.Error(err)
				return
			}
			defer ih.Close()
			ah, err := m.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{service}})
			if err != nil {
				t.Error(err)
				return
			}
			defer ah.Close()
			tok, _, err := ih.Step(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			tok, a, err := ah.Step(t.Context(), tok)
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Close()
			_, i, err := ih.Step(t.Context(), tok)
			if err != nil {
				t.Error(err)
				return
			}
			defer i.Close()
			ih.Close()
			ah.Close()
			x, err1 := i.PRF(gss.PRFFull, []byte("x"), 32)
			y, err2 := a.PRF(gss.PRFFull, []byte("x"), 32)
			if err1 != nil || err2 != nil || string(x) != string(y) || string(x) == string(make([]byte, 32)) {
				t.Errorf("PRF: %x, %x, %v, %v", x, y, err1, err2)
			}
		})
	}
	wg.Wait()
	if n := dials.Load(); n != 3 { // AS without and with pre-authentication, TGS
		t.Errorf("%d exchanges", n)
	}
}

// A credential lives as long as a handshake that uses it, and no longer.
func TestCredentialLife(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	m := krb5.New(krb5.Options{Config: config})
	cred := mustCred(t)(krb5.FromPassword("alice@"+r.Realm(), "secret"))
	target := gss.Service("host", "h.test")
	o := &gss.InitOptions{Credentials: []gss.Credential{cred}}
	h, err := m.Initiate(target, o)
	if err != nil {
		t.Fatal(err)
	}
	handle := cred.Handle()
	cred.Close()
	cred.Close()
	if cred.Handle() != nil {
		t.Error("a handle on a closed credential")
	}
	if _, _, err := h.Step(t.Context(), nil); err != nil {
		t.Errorf("closed after Initiate: %v", err)
	}
	h.Close()
	h.Close()
	if _, err := m.Initiate(target, o); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("closed before Initiate: %v", err)
	}
	if h, err = m.Initiate(target, &gss.InitOptions{Credentials: []gss.Credential{handle}}); err != nil {
		t.Fatal(err)
	}
	handle.Close()
	if _, _, err := h.Step(t.Context(), nil); err != nil {
		t.Errorf("the other handle: %v", err)
	}
	h.Close()
	if _, err := cred.Source()(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("Source of a closed credential: %v", err)
	}
}

// A KDC that does not answer holds a Step no longer than its context.
func TestSilentKDC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	for _, kdc := range []string{l.Addr().String(), "udp/" + u.LocalAddr().String()} {
		m := krb5.New(krb5.Options{Config: &krb5.Config{KDCs: map[string][]string{"R": {kdc, kdc, kdc}}}})
		cred := mustCred(t)(krb5.FromPassword("a@R", "b"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for range 2 { // the second waits for the first
			wg.Go(func() {
				h, err := m.Initiate(gss.Service("host", "h"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
				if err != nil {
					t.Error(err)
					return
				}
				defer h.Close()
				began := time.Now()
				if _, _, err := h.Step(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || gss.MajorOf(err) != gss.Failure {
					t.Errorf("%s: %v", kdc, err)
				}
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("%s: Step took %v", kdc, d)
				}
			})
		}
		wg.Wait()
	}
}

// The KDC is found where the configuration says, in its order, by TCP and by UDP.
func TestTransports(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	small := tooBig(t)
	for _, tt := range []struct {
		name string
		kdcs []string
		ok   bool
	}{
		{"tcp", []string{"tcp/" + r.Addr()}, true},
		{"udp", []string{"udp/" + r.Addr()}, true},
		{"either", []string{r.Addr()}, true},
		{"first is dead", []string{"tcp/" + closed.Addr().String(), r.Addr()}, true},
		{"first is nonsense", []string{"[::", "https://kdc/", "host name", "", r.Addr()}, true},
		{"first has too much to say for UDP", []string{"udp/" + small, r.Addr()}, true},
		{"first has, and only UDP is heard", []string{small, "udp/" + r.Addr()}, true},
		{"all have too much to say", []string{"udp/" + small, "udp/" + small}, false},
		{"all are dead", []string{"tcp/" + closed.Addr().String()}, false},
		{"all are nonsense", []string{"sctp/" + r.Addr()}, false},
	} {
		c := *config
		c.KDCs = map[string][]string{r.Realm(): tt.kdcs}
		m := krb5.New(krb5.Options{Config: &c})
		cred := mustCred(t)(krb5.FromPassword("alice@"+r.Realm(), "secret"))
		h, err := m.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Step(t.Context(), nil); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		h.Close()
	}
}

// tooBig is a KDC that is there by UDP only, and whose reply is too long for that.
func tooBig(t *testing.T) (addr string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e := ikrb5.KRBError{
		Code: ikrb5.KRB_ERR_RESPONSE_TOO_BIG, STime: time.Now(), Realm: "R",
		SName: ikrb5.PrincipalName{Type: 2, Components: []string{"krbtgt", "R"}},
	}
	go func() {
		b := make([]byte, 1<<16)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(e.Append(nil), from)
		}
	}()
	return c.LocalAddr().String()
}

// A Source follows its file: keys that were rolled, a cache of somebody else's.
func TestFileSource(t *testing.T) {
	r, config := realm(t, kdctest.Options{})
	dir := t.TempDir()
	keytab, cc := filepath.Join(dir, "keytab"), filepath.Join(dir, "cc")
	open := func(path string) (*krb5.Credential, error) { return krb5.FromKeytabFile(path, "") }
	m := krb5.New(krb5.Options{
		Config: config, Replay: oldStore(),
		Initiator: krb5.FileSource("FILE:"+cc, krb5.FromCCacheFile),
		Acceptor:  krb5.FileSource(keytab, open),
	})
	run := func() (gss.Info, error, error) {
		ih, err := m.Initiate(gss.Service("host", "h.test"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ih.Close()
		ah, err := m.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ah.Close()
		tok, _, ierr := ih.Step(t.Context(), nil)
		if ierr != nil {
			return gss.Info{}, ierr, nil
		}
		_, a, aerr := ah.Step(t.Context(), tok)
		if aerr != nil {
			return gss.Info{}, nil, aerr
		}
		defer a.Close()
		return a.Info(), nil, nil
	}
	if _, ierr, _ := run(); gss.MajorOf(ierr) != gss.NoCred {
		t.Errorf("no cache: %v", ierr)
	}
	if _, err := m.Acquire(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("Acquire without a cache: %v", err)
	}
	r.WriteCCache(cc, "alice")
	if _, _, aerr := run(); gss.MajorOf(aerr) != gss.NoCred {
		t.Errorf("no keytab: %v", aerr)
	}
	r.WriteKeytab(keytab, "host/h.test")
	for _, user := range []string{"alice", "bob", "alice"} {
		r.WriteCCache(cc, user)
		r.Rekey("host/h.test")
		r.WriteKeytab(keytab, "host/h.test")
		for range 2 {
			info, ierr, aerr := run()
			if ierr != nil || aerr != nil || info.Peer.Text != user+"@"+r.Realm() {
				t.Errorf("%v, %v, %v; want %s", info.Peer, ierr, aerr, user)
			}
		}
		creds, err := m.Acquire(t.Context())
		if err != nil || len(creds) != 1 || creds[0].Name().Text != user+"@"+r.Realm() {
			t.Errorf("Acquire: %v, %v", creds, err)
		}
		creds[0].Close()
	}
	os.WriteFile(keytab, []byte{5, 2, 0}, 0o600)
	if _, _, aerr := run(); gss.MajorOf(aerr) != gss.DefectiveCredential {
		t.Errorf("keytab cut short: %v", aerr)
	}
	os.Remove(keytab)
	if _, _, aerr := run(); gss.MajorOf(aerr) != gss.NoCred {
		t.Errorf("keytab gone: %v", aerr)
	}
}
