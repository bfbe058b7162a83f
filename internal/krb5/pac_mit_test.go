package krb5_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/jcmturner/gokrb5/v8/credentials"

	"github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/internal/peers"
)

// The PACs of MIT's KDC: in a TGT, in a service ticket, and in one in the name of a user.
// The test has the KDC's key, so that every signature is checked.
func TestMITPAC(t *testing.T) {
	peers.Need(t, "krb5kdc", "kdb5_util", "kadmin.local", "kinit", "kvno")
	for _, e := range peers.Enctypes {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			etype := krb5.EType(e.ID)
			realm := peers.MITRealm(t, peers.Options{Enctype: e.Name, Services: []string{"host/localhost", "HTTP/front"}})
			tgsKeytab := filepath.Join(t.TempDir(), "krbtgt")
			realm.Admin(t, "ktadd -norandkey -k "+tgsKeytab+" krbtgt/"+realm.Name)
			kdc := keytabKey(t, tgsKeytab, "krbtgt/"+realm.Name, realm.Name, etype)
			other, err := krb5.RandomKey(etype)
			if err != nil {
				t.Fatal(err)
			}
			check := func(ccache, server, client string, key *krb5.Key, service bool) {
				t.Helper()
				part := openTicket(t, ccache, server, key)
				p, err := krb5.VerifyPAC(part, key, kdc)
				if err != nil || p == nil {
					t.Fatalf("%s: %v, %v", server, p, err)
				}
				if part.Client().String() != client+"@"+realm.Name {
					t.Errorf("%s: ticket of %v", server, part.Client())
				}
				if l, err := p.Logon(); l != nil || err != nil {
					t.Errorf("%s: %+v, %v", server, l, err)
				}
				if err := p.VerifyTicket(part, kdc); service && err != nil || !service && !errors.Is(err, krb5.ErrPACChecksum) {
					t.Errorf("%s: signature over the ticket: %v", server, err)
				}
				for _, keys := range [][2]*krb5.Key{{other, nil}, {key, other}, {other, kdc}} {
					if _, err := krb5.VerifyPAC(part, keys[0], keys[1]); !errors.Is(err, krb5.ErrPACChecksum) {
						t.Errorf("%s: with another key: %v", server, err)
					}
				}
				part.CName.Components = []string{"mallory"}
				if _, err := krb5.VerifyPAC(part, key, kdc); !errors.Is(err, krb5.ErrPACClient) {
					t.Errorf("%s: of another client: %v", server, err)
				}
				if err := p.VerifyTicket(part, kdc); !errors.Is(err, krb5.ErrPACChecksum) {
					t.Errorf("%s: a ticket that was changed: %v", server, err)
				}
			}
			cc := realm.Kinit(t, "user")
			peers.MustRun(t, realm.Env("KRB5CCNAME=FILE:"+cc), "kvno", "host/localhost")
			check(cc, "krbtgt/"+realm.Name, "user", kdc, false)
			check(cc, "host/localhost", "user", keytabKey(t, realm.Keytab, "host/localhost", realm.Name, etype), true)

			front := filepath.Join(t.TempDir(), "front")
			peers.MustRun(t, realm.Env(), "kinit", "-c", "FILE:"+front, "-k", "-t", realm.Keytab, "HTTP/front")
			self := filepath.Join(t.TempDir(), "self")
			peers.MustRun(t, realm.Env("KRB5CCNAME=FILE:"+front), "kvno", "-U", "user", "--out-cache", self, "HTTP/front")
			check(self, "HTTP/front", "user", keytabKey(t, realm.Keytab, "HTTP/front", realm.Name, etype), true)
		})
	}
}

// openTicket decrypts a ticket of a credential cache.
func openTicket(t *testing.T, ccache, server string, key *krb5.Key) *krb5.EncTicketPart {
	t.Helper()
	cc, err := credentials.LoadCCache(ccache)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cc.Credentials {
		if c.Server.PrincipalName.PrincipalNameString() != server {
			continue
		}
		tkt, err := krb5.ParseTicket(c.Ticket)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := key.Decrypt(nil, tkt.EncPart.Cipher, krb5.UsageTicket)
		if err != nil {
			t.Fatal(err)
		}
		part, err := krb5.ParseEncTicketPart(plain)
		if err != nil {
			t.Fatal(err)
		}
		return part
	}
	t.Fatalf("no ticket for %s", server)
	return nil
}
