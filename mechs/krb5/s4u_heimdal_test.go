package krb5_test

import (
	"path/filepath"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/mechs/krb5"
)

// Heimdal's KDC knows PA-FOR-USER only, and signs nothing: with a keytab the service sees
// for itself whose ticket it got, with a TGT alone it does not believe it. And it has a
// place for whom a service may delegate to.
func TestHeimdalImpersonate(t *testing.T) {
	h := peers.NeedHeimdal(t)
	for _, e := range peers.Enctypes[1:2] { // what is signed does not depend on it
		realm := peers.HeimdalRealm(t, peers.Options{Enctype: e.Name, Services: []string{"HTTP/front", "HTTP/plain", "host/back", "host/other"}})
		env := h.Env("KRB5_CONFIG=" + realm.HeimdalConfig)
		for _, args := range [][]string{
			{"modify", "--attributes=+trusted-for-delegation", "--constrained-delegation=" + realm.Principal("host/back"), "HTTP/front"},
			{"modify", "--constrained-delegation=" + realm.Principal("host/back"), "HTTP/plain"},
		} {
			peers.MustRun(t, env, h.Program(t, "kadmin"), append([]string{"-l", "-c", realm.HeimdalConfig, "-r", realm.Name}, args...)...)
		}
		config, err := krb5.LoadConfig(realm.Config)
		if err != nil {
			t.Fatal(err)
		}
		m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
		acceptor := mustCred(t)(krb5.FromKeytabFile(realm.Keytab, ""))
		name := func(principal string) gss.Name {
			n, err := krb5.ParseName(realm.Principal(principal))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for service, permitted := range map[string]bool{"HTTP/front": true, "HTTP/plain": false} {
			front := mustCred(t)(krb5.FromKeytabFile(realm.Keytab, realm.Principal(service)))
			cred := mustCred(t)(m.Impersonate(t.Context(), front, gss.User("user")))
			for target, ok := range map[string]bool{service: true, "host/back": permitted, "host/other": false} {
				_, a, ierr, aerr := try(t, m, m, name(target), cred, acceptor, nil, nil)
				switch {
				case !ok && gss.MajorOf(ierr) != gss.Unauthorized:
					t.Errorf("%s to %s: %v", service, target, ierr)
				case ok && (ierr != nil || aerr != nil):
					t.Errorf("%s to %s: %v, %v", service, target, ierr, aerr)
				case ok && a.Info().Peer != name("user"):
					t.Errorf("%s to %s: %+v", service, target, a.Info())
				}
			}
		}
		cache := filepath.Join(t.TempDir(), "cc")
		peers.MustRun(t, realm.Env(), "kinit", "-c", "FILE:"+cache, "-k", "-t", realm.Keytab, realm.Principal("HTTP/front"))
		if c, err := m.Impersonate(t.Context(), mustCred(t)(krb5.FromCCacheFile(cache)), gss.User("user")); c != nil || err == nil {
			t.Error("an unsigned reply was believed")
		}
	}
}
