package krb5

import (
	"context"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// Login gets cred's ticket-granting ticket now, as kinit does, if it has none that
// is good for a while. Otherwise that happens with the first handshake. Cache.Store
// keeps it. Errors: NoCred (a wrong password, an unknown client, a cache without a
// ticket-granting ticket), CredentialsExpired, Unavailable, Failure.
func (m *Mech) Login(ctx context.Context, cred *Credential) error {
	h := cred.Handle()
	if h == nil {
		return credError(gss.NoCred, errClosed)
	}
	defer h.Close()
	home := h.shared.home()
	_, err := m.ticketFor(ctx, h.shared, home, home.String())
	return acquireError(err)
}

// home is the principal of s's own ticket-granting service.
func (s *shared) home() ikrb5.Principal { return tgtName(s.principal.Realm, s.principal.Realm) }

// acquireError is an error of kdcError's for who acquires a credential.
func acquireError(err error) error {
	if e, ok := err.(*gss.Error); ok {
		return &gss.Error{Op: "Acquire_cred", Mech: oid.Krb5, Major: e.Major, Minor: e.Minor, Err: e.Err}
	}
	return err
}
