package kdctest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// A tgsRequest is a good TGS-REQ for host/localhost with a subkey, before change.
type tgsRequest struct {
	session *krb5.Key
	req     krb5.KDCReq
	ap      krb5.APReq
	auth    krb5.Authenticator
	sum     func(body []byte) *krb5.Checksum
	after   func(*krb5.KDCReq) // changes what was signed
}

func (f *fixture) tgsRequest(tgt *krb5.KDCRep, part *krb5.EncKDCRepPart) *tgsRequest {
	f.t.Helper()
	session, err := part.Key.Key()
	if err != nil {
		f.t.Fatal(err)
	}
	sub, err := krb5.RandomKey(19)
	if err != nil {
		f.t.Fatal(err)
	}
	return &tgsRequest{
		session: session,
		req: krb5.KDCReq{TGS: true, Body: krb5.KDCReqBody{
			Realm: f.o.Realm, SName: name("host", "localhost"), Till: f.now.Add(time.Hour), Nonce: 43, ETypes: allETypes,
		}},
		ap: krb5.APReq{RawTicket: tgt.RawTicket, Ticket: tgt.Ticket},
		auth: krb5.Authenticator{CRealm: tgt.CRealm, CName: tgt.CName, CTime: f.now, CUsec: 678000,
			Subkey: &krb5.EncryptionKey{EType: 19, Value: sub.Bytes()}},
		sum: func(body []byte) *krb5.Checksum {
			return &krb5.Checksum{Type: session.EType().ChecksumType(), Sum: session.Checksum(nil, body, krb5.UsageTGSReqCksum)}
		},
		after: func(*krb5.KDCReq) {},
	}
}

func (r *tgsRequest) build(f *fixture) []byte {
	f.t.Helper()
	body := r.req.Body.Append(nil)
	r.auth.Cksum = r.sum(body)
	if r.ap.Authenticator.Cipher == nil {
		enc, err := encrypt(r.session, r.auth.Append(nil), krb5.UsageTGSReqAuth)
		if err != nil {
			f.t.Fatal(err)
		}
		r.ap.Authenticator = enc
	}
	r.req.PAData = append(r.req.PAData, krb5.PAData{Type: krb5.PATGSReq, Value: r.ap.Append(nil)})
	r.after(&r.req)
	return r.req.Append(nil)
}

func (f *fixture) tgs(tgt *krb5.KDCRep, part *krb5.EncKDCRepPart, change func(*tgsRequest)) (*krb5.KDCRep, *krb5.EncKDCRepPart, error) {
	f.t.Helper()
	r := f.tgsRequest(tgt, part)
	change(r)
	rep, err := f.exchange(r.build(f))
	if err != nil {
		return nil, nil, err
	}
	key, usage := r.session, uint32(krb5.UsageTGSRepSession)
	if r.auth.Subkey != nil {
		if key, err = r.auth.Subkey.Key(); err != nil {
			f.t.Fatal(err)
		}
		usage = krb5.UsageTGSRepSubkey
	}
	plaintext, err := key.Decrypt(nil, rep.EncPart.Cipher, usage)
	if err != nil {
		f.t.Fatal(err)
	}
	told, err := krb5.ParseEncKDCRepPart(plaintext)
	if err != nil {
		f.t.Fatal(err)
	}
	return rep, told, nil
}

// login gets a TGT that allows everything.
func (f *fixture) login(options uint32) (*krb5.KDCRep, *krb5.EncKDCRepPart) {
	f.t.Helper()
	rep, part, err := f.as(func(a *asRequest) { a.req.Body.Options = options })
	if err != nil {
		f.t.Fatal(err)
	}
	return rep, part
}

const allOptions = krb5.KDCForwardable | krb5.KDCProxiable | krb5.KDCRenewable

func TestTGS(t *testing.T) {
	f := newFixture(t)
	tgt, part := f.login(allOptions)
	f.now = f.now.Add(10 * time.Minute)
	for _, subkey := range []bool{true, false} {
		rep, told, err := f.tgs(tgt, part, func(r *tgsRequest) {
			if !subkey {
				r.auth.Subkey = nil
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := f.opened(rep)
		const flags = krb5.TicketPreAuthent | krb5.TicketTransitedOK
		switch {
		case !rep.TGS || rep.CRealm != f.o.Realm || !rep.CName.Equal(name("alice")) || !rep.Ticket.SName.Equal(name("host", "localhost")):
			t.Errorf("reply %+v", rep)
		case !told.TGS || told.Nonce != 43 || told.Flags != flags || !told.AuthTime.Equal(part.AuthTime) ||
			!told.StartTime.Equal(f.now.Truncate(time.Second)) || !told.EndTime.Equal(part.EndTime) || !told.RenewTill.IsZero():
			t.Errorf("told %+v", told)
		case seen.Flags != flags || !seen.CName.Equal(name("alice")) || !bytes.Equal(seen.Key.Value, told.Key.Value) ||
			seen.TransitedType != 1 || len(seen.Transited) != 0:
			t.Errorf("ticket %+v", seen)
		case bytes.Equal(told.Key.Value, part.Key.Value):
			t.Error("the TGT's session key again")
		}
	}
}

func TestTGSRefused(t *testing.T) {
	f := newFixture(t)
	tgt, part := f.login(0)
	svc, _, err := f.tgs(tgt, part, unchanged)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := krb5.RandomKey(20)
	mine := func(r *tgsRequest, sum []byte) func([]byte) *krb5.Checksum {
		return func([]byte) *krb5.Checksum {
			return &krb5.Checksum{Type: r.session.EType().ChecksumType(), Sum: sum}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*tgsRequest)
		want   krb5.ErrorCode
	}{
		{"no ticket", func(r *tgsRequest) { r.after = func(q *krb5.KDCReq) { q.PAData = nil } }, krb5.KDC_ERR_PADATA_TYPE_NOSUPP},
		{"in the name of another, malformed", func(r *tgsRequest) { r.req.PAData = []krb5.PAData{{Type: krb5.PAForUser}} }, krb5.KRB_ERR_GENERIC},
		{"malformed AP-REQ", func(r *tgsRequest) { r.after = func(q *krb5.KDCReq) { q.PAData[0].Value = []byte{1, 2, 3} } }, krb5.KRB_AP_ERR_MSG_TYPE},
		{"AP options", func(r *tgsRequest) { r.ap.Options = krb5.APUseSessionKey }, krb5.KDC_ERR_BADOPTION},
		{"service ticket", func(r *tgsRequest) { r.ap.RawTicket = svc.RawTicket }, krb5.KRB_AP_ERR_NOT_US},
		{"service ticket as TGT", func(r *tgsRequest) {
			r.ap.RawTicket, r.ap.Ticket = nil, svc.Ticket
			r.ap.Ticket.SName = f.tgsName()
		}, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"ticket of another realm", func(r *tgsRequest) { r.ap.RawTicket, r.ap.Ticket.Realm = nil, "OTHER" }, krb5.KRB_AP_ERR_NOT_US},
		{"ticket for nobody", func(r *tgsRequest) { r.ap.RawTicket, r.ap.Ticket.SName = nil, name("x") }, krb5.KRB_AP_ERR_NOT_US},
		{"ticket's key version", func(r *tgsRequest) { r.ap.RawTicket, r.ap.Ticket.EncPart.KVNO = nil, 2 }, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"ticket's etype", func(r *tgsRequest) { r.ap.RawTicket, r.ap.Ticket.EncPart.EType = nil, 17 }, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"ticket changed", func(r *tgsRequest) {
			r.ap.RawTicket, r.ap.Ticket.EncPart.Cipher = nil, slices.Clone(r.ap.Ticket.EncPart.Cipher)
			r.ap.Ticket.EncPart.Cipher[20] ^= 1
		}, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"empty ticket", func(r *tgsRequest) { r.ap.RawTicket, r.ap.Ticket.EncPart.Cipher = nil, []byte{} }, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"wrong session key", func(r *tgsRequest) { r.session = other }, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"empty authenticator", func(r *tgsRequest) { r.ap.Authenticator = krb5.EncryptedData{EType: 20, Cipher: []byte{}} }, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"other client", func(r *tgsRequest) { r.auth.CName = name("bob") }, krb5.KRB_AP_ERR_BADMATCH},
		{"other client realm", func(r *tgsRequest) { r.auth.CRealm = "OTHER" }, krb5.KRB_AP_ERR_BADMATCH},
		{"slow clock", func(r *tgsRequest) { r.auth.CTime = f.now.Add(-6 * time.Minute) }, krb5.KRB_AP_ERR_SKEW},
		{"fast clock", func(r *tgsRequest) { r.auth.CTime = f.now.Add(6 * time.Minute) }, krb5.KRB_AP_ERR_SKEW},
		{"no checksum", func(r *tgsRequest) { r.sum = func([]byte) *krb5.Checksum { return nil } }, krb5.KRB_AP_ERR_INAPP_CKSUM},
		{"checksum type", func(r *tgsRequest) {
			r.sum = func([]byte) *krb5.Checksum { return &krb5.Checksum{Type: 1, Sum: []byte{1, 2, 3, 4}} }
		}, krb5.KRB_AP_ERR_INAPP_CKSUM},
		{"checksum empty", func(r *tgsRequest) { r.sum = mine(r, []byte{}) }, krb5.KRB_AP_ERR_MODIFIED},
		{"checksum zero", func(r *tgsRequest) { r.sum = mine(r, make([]byte, 24)) }, krb5.KRB_AP_ERR_MODIFIED},
		{"other request signed", func(r *tgsRequest) { r.after = func(q *krb5.KDCReq) { q.Body.Nonce++ } }, krb5.KRB_AP_ERR_MODIFIED},
		{"subkey of a wrong length", func(r *tgsRequest) { r.auth.Subkey.Value = r.auth.Subkey.Value[:8] }, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"subkey of RC4", func(r *tgsRequest) { r.auth.Subkey.EType = 23 }, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"authorization data", func(r *tgsRequest) {
			r.req.Body.EncAuthData = &krb5.EncryptedData{EType: 19, Cipher: make([]byte, 64)}
		}, krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"unknown service", func(r *tgsRequest) { r.req.Body.SName = name("x") }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"no service", func(r *tgsRequest) { r.req.Body.SName = krb5.PrincipalName{} }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"service of another realm", func(r *tgsRequest) { r.req.Body.Realm = "OTHER" }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"no etype in common", func(r *tgsRequest) { r.req.Body.ETypes = []krb5.EType{23} }, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"forwardable from a TGT that is not", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCForwardable }, krb5.KDC_ERR_BADOPTION},
		{"forwarded", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCForwarded }, krb5.KDC_ERR_BADOPTION},
		{"proxy", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCProxy }, krb5.KDC_ERR_BADOPTION},
		{"renewable", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCRenewable }, krb5.KDC_ERR_BADOPTION},
		{"renew", func(r *tgsRequest) { r.req.Body.Options, r.req.Body.SName = krb5.KDCRenew, f.tgsName() }, krb5.KDC_ERR_BADOPTION},
		{"user to user", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCEncTktInSkey }, krb5.KDC_ERR_BADOPTION},
		{"constrained delegation", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCCNameInAddlTkt }, krb5.KDC_ERR_BADOPTION},
		{"validate", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCValidate }, krb5.KDC_ERR_BADOPTION},
		{"postdated", func(r *tgsRequest) { r.req.Body.Options = krb5.KDCPostdated }, krb5.KDC_ERR_CANNOT_POSTDATE},
		{"over already", func(r *tgsRequest) { r.req.Body.Till = f.now }, krb5.KDC_ERR_NEVER_VALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep, _, err := f.tgs(tgt, part, c.change)
			if !errors.Is(err, c.want) {
				t.Errorf("%+v, %v, want %v", rep, err, c.want)
			}
		})
	}
	f.now = part.EndTime
	if _, _, err := f.tgs(tgt, part, unchanged); !errors.Is(err, krb5.KRB_AP_ERR_TKT_EXPIRED) {
		t.Errorf("expired TGT: %v", err)
	}
	f.now = part.StartTime.Add(-6 * time.Minute)
	if _, _, err := f.tgs(tgt, part, unchanged); !errors.Is(err, krb5.KRB_AP_ERR_TKT_NYV) {
		t.Errorf("TGT of the future: %v", err)
	}
}

// Whatever is changed on the way, a client gets the ticket that it asked for or none.
// Next to no octet is free to change: only name types are.
func TestTGSMutated(t *testing.T) {
	f := newFixture(t)
	tgt, part := f.login(0)
	req := f.tgsRequest(tgt, part).build(f)
	if _, err := f.exchange(req); err != nil {
		t.Fatal(err)
	}
	free := 0
	for i := range req {
		for bit := range 8 {
			b := bytes.Clone(req)
			b[i] ^= 1 << bit
			rep, err := krb5.ParseKDCRep(f.answer(b, false))
			if err != nil {
				continue
			}
			free++
			if seen := f.opened(rep); !seen.CName.Equal(name("alice")) || !rep.Ticket.SName.Equal(name("host", "localhost")) {
				t.Errorf("octet %d changed, and with it what was asked for: %+v", i, rep)
			}
		}
	}
	if free > 8 {
		t.Errorf("%d bits are free to change, want those of the name type in the TGT at most", free)
	}
}

func TestTGSOptions(t *testing.T) {
	f := newFixture(t)
	f.AddService("HTTP/localhost", ServiceOptions{OKAsDelegate: true})
	tgt, part := f.login(allOptions)
	addr := []krb5.HostAddress{{Type: 2, Address: []byte{127, 0, 0, 1}}}

	rep, told, err := f.tgs(tgt, part, func(r *tgsRequest) {
		r.req.Body.SName, r.req.Body.Options, r.req.Body.Addresses = f.tgsName(), krb5.KDCForwarded|krb5.KDCForwardable, addr
	})
	const forwarded = krb5.TicketForwarded | krb5.TicketForwardable
	if err != nil || told.Flags&forwarded != forwarded || told.Flags&krb5.TicketInitial != 0 ||
		len(told.CAddr) != 1 || len(f.opened(rep).CAddr) != 1 {
		t.Fatalf("forwarded: %+v, %v", told, err)
	}
	rep2, told2, err := f.tgs(rep, told, func(r *tgsRequest) { r.req.Body.SName = name("HTTP", "localhost") })
	if err != nil || told2.Flags&(forwarded|krb5.TicketOKAsDelegate) != krb5.TicketForwarded|krb5.TicketOKAsDelegate ||
		len(f.opened(rep2).CAddr) != 1 {
		t.Errorf("service ticket by a forwarded TGT: %+v, %v", told2, err)
	}
	if _, told, err := f.tgs(tgt, part, func(r *tgsRequest) { r.req.Body.Options = krb5.KDCProxy }); err != nil ||
		told.Flags&krb5.TicketProxy == 0 {
		t.Errorf("proxy: %+v, %v", told, err)
	}
	if _, _, err := f.tgs(tgt, part, func(r *tgsRequest) {
		r.req.Body.SName, r.req.Body.Options = f.tgsName(), krb5.KDCProxy
	}); !errors.Is(err, krb5.KDC_ERR_BADOPTION) {
		t.Errorf("proxy TGT: %v", err)
	}
	// The session's 4 and the subkey's 5 are the usages of authorization data.
	for _, subkey := range []bool{true, false} {
		rep, _, err := f.tgs(tgt, part, func(r *tgsRequest) {
			key, usage := r.session, uint32(4)
			if subkey {
				key, _ = r.auth.Subkey.Key()
				usage = 5
			} else {
				r.auth.Subkey = nil
			}
			enc, err := encrypt(key, krb5.AppendAuthData(nil, []krb5.AuthDataEntry{{Type: 1, Data: []byte("restriction")}}), usage)
			if err != nil {
				t.Fatal(err)
			}
			r.req.Body.EncAuthData = &enc
		})
		if err != nil {
			t.Fatal(err)
		}
		if ad := f.opened(rep).AuthData; len(ad) != 1 || string(ad[0].Data) != "restriction" {
			t.Errorf("authorization data %+v", ad)
		}
	}
}

func TestRenew(t *testing.T) {
	f := newFixture(t, Options{RenewLifetime: 3 * time.Hour})
	tgt, part := f.login(allOptions)
	renew := func(r *tgsRequest) { r.req.Body.SName, r.req.Body.Options = f.tgsName(), krb5.KDCRenew }
	first := part.RenewTill
	for range 4 { // 50, 100, 150, 170 minutes
		f.now = f.now.Add(50 * time.Minute)
		var err error
		tgt, part, err = f.tgs(tgt, part, renew)
		want := earlier(f.now.Truncate(time.Second).Add(time.Hour), first)
		if err != nil || !part.EndTime.Equal(want) || !part.RenewTill.Equal(first) || part.Flags&krb5.TicketInitial != 0 {
			t.Fatalf("until %v, want %v: %+v, %v", part.EndTime, want, part, err)
		}
		if f.now.Add(50 * time.Minute).After(first) {
			break
		}
	}
	if !part.EndTime.Equal(first) {
		t.Errorf("last life ends %v, want %v", part.EndTime, first)
	}
	f.now = first
	if _, _, err := f.tgs(tgt, part, renew); !errors.Is(err, krb5.KRB_AP_ERR_TKT_EXPIRED) {
		t.Errorf("after its time: %v", err)
	}

	// A service ticket is renewed for its own service only.
	f.now = f.now.Add(time.Hour)
	tgt, part = f.login(allOptions)
	svc, svcPart, err := f.tgs(tgt, part, func(r *tgsRequest) { r.req.Body.Options = krb5.KDCRenewable })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.tgs(svc, svcPart, func(r *tgsRequest) { r.req.Body.Options = krb5.KDCRenew }); err != nil {
		t.Errorf("service ticket: %v", err)
	}
	if _, _, err := f.tgs(svc, svcPart, renew); !errors.Is(err, krb5.KDC_ERR_SERVER_NOMATCH) {
		t.Errorf("service ticket for a TGT: %v", err)
	}
}

// A TGT under the old key of the KDC is good after Rekey.
func TestRekey(t *testing.T) {
	f := newFixture(t)
	tgt, part := f.login(0)
	f.Rekey("krbtgt/GSS.TEST")
	f.Rekey("host/localhost")
	rep, _, err := f.tgs(tgt, part, unchanged)
	if err != nil || rep.Ticket.EncPart.KVNO != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
	if again, _ := f.login(0); again.Ticket.EncPart.KVNO != 2 {
		t.Errorf("TGT under version %d", again.Ticket.EncPart.KVNO)
	}
}
