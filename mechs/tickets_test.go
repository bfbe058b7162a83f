package mechs_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
)

// Who asks for tickets gets them, with every mechanism, and everybody else what he
// got before.
func TestWithTickets(t *testing.T) {
	ie, ae := hosts(t)
	dir := t.TempDir()
	// As after a restart, each time.
	start := func() (i, a mechglue.Mechanisms) {
		ring, err := reauth.OpenRing(filepath.Join(dir, "ring"))
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("there are no rings in files here")
		}
		if err != nil {
			t.Fatal(err)
		}
		cache, err := reauth.OpenCache(filepath.Join(dir, "tickets"), reauth.CacheOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return mechs.WithTickets(system(t, ie), reauth.Options{Cache: cache}), mechs.WithTickets(system(t, ae), reauth.Options{Ring: ring})
	}
	for n := range 3 {
		i, a := start()
		for _, c := range []struct {
			mech, first, then oid.OID // asked for, and of the context: at first, and later
			peer              string
		}{
			{"", oid.Krb5, oid.Krb5, "alice@GSS.TEST"},
			{oid.Krb5, oid.Krb5, oid.Krb5, "alice@GSS.TEST"},
			{oid.PKIX, oid.PKIX, oid.PKIX, "mail:alice@example.org"},
			{oid.Join(oid.Reauth, oid.Krb5), oid.Krb5, oid.Join(oid.Reauth, oid.Krb5), "alice@GSS.TEST"},
			{oid.Join(oid.Reauth, oid.PKIX), oid.PKIX, oid.Join(oid.Reauth, oid.PKIX), "mail:alice@example.org"},
		} {
			want := c.then
			if n == 0 {
				want = c.first
			}
			if info, err := connect(t, i, a, c.mech); err != nil || info.Mech != want || info.Peer.Text != c.peer {
				t.Errorf("%d, %v: %v, %v, %v", n, c.mech, info.Mech, info.Peer, err)
			}
		}
		want := []oid.OID{oid.Krb5, oid.PKIX, oid.Join(oid.Reauth, oid.Krb5), oid.Join(oid.Reauth, oid.PKIX)}
		if again := mechs.WithTickets(i, reauth.Options{}); !slices.Equal(i.OIDs(), want) || len(again) != 6 {
			t.Errorf("%v, and again: %v", i.OIDs(), again.OIDs())
		}
	}

	// An acceptor without tickets does not know the mechanism.
	i, _ := start()
	h, err := i.Initiate(oid.Join(oid.Reauth, oid.Krb5), gss.Service("host", "localhost"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := conformance.Pump(t.Context(), h, system(t, ae).Accept(nil))
	defer tr.Close()
	if err := tr.Err(); !errors.Is(err, gss.BadMech) {
		t.Error(err)
	}
}
