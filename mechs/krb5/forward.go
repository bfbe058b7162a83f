package krb5

import (
	"context"
	"errors"
	"time"

	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

var (
	errNotForwardable = errors.New("krb5: the ticket-granting ticket is not forwardable")
	errNotRenewable   = errors.New("krb5: the ticket cannot be renewed, or not any more")
	errKRBCred        = errors.New("krb5: the delegated credential is not what the message says")
)

// renew gets a TGT of s anew, RFC 4120 §3.3.3.1: with a later end, and a session key
// of its own. It is not put into s.
func (m *Mech) renew(ctx context.Context, s *shared, tgt *ticket) (*ticket, error) {
	now := time.Now()
	if tgt.flags&ikrb5.TicketRenewable == 0 || !tgt.renew.After(now) || tgt.expired(now) {
		return nil, errNotRenewable
	}
	return m.tgs(ctx, s.principal, tgt, &tgsRequest{
		server: tgt.server, client: s.principal, options: ikrb5.KDCRenew | tgt.flags&ikrb5.TicketRenewable,
	})
}

// forward gets a TGT of s for somebody else to use, RFC 4120 §2.6: without addresses,
// and forwardable on, as the one that s has. It is not put into s, whose own TGT it
// needs and perhaps gets first.
func (m *Mech) forward(ctx context.Context, s *shared) (*ticket, error) {
	home := tgtName(s.principal.Realm, s.principal.Realm)
	tgt, err := m.ticketFor(ctx, s, home, home.String())
	if err != nil {
		return nil, err
	}
	if tgt.flags&ikrb5.TicketForwardable == 0 {
		return nil, errNotForwardable
	}
	return m.tgs(ctx, s.principal, tgt, &tgsRequest{
		server: home, client: s.principal, options: ikrb5.KDCForwarded | ikrb5.KDCForwardable,
	})
}

// appendCred appends a KRB-CRED with one ticket of client to dst, encrypted under key:
// the session key of the ticket that the context is made with, RFC 4121 §4.1.1.
func (m *Mech) appendCred(dst []byte, client ikrb5.Principal, t *ticket, key *ikrb5.Key) ([]byte, error) {
	now := m.stamp()
	value := ikrb5.EncryptionKey{EType: t.key.EType(), Value: t.key.Bytes()}
	defer value.Erase()
	part := ikrb5.EncCredPart{
		Infos: []ikrb5.CredInfo{{
			Key: value, PRealm: client.Realm, PName: client.Name, Flags: t.flags, HasFlags: true,
			AuthTime: t.auth, StartTime: t.start, EndTime: t.end, RenewTill: t.renew, SRealm: t.server.Realm, SName: t.server.Name,
		}},
		Timestamp: now.Truncate(time.Second), USec: now.Nanosecond() / 1000,
	}
	plain := part.Append(nil)
	defer clear(plain)
	cipher, err := key.Encrypt(nil, plain, ikrb5.UsageCredEncPart)
	if err != nil {
		return dst, err
	}
	c := ikrb5.Cred{RawTickets: [][]byte{t.raw}, EncPart: ikrb5.EncryptedData{EType: key.EType(), Cipher: cipher}}
	return c.Append(dst), nil
}

// openCred reads a KRB-CRED that client sent in an authenticator, encrypted under one of keys, none
// of which may be nil: RFC 4121 §4.1.1 says the session key, old peers took the subkey. Or
// in clear, as Heimdal sends it, for the authenticator is encrypted. The message has to hold
// at least one ticket that is of use, and tickets of client only.
func (m *Mech) openCred(msg []byte, client ikrb5.Principal, keys ...*ikrb5.Key) (*Credential, error) {
	c, err := ikrb5.ParseCred(msg)
	if err != nil {
		return nil, err
	}
	var plain []byte
	err = errNoEncType
	if c.EncPart.EType == 0 {
		plain, err = c.EncPart.Cipher, nil
	}
	for _, k := range keys {
		if k.EType() != c.EncPart.EType {
			continue
		}
		if plain, err = k.Decrypt(nil, c.EncPart.Cipher, ikrb5.UsageCredEncPart); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	part, err := ikrb5.ParseEncCredPart(plain)
	if err != nil {
		return nil, err
	}
	defer func() {
		for i := range part.Infos {
			part.Infos[i].Key.Erase()
		}
	}()
	if len(part.Infos) == 0 || len(part.Infos) != len(c.Tickets) {
		return nil, errKRBCred
	}
	s := &shared{principal: client, initiates: true}
	var tickets []*ticket
	for i := range part.Infos {
		t, err := m.delegatedTicket(&part.Infos[i], &c.Tickets[i], client)
		if err != nil {
			for _, t := range tickets {
				t.key.Erase()
			}
			return nil, err
		}
		tickets = append(tickets, t)
		if t.end.After(s.expiry) {
			s.expiry = t.end
		}
	}
	return newCredential(s, tickets...), nil
}

// delegatedTicket is one ticket of a KRB-CRED, which has to be good now.
func (m *Mech) delegatedTicket(i *ikrb5.CredInfo, t *ikrb5.Ticket, client ikrb5.Principal) (*ticket, error) {
	owner := ikrb5.Principal{Name: i.PName, Realm: i.PRealm}
	server := ikrb5.Principal{Name: i.SName, Realm: i.SRealm}
	named := ikrb5.Principal{Name: t.SName, Realm: t.Realm}
	switch {
	case !owner.Equal(client), !named.Equal(server), !i.HasFlags, i.EndTime.IsZero():
		return nil, errKRBCred
	case !i.EndTime.After(time.Now()):
		return nil, ikrb5.KRB_AP_ERR_TKT_EXPIRED
	case !m.config.permits(i.Key.EType):
		return nil, errNoEncType
	}
	key, err := i.Key.Key()
	if err != nil {
		return nil, errKRBCred
	}
	return &ticket{server: server, raw: t.Append(nil), key: key, auth: i.AuthTime, start: i.StartTime, end: i.EndTime, renew: i.RenewTill, flags: i.Flags}, nil
}
