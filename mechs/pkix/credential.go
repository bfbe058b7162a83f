package pkix

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

// A Credential is a certificate chain and the private key of its first
// certificate, a gss.Credential. It is safe for concurrent use if the key is.
type Credential struct {
	name   gss.Name
	only   bool // it goes by name and by no other
	leaf   *certificate
	rest   []*x509.Certificate
	chain  [][]byte
	ocsp   []byte
	key    crypto.Signer
	closed *atomic.Bool
}

// FromTLS returns the credential of c: its Certificate (leaf first), PrivateKey (a
// crypto.Signer; Ed25519, ECDSA on P-256 or P-384, or RSA of 2048 to 8192 bits) and
// OCSPStaple. Leaf is not looked at. It keeps the key, and copies the rest. Error:
// DefectiveCredential.
func FromTLS(c tls.Certificate) (*Credential, error) {
	defective := func(err error) (*Credential, error) {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.PKIX, Major: gss.DefectiveCredential, Err: err}
	}
	leaf, rest, err := parseChain(c.Certificate)
	if err != nil {
		return defective(err)
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return defective(errors.New("pkix: the private key cannot sign"))
	}
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(leaf.PublicKey) {
		return defective(errors.New("pkix: the private key is not that of the certificate"))
	}
	if _, ok := schemeFor(leaf.PublicKey, crypto.SHA256); !ok {
		return defective(errKeyType)
	}
	if len(c.OCSPStaple) > maxOCSP {
		return defective(errors.New("pkix: OCSP response too long"))
	}
	first := leaf.names.first()
	if first == "" {
		return defective(errors.New("pkix: the certificate has no name"))
	}
	cred := &Credential{
		name: mechName(first), leaf: leaf, rest: rest, chain: [][]byte{leaf.Raw},
		ocsp: append([]byte(nil), c.OCSPStaple...), key: key, closed: new(atomic.Bool),
	}
	for _, r := range rest {
		cred.chain = append(cred.chain, r.Raw)
	}
	return cred, nil
}

// FromFiles returns the credential of two PEM files: certificates, leaf first, and
// a private key (PKCS #8, SEC 1 or PKCS #1, not encrypted). They may be one file.
// Errors: NoCred if a file cannot be read, DefectiveCredential.
func FromFiles(certFile, keyFile string) (*Credential, error) {
	fail := func(m gss.Major, err error) (*Credential, error) {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.PKIX, Major: m, Err: err}
	}
	certs, err := os.ReadFile(certFile)
	if err != nil {
		return fail(gss.NoCred, err)
	}
	keys, err := os.ReadFile(keyFile)
	if err != nil {
		return fail(gss.NoCred, err)
	}
	defer clear(keys)
	var c tls.Certificate
	for b, rest := pem.Decode(certs); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == "CERTIFICATE" {
			c.Certificate = append(c.Certificate, b.Bytes)
		}
	}
	for b, rest := pem.Decode(keys); b != nil && c.PrivateKey == nil; b, rest = pem.Decode(rest) {
		switch b.Type {
		case "PRIVATE KEY":
			c.PrivateKey, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			c.PrivateKey, err = x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			c.PrivateKey, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		}
		clear(b.Bytes)
		if err != nil {
			return fail(gss.DefectiveCredential, err)
		}
	}
	return FromTLS(c)
}

// As returns a credential with the same certificate that goes by name only: an
// initiator is name to its peers, and an acceptor is nobody else. name is one that
// ParseName or Canonicalize would take, and the certificate must prove it. Closing
// either closes both. Errors: BadNameType, BadName.
func (c *Credential) As(name gss.Name) (*Credential, error) {
	n, err := canonicalize("Add_cred", name)
	if err != nil {
		return nil, err
	}
	if !c.leaf.proves(n.Text) {
		return nil, &gss.Error{Op: "Add_cred", Mech: oid.PKIX, Major: gss.BadName, Err: errProof}
	}
	as := *c
	as.name, as.only = n, true
	return &as, nil
}

// Mech returns oid.PKIX.
func (c *Credential) Mech() oid.OID { return oid.PKIX }

// Name returns what As was given, else the first name of the certificate in the
// order uri, mail, upn, dns, dn: an initiator's name. An acceptor is who it was
// asked to be, if the certificate proves that.
func (c *Credential) Name() gss.Name { return c.name }

// Expiry returns the earliest end of the chain's certificates.
func (c *Credential) Expiry() time.Time {
	return expiry(time.Time{}, []*x509.Certificate{c.leaf.Certificate}, c.rest)
}

// Certificates returns the chain as it is sent, the credential's own first. The
// certificates must not be changed.
func (c *Credential) Certificates() []*x509.Certificate {
	return append([]*x509.Certificate{c.leaf.Certificate}, c.rest...)
}

// Close makes the credential unusable for handshakes that start later. The
// private key is the caller's, who erases it.
func (c *Credential) Close() error {
	c.closed.Store(true)
	return nil
}

// canBe reports whether an acceptor with c may be name.
func (c *Credential) canBe(name string) bool {
	if c.only {
		return c.name.Text == name
	}
	return c.leaf.proves(name)
}
