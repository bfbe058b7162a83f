package pkix_test

import (
	"bytes"
	"context"
	"crypto/tls"
	dn "crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
)

// testCA signs what most tests use; making keys is slow.
var testCA = pkixtest.NewCA("test root")

var (
	aliceCert = testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}})
	bobCert   = testCA.Issue(pkixtest.Template{DNS: []string{"bob.example"}})
	bob       = gss.Service("host", "bob.example")
)

const bobText, aliceText = "svc:host@bob.example", "mail:alice@example.org"

func credential(t testing.TB, c tls.Certificate) *pkix.Credential {
	t.Helper()
	cred, err := pkix.FromTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// mechanism returns one with c's certificate that trusts testCA.
func mechanism(t testing.TB, c tls.Certificate, change func(*pkix.Config)) *pkix.Mechanism {
	t.Helper()
	cfg := pkix.Config{Roots: testCA.Pool(), Credential: credential(t, c)}
	if change != nil {
		change(&cfg)
	}
	m, err := pkix.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A run is a handshake in which every token is kept. Alter may change what a side
// receives; n counts tokens.
type run struct {
	initiator, acceptor *pkix.Mechanism
	target              gss.Name
	init                *gss.InitOptions
	accept              *gss.AcceptOptions
	alter               func(n int, tok []byte) []byte

	tokens           [][]byte
	ic, ac           gss.Context
	initErr, acptErr error
}

func (r *run) do(t testing.TB) *run {
	t.Helper()
	ctx := context.Background()
	if r.target.IsZero() && r.init == nil {
		r.target = bob
	}
	ih, err := r.initiator.Initiate(r.target, r.init)
	if err != nil {
		r.initErr = err
		return r
	}
	defer ih.Close()
	ah, err := r.acceptor.Accept(r.accept)
	if err != nil {
		r.acptErr = err
		return r
	}
	defer ah.Close()
	var tok []byte
	for {
		if r.ic == nil {
			tok, r.ic, r.initErr = ih.Step(ctx, tok)
			if len(tok) == 0 {
				return r
			}
			tok = r.pass(tok)
		}
		tok, r.ac, r.acptErr = ah.Step(ctx, tok)
		if len(tok) == 0 || r.initErr != nil {
			return r
		}
		tok = r.pass(tok)
	}
}

func (r *run) pass(tok []byte) []byte {
	r.tokens = append(r.tokens, bytes.Clone(tok))
	if r.alter != nil {
		return r.alter(len(r.tokens)-1, bytes.Clone(tok))
	}
	return tok
}

// good fails the test unless both sides have the same working context.
func (r *run) good(t testing.TB, initiator, acceptor string) {
	t.Helper()
	if r.initErr != nil || r.acptErr != nil || r.ic == nil || r.ac == nil {
		t.Fatalf("initiator: %v; acceptor: %v", r.initErr, r.acptErr)
	}
	ii, ai := r.ic.Info(), r.ac.Info()
	if ii.Local != ai.Peer || ii.Peer != ai.Local || ii.Local.Mech != oid.PKIX || ii.Peer.Mech != oid.PKIX ||
		ii.Local.Text != initiator || ai.Local.Text != acceptor {
		t.Errorf("names: %v to %v, and %v to %v", ii.Local, ii.Peer, ai.Peer, ai.Local)
	}
	if ii.Flags != ai.Flags || !ii.Initiator || ai.Initiator || ii.Mech != oid.PKIX || ai.Mech != oid.PKIX {
		t.Errorf("%+v, %+v", ii, ai)
	}
	for _, k := range []gss.PRFKey{gss.PRFFull, gss.PRFPartial} {
		a, err := r.ic.PRF(k, []byte("x"), 32)
		b, err2 := r.ac.PRF(k, []byte("x"), 32)
		if err != nil || err2 != nil || !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) {
			t.Errorf("PRF %d: %x, %v; %x, %v", k, a, err, b, err2)
		}
	}
	for _, e := range [][2]gss.Context{{r.ic, r.ac}, {r.ac, r.ic}} {
		tok, err := e[0].Wrap(nil, []byte("hello"), gss.Confidential)
		if err != nil {
			t.Fatal(err)
		}
		if msg, _, err := e[1].Unwrap(nil, tok); err != nil || string(msg) != "hello" {
			t.Fatalf("%q, %v", msg, err)
		}
	}
}

// bad fails the test unless the side that should has failed with want, and neither
// has a context but an initiator whose last token is the acceptor's to judge.
func (r *run) bad(t testing.TB, atInitiator bool, want gss.Major) {
	t.Helper()
	err, other := r.acptErr, r.ac
	if atInitiator {
		err = r.initErr
		if r.ic != nil {
			t.Error("the initiator has a context")
		}
	}
	var e *gss.Error
	if other != nil {
		t.Error("the acceptor has a context")
	}
	if !errors.As(err, &e) || e.Major != want || e.Mech != oid.PKIX || e.Op == "" || e.Remote {
		t.Errorf("initiator: %v; acceptor: %v; want %v at initiator: %v", r.initErr, r.acptErr, want, atInitiator)
	}
}

func TestKeysAndSuites(t *testing.T) {
	for _, k := range []pkixtest.KeyType{pkixtest.Ed25519, pkixtest.P256, pkixtest.P384, pkixtest.RSA2048} {
		ca := pkixtest.NewCA("root")
		if stride > 1 && k == pkixtest.P384 {
			continue // slow under the race detector, and P-256 in all but size
		}
		inter := ca.Intermediate("intermediate", nil, nil)
		alice := credential(t, inter.Issue(pkixtest.Template{KeyType: k, URIs: []string{"spiffe://example.org/alice"}}))
		bobCred := credential(t, ca.Issue(pkixtest.Template{KeyType: k, DNS: []string{"other.example", "bob.example"}}))
		for _, s := range []pkix.Suite{pkix.X25519MLKEM768, pkix.X25519, pkix.P256, pkix.SecP256r1MLKEM768} {
			t.Run(fmt.Sprint(k, "/", s), func(t *testing.T) {
				new := func(c *pkix.Credential) *pkix.Mechanism {
					m, err := pkix.New(pkix.Config{Roots: ca.Pool(), Credential: c, Suites: []pkix.Suite{s}})
					if err != nil {
						t.Fatal(err)
					}
					return m
				}
				r := (&run{initiator: new(alice), acceptor: new(bobCred)}).do(t)
				r.good(t, "uri:spiffe://example.org/alice", bobText)
				if len(r.tokens) != 3 {
					t.Error(len(r.tokens), "tokens")
				}
				if f := r.ic.Info().Flags; f != gss.DefaultFlags|gss.ProtReady {
					t.Error("flags", f)
				}
				for _, tok := range r.tokens {
					if m, _, err := gss.ParseToken(tok); err != nil || m != oid.PKIX {
						t.Error("a token is not framed")
					}
					if bytes.Contains(tok, []byte("alice")) {
						t.Error("the initiator's name is in clear")
					}
				}
			})
		}
	}
}

func TestDefaults(t *testing.T) {
	a, b := mechanism(t, aliceCert, nil), mechanism(t, bobCert, nil)
	r := (&run{initiator: a, acceptor: b}).do(t)
	r.good(t, aliceText, bobText)
	if want := aliceCert.Leaf.NotAfter; !r.ic.Info().Expiry.Equal(want) && !r.ic.Info().Expiry.Equal(bobCert.Leaf.NotAfter) {
		t.Error("expiry", r.ic.Info().Expiry)
	}
	chain := r.ac.(*pkix.Context).PeerCertificates()
	if len(chain) != 2 || !chain[0].Equal(aliceCert.Leaf) || !chain[1].Equal(testCA.Certificate) {
		t.Error("the peer's chain")
	}
	for kind, v := range r.ac.(gss.Attributed).PeerAttributes() {
		if kind != "mail" || string(v.Value) != "alice@example.org" || !v.Authenticated {
			t.Error(kind, v)
		}
	}
}

func TestLifetime(t *testing.T) {
	short := testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}, NotAfter: time.Now().Add(time.Minute).Truncate(time.Second)})
	r := (&run{initiator: mechanism(t, short, nil), acceptor: mechanism(t, bobCert, nil)}).do(t)
	r.good(t, aliceText, bobText)
	if !r.ic.Info().Expiry.Equal(short.Leaf.NotAfter) || !r.ac.Info().Expiry.Equal(short.Leaf.NotAfter) {
		t.Error(r.ic.Info().Expiry, r.ac.Info().Expiry, "want", short.Leaf.NotAfter)
	}
	now := time.Now()
	r = (&run{initiator: mechanism(t, aliceCert, nil), acceptor: mechanism(t, bobCert, func(c *pkix.Config) {
		c.MaxLifetime, c.Time = time.Hour, func() time.Time { return now }
	})}).do(t)
	r.good(t, aliceText, bobText)
	if !r.ac.Info().Expiry.Equal(now.Add(time.Hour)) {
		t.Error("policy:", r.ac.Info().Expiry)
	}
	now = now.Add(time.Hour + 1)
	if _, err := r.ac.Wrap(nil, nil, 0); gss.MajorOf(err) != gss.ContextExpired {
		t.Error("after the end:", err)
	}
}

// Names: what an initiator goes by, what a target is matched with, and that both
// sides end up with the same.
func TestNames(t *testing.T) {
	dnSubject := dn.Name{CommonName: "Carol, of #1", Organization: []string{"Example+"}, Country: []string{"CH"}}
	all := pkixtest.Template{
		Subject: dnSubject, DNS: []string{"*.wild.example", "Bob.Example"}, URIs: []string{"spiffe://example.org/x"},
		Emails: []string{"Me@Example.ORG"}, UPNs: []string{"Me@CORP"},
	}
	const dnText = `dn:CN=Carol\, of #1,O=Example\+,C=CH`
	for _, tt := range []struct {
		name     string
		template pkixtest.Template
		first    string // as an initiator
		is       []string
		isNot    []string
	}{
		{"everything", all, "uri:spiffe://example.org/x",
			[]string{"svc:nfs@bob.example", "dns:bob.example", "dns:a.wild.example", "svc:host@a.wild.example",
				"uri:spiffe://example.org/x", "mail:Me@example.org", "upn:Me@CORP", dnText},
			[]string{"dns:wild.example", "dns:a.b.wild.example", "dns:other.example", "uri:spiffe://example.org/X", "mail:me@example.org", "upn:me@CORP", "dn:CN=Carol"}},
		{"mail", pkixtest.Template{Emails: []string{"a@b.example"}, DNS: []string{"b.example"}}, "mail:a@b.example", []string{"dns:b.example"}, nil},
		{"upn", pkixtest.Template{UPNs: []string{"Ä@CORP"}, DNS: []string{"b.example"}}, "upn:Ä@CORP", []string{"upn:Ä@CORP"}, nil},
		{"upn alone, critical", pkixtest.Template{UPNs: []string{"u@CORP"}}, "upn:u@CORP", []string{"upn:u@CORP"}, nil},
		{"dns after a wildcard", pkixtest.Template{DNS: []string{"*.b.example", "C.b.example"}}, "dns:c.b.example", nil, []string{"dns:b.example"}},
		{"no SAN", pkixtest.Template{Subject: dn.Name{CommonName: "bob.example"}}, "dn:CN=bob.example",
			[]string{"dn:CN=bob.example"}, []string{"dns:bob.example", "svc:host@bob.example"}},
		{"only a wildcard", pkixtest.Template{Subject: dn.Name{CommonName: "x"}, DNS: []string{"*.b.example"}}, "dn:CN=x", []string{"dns:a.b.example"}, nil},
		{"a URI with a NUL", pkixtest.Template{Subject: dn.Name{CommonName: "x"}, UPNs: []string{"a\x00b"}}, "dn:CN=x", nil, []string{"upn:a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert := testCA.Issue(tt.template)
			m := mechanism(t, cert, nil)
			r := (&run{initiator: m, acceptor: mechanism(t, bobCert, nil)}).do(t)
			r.good(t, tt.first, bobText)
			for _, text := range tt.is {
				target, err := pkix.ParseName(text)
				if err != nil {
					t.Error(text, err)
					continue
				}
				r := (&run{initiator: mechanism(t, aliceCert, nil), acceptor: m, target: target}).do(t)
				r.good(t, aliceText, text)
				// And as an initiator that chooses the name.
				as, err := credential(t, cert).As(target)
				if err != nil {
					t.Error(text, err)
					continue
				}
				r = (&run{initiator: m, acceptor: mechanism(t, bobCert, nil), target: bob,
					init: &gss.InitOptions{Credentials: []gss.Credential{as}}}).do(t)
				r.good(t, text, bobText)
			}
			for _, text := range tt.isNot {
				target, err := pkix.ParseName(text)
				if err != nil {
					t.Error(text, err)
					continue
				}
				r := (&run{initiator: mechanism(t, aliceCert, nil), acceptor: m, target: target}).do(t)
				if gss.MajorOf(r.acptErr) != gss.BadName || r.ic != nil {
					t.Errorf("%s: %v, %v", text, r.initErr, r.acptErr)
				}
				if e, ok := errors.AsType[*gss.Error](r.initErr); !ok || !e.Remote || e.Major != gss.Unavailable || e.Minor != 1 {
					t.Errorf("%s: the initiator learns %v", text, r.initErr)
				}
				if _, err := credential(t, cert).As(target); gss.MajorOf(err) != gss.BadName {
					t.Errorf("As(%s): %v", text, err)
				}
			}
		})
	}
}

func TestParseName(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"svc:HOST@Bob.Example", "svc:host@bob.example"},
		{"dns:LOCALHOST", "dns:localhost"}, {"dns:_x.b-c.d1", "dns:_x.b-c.d1"},
		{"mail:A.b@C.D", "mail:A.b@c.d"}, {"uri:urn:x", "uri:urn:x"}, {"upn:x@Y", "upn:x@Y"}, {"dn:CN=x y", "dn:CN=x y"},
		{"", ""}, {"host", ""}, {"svc:host", ""}, {"svc:@b", ""}, {"svc:a@", ""}, {"svc:a@b@c", ""}, {"svc:a/b@c", ""},
		{"dns:", ""}, {"dns:.", ""}, {"dns:a.", ""}, {"dns:a..b", ""}, {"dns:-a", ""}, {"dns:a-", ""}, {"dns:10.0.0.1", ""},
		{"dns:::1", ""}, {"dns:bücher.example", ""}, {"dns:a b", ""}, {"dns:*.a", ""}, {"dns:a\x00b", ""},
		{"mail:@b", ""}, {"mail:a@", ""}, {"mail:a", ""}, {"mail:a b@c", ""}, {"mail:a@b@c", ""},
		{"uri:x", ""}, {"uri::x", ""}, {"uri:a:b c", ""}, {"upn:", ""}, {"upn:a\nb", ""}, {"upn:\xff", ""}, {"dn:a\x7f", ""},
		{"pw:x", ""}, {"SVC:a@b", ""},
	} {
		n, err := pkix.ParseName(tt.in)
		if n.Text != tt.want || (err == nil) != (tt.want != "") || err != nil && gss.MajorOf(err) != gss.BadName {
			t.Errorf("%q: %q, %v", tt.in, n.Text, err)
		}
		if err == nil {
			if again, err := pkix.ParseName(n.Text); again != n || err != nil {
				t.Errorf("%q is not canonical", n.Text)
			}
		}
	}
	m := mechanism(t, aliceCert, nil)
	for _, tt := range []struct {
		in   gss.Name
		want string
		bad  gss.Major
	}{
		{gss.Service("Host", "Bob.example"), "svc:host@bob.example", 0},
		{gss.User("alice@Example.org"), "mail:alice@example.org", 0},
		{gss.Name{Mech: oid.PKIX, Text: "uri:urn:x"}, "uri:urn:x", 0},
		{gss.User("alice"), "", gss.BadName}, {gss.Name{}, "", gss.BadName}, {gss.Service("", ""), "", gss.BadName},
		{gss.Name{Mech: oid.PKIX, Text: "dns:A"}, "", gss.BadName},
		{gss.Name{Mech: oid.Krb5, Text: "dns:a"}, "", gss.BadNameType},
		{gss.Name{Mech: oid.PKIX, Type: oid.NTUser, Text: "dns:a"}, "", gss.BadNameType},
		{gss.Name{Type: oid.NTAnonymous}, "", gss.BadNameType}, {gss.Name{Type: oid.NTMachineUID, Text: "0"}, "", gss.BadNameType},
	} {
		n, err := m.Canonicalize(context.Background(), tt.in)
		if n.Text != tt.want || gss.MajorOf(err) != tt.bad {
			t.Errorf("%v: %v, %v", tt.in, n, err)
		}
	}
}

func TestEmptyTarget(t *testing.T) {
	b := mechanism(t, bobCert, nil)
	_, err := mechanism(t, aliceCert, nil).Initiate(gss.Name{}, nil)
	if gss.MajorOf(err) != gss.BadName {
		t.Error("without a policy:", err)
	}
	for _, yes := range []bool{true, false} {
		var asked gss.Name
		a := mechanism(t, aliceCert, func(c *pkix.Config) {
			c.AnyTarget = func(n gss.Name) bool { asked = n; return yes }
		})
		r := (&run{initiator: a, acceptor: b, init: &gss.InitOptions{}}).do(t)
		if asked.Text != "dns:bob.example" {
			t.Error("asked about", asked)
		}
		if yes {
			r.good(t, aliceText, "dns:bob.example")
		} else {
			r.bad(t, true, gss.Unauthorized)
			if len(r.tokens) != 2 {
				t.Error("the initiator showed itself")
			}
		}
	}
}

// One mechanism serves many at once.
func TestConcurrent(t *testing.T) {
	a, b := mechanism(t, aliceCert, small), mechanism(t, bobCert, small)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				r := (&run{initiator: a, acceptor: b}).do(t)
				if r.initErr != nil || r.acptErr != nil || r.ic.Info().Local != r.ac.Info().Peer {
					t.Error(r.initErr, r.acptErr)
				}
			}
		})
	}
	wg.Wait()
	if b.HalfOpen() != 0 {
		t.Error("half-open:", b.HalfOpen())
	}
}

// A context's attributes may be read by many at once, also those of a certificate
// whose only name is one that crypto/x509 does not understand.
func TestAttributesConcurrently(t *testing.T) {
	m := mechanism(t, testCA.Issue(pkixtest.Template{UPNs: []string{"u@CORP"}}), small)
	r := (&run{initiator: m, acceptor: mechanism(t, bobCert, small)}).do(t)
	r.good(t, "upn:u@CORP", bobText)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for kind, a := range r.ac.(gss.Attributed).PeerAttributes() {
				if kind != "upn" || a.Display != "u@CORP" {
					t.Error(kind, a.Display)
				}
			}
		})
	}
	wg.Wait()
}

func TestSeveralCredentials(t *testing.T) {
	other := credential(t, testCA.Issue(pkixtest.Template{DNS: []string{"other.example"}}))
	only, err := other.As(gss.Service("http", "other.example"))
	if err != nil {
		t.Fatal(err)
	}
	creds := []gss.Credential{credential(t, bobCert), only}
	a := mechanism(t, aliceCert, nil)
	b := mechanism(t, bobCert, func(c *pkix.Config) { c.Credential = nil })
	for target, ok := range map[string]bool{"svc:http@other.example": true, "svc:host@bob.example": true, "svc:nfs@other.example": false} {
		n, _ := pkix.ParseName(target)
		r := (&run{initiator: a, acceptor: b, target: n, accept: &gss.AcceptOptions{Credentials: creds}}).do(t)
		if ok {
			r.good(t, aliceText, target)
		} else {
			r.bad(t, false, gss.BadName)
		}
	}
}
