package kdctest

import (
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// Each option of the TGS exchange needs a flag in the ticket that it is presented
// with, RFC 4120 §3.3.3.
var optionNeeds = []struct{ option, flag uint32 }{
	{krb5.KDCForwardable, krb5.TicketForwardable},
	{krb5.KDCForwarded, krb5.TicketForwardable},
	{krb5.KDCProxiable, krb5.TicketProxiable},
	{krb5.KDCProxy, krb5.TicketProxiable},
	{krb5.KDCRenewable, krb5.TicketRenewable},
	{krb5.KDCRenew, krb5.TicketRenewable},
}

// maxAuthData bounds the entries of a ticket's authorization data.
const maxAuthData = 32

// tgs is the TGS exchange, RFC 4120 §3.3: a ticket for whoever has a TGT.
func (r *Realm) tgs(req *krb5.KDCReq, now time.Time) (*reply, error) {
	const known = flagOptions | krb5.KDCForwarded | krb5.KDCProxy | krb5.KDCRenewable | krb5.KDCRenewableOK |
		krb5.KDCRenew | krb5.KDCAllowPostdate | krb5.KDCCanonicalize | krb5.KDCNoTransitCheck | krb5.KDCCNameInAddlTkt
	body := &req.Body
	p, err := r.present(req, now)
	if err != nil {
		return nil, err
	}
	defer p.erase()
	if requester, ok := r.lookup(p.part.CName); ok && p.part.CRealm == r.o.Realm && requester.refused != 0 {
		return nil, refuse(requester.refused, "refused by the test")
	}
	server, session, err := r.target(body, true)
	if err != nil {
		return nil, err
	}
	if err := checkOptions(body.Options, known); err != nil {
		return nil, err
	}
	for _, n := range optionNeeds {
		if body.Options&n.option != 0 && p.part.Flags&n.flag == 0 {
			return nil, refuse(krb5.KDC_ERR_BADOPTION, "the ticket does not allow that option")
		}
	}
	user, told, err := r.forUser(req, p)
	if err != nil {
		return nil, err
	}
	t, pac := &krb5.EncTicketPart{}, p.pacBuilder()
	switch {
	case user != nil && body.Options&krb5.KDCCNameInAddlTkt != 0:
		err = refuse(krb5.KDC_ERR_BADOPTION, "for whom?")
	case user != nil:
		pac, err = nil, r.s4u2self(t, p, server, *user, body, now)
	case body.Options&krb5.KDCCNameInAddlTkt != 0:
		pac, err = r.s4u2proxy(t, p, server, body, now)
	case body.Options&krb5.KDCRenew != 0:
		err = renew(t, p, body, now)
	default:
		err = r.derive(t, p, server, body, now)
	}
	if err != nil {
		return nil, err
	}
	if t.Key, err = sessionKey(session); err != nil {
		return nil, err
	}
	defer t.Key.Erase()
	rep, err := r.issue(req, server, t, pac, func(plaintext []byte) (krb5.EncryptedData, error) {
		return encrypt(p.replyKey, plaintext, p.replyUsage)
	})
	if err != nil {
		return nil, err
	}
	rep.PAData = told
	return rep, nil
}

// A presentation is the ticket that a client proved to own.
type presentation struct {
	name       krb5.PrincipalName // what the ticket is for
	issuer     string             // realm whose ticket it is
	part       *krb5.EncTicketPart
	pac        *krb5.PAC // nil: none
	session    *krb5.Key
	replyKey   *krb5.Key // the subkey, or session
	replyUsage uint32
	authData   []krb5.AuthDataEntry // of the request
}

func (p *presentation) erase() {
	p.part.Key.Erase()
	p.session.Erase()
	p.replyKey.Erase()
}

// pacBuilder is the ticket's PAC for a new ticket; nil if there is none.
func (p *presentation) pacBuilder() *krb5.PACBuilder {
	if p.pac == nil {
		return nil
	}
	b := new(krb5.PACBuilder)
	b.AddFrom(p.pac, func(uint32) bool { return false })
	return b
}

// present checks the AP-REQ of PA-TGS-REQ, RFC 4120 §3.3.2 and §3.3.3.
func (r *Realm) present(req *krb5.KDCReq, now time.Time) (*presentation, error) {
	value, ok := krb5.FindPAData(req.PAData, krb5.PATGSReq)
	if !ok {
		return nil, refuse(krb5.KDC_ERR_PADATA_TYPE_NOSUPP, "no ticket")
	}
	ap, err := krb5.ParseAPReq(value)
	if err != nil {
		return nil, refuse(krb5.KRB_AP_ERR_MSG_TYPE, "malformed AP-REQ")
	}
	if ap.Options != 0 {
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "AP option not supported")
	}
	part, key, issuer, err := r.open(&ap.Ticket)
	if err != nil {
		return nil, err
	}
	p := &presentation{name: ap.Ticket.SName, issuer: issuer, part: part}
	tgt := p.name.Equal(tgsName(r.o.Realm))
	switch {
	case issuer != r.o.Realm && part.CRealm == r.o.Realm:
		return nil, refuse(krb5.KDC_ERR_POLICY, "another realm does not say who is a client of this one")
	case !tgt && req.Body.Options&krb5.KDCRenew == 0:
		return nil, refuse(krb5.KRB_AP_ERR_NOT_US, "not a TGT")
	case part.StartTime.After(now.Add(r.o.Skew)) || part.Flags&krb5.TicketInvalid != 0:
		return nil, refuse(krb5.KRB_AP_ERR_TKT_NYV, "the ticket is not valid yet")
	case !part.EndTime.After(now):
		return nil, refuse(krb5.KRB_AP_ERR_TKT_EXPIRED, "the ticket has expired")
	}
	if p.pac, err = r.takePAC(part, key, issuer, !tgt); err != nil {
		return nil, err
	}
	session, err := part.Key.Key()
	if err != nil {
		return nil, err
	}
	a, err := r.authenticator(ap, part, session, req.RawBody, now)
	if err != nil {
		return nil, err
	}
	p.session, p.replyKey, p.replyUsage = session, session, krb5.UsageTGSRepSession
	adUsage := uint32(krb5.UsageTGSReqADSession)
	if a.Subkey != nil {
		defer a.Subkey.Erase()
		if p.replyKey, err = a.Subkey.Key(); err != nil {
			return nil, refuse(krb5.KDC_ERR_ETYPE_NOSUPP, "unusable subkey")
		}
		p.replyUsage, adUsage = krb5.UsageTGSRepSubkey, krb5.UsageTGSReqADSubkey
	}
	if enc := req.Body.EncAuthData; enc != nil {
		plaintext, err := p.replyKey.Decrypt(nil, enc.Cipher, adUsage)
		if err != nil || enc.EType != p.replyKey.EType() {
			return nil, refuse(krb5.KRB_AP_ERR_BAD_INTEGRITY, "authorization data")
		}
		if p.authData, err = krb5.ParseAuthData(plaintext); err != nil {
			return nil, refuse(krb5.KRB_ERR_GENERIC, "malformed authorization data")
		}
	}
	return p, nil
}

// open decrypts a ticket that this realm issued, or a TGT for it that a realm issued
// which it trusts: issuer. key is the ticket's.
func (r *Realm) open(ticket *krb5.Ticket) (part *krb5.EncTicketPart, key *krb5.Key, issuer string, err error) {
	server, ok := r.lookup(ticket.SName)
	if ticket.Realm != r.o.Realm {
		r.mu.RLock()
		server, ok = r.trusts[ticket.Realm].key, ticket.SName.Equal(tgsName(r.o.Realm))
		r.mu.RUnlock()
	}
	if !ok || !server.service {
		return nil, nil, "", refuse(krb5.KRB_AP_ERR_NOT_US, "the ticket is not from here")
	}
	for _, k := range server.keys {
		if k.etype != ticket.EncPart.EType || ticket.EncPart.HasKVNO && k.kvno != ticket.EncPart.KVNO {
			continue
		}
		key, err := k.get()
		if err != nil {
			return nil, nil, "", err
		}
		plaintext, err := key.Decrypt(nil, ticket.EncPart.Cipher, krb5.UsageTicket)
		if err != nil {
			continue // with no version number, perhaps another
		}
		defer clear(plaintext)
		part, err := krb5.ParseEncTicketPart(plaintext)
		return part, key, ticket.Realm, err
	}
	return nil, nil, "", refuse(krb5.KRB_AP_ERR_BAD_INTEGRITY, "the ticket does not decrypt")
}

// authenticator checks that the client has the session key and meant this request.
func (r *Realm) authenticator(ap *krb5.APReq, part *krb5.EncTicketPart, session *krb5.Key, body []byte, now time.Time) (*krb5.Authenticator, error) {
	plaintext, err := session.Decrypt(nil, ap.Authenticator.Cipher, krb5.UsageTGSReqAuth)
	if err != nil || ap.Authenticator.EType != session.EType() {
		return nil, refuse(krb5.KRB_AP_ERR_BAD_INTEGRITY, "the authenticator does not decrypt")
	}
	defer clear(plaintext)
	a, err := krb5.ParseAuthenticator(plaintext)
	switch {
	case err != nil:
		return nil, refuse(krb5.KRB_AP_ERR_MSG_TYPE, "malformed authenticator")
	case a.CRealm != part.CRealm || !a.CName.Equal(part.CName):
		return nil, refuse(krb5.KRB_AP_ERR_BADMATCH, "ticket and authenticator have different clients")
	case r.skewed(now, a.CTime, a.CUsec):
		return nil, refuse(krb5.KRB_AP_ERR_SKEW, "the client's clock is off")
	case a.Cksum == nil || a.Cksum.Type != session.EType().ChecksumType():
		return nil, refuse(krb5.KRB_AP_ERR_INAPP_CKSUM, "a checksum of the session key's type is needed")
	case !session.VerifyChecksum(body, a.Cksum.Sum, krb5.UsageTGSReqCksum):
		return nil, refuse(krb5.KRB_AP_ERR_MODIFIED, "the request is not what the client sent")
	}
	return a, nil
}

// derive makes t from the ticket presented.
func (r *Realm) derive(t *krb5.EncTicketPart, p *presentation, server principal, body *krb5.KDCReqBody, now time.Time) error {
	const inherited = krb5.TicketPreAuthent | krb5.TicketHWAuthent | krb5.TicketForwarded | krb5.TicketProxy
	*t = krb5.EncTicketPart{
		Flags:  body.Options&(flagOptions|krb5.KDCForwarded|krb5.KDCProxy) | p.part.Flags&inherited | server.flags(),
		CRealm: p.part.CRealm, CName: p.part.CName,
		AuthTime: p.part.AuthTime, CAddr: p.part.CAddr,
		AuthData: append(p.part.AuthData, p.authData...),
	}
	if len(t.AuthData) > maxAuthData {
		return refuse(krb5.KDC_ERR_POLICY, "too much authorization data")
	}
	if body.Options&(krb5.KDCForwarded|krb5.KDCProxy) != 0 {
		t.CAddr = body.Addresses
	}
	if body.Options&krb5.KDCProxy != 0 && isTGS(server.name) {
		return refuse(krb5.KDC_ERR_BADOPTION, "a proxy cannot be a TGT")
	}
	if err := r.transit(t, p, body.Options); err != nil {
		return err
	}
	return r.setTimes(t, body, now, p.part)
}

// renew makes t the ticket presented, starting now, with a life as long as before.
func renew(t *krb5.EncTicketPart, p *presentation, body *krb5.KDCReqBody, now time.Time) error {
	start := now.Truncate(time.Second)
	switch {
	case !p.name.Equal(body.SName):
		return refuse(krb5.KDC_ERR_SERVER_NOMATCH, "a ticket is renewed for its own service")
	case !p.part.RenewTill.After(start):
		return refuse(krb5.KRB_AP_ERR_TKT_EXPIRED, "the ticket cannot be renewed any more")
	}
	life := p.part.EndTime.Sub(p.part.StartTime)
	*t = *p.part
	t.Flags &^= krb5.TicketInitial
	t.StartTime, t.EndTime = start, earlier(start.Add(life), t.RenewTill)
	return nil
}
