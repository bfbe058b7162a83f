package krb5_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/peers"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
)

// realms are A.TEST, B.TEST, … of which each trusts the one before; alice is of the first,
// host/h.<realm> of each. The configuration has no [capaths].
func realms(t *testing.T, o kdctest.Options, names ...string) ([]*kdctest.Realm, *krb5.Config) {
	t.Helper()
	var list []*kdctest.Realm
	for i, n := range names {
		o.Realm = n
		r := kdctest.New(t, o)
		r.AddService("host/h." + strings.ToLower(n))
		if i > 0 {
			r.Trust(list[i-1])
		}
		list = append(list, r)
	}
	list[0].AddUser("alice", "secret")
	config, err := krb5.ParseConfig(list[0].Krb5Conf())
	if err != nil {
		t.Fatal(err)
	}
	config.CAPaths = nil
	return list, config
}

func TestCrossRealm(t *testing.T) {
	list, config := realms(t, kdctest.Options{PAC: true}, "A.TEST", "B.TEST", "C.TEST", "D.TEST")
	last := list[3]
	last.AddService("HTTP/h.d.test")
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	cred := mustCred(t)(krb5.FromPassword("alice@A.TEST", "secret"))
	keytab, err := last.Keytab()
	if err != nil {
		t.Fatal(err)
	}
	service := mustCred(t)(krb5.FromKeytab(keytab, ""))
	tgs := func() (n []int) {
		for _, r := range list {
			_, tgs := r.Requests()
			n = append(n, tgs)
		}
		return n
	}
	for i, want := range []string{"[1 1 1 1]", "[1 1 1 1]", "[1 1 1 2]"} {
		target := gss.Service("host", "h.d.test")
		if i == 2 {
			target = gss.Service("HTTP", "h.d.test")
		}
		_, a := handshake(t, m, m, target, cred, service, nil, nil)
		if a.Info().Peer.Text != "alice@A.TEST" || !strings.HasSuffix(a.Info().Local.Text, "@D.TEST") {
			t.Errorf("%+v", a.Info())
		}
		if got := fmt.Sprint(tgs()); got != want {
			t.Errorf("TGS requests %s, want %s", got, want)
		}
	}
	// Back there is no trust.
	last.AddUser("dora", "secret")
	back := mustCred(t)(krb5.FromPassword("dora@D.TEST", "secret"))
	if _, _, ierr, _ := try(t, m, m, gss.Service("host", "h.a.test"), back, service, nil, nil); gss.MajorOf(ierr) != gss.BadName {
		t.Errorf("against the trust: %v", ierr)
	}
}

// A KDC that does not know the way is asked for the realms on it.
func TestCrossRealmPath(t *testing.T) {
	for name, tt := range map[string]struct {
		realms []string
		paths  map[string]map[string][]string
		ok     bool
	}{
		"hierarchy":      {[]string{"X.UP.TEST", "UP.TEST", "Y.UP.TEST"}, nil, true},
		"configured":     {[]string{"A.TEST", "B.TEST", "C.TEST"}, map[string]map[string][]string{"A.TEST": {"C.TEST": {"B.TEST"}}}, true},
		"neither":        {[]string{"A.X", "B.Y", "C.Z"}, nil, false},
		"only directly":  {[]string{"X.UP.TEST", "UP.TEST", "Y.UP.TEST"}, map[string]map[string][]string{"X.UP.TEST": {"Y.UP.TEST": {"."}}}, false},
		"through others": {[]string{"X.UP.TEST", "UP.TEST", "Y.UP.TEST"}, map[string]map[string][]string{"X.UP.TEST": {"Y.UP.TEST": {"Z.TEST"}}}, false},
	} {
		for _, silent := range []bool{true, false} { // what KDCs say of realms that they do not trust directly
			t.Run(fmt.Sprint(name, silent), func(t *testing.T) {
				list, config := realms(t, kdctest.Options{}, tt.realms...)
				config.CAPaths = tt.paths
				if silent {
					list[0].Intercept(func(r kdctest.Request) kdctest.Fault {
						if r.TGS && r.Server == "krbtgt/"+tt.realms[2] {
							return kdctest.Fault{Error: 7}
						}
						return kdctest.Fault{}
					})
				}
				m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
				cred := mustCred(t)(krb5.FromPassword("alice@"+tt.realms[0], "secret"))
				keytab, err := list[2].Keytab()
				if err != nil {
					t.Fatal(err)
				}
				service := mustCred(t)(krb5.FromKeytab(keytab, ""))
				_, _, ierr, aerr := try(t, m, m, gss.Service("host", "h."+strings.ToLower(tt.realms[2])), cred, service, nil, nil)
				// Without a configured path a client goes where the KDCs send it.
				if ok := tt.ok || tt.paths == nil && !silent; (ierr == nil) != ok || aerr != nil {
					t.Errorf("%v, %v, want %v", ierr, aerr, ok)
				}
			})
		}
	}
}

// A service of which nobody says in which realm it is: the KDCs know.
func TestReferral(t *testing.T) {
	list, config := realms(t, kdctest.Options{}, "A.TEST", "B.TEST", "C.TEST")
	config.Domains = nil
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	cred := mustCred(t)(krb5.FromPassword("alice@A.TEST", "secret"))
	for _, far := range []int{2, 1, 0} {
		keytab, err := list[far].Keytab()
		if err != nil {
			t.Fatal(err)
		}
		service := mustCred(t)(krb5.FromKeytab(keytab, ""))
		host := "h." + strings.ToLower(list[far].Realm())
		for range 2 {
			before, _ := list[0].Requests()
			i, a := handshake(t, m, m, gss.Service("host", host), cred, service, nil, nil)
			if want := "host/" + host + "@" + list[far].Realm(); i.Info().Peer.Text != want || a.Info().Local.Text != want || a.Info().Peer.Text != "alice@A.TEST" {
				t.Errorf("%v and %v, want %s", i.Info().Peer, a.Info().Local, want)
			}
			if after, _ := list[0].Requests(); after != before && before != 0 {
				t.Error("logged in again")
			}
		}
	}
	_, tgs := list[0].Requests()
	if tgs != 3 { // one for each service, none again
		t.Errorf("%d TGS requests to the first KDC", tgs)
	}
	// A name with its realm is taken at its word.
	name, err := krb5.ParseName("host/h.c.test@A.TEST")
	if err != nil {
		t.Fatal(err)
	}
	keytab, _ := list[2].Keytab()
	service := mustCred(t)(krb5.FromKeytab(keytab, ""))
	if _, _, ierr, _ := try(t, m, m, name, cred, service, nil, nil); gss.MajorOf(ierr) != gss.BadName {
		t.Errorf("%v", ierr)
	}
}

// Three realms of MIT's: by the hierarchy of their names.
func TestMITHierarchy(t *testing.T) {
	peers.Need(t, "krb5kdc", "kdb5_util", "kadmin.local")
	names := []string{"X.UP.TEST", "UP.TEST", "Y.UP.TEST"}
	var list []*peers.Realm
	config := &krb5.Config{KDCs: map[string][]string{}, Domains: map[string]string{}, DefaultRealm: names[0]}
	for i, n := range names {
		host := "h." + strings.ToLower(n)
		r := peers.MITRealm(t, peers.Options{Realm: n, Enctype: "aes256-cts-hmac-sha384-192", Users: []string{"alice"}, Services: []string{"host/" + host}})
		list = append(list, r)
		config.KDCs[n] = []string{r.Addr}
		config.Domains[host] = n
		for _, side := range list[max(i-1, 0):] {
			if i > 0 {
				side.Admin(t, fmt.Sprintf("addprinc -pw shared krbtgt/%s@%s", n, names[i-1]))
			}
		}
	}
	m := krb5.New(krb5.Options{Config: config, Replay: oldStore()})
	alice := mustCred(t)(krb5.FromClientKeytabFile(list[0].ClientKeytab, list[0].Principal("alice")))
	for i, r := range list {
		service := mustCred(t)(krb5.FromKeytabFile(r.Keytab, ""))
		_, a := handshake(t, m, m, gss.Service("host", "h."+strings.ToLower(names[i])), alice, service, nil, nil)
		if a.Info().Peer.Text != "alice@X.UP.TEST" {
			t.Errorf("%+v", a.Info())
		}
	}
}

// Our acceptor, MIT's client and a referral that nobody configured.
func TestMITReferral(t *testing.T) {
	peers.Need(t, "kinit", "kvno")
	list, _ := realms(t, kdctest.Options{PAC: true}, "A.TEST", "B.TEST")
	list[1].AddService("host/files.example")
	dir := t.TempDir()
	pairs, err := list[0].Env(dir)
	if err != nil {
		t.Fatal(err)
	}
	env := peers.Env(pairs...)
	if out, err := peers.RunInput(t, env, "secret\n", "kinit", "alice"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	peers.MustRun(t, env, "kvno", "host/files.example@")
	// The cache that MIT wrote, with a TGT of another realm and the ticket by referral,
	// is enough: no KDC is there any more.
	for _, r := range list {
		r.Intercept(func(kdctest.Request) kdctest.Fault { return kdctest.Fault{Drop: true} })
	}
	if _, err := os.Stat(filepath.Join(dir, "ccache")); errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	cred := mustCred(t)(krb5.FromCCacheFile(filepath.Join(dir, "ccache")))
	keytab, err := list[1].Keytab()
	if err != nil {
		t.Fatal(err)
	}
	service := mustCred(t)(krb5.FromKeytab(keytab, ""))
	m := krb5.New(krb5.Options{Config: &krb5.Config{DefaultRealm: "B.TEST"}, Replay: oldStore()})
	if _, a := handshake(t, m, m, gss.Service("host", "files.example"), cred, service, nil, nil); a.Info().Peer.Text != "alice@A.TEST" {
		t.Errorf("%+v", a.Info())
	}
}
