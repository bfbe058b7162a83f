// Package mechs puts the mechanisms together that work on this host, so that a
// program which has no wishes of its own needs one line:
//
//	ms, err := mechs.System()
//
// It is the only package of the module that reads the environment. A program
// with wishes makes a mechglue.Mechanisms itself: krb5.New, pkix.New; or adds
// tickets to these: WithTickets.
package mechs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/oid"
)

// System returns Kerberos and certificates, in that order, as the environment
// sets them up:
//
//	KRB5_CONFIG         krb5.conf, or several with ":" between (/etc/krb5.conf)
//	KRB5CCNAME          what kinit wrote, FILE:path (FILE:/tmp/krb5cc_UID)
//	KRB5_CLIENT_KTNAME  keytab to initiate with if there is no credential cache
//	KRB5_KTNAME         keytab to accept with (/etc/krb5.keytab)
//	GSS_CERT, GSS_KEY   certificate chain and private key, PEM; the latter may be in the former
//	GSS_CA              authorities that peers are verified against, PEM (the system's)
//
// Files are looked at when they are needed, and again when they have changed;
// but certificates and krb5.conf are read now.
//
// A mechanism that nothing is set up for is in the list and refuses with NoCred,
// so that the next is tried. If something is set up and broken, err says what
// (Failure, Unavailable), and the list has the mechanisms that are not affected.
func System() (mechglue.Mechanisms, error) { return FromEnv(os.Getenv) }

// FromEnv is System with another environment: getenv returns "" for what is not set.
func FromEnv(getenv func(string) string) (mechglue.Mechanisms, error) {
	var ms mechglue.Mechanisms
	k, kerr := kerberos(getenv)
	if kerr == nil {
		ms = append(ms, k)
	}
	p, perr := certificates(getenv)
	if perr == nil {
		ms = append(ms, p)
	}
	return ms, errors.Join(kerr, perr)
}

func kerberos(getenv func(string) string) (gss.Mechanism, error) {
	paths := []string{"/etc/krb5.conf"}
	set := getenv("KRB5_CONFIG")
	if set != "" {
		paths = strings.Split(set, ":")
	}
	config, err := krb5.LoadConfig(paths...)
	switch {
	case err == nil:
	case set == "" && errors.Is(err, fs.ErrNotExist):
		config = &krb5.Config{LookupKDC: true} // as MIT does without a krb5.conf
	default:
		return nil, broken(oid.Krb5, "KRB5_CONFIG", err)
	}
	ccache, err := file(getenv, "KRB5CCNAME", "")
	if err != nil {
		return nil, err
	}
	open := krb5.FromCCacheFile
	if ccache == "" {
		ccache, open = "/tmp/krb5cc_"+strconv.Itoa(os.Getuid()), ownCCache
	}
	keytab, err := file(getenv, "KRB5_KTNAME", "/etc/krb5.keytab")
	if err != nil {
		return nil, err
	}
	client, err := file(getenv, "KRB5_CLIENT_KTNAME", "")
	if err != nil {
		return nil, err
	}
	o := krb5.Options{
		Config:    config,
		Initiator: krb5.FileSource(ccache, open),
		Acceptor:  krb5.FileSource(keytab, acceptAsAny),
	}
	if client != "" {
		o.Initiator = either(o.Initiator, krb5.FileSource(client, initiateAsFirst))
	}
	return krb5.New(o), nil
}

// ownCCache opens the default credential cache, which lies where everybody may put
// files: only this user's own counts.
func ownCCache(path string) (*krb5.Credential, error) {
	if !owned(path) {
		return nil, &gss.Error{Op: "Acquire_cred", Mech: oid.Krb5, Major: gss.NoCred,
			Err: fmt.Errorf("%s belongs to another user", path)}
	}
	return krb5.FromCCacheFile(path)
}

func acceptAsAny(path string) (*krb5.Credential, error) { return krb5.FromKeytabFile(path, "") }
func initiateAsFirst(path string) (*krb5.Credential, error) {
	return krb5.FromClientKeytabFile(path, "")
}

// either asks first, and second if first has nothing or nothing good any more; if
// that does not help, it is first's error that tells people to kinit.
func either(first, second krb5.Source) krb5.Source {
	return func(ctx context.Context) (*krb5.Credential, error) {
		c, err := first(ctx)
		if errors.Is(err, gss.NoCred) || errors.Is(err, gss.CredentialsExpired) {
			if d, e := second(ctx); e == nil || !errors.Is(e, gss.NoCred) {
				return d, e
			}
		}
		return c, err
	}
}

// file returns the path of a credential cache or keytab. Types other than files
// are refused: silently using another credential than the one named would be worse.
func file(getenv func(string) string, name, otherwise string) (string, error) {
	v := getenv(name)
	if v == "" {
		return otherwise, nil
	}
	kind, path, typed := strings.Cut(v, ":")
	switch {
	case !typed || strings.HasPrefix(v, "/"):
		return v, nil
	case kind == "FILE" || kind == "WRFILE":
		return path, nil
	}
	return "", &gss.Error{Op: "Indicate_mechs", Mech: oid.Krb5, Major: gss.Unavailable,
		Err: fmt.Errorf("%s=%s: only files are supported, FILE:path", name, v)}
}

// broken is why a mechanism that is set up is not in the list.
func broken(mech oid.OID, variable string, err error) error {
	return &gss.Error{Op: "Indicate_mechs", Mech: mech, Major: gss.Failure, Err: fmt.Errorf("%s: %w", variable, err)}
}

func certificates(getenv func(string) string) (gss.Mechanism, error) {
	var c pkix.Config
	if ca := getenv("GSS_CA"); ca != "" {
		roots, err := authorities(ca)
		if err != nil {
			return nil, broken(oid.PKIX, "GSS_CA", err)
		}
		c.Roots = roots
	} else if roots, err := x509.SystemCertPool(); err == nil {
		c.Roots = roots
	} else {
		c.Roots = x509.NewCertPool() // nobody is trusted
	}
	if cert := getenv("GSS_CERT"); cert != "" {
		key := getenv("GSS_KEY")
		if key == "" {
			key = cert
		}
		cred, err := pkix.FromFiles(cert, key)
		if err != nil {
			return nil, broken(oid.PKIX, "GSS_CERT, GSS_KEY", err)
		}
		c.Credential = cred
	}
	return pkix.New(c)
}

// authorities reads all certificates of a PEM file, and passes none over: not
// trusting one that somebody put there would be as surprising as the opposite.
// (x509.CertPool.AppendCertsFromPEM passes over what it cannot read.)
func authorities(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := pkix.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pool.AddCert(c)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: no certificate", path)
	}
	return pool, nil
}
