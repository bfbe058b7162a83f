package krb5

import (
	"context"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// Renew replaces cred's ticket-granting ticket by one that lasts longer, as kinit -R
// does, and stores it in the cache that cred is from if that has StoreTickets.
// Tickets of services stay. Errors as Login's; Unavailable if the ticket is not
// renewable, CredentialsExpired if it has ended or cannot be renewed any more.
//
// Handshakes renew it by themselves once four fifths of its life are over, but only
// a handshake that has to ask a KDC for a ticket, and a failure to renew is none
// then.
func (m *Mech) Renew(ctx context.Context, cred *Credential) error {
	h := cred.Handle()
	if h == nil {
		return credError(gss.NoCred, errClosed)
	}
	defer h.Close()
	s := h.shared
	select {
	case s.exchange <- struct{}{}:
		defer func() { <-s.exchange }()
	case <-ctx.Done():
		return acquireError(kdcError(ctx.Err()))
	}
	now := time.Now()
	tgt := s.get(s.home().String(), time.Time{})
	switch {
	case tgt == nil:
		return credError(gss.NoCred, errNoTGT)
	case tgt.expired(now):
		return credError(gss.CredentialsExpired, ikrb5.KRB_AP_ERR_TKT_EXPIRED)
	case tgt.flags&ikrb5.TicketRenewable == 0:
		return credError(gss.Unavailable, errNotRenewable)
	case !tgt.renew.After(now):
		return credError(gss.CredentialsExpired, errNotRenewable)
	}
	t, err := m.renew(ctx, s, tgt)
	if err != nil {
		return acquireError(kdcError(err))
	}
	s.replaceTGT(ctx, t)
	return nil
}

// due reports that t, which is good, should be renewed now, and can be.
func (t *ticket) due(now time.Time) bool {
	return t.flags&ikrb5.TicketRenewable != 0 && t.renew.After(t.end) && now.After(t.start.Add(t.end.Sub(t.start)/5*4))
}

// homeTGT returns s's TGT, renewed if that is due, or a new one, for who holds
// s.exchange.
func (m *Mech) homeTGT(ctx context.Context, s *shared) (*ticket, error) {
	now := time.Now()
	old := s.get(s.home().String(), now)
	if old != nil && old.due(now) {
		if t, err := m.renew(ctx, s, old); err == nil {
			s.replaceTGT(ctx, t)
			return t, nil
		}
	}
	if old != nil && !old.expired(now.Add(freshness)) {
		return old, nil
	}
	t, err := m.asExchange(ctx, s)
	if err == nil {
		s.put(t)
	}
	return t, err
}

// replaceTGT puts a renewed TGT in the place of the old one, here and in the cache,
// where it has to be: others take the first that they find.
func (s *shared) replaceTGT(ctx context.Context, t *ticket) {
	s.keep(t)
	s.mu.Lock()
	if !s.expiry.IsZero() && t.end.After(s.expiry) {
		s.expiry = t.end
	}
	s.mu.Unlock()
	if s.cache == nil {
		return
	}
	c, err := s.cache.read(ctx)
	if err != nil {
		return
	}
	defer c.erase()
	if !c.client.Equal(s.principal) {
		return
	}
	renewed := t.ccacheCred(s.principal)
	defer renewed.erase()
	for i := range c.creds {
		if old := &c.creds[i]; old.skey == 0 && old.server.Equal(t.server) && old.client.Equal(c.client) {
			*old = renewed
			s.cache.replace(ctx, c) // that it cannot be stored is no reason not to use it
			return
		}
	}
	s.cache.add(ctx, s.principal, &renewed)
}
