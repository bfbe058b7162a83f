package pkix_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
)

// BenchmarkHandshake against BenchmarkTLS is what a handshake costs, both sides
// together, with the same certificates and key agreement.
func BenchmarkHandshake(b *testing.B) {
	for _, k := range benchKeys {
		b.Run(k.String(), func(b *testing.B) {
			alice, bobCert := benchCerts(k)
			allow := func(c *pkix.Config) { c.AllowServerAuth, c.AllowClientAuth = true, true }
			i, a := mechanism(b, alice, allow), mechanism(b, bobCert, allow)
			ctx := context.Background()
			for b.Loop() {
				ih, err := i.Initiate(bob, nil)
				if err != nil {
					b.Fatal(err)
				}
				ah, err := a.Accept(nil)
				if err != nil {
					b.Fatal(err)
				}
				m1, _, _ := ih.Step(ctx, nil)
				m2, _, _ := ah.Step(ctx, m1)
				m3, ic, err := ih.Step(ctx, m2)
				if err != nil {
					b.Fatal(err)
				}
				_, ac, err := ah.Step(ctx, m3)
				if err != nil {
					b.Fatal(err)
				}
				ic.Close()
				ac.Close()
				ih.Close()
				ah.Close()
			}
		})
	}
}

func BenchmarkTLS(b *testing.B) {
	for _, k := range benchKeys {
		b.Run(k.String(), func(b *testing.B) {
			alice, bobCert := benchCerts(k)
			roots := testCA.Pool()
			curves := []tls.CurveID{tls.X25519MLKEM768}
			cc := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, RootCAs: roots, Certificates: []tls.Certificate{alice}, ServerName: "bob.example"}
			sc := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: curves, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
				Certificates: []tls.Certificate{bobCert}, SessionTicketsDisabled: true}
			for b.Loop() {
				x, y := net.Pipe()
				done := make(chan error, 1)
				go func() {
					s := tls.Server(y, sc)
					err := s.Handshake()
					s.Close()
					done <- err
				}()
				c := tls.Client(x, cc)
				if err := c.Handshake(); err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, c)
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

var benchKeys = []pkixtest.KeyType{pkixtest.Ed25519, pkixtest.P256, pkixtest.RSA2048}

func benchCerts(k pkixtest.KeyType) (alice, bob tls.Certificate) {
	return testCA.Issue(pkixtest.Template{KeyType: k, Emails: []string{"alice@example.org"}, EKUs: []oid.OID{clientAuth}}),
		testCA.Issue(pkixtest.Template{KeyType: k, DNS: []string{"bob.example"}, EKUs: []oid.OID{serverAuth}})
}
