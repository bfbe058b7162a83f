package krb5_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// front is a realm with HTTP/front, which may act for users towards host/back, and with
// HTTP/plain, which may for who came to it.
func frontRealm(t *testing.T, pac bool) (r *kdctest.Realm, m *krb5.Mech, service func(name string) *krb5.Credential) {
	t.Helper()
	r = kdctest.New(t, kdctest.Options{PAC: pac})
	r.AddUser("alice", "secret")
	r.SetLogon("alice", kdctest.Logon{})
	r.AddService("HTTP/front", kdctest.ServiceOptions{Impersonate: true, DelegateTo: []string{"host/back", "HTTP/plain"}})
	r.AddService("HTTP/plain", kdctest.ServiceOptions{DelegateTo: []string{"host/back"}})
	r.AddService("host/back")
	r.AddService("host/other")
	config, err := krb5.ParseConfig(r.Krb5Conf())
	if err != nil {
		t.Fatal(err)
	}
	config.Forwardable = !pac // if not, Impersonate sees to it
	m = krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	return r, m, func(name string) *krb5.Credential {
		keytab, err := r.Keytab(name)
		if err != nil {
			t.Fatal(err)
		}
		return mustCred(t)(krb5.FromKeytab(keytab, name+"@"+r.Realm()))
	}
}

func TestImpersonate(t *testing.T) {
	for _, pac := range []bool{false, true} {
		_, m, service := frontRealm(t, pac)
		front := service("HTTP/front")
		cred := mustCred(t)(m.Impersonate(t.Context(), front, gss.User("alice")))
		front.Close() // cred has a handle of its own
		if cred.Name().Text != "alice@GSS.TEST" || time.Until(cred.Expiry()) < time.Hour || cred.Expiry().IsZero() {
			t.Errorf("%v until %v", cred.Name(), cred.Expiry())
		}
		for _, target := range []string{"host/back", "HTTP/front"} {
			name, err := krb5.ParseName(target + "@GSS.TEST")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				i, a := handshake(t, m, m, name, cred, service(target), nil, nil)
				if a.Info().Peer.Text != "alice@GSS.TEST" || i.Info().Local != a.Info().Peer || a.Info().Local != name {
					t.Errorf("%+v and %+v", i.Info(), a.Info())
				}
			}
		}
		other, _ := krb5.ParseName("host/other@GSS.TEST")
		if _, _, ierr, _ := try(t, m, m, other, cred, service("host/other"), nil, nil); gss.MajorOf(ierr) != gss.Unauthorized {
			t.Errorf("to a service that is not permitted: %v", ierr)
		}
	}
}

func TestImpersonateRefused(t *testing.T) {
	r, m, service := frontRealm(t, false)
	front := service("HTTP/front")
	closed := service("HTTP/front")
	closed.Close()
	keytab, err := r.Keytab("HTTP/front")
	if err != nil {
		t.Fatal(err)
	}
	any := mustCred(t)(krb5.FromKeytab(keytab, "")) // accepts only
	for name, tt := range map[string]struct {
		service *krb5.Credential
		user    gss.Name
		want    gss.Major
	}{
		"nobody":                  {front, gss.User("mallory"), gss.BadName},
		"a user of another realm": {front, gss.User("alice@OTHER.TEST"), gss.Unavailable},
		"no name":                 {front, gss.Name{}, gss.BadName},
		"a name of another type":  {front, gss.Name{Mech: "1.2.3", Text: "x"}, gss.BadNameType},
		"closed":                  {closed, gss.User("alice"), gss.NoCred},
		"without a principal":     {any, gss.User("alice"), gss.NoCred},
	} {
		if c, err := m.Impersonate(t.Context(), tt.service, tt.user); c != nil || gss.MajorOf(err) != tt.want {
			t.Errorf("%s: %v, %v, want %v", name, c, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Impersonate(ctx, service("HTTP/front"), gss.User("alice")); err == nil {
		t.Error("without time")
	}
	r.FailNext(0, 0, 13)
	if _, err := m.Impersonate(t.Context(), service("HTTP/front"), gss.User("alice")); gss.MajorOf(err) != gss.Unauthorized {
		t.Errorf("the KDC refuses: %v", err)
	}
	// Without protocol transition the credential is good for the service itself only.
	plain := mustCred(t)(m.Impersonate(t.Context(), service("HTTP/plain"), gss.User("alice")))
	back, _ := krb5.ParseName("host/back@GSS.TEST")
	if _, _, ierr, _ := try(t, m, m, back, plain, service("host/back"), nil, nil); gss.MajorOf(ierr) != gss.Unauthorized {
		t.Errorf("protocol transition: %v", ierr)
	}
	self, _ := krb5.ParseName("HTTP/plain@GSS.TEST")
	handshake(t, m, m, self, plain, service("HTTP/plain"), nil, nil)
}

// Who comes with a forwardable ticket can be acted for, towards whom the KDC permits, and
// if the acceptor was told to.
func TestActForUsers(t *testing.T) {
	r, m, service := frontRealm(t, true)
	config, err := krb5.ParseConfig(r.Krb5Conf("forwardable = true"))
	if err != nil {
		t.Fatal(err)
	}
	strict, err := krb5.ParseConfig(r.Krb5Conf("forwardable = false"))
	if err != nil {
		t.Fatal(err)
	}
	keytab, err := r.Keytab("HTTP/plain")
	if err != nil {
		t.Fatal(err)
	}
	named, any := service("HTTP/plain"), mustCred(t)(krb5.FromKeytab(keytab, ""))
	plain, _ := krb5.ParseName("HTTP/plain@GSS.TEST")
	for name, tt := range map[string]struct {
		config *krb5.Config
		act    bool
		cred   *krb5.Credential
		can    bool
	}{
		"all as it should be":    {config, true, named, true},
		"not told to":            {config, false, named, false},
		"ticket not forwardable": {strict, true, named, false},
		"keytab of anybody":      {config, true, any, false},
	} {
		im := krb5.New(krb5.Options{Config: tt.config})
		am := krb5.New(krb5.Options{Config: config, Replay: oldStore(), ActForUsers: tt.act})
		alice := mustCred(t)(krb5.FromPassword("alice@GSS.TEST", "secret"))
		_, a := handshake(t, im, am, plain, alice, tt.cred, nil, nil)
		if a.Info().Flags.Has(gss.Deleg) {
			t.Errorf("%s: %v", name, a.Info().Flags)
		}
		d, ok := a.(gss.Delegator)
		if !ok {
			if tt.can {
				t.Errorf("%s: nothing delegated", name)
			}
			continue
		}
		got, err := d.Delegated()
		if !tt.can {
			if gss.MajorOf(err) != gss.NoCred {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a.Close()
		cred := mustCred(t)(got.(*krb5.Credential), nil)
		if cred.Name().Text != "alice@GSS.TEST" {
			t.Errorf("%s: %v", name, cred.Name())
		}
		back, _ := krb5.ParseName("host/back@GSS.TEST")
		if _, b := handshake(t, am, am, back, cred, service("host/back"), nil, nil); b.Info().Peer.Text != "alice@GSS.TEST" {
			t.Errorf("%s: %+v", name, b.Info())
		}
		other, _ := krb5.ParseName("host/other@GSS.TEST")
		if _, _, ierr, _ := try(t, m, m, other, cred, service("host/other"), nil, nil); gss.MajorOf(ierr) != gss.Unauthorized {
			t.Errorf("%s: to a service that is not permitted: %v", name, ierr)
		}
	}
}

func TestImpersonateConcurrent(t *testing.T) {
	r, m, service := frontRealm(t, false)
	cred := mustCred(t)(m.Impersonate(t.Context(), service("HTTP/front"), gss.User("alice")))
	back, _ := krb5.ParseName("host/back@GSS.TEST")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			h, err := m.Initiate(back, &gss.InitOptions{Credentials: []gss.Credential{cred}})
			if err != nil {
				t.Error(err)
				return
			}
			defer h.Close()
			if _, _, err := h.Step(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if as, tgs := r.Requests(); as != 2 || tgs != 2 {
		t.Errorf("%d AS and %d TGS requests", as, tgs)
	}
}

// MIT's KDC lets a service impersonate; its database of files has no place for whom to
// delegate to, so that it refuses that.
func TestMITImpersonate(t *testing.T) {
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			realm := peers.MITRealm(t, peers.Options{Enctype: e.Name, Services: []string{"HTTP/front", "host/back"}})
			realm.Admin(t, "modprinc +ok_to_auth_as_delegate HTTP/front")
			config, err := krb5.LoadConfig(realm.Config)
			if err != nil {
				t.Fatal(err)
			}
			m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
			cc := filepath.Join(t.TempDir(), "cc")
			peers.MustRun(t, realm.Env(), "kinit", "-f", "-c", "FILE:"+cc, "-k", "-t", realm.Keytab, "HTTP/front")
			for kind, front := range map[string]*krb5.Credential{
				"keytab": mustCred(t)(krb5.FromKeytabFile(realm.Keytab, realm.Principal("HTTP/front"))),
				"ccache": mustCred(t)(krb5.FromCCacheFile(cc)),
			} {
				cred := mustCred(t)(m.Impersonate(t.Context(), front, gss.User("user")))
				self, _ := krb5.ParseName(realm.Principal("HTTP/front"))
				service := mustCred(t)(krb5.FromKeytabFile(realm.Keytab, ""))
				if _, a := handshake(t, m, m, self, cred, service, nil, nil); a.Info().Peer.Text != realm.Principal("user") {
					t.Errorf("%s: %+v", kind, a.Info())
				}
				back, _ := krb5.ParseName(realm.Principal("host/back"))
				if _, _, ierr, _ := try(t, m, m, back, cred, service, nil, nil); gss.MajorOf(ierr) != gss.Unauthorized {
					t.Errorf("%s: %v", kind, ierr)
				}
				if _, err := m.Impersonate(t.Context(), front, gss.User("nobody")); gss.MajorOf(err) != gss.BadName {
					t.Errorf("%s: nobody: %v", kind, err)
				}
			}
		})
	}
}
