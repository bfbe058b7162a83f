package reauth

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/strike"
)

// A stand is a pair of inner mechanisms and how they are used.
type stand struct {
	client, server gss.Mechanism
	init           gss.InitOptions
	accept         gss.AcceptOptions
}

func toyStands() map[string]stand {
	alice, server := toy.NewParty("alice"), toy.NewParty("files")
	k, p := &toy.Krb{Party: alice}, &toy.PK{Party: alice}
	ks, ps := &toy.Krb{Party: server}, &toy.PK{Party: server}
	creds := []gss.Credential{&toy.Cred{OID: toy.PKOID, User: "alice"}, &toy.Cred{OID: toy.KrbOID, User: "alice"}}
	return map[string]stand{
		"krb":  {client: k, server: ks},
		"pk":   {client: p, server: ps, init: gss.InitOptions{Credentials: creds}},
		"nego": {client: &toy.Nego{Mechs: []gss.Mechanism{k, p}}, server: &toy.Nego{Mechs: []gss.Mechanism{ps, ks}}, init: gss.InitOptions{Credentials: creds}},
	}
}

// krbStand has a real KDC and Kerberos.
func krbStand(t testing.TB) stand {
	realm := kdctest.New(t)
	realm.AddUser("alice", "secret")
	realm.AddService("host/files.example.org")
	dir := t.TempDir()
	conf, cc := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "cc")
	realm.WriteConf(conf)
	realm.WriteCCache(cc, "alice", "host/files.example.org")
	keytab, err := realm.Keytab("host/files.example.org")
	if err != nil {
		t.Fatal(err)
	}
	c, err := krb5.LoadConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	service, err := krb5.FromKeytab(keytab, "")
	if err != nil {
		t.Fatal(err)
	}
	return stand{
		client: krb5.New(krb5.Options{Config: c, Initiator: krb5.FileSource(cc, krb5.FromCCacheFile)}),
		server: krb5.New(krb5.Options{Config: c}),
		accept: gss.AcceptOptions{Credentials: []gss.Credential{service}},
	}
}

var testCA = pkixtest.NewCA("test root")

func pkixMech(t testing.TB, c tls.Certificate) *pkix.Mechanism {
	cred, err := pkix.FromTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	// What costs least under the race detector; so do its users with keys and groups.
	m, err := pkix.New(pkix.Config{Roots: testCA.Pool(), Credential: cred, Suites: []pkix.Suite{pkix.P256}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func pkixStand(t testing.TB) stand {
	return stand{
		client: pkixMech(t, testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}, KeyType: pkixtest.P256})),
		server: pkixMech(t, testCA.Issue(pkixtest.Template{DNS: []string{"files.example.org"}, KeyType: pkixtest.P256})),
	}
}

func stands(t testing.TB) map[string]stand {
	all := toyStands()
	all["krb5"], all["pkix"] = krbStand(t), pkixStand(t)
	return all
}

// counted counts the contexts that were resumed.
type counted struct {
	*Mech
	resumed atomic.Int64
}

func (m *counted) Accept(o *gss.AcceptOptions) (gss.Handshake, error) {
	h, err := m.Mech.Accept(o)
	if err != nil {
		return nil, err
	}
	return &counting{h, m}, nil
}

type counting struct {
	gss.Handshake
	m *counted
}

func (h *counting) Step(ctx context.Context, in []byte) ([]byte, gss.Context, error) {
	out, sc, err := h.Handshake.Step(ctx, in)
	if _, ok := sc.(*Context); ok {
		h.m.resumed.Add(1)
	}
	return out, sc, err
}

func TestConformanceFirst(t *testing.T) {
	for name, s := range stands(t) {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, conformance.Setup{
				Initiator: New(s.client, Options{Cache: NewCache(CacheOptions{Entries: -1})}), Acceptor: New(s.server, Options{}),
				Target: files, InitOptions: s.init, AcceptOptions: s.accept,
			})
		})
	}
}

func TestConformanceResumed(t *testing.T) {
	for name, s := range stands(t) {
		for how, o := range map[string][2]Options{
			"confirmed": {{}, {}},
			"at-once":   {{Group: P256}, {Store: strike.NewMemory(strike.MemoryOptions{})}},
		} {
			if how == "at-once" && name != "krb5" && name != "krb" {
				continue // what is inside makes no difference to that
			}
			t.Run(name+"/"+how, func(t *testing.T) {
				client, server := New(s.client, o[0]), &counted{Mech: New(s.server, o[1])}
				conformance.Run(t, conformance.Setup{
					Initiator: client, Acceptor: server, Target: files, InitOptions: s.init, AcceptOptions: s.accept,
					// A ticket for the options at hand, if there may be one.
					Prepare: func(s *conformance.Setup) error {
						ih, err := client.Initiate(s.Target, &s.InitOptions)
						if err != nil {
							return nil
						}
						h := ih.(*initiator)
						h.identify(t.Context())
						if client.o.Cache.holds(h.key) {
							ih.Close()
							return nil
						}
						ih.Close()
						if ih, err = client.Initiate(s.Target, &s.InitOptions); err != nil {
							return nil
						}
						ah, err := server.Mech.Accept(&s.AcceptOptions)
						if err != nil {
							ih.Close()
							return nil
						}
						conformance.Pump(t.Context(), ih, ah).Close()
						return nil
					},
				})
				if n := server.resumed.Load(); n < 100 {
					t.Errorf("only %d contexts were resumed", n)
				}
			})
		}
	}
}

func (c *Cache) holds(key [32]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries[key]) > 0
}
