package kdctest

import (
	"slices"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// forUser returns whom a service asks a ticket to itself for, and what to tell it: MS-SFU
// §3.2.5.1. Of the two ways to say it PA-S4U-X509-USER counts if both are there.
func (r *Realm) forUser(req *krb5.KDCReq, p *presentation) (*krb5.Principal, []krb5.PAData, error) {
	if value, ok := krb5.FindPAData(req.PAData, krb5.PAS4UX509User); ok {
		pa, err := krb5.ParsePAS4UX509User(value)
		if err != nil {
			return nil, nil, refuse(krb5.KRB_ERR_GENERIC, "malformed PA-S4U-X509-USER")
		}
		id := pa.UserID
		switch {
		case id.Nonce != req.Body.Nonce || !pa.Verify(p.replyKey, krb5.UsageS4UX509UserRequest):
			return nil, nil, refuse(krb5.KRB_AP_ERR_MODIFIED, "PA-S4U-X509-USER is not what the client sent")
		case id.CName.Components == nil:
			return nil, nil, refuse(krb5.KDC_ERR_PADATA_TYPE_NOSUPP, "no users by their certificates here")
		}
		usage := uint32(krb5.UsageS4UX509UserRequest)
		if id.Options&krb5.S4UUseReplyKeyUsage != 0 {
			usage = krb5.UsageS4UX509UserReply
		}
		told := krb5.NewPAS4UX509User(id, p.replyKey, usage)
		return &krb5.Principal{Name: id.CName, Realm: id.CRealm}, []krb5.PAData{{Type: krb5.PAS4UX509User, Value: told.Append(nil)}}, nil
	}
	if value, ok := krb5.FindPAData(req.PAData, krb5.PAForUser); ok {
		pa, err := krb5.ParsePAForUser(value)
		if err != nil {
			return nil, nil, refuse(krb5.KRB_ERR_GENERIC, "malformed PA-FOR-USER")
		}
		if !pa.Verify(p.session) {
			return nil, nil, refuse(krb5.KRB_AP_ERR_MODIFIED, "PA-FOR-USER is not what the client sent")
		}
		return &pa.User, nil, nil
	}
	return nil, nil, nil
}

// s4u2self makes t a ticket of user for the service that asks, MS-SFU §3.2.5.1. It is
// forwardable, and so is evidence, only for a service that may have that.
func (r *Realm) s4u2self(t *krb5.EncTicketPart, p *presentation, server principal, user krb5.Principal, body *krb5.KDCReqBody, now time.Time) error {
	client, known := r.lookup(user.Name)
	switch {
	case p.part.CRealm != r.o.Realm || !p.part.CName.Equal(server.name):
		return refuse(krb5.KDC_ERR_BADOPTION, "a service gets tickets of others for itself only")
	case body.Options&(krb5.KDCForwarded|krb5.KDCProxy|krb5.KDCRenew) != 0:
		return refuse(krb5.KDC_ERR_BADOPTION, "option not possible for another user")
	case user.Realm != r.o.Realm || !known:
		return refuse(krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN, "no such user")
	case client.refused != 0:
		return refuse(client.refused, "refused by the test")
	}
	*t = krb5.EncTicketPart{
		Flags:  server.flags() | krb5.TicketTransitedOK,
		CRealm: r.o.Realm, CName: user.Name, TransitedType: krb5.TransitedX500, AuthTime: p.part.AuthTime, AuthData: p.authData,
	}
	if body.Options&krb5.KDCForwardable != 0 && server.impersonates {
		t.Flags |= krb5.TicketForwardable
	}
	return r.setTimes(t, body, now, p.part)
}

// s4u2proxy makes t a ticket for server of whom the evidence is of, MS-SFU §3.2.5.2: a
// ticket for the service that asks, which may delegate to server.
func (r *Realm) s4u2proxy(t *krb5.EncTicketPart, p *presentation, server principal, body *krb5.KDCReqBody, now time.Time) (*krb5.PACBuilder, error) {
	if len(body.Tickets) != 1 {
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "no evidence, or too much")
	}
	ticket := &body.Tickets[0]
	middle, known := r.lookup(p.part.CName)
	evidence, key, issuer, err := r.open(ticket)
	switch {
	case err != nil:
		return nil, err
	case p.part.CRealm != r.o.Realm || !known || !ticket.SName.Equal(p.part.CName) || issuer != r.o.Realm:
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "the evidence is not for the service that shows it")
	case evidence.Flags&krb5.TicketForwardable == 0:
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "the evidence is not forwardable")
	case !slices.Contains(middle.delegateTo, server.name.String()):
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "the service may not delegate to that one")
	case !evidence.EndTime.After(now):
		return nil, refuse(krb5.KRB_AP_ERR_TKT_EXPIRED, "the evidence has expired")
	}
	pac, err := r.takePAC(evidence, key, issuer, true)
	if err != nil {
		return nil, err
	}
	*t = krb5.EncTicketPart{
		Flags:  evidence.Flags&(krb5.TicketPreAuthent|krb5.TicketHWAuthent|krb5.TicketTransitedOK) | body.Options&krb5.KDCForwardable | server.flags(),
		CRealm: evidence.CRealm, CName: evidence.CName, TransitedType: evidence.TransitedType, Transited: evidence.Transited,
		AuthTime: evidence.AuthTime, AuthData: append(evidence.AuthData, p.authData...),
	}
	if len(t.AuthData) > maxAuthData {
		return nil, refuse(krb5.KDC_ERR_POLICY, "too much authorization data")
	}
	within := *p.part
	within.EndTime = earlier(within.EndTime, evidence.EndTime)
	if err := r.setTimes(t, body, now, &within); err != nil || pac == nil {
		return nil, err
	}
	// The services on the way are in the PAC, MS-PAC §2.9.
	info := krb5.DelegationInfo{}
	if b, ok := pac.Buffer(krb5.PACDelegationInfo); ok {
		if old, err := krb5.ParseDelegationInfo(b); err == nil {
			info = *old
		}
	}
	info.Target = plainName(server.name)
	info.Transited = append(info.Transited, krb5.Principal{Name: p.part.CName, Realm: p.part.CRealm}.String())
	b := new(krb5.PACBuilder)
	b.AddFrom(pac, func(typ uint32) bool { return typ == krb5.PACDelegationInfo })
	b.Add(krb5.PACDelegationInfo, info.Append(nil))
	return b, nil
}
