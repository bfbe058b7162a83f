package kdctest

import (
	"errors"
	"slices"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// refuse makes the error that a request is answered with.
func refuse(code krb5.ErrorCode, text string) *krb5.KRBError {
	return &krb5.KRBError{Code: code, EText: text}
}

// answer answers one request. It returns nil for what is neither an AS-REQ nor a
// TGS-REQ by its tag: two servers that answer everything could keep each other busy.
func (r *Realm) answer(request []byte, udp bool) []byte {
	if len(request) == 0 || request[0] != 0x6a && request[0] != 0x6c { // [APPLICATION 10], [APPLICATION 12]
		r.o.Logf("%d octets that are no request", len(request))
		return nil
	}
	req, err := krb5.ParseKDCReq(request)
	if err != nil {
		r.o.Logf("%v", err)
		return r.failure(r.now(), &krb5.KDCReq{}, refuse(krb5.KRB_ERR_GENERIC, "malformed request"))
	}
	fault := r.intercept(req, udp)
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.server.ended:
		}
	}
	switch {
	case fault.Drop:
		r.o.Logf("a request is dropped by the test")
		return nil
	case fault.Error != 0:
		return r.failure(r.now(), req, refuse(krb5.ErrorCode(fault.Error), "by the test"))
	}
	out := r.exchange(req, udp)
	if fault.Reply != nil {
		out = fault.Reply(out)
	}
	return out
}

// exchange answers a request.
func (r *Realm) exchange(req *krb5.KDCReq, udp bool) []byte {
	now := r.now()
	exchange, name, transport := r.as, "AS-REQ", "TCP"
	if req.TGS {
		exchange, name = r.tgs, "TGS-REQ"
	}
	if udp {
		transport = "UDP"
	}
	reply, err := exchange(req, now)
	if err != nil {
		r.o.Logf("%s (%s) %v for %v: %v", name, transport, req.Body.CName, req.Body.SName, err)
		return r.failure(now, req, err)
	}
	r.o.Logf("%s (%s) %v for %v: ticket %d, session %d", name, transport, reply.CName, reply.Ticket.SName,
		int32(reply.Ticket.EncPart.EType), int32(reply.session))
	out := reply.Append(nil)
	if udp && len(out) > r.o.MaxUDPReply {
		return r.failure(now, req, refuse(krb5.KRB_ERR_RESPONSE_TOO_BIG, "use TCP"))
	}
	return out
}

func (r *Realm) tooLong() []byte {
	return r.failure(r.now(), &krb5.KDCReq{}, refuse(krb5.KRB_ERR_FIELD_TOOLONG, "request too long"))
}

// failure is the KRB-ERROR for err; whatever is not one itself is not for the client.
func (r *Realm) failure(now time.Time, req *krb5.KDCReq, err error) []byte {
	e, ok := errors.AsType[*krb5.KRBError](err)
	if !ok {
		e = refuse(krb5.KRB_ERR_GENERIC, "internal error")
	}
	e.STime, e.SUsec = now, now.Nanosecond()/1000
	e.Realm, e.SName = r.o.Realm, req.Body.SName
	if e.SName.Components == nil {
		e.SName = tgsName(r.o.Realm)
	}
	if e.CName = req.Body.CName; e.CName.Components != nil {
		e.CRealm = req.Body.Realm
	}
	return e.Append(nil)
}

// A reply is a KDC-REP, and what to say about it.
type reply struct {
	krb5.KDCRep
	session krb5.EType
}

// target returns the service that a request is for, and the etype of the session key.
// Its name is the client's, whose name type may be another. In a referral, which only
// the TGS exchange has, it is another service.
func (r *Realm) target(body *krb5.KDCReqBody, tgs bool) (principal, krb5.EType, error) {
	server, ok := r.lookup(body.SName)
	switch {
	case ok && server.service:
		server.name = body.SName
	case tgs:
		server, ok = r.referral(body)
	default:
		ok = false
	}
	if !ok || body.Realm != r.o.Realm {
		return server, 0, refuse(krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN, "no such service")
	}
	if server.refused != 0 {
		return server, 0, refuse(server.refused, "refused by the test")
	}
	for _, e := range body.ETypes {
		if slices.Contains(server.session, e) {
			return server, e, nil
		}
	}
	return server, 0, refuse(krb5.KDC_ERR_ETYPE_NOSUPP, "no session key type in common with the service")
}

// setTimes gives t its times and decides whether it is renewable: what was asked
// for, within the realm's limits and those of the TGT, if there is one.
func (r *Realm) setTimes(t *krb5.EncTicketPart, body *krb5.KDCReqBody, now time.Time, tgt *krb5.EncTicketPart) error {
	start := now.Truncate(time.Second)
	end, renewTill, renewable := start.Add(r.o.Lifetime), start.Add(r.o.RenewLifetime), true
	if tgt != nil {
		end, renewTill = earlier(end, tgt.EndTime), earlier(renewTill, tgt.RenewTill)
		renewable = tgt.Flags&krb5.TicketRenewable != 0
	}
	if body.From.After(now.Add(r.o.Skew)) {
		return refuse(krb5.KDC_ERR_CANNOT_POSTDATE, "the ticket would start later")
	}
	t.StartTime, t.EndTime = start, earlier(end, limit(body.Till))
	if !t.EndTime.After(start) {
		return refuse(krb5.KDC_ERR_NEVER_VALID, "the ticket would end before it starts")
	}
	asked := limit(body.RTime)
	switch {
	case body.Options&krb5.KDCRenewable != 0:
	case body.Options&krb5.KDCRenewableOK != 0 && limit(body.Till).After(t.EndTime):
		asked = limit(body.Till) // the client makes do with renewals
	default:
		return nil
	}
	if renewable {
		t.Flags |= krb5.TicketRenewable
		t.RenewTill = earlier(asked, renewTill)
	}
	return nil
}

// limit is a time of a request, where none and 1970 mean as late as possible.
func limit(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Unix(1<<40, 0)
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// issue encrypts t as a ticket for server, with pac (nil: a new one), and returns it
// with what the client is told about it, encrypted by toClient.
func (r *Realm) issue(req *krb5.KDCReq, server principal, t *krb5.EncTicketPart, pac *krb5.PACBuilder, toClient func(plaintext []byte) (krb5.EncryptedData, error)) (*reply, error) {
	ticket, err := r.seal(server, t, pac)
	if err != nil {
		return nil, err
	}
	told := krb5.EncKDCRepPart{
		TGS: req.TGS, Key: t.Key, LastReq: []krb5.LastReq{{Type: 0, Value: t.StartTime}}, Nonce: req.Body.Nonce,
		Flags: t.Flags, AuthTime: t.AuthTime, StartTime: t.StartTime, EndTime: t.EndTime, RenewTill: t.RenewTill,
		SRealm: r.o.Realm, SName: server.name, CAddr: t.CAddr,
	}
	plaintext := told.Append(nil)
	defer clear(plaintext)
	enc, err := toClient(plaintext)
	if err != nil {
		return nil, err
	}
	return &reply{krb5.KDCRep{TGS: req.TGS, CRealm: t.CRealm, CName: t.CName, Ticket: ticket, EncPart: enc}, t.Key.EType}, nil
}

// seal makes the ticket of t for server, with pac; nil: a new one.
func (r *Realm) seal(server principal, t *krb5.EncTicketPart, pac *krb5.PACBuilder) (krb5.Ticket, error) {
	if err := r.addPAC(server, t, pac); err != nil {
		return krb5.Ticket{}, err
	}
	longTerm := server.keys[0]
	key, err := longTerm.get()
	if err != nil {
		return krb5.Ticket{}, err
	}
	plaintext := t.Append(nil)
	defer clear(plaintext)
	enc, err := encrypt(key, plaintext, krb5.UsageTicket)
	enc.KVNO, enc.HasKVNO = longTerm.kvno, true
	return krb5.Ticket{Realm: r.o.Realm, SName: server.name, EncPart: enc}, err
}

func encrypt(key *krb5.Key, plaintext []byte, usage uint32) (krb5.EncryptedData, error) {
	cipher, err := key.Encrypt(nil, plaintext, usage)
	return krb5.EncryptedData{EType: key.EType(), Cipher: cipher}, err
}

// sessionKey returns a new session key.
func sessionKey(e krb5.EType) (krb5.EncryptionKey, error) {
	k, err := krb5.RandomKey(e)
	if err != nil {
		return krb5.EncryptionKey{}, err
	}
	defer k.Erase()
	return krb5.EncryptionKey{EType: e, Value: k.Bytes()}, nil
}

// skewed reports whether a client's time, of whole seconds and microseconds, is too
// far from now.
func (r *Realm) skewed(now, seconds time.Time, usec int) bool {
	return now.Sub(seconds.Add(time.Duration(usec)*time.Microsecond)).Abs() > r.o.Skew
}
