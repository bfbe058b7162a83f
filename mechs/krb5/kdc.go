package krb5

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// A ticket that ends sooner than this is not used if a new one can be had.
const freshness = time.Minute

var (
	errReply       = errors.New("krb5: the KDC's reply does not answer the request")
	errPreauth     = errors.New("krb5: the KDC wants pre-authentication other than an encrypted time stamp")
	errNoTGT       = errors.New("krb5: no ticket-granting ticket")
	errLongTermKey = errors.New("krb5: the KDC's reply is under another password or key")
	errNoEncType   = errors.New("krb5: no permitted encryption type in common")
)

// ticketFor returns a ticket of s for server, whose String is name: one that s has,
// or a new one from a KDC, where s gets its TGT first if it needs to. The ticket is
// good for as long as the caller has a handle on s.
func (m *Mech) ticketFor(ctx context.Context, s *shared, server ikrb5.Principal, name string) (*ticket, error) {
	if t := s.get(name, time.Now().Add(freshness)); t != nil {
		return t, nil
	}
	select {
	case s.exchange <- struct{}{}:
		defer func() { <-s.exchange }()
	case <-ctx.Done():
		return nil, kdcError(ctx.Err())
	}
	t, err := m.exchangeFor(ctx, s, server)
	if err != nil {
		if old := s.get(name, time.Now()); old != nil { // about to end, but not yet
			return old, nil
		}
		return nil, kdcError(err)
	}
	return t, nil
}

// exchangeFor is ticketFor for who holds s.exchange.
func (m *Mech) exchangeFor(ctx context.Context, s *shared, server ikrb5.Principal) (*ticket, error) {
	home := s.principal.Realm
	if server.Equal(tgtName(home, home)) {
		return m.homeTGT(ctx, s)
	}
	if t := s.get(server.String(), time.Now().Add(freshness)); t != nil {
		return t, nil
	}
	if s.proxy != nil {
		t, err := m.s4u2proxy(ctx, s, server)
		if err == nil {
			s.put(t)
		}
		return t, err
	}
	if m.config.refers(server, home) {
		return m.refer(ctx, s, server)
	}
	tgt, err := m.tgtFor(ctx, s, server.Realm)
	if err != nil {
		return nil, err
	}
	t, err := m.tgsExchange(ctx, s, tgt, server)
	if err == nil {
		s.put(t)
	}
	return t, err
}

// tgtName is the principal of realm's ticket-granting service as known in issuer.
func tgtName(realm, issuer string) ikrb5.Principal {
	return ikrb5.Principal{Name: ikrb5.PrincipalName{Type: ikrb5.NTSrvInst, Components: []string{"krbtgt", realm}}, Realm: issuer}
}

// asExchange gets a TGT, RFC 4120 §3.1: first without pre-authentication, from
// which it learns what the KDC wants; then with an encrypted time stamp.
func (m *Mech) asExchange(ctx context.Context, s *shared) (*ticket, error) {
	return m.logIn(ctx, s, m.config.Forwardable)
}

// logIn is asExchange for a TGT that is forwardable or not.
func (m *Mech) logIn(ctx context.Context, s *shared, forwardable bool) (*ticket, error) {
	body := m.requestBody(s.home())
	if forwardable {
		body.Options |= ikrb5.KDCForwardable
	}
	if m.config.RenewLifetime > 0 {
		body.Options |= ikrb5.KDCRenewable
		body.RTime = time.Now().Add(m.config.RenewLifetime)
	}
	return m.initialTicket(ctx, s, body)
}

// initialTicket is the AS exchange for the service that body says.
func (m *Mech) initialTicket(ctx context.Context, s *shared, body ikrb5.KDCReqBody) (*ticket, error) {
	if s.password == "" && s.keys == nil {
		return nil, errNoTGT
	}
	server := ikrb5.Principal{Name: body.SName, Realm: body.Realm}
	body.CName = s.principal.Name
	if s.keys != nil {
		newest := s.keys.newest(s.principal)
		body.ETypes = slices.DeleteFunc(body.ETypes, func(e ikrb5.EType) bool {
			return !slices.ContainsFunc(newest, func(k *ikrb5.Key) bool { return k.EType() == e })
		})
	}
	if len(body.ETypes) == 0 {
		return nil, errNoEncType
	}
	req := ikrb5.KDCReq{Body: body}
	rep, err := m.askKDC(ctx, server.Realm, &req)
	if kerr, ok := errors.AsType[*ikrb5.KRBError](err); ok && kerr.Code == ikrb5.KDC_ERR_PREAUTH_REQUIRED {
		if req.PAData, err = s.preauthenticate(kerr.EData, body.ETypes); err != nil {
			return nil, err
		}
		req.Body.Nonce = nonce()
		rep, err = m.askKDC(ctx, server.Realm, &req)
	}
	if err != nil {
		return nil, err
	}
	if !slices.Contains(body.ETypes, rep.EncPart.EType) {
		return nil, errNoEncType
	}
	key, owned, err := s.longTermKey(rep.EncPart.EType, rep.PAData)
	if err != nil {
		return nil, err
	}
	if owned {
		defer key.Erase()
	}
	t, err := m.openReply(&tgsRequest{server: server, client: s.principal}, &req, rep, key, ikrb5.UsageASRep)
	if errors.Is(err, ikrb5.ErrIntegrity) { // a KDC that wants no pre-authentication says nothing of it
		err = errLongTermKey
	}
	return t, err
}

// preauthenticate answers KDC_ERR_PREAUTH_REQUIRED with PA-ENC-TIMESTAMP, RFC
// 4120 §5.2.7.2, under the first key that the KDC knows and the client permits.
func (s *shared) preauthenticate(edata []byte, permitted []ikrb5.EType) ([]ikrb5.PAData, error) {
	methods, err := ikrb5.ParseMethodData(edata)
	if err != nil {
		return nil, err
	}
	if _, ok := ikrb5.FindPAData(methods, ikrb5.PAEncTimestamp); !ok {
		return nil, errPreauth
	}
	etype := permitted[0]
	if value, ok := ikrb5.FindPAData(methods, ikrb5.PAETypeInfo2); ok {
		infos, err := ikrb5.ParseETypeInfo2(value)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(infos, func(e ikrb5.ETypeInfo2Entry) bool { return slices.Contains(permitted, e.EType) })
		if i < 0 {
			return nil, errNoEncType
		}
		etype = infos[i].EType
	}
	key, owned, err := s.longTermKey(etype, methods)
	if err != nil {
		return nil, err
	}
	if owned {
		defer key.Erase()
	}
	now := time.Now()
	stamp := ikrb5.PAEncTSEnc{Time: now.Truncate(time.Second), USec: now.Nanosecond() / 1000}
	cipher, err := key.Encrypt(nil, stamp.Append(nil), ikrb5.UsagePAEncTimestamp)
	if err != nil {
		return nil, err
	}
	data := ikrb5.EncryptedData{EType: etype, Cipher: cipher}
	return []ikrb5.PAData{{Type: ikrb5.PAEncTimestamp, Value: data.Append(nil)}}, nil
}

// longTermKey returns the client's key of a type; owned, if the caller has to
// erase it. Salt and iteration count of a password come from the KDC, not
// authenticated (RFC 4120 §5.2.7.5): a count below the type's default is refused,
// as it would make the password cheaper to guess for whoever asked for it.
func (s *shared) longTermKey(etype ikrb5.EType, padata []ikrb5.PAData) (key *ikrb5.Key, owned bool, err error) {
	if s.keys != nil {
		for _, k := range s.keys.newest(s.principal) {
			if k.EType() == etype {
				return k, false, nil
			}
		}
		return nil, false, errNoEncType
	}
	// RFC 4120 §4: the realm and the components, joined.
	salt := s.principal.Realm + strings.Join(s.principal.Name.Components, "")
	var params []byte
	if value, ok := ikrb5.FindPAData(padata, ikrb5.PAETypeInfo2); ok {
		infos, err := ikrb5.ParseETypeInfo2(value)
		if err != nil {
			return nil, false, err
		}
		if i := slices.IndexFunc(infos, func(e ikrb5.ETypeInfo2Entry) bool { return e.EType == etype }); i >= 0 {
			params = infos[i].S2KParams
			if infos[i].HasSalt {
				salt = infos[i].Salt
			}
		}
	}
	least, _ := ikrb5.S2KIterations(etype, nil)
	if n, err := ikrb5.S2KIterations(etype, params); err != nil || n < least {
		return nil, false, ikrb5.ErrS2KParams
	}
	key, err = ikrb5.StringToKey(etype, s.password, salt, params)
	return key, true, err
}

// A tgsRequest is what a TGS exchange is to bring.
type tgsRequest struct {
	server  ikrb5.Principal // whom the ticket is for; its realm is whose KDC is asked
	client  ikrb5.Principal // whose ticket it will be
	options uint32          // more options
	padata  []ikrb5.PAData  // more pre-authentication data
	second  []byte          // DER of an additional ticket; nil: none

	// instead, if not nil, says whether a ticket for another service than server will
	// do: a TGT on the way, in a referral.
	instead func(got ikrb5.Principal) bool

	// signed, if not nil, makes more pre-authentication data of the request's nonce
	// and the key that the request is signed with.
	signed func(nonce uint32, key *ikrb5.Key) ([]ikrb5.PAData, error)

	// check, if not nil, looks at the reply too, which it does not change.
	check func(req *ikrb5.KDCReq, rep *ikrb5.KDCRep, key *ikrb5.Key) error
}

// tgsExchange gets a ticket for server from the realm that tgt is for, RFC 4120 §3.3.
func (m *Mech) tgsExchange(ctx context.Context, s *shared, tgt *ticket, server ikrb5.Principal) (*ticket, error) {
	return m.tgs(ctx, s.principal, tgt, &tgsRequest{server: server, client: s.principal, options: m.passOn(tgt)})
}

// tgs is the TGS exchange of whoever owns tgt.
func (m *Mech) tgs(ctx context.Context, owner ikrb5.Principal, tgt *ticket, r *tgsRequest) (*ticket, error) {
	body := m.requestBody(r.server)
	if len(body.ETypes) == 0 || !m.config.permits(tgt.key.EType()) {
		return nil, errNoEncType
	}
	body.Options |= r.options
	if r.second != nil {
		body.RawTickets = [][]byte{r.second}
	}
	raw := body.Append(nil)
	now := m.stamp()
	auth := ikrb5.Authenticator{
		CRealm: owner.Realm,
		CName:  owner.Name,
		Cksum:  &ikrb5.Checksum{Type: tgt.key.EType().ChecksumType(), Sum: tgt.key.Checksum(nil, raw, ikrb5.UsageTGSReqCksum)},
		CTime:  now.Truncate(time.Second),
		CUsec:  now.Nanosecond() / 1000,
	}
	cipher, err := tgt.key.Encrypt(nil, auth.Append(nil), ikrb5.UsageTGSReqAuth)
	if err != nil {
		return nil, err
	}
	ap := ikrb5.APReq{RawTicket: tgt.raw, Authenticator: ikrb5.EncryptedData{EType: tgt.key.EType(), Cipher: cipher}}
	req := ikrb5.KDCReq{TGS: true, PAData: []ikrb5.PAData{{Type: ikrb5.PATGSReq, Value: ap.Append(nil)}}, Body: body, RawBody: raw}
	req.PAData = append(req.PAData, r.padata...)
	if r.signed != nil {
		more, err := r.signed(body.Nonce, tgt.key)
		if err != nil {
			return nil, err
		}
		req.PAData = append(req.PAData, more...)
	}
	rep, err := m.askKDC(ctx, r.server.Realm, &req)
	if err != nil {
		return nil, err
	}
	if r.check != nil {
		if err := r.check(&req, rep, tgt.key); err != nil {
			return nil, err
		}
	}
	return m.openReply(r, &req, rep, tgt.key, ikrb5.UsageTGSRepSession)
}

// requestBody asks for a ticket with nothing special about it.
func (m *Mech) requestBody(server ikrb5.Principal) ikrb5.KDCReqBody {
	lifetime := m.config.Lifetime
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	return ikrb5.KDCReqBody{
		Realm:  server.Realm,
		SName:  server.Name,
		Till:   time.Now().Add(lifetime),
		Nonce:  nonce(),
		ETypes: m.config.encTypes(),
	}
}

// nonce has 31 bits: some KDCs take it for a signed number.
func nonce() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:]) >> 1
}

// openReply decrypts a reply and checks that it answers the request, RFC 4120
// §3.1.5 and §3.3.4: every field in clear that is used has to agree with what is
// encrypted.
func (m *Mech) openReply(r *tgsRequest, req *ikrb5.KDCReq, rep *ikrb5.KDCRep, key *ikrb5.Key, usage uint32) (*ticket, error) {
	if rep.EncPart.EType != key.EType() {
		return nil, errNoEncType
	}
	plain, err := key.Decrypt(nil, rep.EncPart.Cipher, usage)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	part, err := ikrb5.ParseEncKDCRepPart(plain)
	if err != nil {
		return nil, err
	}
	defer part.Key.Erase()
	got := ikrb5.Principal{Name: part.SName, Realm: part.SRealm}
	named := ikrb5.Principal{Name: rep.Ticket.SName, Realm: rep.Ticket.Realm}
	client := ikrb5.Principal{Name: rep.CName, Realm: rep.CRealm}
	wanted := got.Equal(r.server) || r.instead != nil && r.instead(got)
	if rep.TGS != req.TGS || part.Nonce != req.Body.Nonce || !wanted || !named.Equal(got) || !client.Equal(r.client) {
		return nil, errReply
	}
	if !m.config.permits(part.Key.EType) {
		return nil, errNoEncType
	}
	t := &ticket{server: got, raw: rep.RawTicket, auth: part.AuthTime, start: part.StartTime, end: part.EndTime, renew: part.RenewTill, flags: part.Flags}
	if t.start.IsZero() {
		t.start = part.AuthTime
	}
	if t.expired(time.Now()) {
		return nil, ikrb5.KRB_AP_ERR_TKT_EXPIRED
	}
	if t.key, err = part.Key.Key(); err != nil {
		return nil, err
	}
	return t, nil
}

// kdcError is why there is no ticket.
func kdcError(err error) error {
	e := &gss.Error{Op: "Init_sec_context", Mech: oid.Krb5, Major: gss.Failure, Err: fmt.Errorf("no ticket: %w", err)}
	code, ok := errors.AsType[ikrb5.ErrorCode](err)
	if kerr, is := errors.AsType[*ikrb5.KRBError](err); is {
		code, ok = kerr.Code, true
	}
	if ok {
		e.Minor = uint32(code)
	}
	switch {
	case errors.Is(err, errNoTGT), errors.Is(err, errLongTermKey):
		e.Major = gss.NoCred
	case errors.Is(err, errDelegation):
		e.Major = gss.Unauthorized
	case errors.Is(err, errNoEncType), errors.Is(err, errOtherRealm), code == ikrb5.KDC_ERR_ETYPE_NOSUPP:
		e.Major = gss.Unavailable
	case !ok:
	case code == ikrb5.KDC_ERR_C_PRINCIPAL_UNKNOWN, code == ikrb5.KDC_ERR_CLIENT_REVOKED, code == ikrb5.KDC_ERR_KEY_EXPIRED,
		code == ikrb5.KDC_ERR_PREAUTH_FAILED, code == ikrb5.KDC_ERR_NAME_EXP:
		e.Major = gss.NoCred
	case code == ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN:
		e.Major = gss.BadName
	case code == ikrb5.KRB_AP_ERR_TKT_EXPIRED:
		e.Major = gss.CredentialsExpired
	}
	return e
}
