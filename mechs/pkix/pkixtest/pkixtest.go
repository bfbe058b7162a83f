// Package pkixtest is a throw-away certificate authority for tests and
// demonstrations of package pkix. Its keys live in memory, it revokes nothing, and
// it asks nobody who they are.
package pkixtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	dn "crypto/x509/pkix"
	asn1x "encoding/asn1"
	"encoding/pem"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/oid"
)

// A KeyType is a kind of private key.
type KeyType uint8

const (
	Ed25519 KeyType = iota
	P256
	P384
	RSA2048
)

// String returns the constant's name.
func (k KeyType) String() string {
	return [...]string{"Ed25519", "P256", "P384", "RSA2048"}[k]
}

func (k KeyType) generate() crypto.Signer {
	switch k {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	case P256:
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case P384:
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case RSA2048:
		return must(rsa.GenerateKey(rand.Reader, 2048))
	}
	panic("pkixtest: unknown key type")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("pkixtest: " + err.Error())
	}
	return v
}

// A Template says what is in a certificate. The zero value is good for a day from
// an hour ago, has an Ed25519 key, is for oid.EKUPKIX, and has no name at all.
type Template struct {
	Subject dn.Name
	DNS     []string
	URIs    []string
	Emails  []string
	UPNs    []string

	KeyType KeyType
	Key     crypto.Signer // instead of a new one of KeyType

	EKUs   []oid.OID // nil: oid.EKUPKIX
	NoEKUs bool      // no extended key usage at all

	NotBefore, NotAfter time.Time

	// Change, if not nil, is the last to see what is signed.
	Change func(*x509.Certificate)
}

// A CA issues certificates. It is safe for concurrent use.
type CA struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	parents     [][]byte // certificates between this one and the root, own first
}

// NewCA returns a root with a P-256 key, good for ten years.
func NewCA(name string) *CA { return NewCAWith(name, P256.generate()) }

// NewCAWith returns a root with a key of the caller's.
func NewCAWith(name string, key crypto.Signer) *CA {
	return newCA(nil, name, key, nil)
}

// Intermediate returns a CA below ca. change, if not nil, is the last to see what is
// signed.
func (ca *CA) Intermediate(name string, key crypto.Signer, change func(*x509.Certificate)) *CA {
	if key == nil {
		key = P256.generate()
	}
	return newCA(ca, name, key, change)
}

func newCA(parent *CA, name string, key crypto.Signer, change func(*x509.Certificate)) *CA {
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: dn.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if change != nil {
		change(t)
	}
	signer, signerKey := t, key
	if parent != nil {
		signer, signerKey = parent.Certificate, parent.Key
	}
	der := must(x509.CreateCertificate(rand.Reader, t, signer, key.Public(), signerKey))
	ca := &CA{Certificate: must(pkix.ParseCertificate(der)), Key: key}
	if parent != nil {
		ca.parents = append([][]byte{der}, parent.parents...)
	}
	return ca
}

func serial() *big.Int { return new(big.Int).SetBytes([]byte(rand.Text()[:16])) }

// Pool returns a pool of ca's certificate alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Certificate)
	return p
}

// Issue returns a certificate with its chain, root excluded, and its key. It
// panics on a template that makes no certificate.
func (ca *CA) Issue(t Template) tls.Certificate {
	key := t.Key
	if key == nil {
		key = t.KeyType.generate()
	}
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: t.Subject, NotBefore: t.NotBefore, NotAfter: t.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().AddDate(0, 0, 1)
	}
	if len(t.DNS)+len(t.URIs)+len(t.Emails)+len(t.UPNs) > 0 {
		c.ExtraExtensions = append(c.ExtraExtensions, dn.Extension{
			Id: asn1x.ObjectIdentifier{2, 5, 29, 17}, Value: t.altNames(),
			Critical: len(t.Subject.ToRDNSequence()) == 0, // RFC 5280 §4.2.1.6
		})
	}
	if !t.NoEKUs {
		ekus := t.EKUs
		if ekus == nil {
			ekus = []oid.OID{oid.EKUPKIX}
		}
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, o := range ekus {
				b.AddBytes(o.AppendDER(nil))
			}
		})
		c.ExtraExtensions = append(c.ExtraExtensions, dn.Extension{Id: asn1x.ObjectIdentifier{2, 5, 29, 37}, Value: b.BytesOrPanic()})
	}
	if t.Change != nil {
		t.Change(c)
	}
	der := must(x509.CreateCertificate(rand.Reader, c, ca.Certificate, key.Public(), ca.Key))
	return tls.Certificate{
		Certificate: append([][]byte{der}, ca.parents...), PrivateKey: key, Leaf: must(pkix.ParseCertificate(der)),
	}
}

// altNames returns the subjectAltName extension, RFC 5280 §4.2.1.6, as the template
// has it, also if it is none that anybody should issue.
func (t *Template) altNames() []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, l := range []struct {
			tag   asn1.Tag
			names []string
		}{{1, t.Emails}, {2, t.DNS}, {6, t.URIs}} {
			for _, n := range l.names {
				b.AddASN1(l.tag.ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
			}
		}
		for _, n := range t.UPNs {
			b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1x.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
				b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
				})
			})
		}
	})
	return b.BytesOrPanic()
}

// CertificatePEM returns certificates, DER, as PEM.
func CertificatePEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, PEM("CERTIFICATE", der)...)
	}
	return out
}

// KeyPEM returns a private key, as the standard library makes them, as PKCS #8 in
// PEM. It panics on any other.
func KeyPEM(key crypto.PrivateKey) []byte {
	return PEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

// PEM returns one block.
func PEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
