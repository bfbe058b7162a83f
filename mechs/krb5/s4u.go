package krb5

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

var (
	errOtherRealm = errors.New("krb5: a service can act for users of its own realm only")
	errDelegation = errors.New("krb5: the KDC does not let the service act for the user")
	errEvidence   = fmt.Errorf("%w: his ticket to it is not forwardable", errDelegation)
)

// A proxy is by what a credential in the name of a user gets tickets: a service, which has
// a TGT or can get one, and the user's ticket to that service, as evidence.
type proxy struct {
	service  *Credential // a handle of its own
	evidence *ticket
}

// Impersonate returns a credential in the name of user, who was never asked: what
// gss_acquire_cred_impersonate_name returns. service is that of a service, with a keytab
// or a TGT; it gets a ticket of the user to itself from its KDC (S4U2Self, MS-SFU), here
// and now. The credential has the user's name. It initiates
//
//   - towards the service itself, as which somebody may look at what a KDC says of
//     the user (the ticket's PAC);
//   - towards whatever service the KDC lets this one delegate to (S4U2Proxy, "constrained
//     delegation"), if it lets it do so for users who never came ("protocol transition").
//     If it does not, handshakes fail with Unauthorized.
//
// Nothing proves that the user wants it. It is the KDC that trusts the service, and
// whoever has the service's key can do the same: a service that impersonates has to
// authenticate users by other means, before.
//
// The user has to be of the service's realm. The credential lives as long as the user's
// ticket, and is closed by the caller; service may be closed before. It is safe for concurrent use.
// Errors: BadName, BadNameType, NoCred; Unavailable for a user of another realm, and under
// GODEBUG=fips140=only, as the request needs MD5; Unauthorized if the KDC refuses.
func (m *Mech) Impersonate(ctx context.Context, service *Credential, user gss.Name) (*Credential, error) {
	if !service.shared.initiates {
		return nil, noCred("Acquire_cred", errAccepts)
	}
	client, err := m.config.principal(user, service.shared.principal.Realm)
	switch {
	case err != nil:
		return nil, err
	case client.Realm != service.shared.principal.Realm:
		return nil, credError(gss.Unavailable, errOtherRealm)
	case fips140.Enforced():
		return nil, credError(gss.Unavailable, errors.New("krb5: S4U2Self needs MD5"))
	}
	handle := service.Handle()
	if handle == nil {
		return nil, noCred("Acquire_cred", errClosed)
	}
	t, err := m.s4u2self(ctx, handle.shared, client)
	if err != nil {
		handle.Close()
		return nil, s4uError(err)
	}
	return newProxy(handle, client, t), nil
}

// newProxy returns a credential in the name of client, whose ticket to service evidence
// is. It owns both.
func newProxy(service *Credential, client ikrb5.Principal, evidence *ticket) *Credential {
	s := &shared{principal: client, initiates: true, expiry: evidence.end, proxy: &proxy{service, evidence}}
	return newCredential(s, evidence)
}

// actFor makes what an acceptor keeps of a client a credential in his name, if it is to and
// can: see Options.ActForUsers.
func (x *exchange) actFor(t *ikrb5.Ticket, part *ikrb5.EncTicketPart) *refusal {
	client := part.Client()
	if !x.m.actsForUsers || x.cred != nil || !x.service.shared.initiates || part.Flags&ikrb5.TicketForwardable == 0 || isAnonymous(client.Name) {
		return nil
	}
	key, err := copyKey(x.session)
	if err != nil {
		return &refusal{gss.Failure, ikrb5.KRB_ERR_GENERIC, err}
	}
	service := x.service.Handle()
	if service == nil {
		key.Erase()
		return &refusal{gss.NoCred, ikrb5.KRB_ERR_GENERIC, errClosed}
	}
	x.cred = newProxy(service, client, &ticket{
		server: x.server, raw: t.Append(nil), key: key,
		auth: part.AuthTime, start: part.StartTime, end: part.EndTime, renew: part.RenewTill, flags: part.Flags,
	})
	return nil
}

// s4u2self gets a ticket of client to the service s, MS-SFU §3.1.5.1.1. The user is named
// twice: some KDCs know one way only.
func (m *Mech) s4u2self(ctx context.Context, s *shared, client ikrb5.Principal) (*ticket, error) {
	tgt, err := m.serviceTGT(ctx, s)
	if err != nil {
		return nil, err
	}
	t, err := m.tgs(ctx, s.principal, tgt, &tgsRequest{
		server: s.principal, client: client, options: tgt.flags & ikrb5.TicketForwardable, // the option's bit is the flag's
		signed: func(nonce uint32, key *ikrb5.Key) ([]ikrb5.PAData, error) {
			id := ikrb5.S4UUserID{Nonce: nonce, CName: client.Name, CRealm: client.Realm, Options: ikrb5.S4UUseReplyKeyUsage, HasOptions: true}
			return []ikrb5.PAData{
				{Type: ikrb5.PAS4UX509User, Value: ikrb5.NewPAS4UX509User(id, key, ikrb5.UsageS4UX509UserRequest).Append(nil)},
				{Type: ikrb5.PAForUser, Value: ikrb5.NewPAForUser(client, key).Append(nil)},
			}, nil
		},
		check: func(req *ikrb5.KDCReq, rep *ikrb5.KDCRep, key *ikrb5.Key) error {
			return s.checkS4U2Self(req, rep, key, client)
		},
	})
	return t, notAllowed(err)
}

// serviceTGT is a TGT of s, and forwardable if s can get such a one: other tickets are no
// evidence then.
func (m *Mech) serviceTGT(ctx context.Context, s *shared) (*ticket, error) {
	home := s.home()
	tgt, err := m.ticketFor(ctx, s, home, home.String())
	if err != nil || tgt.flags&ikrb5.TicketForwardable != 0 || s.keys == nil && s.password == "" {
		return tgt, err
	}
	select {
	case s.exchange <- struct{}{}:
		defer func() { <-s.exchange }()
	case <-ctx.Done():
		return nil, kdcError(ctx.Err())
	}
	better, err := m.logIn(ctx, s, true)
	if err != nil { // a KDC may refuse that
		return tgt, nil
	}
	s.put(better)
	return better, nil
}

// checkS4U2Self makes sure that the ticket is the user's. The reply says so in clear, and
// a KDC that does not know of S4U would have issued one of the service's own. So the KDC
// has to have signed that it understood, or s has to look into the ticket. It does so
// anyhow if it has the key: the signature is not over the ticket, and who is between the
// two could have put in one of somebody else, which as evidence needs no session key.
func (s *shared) checkS4U2Self(req *ikrb5.KDCReq, rep *ikrb5.KDCRep, key *ikrb5.Key, client ikrb5.Principal) error {
	if value, ok := ikrb5.FindPAData(rep.PAData, ikrb5.PAS4UX509User); ok {
		pa, err := ikrb5.ParsePAS4UX509User(value)
		if err != nil {
			return err
		}
		user := ikrb5.Principal{Name: pa.UserID.CName, Realm: pa.UserID.CRealm}
		if pa.UserID.Nonce != req.Body.Nonce || !user.Equal(client) || !pa.Verify(key, ikrb5.UsageS4UX509UserReply) {
			return errReply
		}
		if s.keys == nil {
			return nil
		}
	}
	if s.keys == nil {
		return errReply
	}
	for _, k := range s.keys.candidates(s.principal, &rep.Ticket.EncPart) {
		plain, err := k.key.Decrypt(nil, rep.Ticket.EncPart.Cipher, ikrb5.UsageTicket)
		if err != nil {
			continue
		}
		defer clear(plain)
		part, err := ikrb5.ParseEncTicketPart(plain)
		if err != nil {
			return err
		}
		defer part.Key.Erase()
		if !part.Client().Equal(client) {
			return errReply
		}
		return nil
	}
	return errReply
}

// s4u2proxy gets a ticket for server in the name of s, MS-SFU §3.1.5.2.1, for who holds
// s.exchange. The ticket's client is whom the evidence is of.
func (m *Mech) s4u2proxy(ctx context.Context, s *shared, server ikrb5.Principal) (*ticket, error) {
	p, service := s.proxy, s.proxy.service.shared
	switch {
	case server.Equal(p.evidence.server):
		return nil, ikrb5.KRB_AP_ERR_TKT_EXPIRED // that is a ticket for it, and was not good enough
	case server.Realm != service.principal.Realm:
		return nil, errOtherRealm
	case p.evidence.flags&ikrb5.TicketForwardable == 0:
		return nil, errEvidence
	}
	home := service.home()
	tgt, err := m.ticketFor(ctx, service, home, home.String())
	if err != nil {
		return nil, err
	}
	t, err := m.tgs(ctx, service.principal, tgt, &tgsRequest{
		server: server, client: s.principal, options: ikrb5.KDCCNameInAddlTkt | m.passOn(p.evidence), second: p.evidence.raw,
		padata: []ikrb5.PAData{{Type: ikrb5.PAPACOptions, Value: ikrb5.AppendPACOptions(nil, ikrb5.PACOptionRBCD)}},
	})
	return t, notAllowed(err)
}

// notAllowed adds to err that a KDC means by it that a service may not.
func notAllowed(err error) error {
	if errors.Is(err, ikrb5.KDC_ERR_BADOPTION) || errors.Is(err, ikrb5.KDC_ERR_POLICY) {
		return fmt.Errorf("%w: %w", errDelegation, err)
	}
	return err
}

// s4uError is why there is no ticket in a user's name.
func s4uError(err error) error {
	e, ok := errors.AsType[*gss.Error](err) // if the service has no TGT
	if !ok {
		e = kdcError(err).(*gss.Error)
		if errors.Is(err, ikrb5.KDC_ERR_C_PRINCIPAL_UNKNOWN) {
			e.Major = gss.BadName
		}
	}
	e.Op = "Acquire_cred"
	return e
}
