package mechs_test

import (
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal/sealtest"
)

// TestSealOverEverything runs one and the same suite over contexts of every
// mechanism and of any two: Alice with Bob by the one, Carol with both by the other.
func TestSealOverEverything(t *testing.T) {
	names := map[oid.OID]string{oid.Krb5: "krb5", oid.PKIX: "pkix"}
	alice, bob, carol := people(t)
	for ab := range names {
		for c := range names {
			t.Run(names[ab]+" and "+names[c], func(t *testing.T) {
				sealtest.Run(t, func(t *testing.T) (p sealtest.Parties) {
					p.AliceBob, p.BobAlice = establish(t, alice, bob, ab, "bob.test")
					p.CarolAlice, p.AliceCarol = establish(t, carol, alice, c, "alice.test")
					p.CarolBob, p.BobCarol = establish(t, carol, bob, c, "bob.test")
					return p
				})
			})
		}
	}
}

// people returns what each of three people has, for Kerberos and for certificates.
func people(t *testing.T) (alice, bob, carol mechglue.Mechanisms) {
	realm := kdctest.New(t)
	ca := pkixtest.NewCA("test")
	person := func(name string) mechglue.Mechanisms {
		host := name + ".test"
		realm.AddUser(name, "secret of "+name)
		realm.AddService("host/" + host)
		keys, err := realm.Keytab("host/" + host)
		if err != nil {
			t.Fatal(err)
		}
		config, err := krb5.ParseConfig(realm.Krb5Conf())
		if err != nil {
			t.Fatal(err)
		}
		user, err := krb5.FromPassword(name+"@"+realm.Realm(), "secret of "+name)
		if err != nil {
			t.Fatal(err)
		}
		service, err := krb5.FromKeytab(keys, "")
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pkix.FromTLS(ca.Issue(pkixtest.Template{Emails: []string{name + "@example.org"}, DNS: []string{host}}))
		if err != nil {
			t.Fatal(err)
		}
		p, err := pkix.New(pkix.Config{Roots: ca.Pool(), Credential: cert})
		if err != nil {
			t.Fatal(err)
		}
		k := krb5.New(krb5.Options{Config: config, Initiator: user.Source(), Acceptor: service.Source()})
		return mechglue.Mechanisms{k, p}
	}
	return person("alice"), person("bob"), person("carol")
}

func establish(t *testing.T, i, a mechglue.Mechanisms, mech oid.OID, host string) (ic, ac gss.Context) {
	t.Helper()
	h, err := i.Initiate(mech, gss.Service("host", host), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(t.Context(), h, a.Accept(nil))
	t.Cleanup(tr.Close)
	if err := tr.Err(); err != nil {
		t.Fatal(err)
	}
	return tr.Initiator, tr.Acceptor
}
