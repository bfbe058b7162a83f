package krb5_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// A TGT of MIT's KDC, in caches that MIT's programs use.
func TestRenew(t *testing.T) {
	peers.Need(t, "klist", "kvno")
	r := peers.MITRealm(t, peers.Options{LibDefaults: []string{"renew_lifetime = 2h", "ticket_lifetime = 1h"}})
	for _, p := range []string{"user", "krbtgt/TEST.GSS", "host/localhost"} {
		r.Admin(t, "modprinc -maxrenewlife 1day "+p)
	}
	config, err := krb5.LoadConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	m := krb5.New(krb5.Options{Config: config})
	cred := mustCred(t)(krb5.FromClientKeytabFile(r.ClientKeytab, r.Principal("user")))
	if err := m.Renew(t.Context(), cred); gss.MajorOf(err) != gss.NoCred {
		t.Errorf("nothing to renew: %v", err)
	}
	if err := m.Login(t.Context(), cred); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 50*time.Millisecond))) // tickets' times are in seconds
	cacheKinds(t, func(t *testing.T, name string, o krb5.CacheOptions, libdefaults string) {
		more := filepath.Join(t.TempDir(), "more.conf")
		if err := os.WriteFile(more, []byte("[libdefaults]\n"+libdefaults+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := r.Env("KRB5CCNAME="+name, "KRB5_CONFIG="+r.Config+":"+more)
		o.StoreTickets = true
		cache, err := krb5.OpenCache(name, &o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cache.Destroy(t.Context())
			if !strings.Contains(name, "persistent") {
				krb5.RemoveCollection(cache)
			}
		})
		if err := cache.Store(t.Context(), cred); err != nil {
			t.Fatal(err)
		}
		peers.MustRun(t, env, "kvno", "host/localhost")
		before := peers.MustRun(t, env, "klist")
		if !strings.Contains(before, "renew until") {
			t.Errorf("not renewable: %s", before)
		}
		kept := mustCred(t)(cache.Credential(t.Context()))
		expiry := kept.Expiry()
		if err := m.Renew(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		after := peers.MustRun(t, env, "klist")
		if after == before || strings.Count(after, "krbtgt/") != 1 || strings.Count(after, "host/localhost@") != 1 {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		if !kept.Expiry().After(expiry) {
			t.Errorf("expires %v, before %v", kept.Expiry(), expiry)
		}
		peers.MustRun(t, env, "kvno", "krbtgt/TEST.GSS")
		peers.MustRun(t, env, "kinit", "-R") // MIT renews what we renewed
	})
}

// A TGT whose life is nearly over is renewed when a ticket is asked for, and not
// before; one that cannot be is used to its end.
func TestRenewInTime(t *testing.T) {
	must := mustCred(t)
	start := time.Now()
	for _, tt := range []struct {
		name    string
		age     time.Duration // of the TGT, which lasts an hour
		renew   time.Duration // for how long it can be renewed; 0: not at all
		renewed bool
	}{
		{"young", 30 * time.Minute, 2 * time.Hour, false},
		{"old", 50 * time.Minute, 2 * time.Hour, true},
		{"in its last minute", 59*time.Minute + 30*time.Second, 2 * time.Hour, true},
		{"old, but not renewable", 50 * time.Minute, 0, false},
		{"old, but not for longer", 50 * time.Minute, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := start.Add(-tt.age) // the KDC's clock, which the test puts right later
			r, config := realm(t, kdctest.Options{Lifetime: time.Hour, RenewLifetime: max(tt.renew, time.Second), Skew: 2 * time.Hour, Clock: func() time.Time { return now }})
			config.RenewLifetime = tt.renew
			m := krb5.New(krb5.Options{Config: config})
			cred := must(krb5.FromPassword("alice@"+r.Realm(), "secret"))
			if err := m.Login(t.Context(), cred); err != nil {
				t.Fatal(err)
			}
			cc, err := krb5.OpenCache("MEMORY:x", &krb5.CacheOptions{Memory: new(krb5.MemoryCaches), StoreTickets: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := cc.Store(t.Context(), cred); err != nil {
				t.Fatal(err)
			}
			now = start
			cred = must(cc.Credential(t.Context()))
			old := cred.Expiry()
			h, err := m.Initiate(gss.Service("host", "h.test"), &gss.InitOptions{Credentials: []gss.Credential{cred}})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if _, _, err := h.Step(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if got := cred.Expiry().After(old); got != tt.renewed {
				t.Errorf("renewed: %v (%v, then %v)", got, old, cred.Expiry())
			}
			again := must(cc.Credential(t.Context()))
			if again.Expiry().After(old) != tt.renewed {
				t.Errorf("in the cache: %v, then %v", old, again.Expiry())
			}
			if err := m.Renew(t.Context(), cred); tt.renew == 0 && gss.MajorOf(err) != gss.Unavailable || tt.renew > time.Hour && err != nil {
				t.Errorf("renewed again: %v", err)
			}
		})
	}
}
