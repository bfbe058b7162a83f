package krb5_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
)

// What Heimdal's kinit writes we use and add to; what we write its klist lists and
// its kgetcred uses.
func TestCachesWithHeimdal(t *testing.T) {
	h := peers.NeedHeimdal(t)
	r := peers.HeimdalRealm(t, peers.Options{Services: []string{"host/h.test", "host/other.test"}})
	config, err := krb5.LoadConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	must := mustCred(t)
	service := must(krb5.FromKeytabFile(r.Keytab, ""))
	env := h.Env("KRB5_CONFIG=" + r.HeimdalConfig)
	run := func(program string, args ...string) string {
		t.Helper()
		return peers.MustRun(t, env, h.Program(t, program), args...)
	}
	for _, name := range []string{"FILE:" + filepath.Join(t.TempDir(), "cc"), "DIR::" + filepath.Join(t.TempDir(), "tktx")} {
		cache, err := krb5.OpenCache(name, &krb5.CacheOptions{StoreTickets: true})
		if err != nil {
			t.Fatal(err)
		}
		user := must(krb5.FromClientKeytabFile(r.ClientKeytab, r.Principal("user")))
		if err := m.Login(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		if err := cache.Store(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		file := "FILE:" + strings.TrimPrefix(strings.TrimPrefix(name, "FILE:"), "DIR::") // Heimdal 7's DIR is experimental
		if out := run("klist", "klist", "-c", file); !strings.Contains(out, "Principal: user@HEIM.GSS") || !strings.Contains(out, "krbtgt/HEIM.GSS@HEIM.GSS") {
			t.Errorf("klist: %s", out)
		}
		run("kgetcred", "-c", file, "host/h.test@HEIM.GSS")
		cred := must(cache.Credential(t.Context()))
		offline := krb5.New(krb5.Options{Config: &krb5.Config{DefaultRealm: r.Name}})
		handshake(t, offline, m, gss.Service("host", "h.test"), cred, service, nil, nil)

		run("kinit", "-c", file, "-k", "-t", r.ClientKeytab, r.Principal("user"))
		cred = must(cache.Credential(t.Context()))
		handshake(t, m, m, gss.Service("host", "other.test"), cred, service, nil, nil)
		if out := run("klist", "klist", "-c", file); strings.Count(out, "host/other.test@") != 1 {
			t.Errorf("klist: %s", out)
		}
	}
}
