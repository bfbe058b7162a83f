package pkix_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	dn "crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
)

const (
	serverAuth oid.OID = "\x2b\x06\x01\x05\x05\x07\x03\x01"
	clientAuth oid.OID = "\x2b\x06\x01\x05\x05\x07\x03\x02"
	anyUsage   oid.OID = "\x55\x1d\x25\x00"
)

// smallOrder is an Ed25519 "private key" of somebody who has none: its public key is
// a point of small order, and its one signature fits every message.
type smallOrder struct{ pub ed25519.PublicKey }

func (s smallOrder) Public() crypto.PublicKey { return s.pub }

func (s smallOrder) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	// R = 1, S = 0: [0]B = R + [k]A holds for the neutral A, whatever k is.
	return append([]byte{1}, make([]byte, 63)...), nil
}

func point(h string) ed25519.PublicKey {
	b, err := hex.DecodeString(h)
	if err != nil || len(b) != 32 {
		panic(h)
	}
	return b
}

// What the neutral element can be written as: the second is not canonical.
var (
	neutral      = point("0100000000000000000000000000000000000000000000000000000000000000")
	neutralTwice = point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
)

func TestCheckKey(t *testing.T) {
	good, _, _ := ed25519.GenerateKey(rand.Reader)
	if err := pkix.CheckKey(good); err != nil {
		t.Error(err)
	}
	for _, h := range []string{ // all points of order 1, 2, 4 and 8, and other ways to write some
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // 6+p: not canonical
		"0200000000000000000000000000000000000000000000000000000000000000", // not on the curve
	} {
		if pkix.CheckKey(point(h)) == nil {
			t.Error("accepted", h)
		}
	}
	if pkix.CheckKey(ed25519.PublicKey(nil)) == nil || pkix.CheckKey("x") == nil {
		t.Error("accepted no key")
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192), E: 65537}
	if pkix.CheckKey(&p224.PublicKey) == nil || pkix.CheckKey(&rsa1024.PublicKey) == nil || pkix.CheckKey(huge) == nil {
		t.Error("accepted a weak or huge key")
	}
	if pkix.CheckKey(&p521.PublicKey) != nil {
		t.Error("a CA with P-521")
	}
}

// trusting returns a mechanism with bob's certificate that trusts ca.
func trusting(t testing.TB, ca *pkixtest.CA) *pkix.Mechanism {
	return mechanism(t, bobCert, func(c *pkix.Config) { small(c); c.Roots = ca.Pool() })
}

// Peers whose certificate is not good enough, on both sides.
func TestBadCertificates(t *testing.T) {
	template := pkixtest.Template{DNS: []string{"x.example"}}
	with := func(f func(*pkixtest.Template)) tls.Certificate {
		c := template
		f(&c)
		return testCA.Issue(c)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsa1024, _ := rsa.GenerateKey(rand.Reader, 1024)
	inter := func(change func(*x509.Certificate)) tls.Certificate {
		return testCA.Intermediate("i", nil, change).Issue(template)
	}
	// Chains by CAs that have no private key at all.
	forged := pkixtest.NewCAWith("forged", smallOrder{neutral})
	forgedTwice := pkixtest.NewCAWith("forged twice", smallOrder{neutralTwice})
	forgedInter := testCA.Intermediate("forged intermediate", smallOrder{neutral}, nil)

	long := testCA.Issue(template)
	for len(long.Certificate) <= 8 {
		long.Certificate = append(long.Certificate, testCA.Certificate.Raw)
	}
	garbage := testCA.Issue(template)
	garbage.Certificate = append(garbage.Certificate, []byte("garbage"))
	trailing := testCA.Issue(template)
	trailing.Certificate = [][]byte{append(bytes.Clone(trailing.Certificate[0]), 0)}

	for _, tt := range []struct {
		name string
		cert tls.Certificate
		ca   *pkixtest.CA // nil: testCA
	}{
		{"another root", testCA.Issue(template), pkixtest.NewCA("other")},
		{"another root of the same name", testCA.Issue(template), pkixtest.NewCA("test root")},
		{"expired", with(func(c *pkixtest.Template) { c.NotAfter = time.Now().Add(-time.Minute) }), nil},
		{"not yet", with(func(c *pkixtest.Template) { c.NotBefore = time.Now().Add(time.Minute) }), nil},
		{"no usage", with(func(c *pkixtest.Template) { c.NoEKUs = true }), nil},
		{"any usage", with(func(c *pkixtest.Template) { c.EKUs = []oid.OID{anyUsage} }), nil},
		{"TLS only", with(func(c *pkixtest.Template) { c.EKUs = []oid.OID{serverAuth, clientAuth} }), nil},
		{"password acceptor", with(func(c *pkixtest.Template) { c.EKUs = []oid.OID{oid.EKUPKIXPassword} }), nil},
		{"not to sign", with(func(c *pkixtest.Template) {
			c.Change = func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }
		}), nil},
		{"a critical extension", with(func(c *pkixtest.Template) {
			c.Change = func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, dn.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
			}
		}), nil},
		{"P-521 leaf", with(func(c *pkixtest.Template) { c.Key = p521 }), nil},
		{"RSA 1024 leaf", with(func(c *pkixtest.Template) { c.Key = rsa1024 }), nil},
		{"small-order leaf", with(func(c *pkixtest.Template) { c.Key = smallOrder{neutral} }), nil},
		{"small-order leaf, not canonical", with(func(c *pkixtest.Template) { c.Key = smallOrder{neutralTwice} }), nil},
		{"small-order root", forged.Issue(template), forged},
		{"small-order root, not canonical", forgedTwice.Issue(template), forgedTwice},
		{"small-order intermediate", forgedInter.Issue(template), nil},
		{"RSA 1024 intermediate", testCA.Intermediate("i", rsa1024, nil).Issue(template), nil},
		{"an intermediate that is no CA", inter(func(c *x509.Certificate) { c.IsCA = false; c.KeyUsage = x509.KeyUsageDigitalSignature }), nil},
		{"an intermediate for TLS only", inter(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), nil},
		{"names that the intermediate may not give", inter(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"y.example"} }), nil},
		{"a wildcard over a name that the intermediate may not give", testCA.Intermediate("i", nil, func(c *x509.Certificate) {
			c.ExcludedDNSDomains = []string{"x.example"}
		}).Issue(pkixtest.Template{DNS: []string{"*.example"}}), nil},
		{"a constraint that nobody understands", inter(func(c *x509.Certificate) { // directoryName, excluded: all
			c.ExtraExtensions = []dn.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: []byte{0x30, 8, 0xa1, 6, 0x30, 4, 0xa4, 2, 0x30, 0}}}
		}), nil},
		{"a chain of nine", long, nil},
		{"garbage in the chain", garbage, nil},
		{"octets behind the certificate", trailing, nil},
		{"half of the chain", func() tls.Certificate {
			c := testCA.Intermediate("i", nil, nil).Issue(template)
			c.Certificate = c.Certificate[:1]
			return c
		}(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ca == nil {
				tt.ca = testCA
			}
			evil := mechanism(t, bobCert, func(c *pkix.Config) {
				small(c)
				c.Credential = pkix.Unchecked(tt.cert, "dns:x.example")
			})
			target, _ := pkix.ParseName("dns:x.example")
			r := (&run{initiator: trusting(t, tt.ca), acceptor: evil, target: target}).do(t)
			refusedCert(t, "as an acceptor", r.initErr)
			if last := r.tokens[len(r.tokens)-1]; !bytes.Equal(last, pkix.Frame([]byte{0x0f, 2})) {
				t.Errorf("the initiator answers with %d octets", len(last))
			}
			if r.ic != nil || r.ac != nil {
				t.Error("a context")
			}
			r = (&run{initiator: evil, acceptor: trusting(t, tt.ca)}).do(t)
			if r.initErr != nil {
				t.Fatal("the evil initiator gave up:", r.initErr)
			}
			refusedCert(t, "as an initiator", r.acptErr)
			if r.ac != nil {
				t.Error("a context")
			}
		})
	}
}

func refusedCert(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[*gss.Error](err)
	if !ok || e.Remote || e.Err == nil && e.Major != gss.DefectiveToken || e.Major != gss.BadMIC && e.Major != gss.DefectiveToken {
		t.Errorf("%s: %v", what, err)
	}
}

// A certificate for TLS is good where the options say so, and on that side only.
func TestTLSUsages(t *testing.T) {
	server := testCA.Issue(pkixtest.Template{DNS: []string{"bob.example"}, EKUs: []oid.OID{serverAuth}})
	client := testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}, EKUs: []oid.OID{clientAuth}})
	allow := func(c *pkix.Config) { small(c); c.AllowServerAuth, c.AllowClientAuth = true, true }
	(&run{initiator: mechanism(t, client, allow), acceptor: mechanism(t, server, allow)}).do(t).good(t, aliceText, bobText)

	r := (&run{initiator: mechanism(t, aliceCert, small), acceptor: mechanism(t, server, allow)}).do(t)
	r.bad(t, true, gss.BadMIC)
	r = (&run{initiator: mechanism(t, client, allow), acceptor: mechanism(t, bobCert, small)}).do(t)
	r.bad(t, false, gss.BadMIC)

	// The wrong way round.
	clientAsServer := testCA.Issue(pkixtest.Template{DNS: []string{"bob.example"}, EKUs: []oid.OID{clientAuth}})
	serverAsClient := testCA.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}, EKUs: []oid.OID{serverAuth}})
	r = (&run{initiator: mechanism(t, aliceCert, allow), acceptor: mechanism(t, clientAsServer, allow)}).do(t)
	r.bad(t, true, gss.BadMIC)
	r = (&run{initiator: mechanism(t, serverAsClient, allow), acceptor: mechanism(t, bobCert, allow)}).do(t)
	r.bad(t, false, gss.BadMIC)
}

// An intermediate may be limited to this project's usage, which crypto/x509 cannot
// parse.
func TestLimitedIntermediate(t *testing.T) {
	value, err := hex.DecodeString("3017" + "0615" + hex.EncodeToString([]byte(oid.EKUPKIX)))
	if err != nil {
		t.Fatal(err)
	}
	ca := testCA.Intermediate("only pkix", nil, func(c *x509.Certificate) {
		c.ExtraExtensions = []dn.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: value}}
	})
	if _, err := x509.ParseCertificate(ca.Certificate.Raw); err == nil {
		t.Log("crypto/x509 parses oid.EKUPKIX now: ParseCertificate can go")
	}
	if again, err := pkix.ParseCertificate(ca.Certificate.Raw); err != nil || !again.Equal(ca.Certificate) ||
		!bytes.Equal(again.Extensions[len(again.Extensions)-1].Value, value) && !bytes.Contains(again.Raw, value) {
		t.Error(err)
	}
	if err := ca.Certificate.CheckSignatureFrom(testCA.Certificate); err != nil {
		t.Error(err)
	}
	carol := ca.Issue(pkixtest.Template{Emails: []string{"carol@example.org"}})
	(&run{initiator: mechanism(t, carol, small), acceptor: mechanism(t, bobCert, small)}).do(t).good(t, "mail:carol@example.org", bobText)
	tlsOnly := ca.Issue(pkixtest.Template{Emails: []string{"carol@example.org"}, EKUs: []oid.OID{clientAuth}})
	r := (&run{initiator: mechanism(t, tlsOnly, small), acceptor: mechanism(t, bobCert, func(c *pkix.Config) { small(c); c.AllowClientAuth = true })}).do(t)
	r.bad(t, false, gss.BadMIC)
}

// ofVersion returns c with another version field, signed by ca's P-256 key again.
func ofVersion(t *testing.T, c tls.Certificate, ca *pkixtest.CA, version ...byte) tls.Certificate {
	t.Helper()
	var outer struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Certificate[0], &outer); err != nil {
		t.Fatal(err)
	}
	rest, ok := bytes.CutPrefix(outer.TBS.Bytes, []byte{0xa0, 3, 2, 1, 2})
	if !ok {
		t.Fatal("not of version 3")
	}
	tbs, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(version, rest...)})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(tbs)
	sig, err := ca.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	outer.TBS = asn1.RawValue{FullBytes: tbs}
	outer.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	der, err := asn1.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	c.Certificate = append([][]byte{der}, c.Certificate[1:]...)
	if c.Leaf, err = pkix.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// Certificates of version 1 and 2 have no extensions. crypto/x509 does not look at
// those that are there all the same, so that neither name constraints nor critical
// extensions would stop what they say.
func TestOldVersions(t *testing.T) {
	constrained := testCA.Intermediate("constrained", nil, func(c *x509.Certificate) {
		c.PermittedEmailAddresses = []string{"partner.example"}
	})
	for _, tt := range []struct {
		name    string
		ca      *pkixtest.CA
		version []byte
		ok      bool
	}{
		{"3", testCA, []byte{0xa0, 3, 2, 1, 2}, true},
		{"3, constrained", constrained, []byte{0xa0, 3, 2, 1, 2}, false},
		{"2", testCA, []byte{0xa0, 3, 2, 1, 1}, false},
		{"2, constrained", constrained, []byte{0xa0, 3, 2, 1, 1}, false},
		{"1", testCA, nil, false},
		{"1, constrained", constrained, nil, false},
	} {
		c := ofVersion(t, tt.ca.Issue(pkixtest.Template{Emails: []string{"alice@example.org"}}), tt.ca, tt.version...)
		m := mechanism(t, bobCert, func(cfg *pkix.Config) { small(cfg); cfg.Credential = pkix.Unchecked(c, aliceText) })
		r := (&run{initiator: m, acceptor: mechanism(t, bobCert, small)}).do(t)
		if tt.ok {
			r.good(t, aliceText, bobText)
			continue
		}
		refusedCert(t, "version "+tt.name, r.acptErr)
		if r.ac != nil {
			t.Errorf("version %s: a context with %v", tt.name, r.ac.Info().Peer)
		}
	}
}

func TestParseCertificateTampered(t *testing.T) {
	good := bobCert.Certificate[0]
	c, err := pkix.ParseCertificate(good)
	if err != nil || !bytes.Equal(c.Raw, good) {
		t.Fatal(err)
	}
	for bit := range len(good) * 8 {
		bad := flip(good, bit)
		if c, err := pkix.ParseCertificate(bad); err == nil {
			if !bytes.Equal(c.Raw, bad) {
				t.Fatalf("bit %d: Raw is another certificate", bit)
			}
			if c.CheckSignatureFrom(testCA.Certificate) == nil {
				t.Errorf("bit %d: the signature still holds", bit)
			}
		}
	}
}

func TestVerifyChain(t *testing.T) {
	no := errors.New("on the list")
	var seen []*x509.Certificate
	strict := func(c *pkix.Config) {
		small(c)
		c.VerifyChain = func(chain []*x509.Certificate) error { seen = chain; return no }
	}
	r := (&run{initiator: mechanism(t, aliceCert, small), acceptor: mechanism(t, bobCert, strict)}).do(t)
	r.bad(t, false, gss.BadMIC)
	if !errors.Is(r.acptErr, no) || len(seen) != 2 || !seen[0].Equal(aliceCert.Leaf) {
		t.Error(r.acptErr, len(seen))
	}
	r = (&run{initiator: mechanism(t, aliceCert, strict), acceptor: mechanism(t, bobCert, small)}).do(t)
	r.bad(t, true, gss.BadMIC)
}

func TestOCSP(t *testing.T) {
	now := time.Now()
	serial := bobCert.Leaf.SerialNumber
	delegate := func(a x509.SignatureAlgorithm, usages ...x509.ExtKeyUsage) (*x509.Certificate, crypto.Signer) {
		c := testCA.Issue(pkixtest.Template{Subject: dn.Name{CommonName: "responder"}, KeyType: pkixtest.P256, NoEKUs: true,
			Change: func(c *x509.Certificate) { c.SignatureAlgorithm, c.ExtKeyUsage = a, usages }})
		return c.Leaf, c.PrivateKey.(crypto.Signer)
	}
	staple := func(status int, from, until time.Time, responder *x509.Certificate, key crypto.Signer, serial *big.Int) []byte {
		r := ocsp.Response{Status: status, SerialNumber: serial, ThisUpdate: from, NextUpdate: until, RevokedAt: now.Add(-time.Hour)}
		if responder == nil {
			responder, key = testCA.Certificate, testCA.Key
		} else {
			r.Certificate = responder
		}
		b, err := ocsp.CreateResponse(testCA.Certificate, responder, r, key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	responder, responderKey := delegate(0, x509.ExtKeyUsageOCSPSigning)
	someone, someoneKey := delegate(0, x509.ExtKeyUsageClientAuth)
	weak, weakKey := delegate(x509.ECDSAWithSHA1, x509.ExtKeyUsageOCSPSigning)
	strangerCA := pkixtest.NewCA("test root")
	sha1 := func(responder *x509.Certificate, key crypto.Signer) []byte {
		r := ocsp.Response{Status: ocsp.Good, SerialNumber: serial, ThisUpdate: before, NextUpdate: after, SignatureAlgorithm: x509.ECDSAWithSHA1}
		if responder != testCA.Certificate {
			r.Certificate = responder
		}
		b, err := ocsp.CreateResponse(testCA.Certificate, responder, r, key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// What a responder of two CAs says of the other's certificate, which has the same
	// number; nothing signs which of its own certificates comes along.
	elsewhere, err := ocsp.CreateResponse(pkixtest.NewCA("other").Certificate, responder, ocsp.Response{
		Status: ocsp.Good, SerialNumber: serial, ThisUpdate: before, NextUpdate: after, Certificate: responder}, responderKey)
	if err != nil {
		t.Fatal(err)
	}
	sameKey := pkixtest.NewCAWith("other name", testCA.Key)
	reissued, err := ocsp.CreateResponse(sameKey.Certificate, sameKey.Certificate, ocsp.Response{
		Status: ocsp.Good, SerialNumber: serial, ThisUpdate: before, NextUpdate: after}, testCA.Key)
	if err != nil {
		t.Fatal(err)
	}
	good := staple(ocsp.Good, before, after, nil, nil, serial)
	for _, tt := range []struct {
		name   string
		staple []byte
		ok     bool
	}{
		{"none", nil, true},
		{"good", good, true},
		{"good, by a delegate", staple(ocsp.Good, before, after, responder, responderKey, serial), true},
		{"good, by another certificate of the CA", staple(ocsp.Good, before, after, someone, someoneKey, serial), false},
		{"good, by a stranger", staple(ocsp.Good, before, after, strangerCA.Certificate, strangerCA.Key, serial), false},
		{"revoked", staple(ocsp.Revoked, before, after, nil, nil, serial), false},
		{"unknown", staple(ocsp.Unknown, before, after, nil, nil, serial), false},
		{"old", staple(ocsp.Good, now.Add(-2*time.Hour), before, nil, nil, serial), false},
		{"of the future", staple(ocsp.Good, after, now.Add(2*time.Hour), nil, nil, serial), false},
		{"without an end", staple(ocsp.Good, before, time.Time{}, nil, nil, serial), false},
		{"of another certificate", staple(ocsp.Good, before, after, nil, nil, aliceCert.Leaf.SerialNumber), false},
		{"garbage", []byte("garbage"), false},
		{"forged", flip(good, 8*len(good)-100), false},
		{"SHA-1", sha1(testCA.Certificate, testCA.Key), false},
		{"SHA-1, by a delegate", sha1(responder, responderKey), false},
		{"by a delegate with a SHA-1 certificate", staple(ocsp.Good, before, after, weak, weakKey, serial), false},
		{"about another CA's certificate", elsewhere, false},
		{"about another CA's certificate of the same key", reissued, false},
	} {
		c := bobCert
		c.OCSPStaple = tt.staple
		r := (&run{initiator: mechanism(t, aliceCert, small), acceptor: mechanism(t, c, small)}).do(t)
		if tt.ok {
			r.good(t, aliceText, bobText)
		} else if gss.MajorOf(r.initErr) != gss.BadMIC || r.ic != nil {
			t.Errorf("%s: %v", tt.name, r.initErr)
		}
	}
}

func TestCredentials(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, another, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]tls.Certificate{
		"nothing":       {},
		"no key":        {Certificate: bobCert.Certificate},
		"another's key": {Certificate: bobCert.Certificate, PrivateKey: another},
		"no signer":     {Certificate: bobCert.Certificate, PrivateKey: "key"},
		"garbage":       {Certificate: [][]byte{[]byte("x")}, PrivateKey: another},
		"RSA 1024":      testCA.Issue(pkixtest.Template{DNS: []string{"a"}, Key: weak}),
		"no name":       testCA.Issue(pkixtest.Template{}),
		"long staple":   {Certificate: bobCert.Certificate, PrivateKey: bobCert.PrivateKey, OCSPStaple: make([]byte, 1<<16)},
	} {
		if _, err := pkix.FromTLS(c); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%s: %v", name, err)
		}
	}

	cred := credential(t, aliceCert)
	if cred.Mech() != oid.PKIX || cred.Name().Text != aliceText || !cred.Expiry().Equal(aliceCert.Leaf.NotAfter) || len(cred.Certificates()) != 1 {
		t.Error(cred.Mech(), cred.Name(), cred.Expiry())
	}
	m := mechanism(t, bobCert, func(c *pkix.Config) { small(c); c.Credential = cred })
	got, err := m.Acquire(t.Context())
	if err != nil || len(got) != 1 || got[0].Name() != cred.Name() {
		t.Fatal("Acquire:", got, err)
	}
	got[0].Close() // the caller's handle, and no more
	if _, err := m.Initiate(bob, &gss.InitOptions{Credentials: got}); gss.MajorOf(err) != gss.NoCred {
		t.Error("a handle that was closed:", err)
	}
	// A context lives on when its credential is closed; later handshakes fail.
	r := (&run{initiator: m, acceptor: mechanism(t, bobCert, small)}).do(t)
	cred.Close()
	r.good(t, aliceText, bobText)
	if _, err := m.Initiate(bob, nil); gss.MajorOf(err) != gss.NoCred {
		t.Error("closed:", err)
	}
	if _, err := m.Accept(nil); gss.MajorOf(err) != gss.NoCred {
		t.Error("closed:", err)
	}
	if _, err := m.Acquire(t.Context()); gss.MajorOf(err) != gss.NoCred {
		t.Error("closed:", err)
	}
	none := mechanism(t, bobCert, func(c *pkix.Config) { c.Credential = nil })
	if _, err := none.Initiate(bob, nil); gss.MajorOf(err) != gss.NoCred {
		t.Error("none:", err)
	}
	late := mechanism(t, bobCert, func(c *pkix.Config) { c.Time = func() time.Time { return bobCert.Leaf.NotAfter.Add(1) } })
	if _, err := late.Initiate(bob, nil); gss.MajorOf(err) != gss.CredentialsExpired {
		t.Error("expired:", err)
	}
	if _, err := late.Accept(nil); gss.MajorOf(err) != gss.CredentialsExpired {
		t.Error("expired:", err)
	}
}

func TestFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	chain := testCA.Intermediate("i", nil, nil).Issue(pkixtest.Template{DNS: []string{"bob.example"}, KeyType: pkixtest.P256})
	ec, err := x509.MarshalECPrivateKey(chain.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	certs := pkixtest.CertificatePEM(chain.Certificate...)
	key := pkixtest.KeyPEM(chain.PrivateKey)
	certFile := write("cert.pem", certs)
	for _, keyFile := range []string{
		write("key.pem", key), write("sec1.pem", pkixtest.PEM("EC PRIVATE KEY", ec)), write("both.pem", append(certs, key...)),
	} {
		for _, c := range []string{certFile, filepath.Join(dir, "both.pem")} {
			if c != certFile && filepath.Base(keyFile) != "both.pem" {
				continue
			}
			cred, err := pkix.FromFiles(c, keyFile)
			if err != nil || len(cred.Certificates()) != 2 || cred.Name().Text != "dns:bob.example" {
				t.Fatal(keyFile, err)
			}
			(&run{initiator: mechanism(t, aliceCert, small), acceptor: mechanism(t, bobCert, func(cfg *pkix.Config) { small(cfg); cfg.Credential = cred })}).
				do(t).good(t, aliceText, bobText)
		}
	}
	if _, err := pkix.FromFiles(certFile, filepath.Join(dir, "absent")); gss.MajorOf(err) != gss.NoCred || !errors.Is(err, os.ErrNotExist) {
		t.Error("absent:", err)
	}
	for _, bad := range [][]byte{nil, []byte("no PEM"), pkixtest.PEM("PRIVATE KEY", []byte("x")), pkixtest.PEM("ENCRYPTED PRIVATE KEY", []byte("x"))} {
		if _, err := pkix.FromFiles(certFile, write("bad.pem", bad)); gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// RFC 4514 §4's examples, and what an attacker would put in.
func TestDistinguishedName(t *testing.T) {
	is := func(t asn1.ObjectIdentifier, v any) dn.AttributeTypeAndValue {
		return dn.AttributeTypeAndValue{Type: t, Value: v}
	}
	cn, o, ou, c := asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 11}, asn1.ObjectIdentifier{2, 5, 4, 6}
	dc, uid := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	for _, tt := range []struct {
		rdns dn.RDNSequence
		want string
	}{
		{dn.RDNSequence{{is(dc, "net")}, {is(dc, "example")}, {is(uid, "jsmith")}}, "UID=jsmith,DC=example,DC=net"},
		{dn.RDNSequence{{is(dc, "net")}, {is(cn, "J.  Smith"), is(ou, "Sales")}}, "OU=Sales+CN=J.  Smith,DC=net"},
		{dn.RDNSequence{{is(cn, `James "Jim" Smith, III`)}}, `CN=James \"Jim\" Smith\, III`},
		{dn.RDNSequence{{is(cn, "Before\rAfter")}}, "CN=Before\rAfter"},
		{dn.RDNSequence{{is(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1466, 0}, []byte{0x48, 0x69})}}, "1.3.6.1.4.1.1466.0=#04024869"},
		{dn.RDNSequence{{is(cn, "Lučić")}}, "CN=Lučić"},
		{dn.RDNSequence{{is(c, "CH")}, {is(o, " #a ")}, {is(cn, "#x")}}, `CN=\#x,O=\ #a\ ,C=CH`},
		{dn.RDNSequence{{is(cn, "a,CN=b")}}, `CN=a\,CN=b`},
		{dn.RDNSequence{{is(cn, `a\;<>+`)}}, `CN=a\\\;\<\>\+`},
		{dn.RDNSequence{{is(cn, "a\x00b")}}, `CN=a\00b`},
		{dn.RDNSequence{{is(cn, 7)}}, "CN=#020107"},
		{dn.RDNSequence{}, ""},
	} {
		der, err := asn1.Marshal(tt.rdns)
		if err != nil {
			t.Fatal(err)
		}
		got := pkix.DistinguishedName(der)
		if got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		for n := range der {
			pkix.DistinguishedName(der[:n]) // must not panic
		}
	}
}
