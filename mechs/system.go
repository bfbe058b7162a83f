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
//	KRB5CCNAME          what kinit wrote, of every type that krb5.OpenCache knows
//	                    (default_ccache_name of krb5.conf; FILE:/tmp/krb5cc_UID)
//	KRB5_CLIENT_KTNAME  keytab to initiate with if there is no credential cache
//	                    (default_client_keytab_name)
//	KRB5_KTNAME         keytab to accept with (default_keytab_name; /etc/krb5.keytab)
//	GSS_CERT, GSS_KEY   certificate chain and private key, PEM; the latter may be in the former
//	GSS_CA              authorities that peers are verified against, PEM (the system's)
//
// Files are looked at when they are needed, and again when they have changed;
// but certificates and krb5.conf are read now. Tickets that are got go into the
// credential cache too, as MIT's library does it. Of a collection the primary cache
// counts, the one that kswitch chose.
//
// The environment of a program that is set-user-ID or set-group-ID is not looked at: it
// is its caller's. One that has more rights by other means uses FromEnv.
//
// A mechanism that nothing is set up for is in the list and refuses with NoCred,
// so that the next is tried. If something is set up and broken, err says what
// (Failure, Unavailable), and the list has the mechanisms that are not affected.
func System() (mechglue.Mechanisms, error) { return FromEnv(environment()) }

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
	initiator, err := ccache(getenv, config)
	if err != nil {
		return nil, err
	}
	keytab, err := keytabFile(getenv, "KRB5_KTNAME", config.Keytab, "/etc/krb5.keytab")
	if err != nil {
		return nil, err
	}
	client, err := keytabFile(getenv, "KRB5_CLIENT_KTNAME", config.ClientKeytab, "")
	if err != nil {
		return nil, err
	}
	o := krb5.Options{
		Config:    config,
		Initiator: initiator,
		Acceptor:  krb5.FileSource(keytab, acceptAsAny),
	}
	if client != "" {
		o.Initiator = either(o.Initiator, krb5.FileSource(client, initiateAsFirst))
	}
	return krb5.New(o), nil
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
