package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/oid"
)

// credentialFlags say what client and server prove themselves with; what they
// leave open, the environment says.
type credentialFlags struct{ cert, key, ca string }

func (c *credentialFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.cert, "cert", "", "`FILE`: your certificate, and its chain (PEM; default $GSS_CERT)")
	fs.StringVar(&c.key, "key", "", "`FILE`: its private key (default $GSS_KEY, or as --cert)")
	fs.StringVar(&c.ca, "ca", "", "`FILE`: authorities for peers' certificates (default $GSS_CA)")
}

// mechanisms returns what the flags and the environment set up. What is broken is
// left out with a warning, unless a flag named it.
func (c *credentialFlags) mechanisms(sh *shell) (mechglue.Mechanisms, error) {
	ms, err := mechs.FromEnv(func(name string) string {
		switch v := sh.getenv(name); name {
		case "GSS_CERT":
			return first(c.cert, v)
		case "GSS_KEY":
			if c.cert != "" {
				return c.key // never the key of another certificate
			}
			return first(c.key, v)
		case "GSS_CA":
			return first(c.ca, v)
		default:
			return v
		}
	})
	if err != nil {
		if len(ms) == 0 || ms.Lookup(oid.PKIX) == nil && *c != (credentialFlags{}) {
			return nil, err
		}
		fmt.Fprintf(sh.stderr, "gss: warning: going on without what is broken: %v\n", err)
	}
	if *c != (credentialFlags{}) { // whoever names a certificate wants it used
		slices.SortStableFunc(ms, func(a, b gss.Mechanism) int { return cmp.Compare(rank(a), rank(b)) })
	}
	return ms, nil
}

func rank(m gss.Mechanism) int {
	if m.OID() == oid.PKIX {
		return 0
	}
	return 1
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// initiators returns those of ms that have something to initiate with, and what
// that is, for the caller to close at the end; its error is about all of them, if
// none has.
func initiators(ctx context.Context, ms mechglue.Mechanisms) (some mechglue.Mechanisms, creds []gss.Credential, err error) {
	var errs []error
	for _, m := range ms {
		if a, ok := m.(gss.Acquirer); ok {
			cs, err := a.Acquire(ctx)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			creds = append(creds, cs...)
		}
		some = append(some, m)
	}
	if len(some) == 0 {
		return nil, nil, errors.Join(errs...)
	}
	return some, creds, nil
}

// acceptors returns those of ms that have something to accept with.
func acceptors(sh *shell, ms mechglue.Mechanisms) (mechglue.Mechanisms, error) {
	var some mechglue.Mechanisms
	var errs []error
	for _, m := range ms {
		h, err := m.Accept(nil)
		if err == nil {
			h.Close()
			if m.OID() == oid.Krb5 { // looks for its keytab only when somebody comes
				_, err = krb5.FromKeytabFile(first(sh.getenv("KRB5_KTNAME"), "/etc/krb5.keytab"), "")
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		some = append(some, m)
	}
	if len(some) == 0 {
		return nil, errors.Join(errs...)
	}
	return some, nil
}

// only returns the mechanism called name, or all of them for "". With tickets, the name
// that it has with them will do, too.
func only(ms mechglue.Mechanisms, name string, tickets bool) (mechglue.Mechanisms, error) {
	if name == "" {
		return ms, nil
	}
	var names []string
	for _, m := range ms {
		if called(m.OID(), name) || tickets && called(oid.Join(oid.Reauth, m.OID()), name) {
			return mechglue.Mechanisms{m}, nil
		}
		names = append(names, mechName(m.OID()))
	}
	return nil, usagef("there is no mechanism %q here; there is %s", name, strings.Join(names, ", "))
}

// called reports whether name is o's, or its digits.
func called(o oid.OID, name string) bool { return mechName(o) == name || o.String() == name }

// advise adds to an error for want of credentials how to come by one.
func advise(err error, how string) error {
	if errors.Is(err, gss.NoCred) || errors.Is(err, gss.CredentialsExpired) {
		return fmt.Errorf("%w\n%s", err, how)
	}
	return err
}

const (
	initiatorAdvice = `For Kerberos run kinit, or let KRB5_CLIENT_KTNAME name a keytab; for certificates
give --cert, --key and --ca. "gss kdc" and "gss cert" make throwaway ones.`
	acceptorAdvice = `For Kerberos let KRB5_KTNAME name a keytab with the service's key; for certificates
give --cert, --key and --ca. "gss kdc" and "gss cert" make throwaway ones.`
)
