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

// Requests in the name of somebody else, MS-SFU §2.2.1 and §2.2.2.
const (
	paForUser     = 129
	paS4UX509User = 130
)

// maxAuthData bounds the entries of a ticket's authorization data.
const maxAuthData = 32

// tgs is the TGS exchange, RFC 4120 §3.3: a ticket for whoever has a TGT.
func (r *Realm) tgs(req *krb5.KDCReq, now time.Time) (*reply, error) {
	const known = flagOptions | krb5.KDCForwarded | krb5.KDCProxy | krb5.KDCRenewable | krb5.KDCRenewableOK |
		krb5.KDCRenew | krb5.KDCAllowPostdate | krb5.KDCCanonicalize
	body := &req.Body
	p, err := r.present(req, now)
	if err != nil {
		return nil, err
	}
	defer p.erase()
	server, session, err := r.target(body)
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
	t := &krb5.EncTicketPart{}
	if body.Options&krb5.KDCRenew != 0 {
		err = renew(t, p, body, now)
	} else {
		err = r.derive(t, p, server, body, now)
	}
	if err != nil {
		return nil, err
	}
	if t.Key, err = sessionKey(session); err != nil {
		return nil, err
	}
	defer t.Key.Erase()
	return r.issue(req, server, t, func(plaintext []byte) (krb5.EncryptedData, error) {
		return encrypt(p.replyKey, plaintext, p.replyUsage)
	})
}

// A presentation is the ticket that a client proved to own.
type presentation struct {
	name       krb5.PrincipalName // what the ticket is for
	part       *krb5.EncTicketPart
	replyKey   *krb5.Key
	replyUsage uint32
	authData   []krb5.AuthDataEntry // of the request
}

func (p *presentation) erase() {
	p.part.Key.Erase()
	p.replyKey.Erase()
}

// present checks the AP-REQ of PA-TGS-REQ, RFC 4120 §3.3.2 and §3.3.3.
func (r *Realm) present(req *krb5.KDCReq, now time.Time) (*presentation, error) {
	value, ok := krb5.FindPAData(req.PAData, krb5.PATGSReq)
	if !ok {
		return nil, refuse(krb5.KDC_ERR_PADATA_TYPE_NOSUPP, "no ticket")
	}
	for _, typ := range []int32{paForUser, paS4UX509User} {
		if _, ok := krb5.FindPAData(req.PAData, typ); ok {
			return nil, refuse(krb5.KDC_ERR_PADATA_TYPE_NOSUPP, "no tickets in the name of others here")
		}
	}
	ap, err := krb5.ParseAPReq(value)
	if err != nil {
		return nil, refuse(krb5.KRB_AP_ERR_MSG_TYPE, "malformed AP-REQ")
	}
	if ap.Options != 0 {
		return nil, refuse(krb5.KDC_ERR_BADOPTION, "AP option not supported")
	}
	part, err := r.open(&ap.Ticket)
	if err != nil {
		return nil, err
	}
	p := &presentation{name: ap.Ticket.SName, part: part}
	tgt := p.name.Equal(r.tgsName())
	switch {
	case !tgt && req.Body.Options&krb5.KDCRenew == 0:
		return nil, refuse(krb5.KRB_AP_ERR_NOT_US, "not a TGT")
	case part.StartTime.After(now.Add(r.o.Skew)) || part.Flags&krb5.TicketInvalid != 0:
		return nil, refuse(krb5.KRB_AP_ERR_TKT_NYV, "the ticket is not valid yet")
	case !part.EndTime.After(now):
		return nil, refuse(krb5.KRB_AP_ERR_TKT_EXPIRED, "the ticket has expired")
	}
	session, err := part.Key.Key()
	if err != nil {
		return nil, err
	}
	a, err := r.authenticator(ap, part, session, req.RawBody, now)
	if err != nil {
		return nil, err
	}
	p.replyKey, p.replyUsage = session, krb5.UsageTGSRepSession
	adUsage := uint32(krb5.UsageTGSReqADSession)
	if a.Subkey != nil {
		defer a.Subkey.Erase()
		if p.replyKey, err = a.Subkey.Key(); err != nil {
			return nil, refuse(krb5.KDC_ERR_ETYPE_NOSUPP, "unusable subkey")
		}
		session.Erase()
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

// open decrypts a ticket that this realm issued.
func (r *Realm) open(ticket *krb5.Ticket) (*krb5.EncTicketPart, error) {
	server, ok := r.lookup(ticket.SName)
	if !ok || !server.service || ticket.Realm != r.o.Realm {
		return nil, refuse(krb5.KRB_AP_ERR_NOT_US, "the ticket is not from here")
	}
	for _, k := range server.keys {
		if k.etype != ticket.EncPart.EType || ticket.EncPart.HasKVNO && k.kvno != ticket.EncPart.KVNO {
			continue
		}
		key, err := k.get()
		if err != nil {
			return nil, err
		}
		plaintext, err := key.Decrypt(nil, ticket.EncPart.Cipher, krb5.UsageTicket)
		if err != nil {
			continue // with no version number, perhaps another
		}
		defer clear(plaintext)
		return krb5.ParseEncTicketPart(plaintext)
	}
	return nil, refuse(krb5.KRB_AP_ERR_BAD_INTEGRITY, "the ticket does not decrypt")
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
		Flags:  body.Options&(flagOptions|krb5.KDCForwarded|krb5.KDCProxy) | p.part.Flags&inherited | krb5.TicketTransitedOK | server.flags(),
		CRealm: p.part.CRealm, CName: p.part.CName, TransitedType: p.part.TransitedType, Transited: p.part.Transited,
		AuthTime: p.part.AuthTime, CAddr: p.part.CAddr,
		AuthData: append(p.part.AuthData, p.authData...),
	}
	if len(t.AuthData) > maxAuthData {
		return refuse(krb5.KDC_ERR_POLICY, "too much authorization data")
	}
	if body.Options&(krb5.KDCForwarded|krb5.KDCProxy) != 0 {
		t.CAddr = body.Addresses
	}
	if body.Options&krb5.KDCProxy != 0 && server.name.Equal(r.tgsName()) {
		return refuse(krb5.KDC_ERR_BADOPTION, "a proxy cannot be a TGT")
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
