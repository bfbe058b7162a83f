package krb5

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// trimFile takes off the type that Kerberos programs put before a file's name.
func trimFile(path string) string {
	for _, prefix := range []string{"FILE:", "WRFILE:"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return rest
		}
	}
	return path
}

func parsePrincipal(text string) (ikrb5.Principal, error) {
	p, err := ikrb5.ParsePrincipal(text, "")
	if err != nil {
		return p, credError(gss.BadName, err)
	}
	return p, nil
}

// FromPassword returns a credential of a principal, which has to have a realm,
// that gets tickets with its password. Nothing is asked of a KDC yet. Error:
// BadName.
func FromPassword(principal, password string) (*Credential, error) {
	p, err := parsePrincipal(principal)
	if err != nil {
		return nil, err
	}
	return newCredential(&shared{principal: p, initiates: true, password: password}), nil
}

// FromKeytab returns a credential of a service. With a principal, which has to
// have a realm, it accepts as that one only, and initiates as it; with "" it
// accepts as every principal in the keytab. Errors: DefectiveCredential, BadName;
// NoCred if the keytab has no key for it.
func FromKeytab(keytab []byte, principal string) (*Credential, error) {
	k, p, err := openKeytab(keytab, principal)
	if err != nil {
		return nil, err
	}
	return newCredential(&shared{principal: p, initiates: principal != "", accepts: true, keys: k}), nil
}

// FromClientKeytab returns a credential that initiates as a principal in the
// keytab; "" is the newest entry's. Errors as FromKeytab's.
func FromClientKeytab(keytab []byte, principal string) (*Credential, error) {
	k, p, err := openKeytab(keytab, principal)
	if err != nil {
		return nil, err
	}
	if principal == "" {
		p = k.entries[0].principal
	}
	return newCredential(&shared{principal: p, initiates: true, keys: k}), nil
}

// FromKeytabFile is FromKeytab of a file, which may have "FILE:" before its name.
// It is read now and not again; see FileSource. Errors also: NoCred if there is no
// such file.
func FromKeytabFile(path, principal string) (*Credential, error) {
	b, err := readFile(trimFile(path), maxKeytabSize)
	if err != nil {
		return nil, fileError(err)
	}
	defer clear(b)
	return FromKeytab(b, principal)
}

// FromClientKeytabFile is FromClientKeytab of a file, as FromKeytabFile.
func FromClientKeytabFile(path, principal string) (*Credential, error) {
	b, err := readFile(trimFile(path), maxKeytabSize)
	if err != nil {
		return nil, fileError(err)
	}
	defer clear(b)
	return FromClientKeytab(b, principal)
}

// openKeytab reads a keytab that has a key for principal, if that is not "".
func openKeytab(b []byte, principal string) (*keytab, ikrb5.Principal, error) {
	var p ikrb5.Principal
	if principal != "" {
		var err error
		if p, err = parsePrincipal(principal); err != nil {
			return nil, p, err
		}
	}
	k, err := parseKeytab(b)
	if err != nil {
		return nil, p, credError(gss.DefectiveCredential, err)
	}
	if len(k.entries) == 0 || principal != "" && !k.has(p) {
		k.erase()
		return nil, p, noKey(p)
	}
	return k, p, nil
}

// noKey is the error of a keytab that has none for p, or none at all if p is zero.
func noKey(p ikrb5.Principal) error {
	if len(p.Name.Components) == 0 {
		return credError(gss.NoCred, errors.New("krb5: no usable key in the keytab"))
	}
	return credError(gss.NoCred, fmt.Errorf("krb5: no usable key of %s in the keytab", p))
}

// FromCCache returns a credential that initiates with the tickets of a credential
// cache, of version 3 or 4, and gets more with the ticket-granting ticket in it, if
// there is one. Errors: DefectiveCredential; NoCred if there is no usable ticket in
// it, CredentialsExpired if all have ended.
func FromCCache(ccache []byte) (*Credential, error) {
	c, err := parseCCache(ccache)
	if err != nil {
		return nil, credError(gss.DefectiveCredential, err)
	}
	defer c.erase()
	return credentialOf(c)
}

// FromCCacheFile is FromCCache of a file, which may have "FILE:" before its name.
// It is read now and not again; see OpenCache for that, and for other kinds of caches.
// Errors also: NoCred if there is no such file.
func FromCCacheFile(path string) (*Credential, error) {
	b, err := readLocked(context.Background(), trimFile(path), false)
	if err != nil {
		return nil, fileError(err)
	}
	defer clear(b)
	return FromCCache(b)
}
