package mechs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
)

// An env is an environment; a test adds to it.
type env map[string]string

func (e env) get(k string) string { return e[k] }

// hosts returns the environments of an initiator and of an acceptor that can use
// every mechanism.
func hosts(t *testing.T) (i, a env) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) string {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	i, a = env{}, env{}

	realm := kdctest.New(t)
	realm.AddUser("alice", "secret")
	realm.AddService("host/localhost")
	realm.WriteConf(path("krb5.conf"))
	realm.WriteKeytab(path("service.keytab"), "host/localhost")
	realm.WriteKeytab(path("alice.keytab"), "alice")
	realm.WriteCCache(path("ccache"), "alice")
	i["KRB5_CONFIG"], a["KRB5_CONFIG"] = path("krb5.conf"), path("krb5.conf")
	i["KRB5CCNAME"] = "FILE:" + path("ccache")
	a["KRB5_KTNAME"] = path("service.keytab")

	ca := pkixtest.NewCA("test")
	i["GSS_CA"] = write("ca.pem", pkixtest.CertificatePEM(ca.Certificate.Raw))
	a["GSS_CA"] = i["GSS_CA"]
	alice := ca.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}})
	i["GSS_CERT"] = write("alice.pem", pkixtest.CertificatePEM(alice.Certificate...))
	i["GSS_KEY"] = write("alice.key", pkixtest.KeyPEM(alice.PrivateKey))
	bob := ca.Issue(pkixtest.Template{DNS: []string{"localhost"}})
	a["GSS_CERT"] = write("bob.pem", append(pkixtest.CertificatePEM(bob.Certificate...), pkixtest.KeyPEM(bob.PrivateKey)...))
	return i, a
}

func system(t *testing.T, e env) mechglue.Mechanisms {
	t.Helper()
	ms, err := mechs.FromEnv(e.get)
	if err != nil || len(ms) != 2 || ms[0].OID() != oid.Krb5 || ms[1].OID() != oid.PKIX {
		t.Fatal(ms, err)
	}
	return ms
}

func connect(t *testing.T, i, a mechglue.Mechanisms, mech oid.OID) (gss.Info, error) {
	t.Helper()
	h, err := i.Initiate(mech, gss.Service("host", "localhost"), nil)
	if err != nil {
		return gss.Info{}, err
	}
	tr := conformance.Pump(t.Context(), h, a.Accept(nil))
	defer tr.Close()
	if err := tr.Err(); err != nil {
		return gss.Info{}, err
	}
	return tr.Acceptor.Info(), nil
}

func TestFromEnv(t *testing.T) {
	ie, ae := hosts(t)
	i, a := system(t, ie), system(t, ae)
	for mech, want := range map[oid.OID]string{
		"": "alice@GSS.TEST", oid.Krb5: "alice@GSS.TEST", oid.PKIX: "mail:alice@example.org",
	} {
		if info, err := connect(t, i, a, mech); err != nil || info.Peer.Text != want {
			t.Errorf("%v: %v, %v", mech, info.Peer, err)
		}
	}

	// A credential cache that is gone gives way to the client keytab; what the
	// environment named is looked at when it is used, not before.
	dir := filepath.Dir(ie["KRB5_CONFIG"])
	if err := os.Remove(filepath.Join(dir, "ccache")); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, i, a, oid.Krb5); !errors.Is(err, gss.NoCred) {
		t.Error("without a credential cache:", err)
	}
	if info, err := connect(t, i, a, ""); err != nil || info.Peer.Text != "mail:alice@example.org" {
		t.Error("without a credential cache, whatever works:", info.Peer, err)
	}
	ie["KRB5_CLIENT_KTNAME"] = "FILE:" + filepath.Join(dir, "alice.keytab")
	if info, err := connect(t, system(t, ie), a, oid.Krb5); err != nil || info.Peer.Text != "alice@GSS.TEST" {
		t.Error("client keytab:", info.Peer, err)
	}
}

// What nothing is set up for refuses with NoCred; what is set up and broken is an
// error, and leaves the other mechanism.
func TestBroken(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("[libdefaults\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := env{"KRB5CCNAME": none, "KRB5_KTNAME": none, "GSS_CA": ""}
	ms := system(t, nobody)
	for _, mech := range ms.OIDs() {
		if _, err := connect(t, ms, ms, mech); !errors.Is(err, gss.NoCred) && !errors.Is(err, gss.BadName) {
			t.Errorf("%v: %v", mech, err)
		}
	}
	for _, tt := range []struct {
		name, value string
		left        oid.OID
	}{
		{"KRB5_CONFIG", none, oid.PKIX},
		{"KRB5_CONFIG", bad, oid.PKIX},
		{"KRB5CCNAME", "API:x", oid.PKIX},
		{"KRB5CCNAME", "KEYRING:thread:x", oid.PKIX},
		{"KRB5CCNAME", "DIR:", oid.PKIX},
		{"KRB5_KTNAME", "MEMORY:x", oid.PKIX},
		{"GSS_CA", none, oid.Krb5},
		{"GSS_CA", bad, oid.Krb5},
		{"GSS_CERT", none, oid.Krb5},
		{"GSS_CERT", bad, oid.Krb5},
	} {
		e := env{tt.name: tt.value}
		ms, err := mechs.FromEnv(e.get)
		if err == nil || !strings.Contains(err.Error(), tt.name) || !slices.Equal(ms.OIDs(), []oid.OID{tt.left}) {
			t.Errorf("%s=%s: %v, %v", tt.name, tt.value, ms.OIDs(), err)
		}
	}
}

// The seam between mechanisms: a name or a credential of one is not another's.
func TestNoConfusion(t *testing.T) {
	ie, ae := hosts(t)
	i, a := system(t, ie), system(t, ae)
	krb := gss.Name{Mech: oid.Krb5, Text: "host/localhost@GSS.TEST"}
	if _, err := i.Initiate(oid.PKIX, krb, nil); !errors.Is(err, gss.BadNameType) && !errors.Is(err, gss.BadName) {
		t.Error("a Kerberos name as a certificate's:", err)
	}
	cred, err := pkix.FromFiles(ie["GSS_CERT"], ie["GSS_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	o := &gss.InitOptions{Credentials: []gss.Credential{cred}}
	if _, err := i.Initiate(oid.Krb5, gss.Service("host", "localhost"), o); !errors.Is(err, gss.NoCred) {
		t.Error("a certificate as a Kerberos credential:", err)
	}
	// With only a certificate to offer, the first that fits is pkix.
	h, err := i.Initiate("", gss.Service("host", "localhost"), o)
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(t.Context(), h, a.Accept(nil))
	defer tr.Close()
	if err := tr.Err(); err != nil || tr.Initiator.Info().Mech != oid.PKIX {
		t.Error(err)
	}
}
