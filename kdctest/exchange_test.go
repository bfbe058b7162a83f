package kdctest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// A fixture is a realm with a clock that stands still, and a client of it that
// builds its requests by hand, so that each can be wrong in one way.
type fixture struct {
	*Realm
	now time.Time
	t   testing.TB
}

func newFixture(t testing.TB, o ...Options) *fixture {
	f := &fixture{now: time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC), t: t}
	opt := append(o, Options{})[0]
	opt.Clock = func() time.Time { return f.now }
	f.Realm = New(t, opt)
	f.AddUser("alice", "")
	f.AddService("host/localhost")
	return f
}

func name(components ...string) krb5.PrincipalName {
	return krb5.PrincipalName{Type: krb5.NTPrincipal, Components: components}
}

func (f *fixture) tgsName() krb5.PrincipalName { return tgsName(f.o.Realm) }

var allETypes = []krb5.EType{20, 19, 18, 17}

func (f *fixture) key(e krb5.EType, principal ...string) *krb5.Key {
	f.t.Helper()
	p, ok := f.lookup(name(principal...))
	k, ok2 := p.current(e)
	if !ok || !ok2 {
		f.t.Fatalf("%s has no key %d", principal, e)
	}
	key, err := k.get()
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

// exchange sends a request through answer, and returns the reply or the KRB-ERROR.
func (f *fixture) exchange(req []byte) (*krb5.KDCRep, error) {
	f.t.Helper()
	out := f.answer(req, false)
	if rep, err := krb5.ParseKDCRep(out); err == nil {
		return rep, nil
	}
	e, err := krb5.ParseKRBError(out)
	if err != nil {
		f.t.Fatalf("neither a reply nor an error: %x", out)
	}
	if now := f.Realm.now(); e.Realm != f.o.Realm || !e.STime.Equal(now.Truncate(time.Second)) || e.SUsec != now.Nanosecond()/1000 {
		f.t.Errorf("error from %s at %v %d", e.Realm, e.STime, e.SUsec)
	}
	return nil, e
}

// An asRequest is a good AS-REQ of alice for a TGT, before change.
type asRequest struct {
	req krb5.KDCReq
	ts  krb5.PAEncTSEnc
	key *krb5.Key
}

func (f *fixture) as(change func(*asRequest)) (*krb5.KDCRep, *krb5.EncKDCRepPart, error) {
	f.t.Helper()
	a := asRequest{
		req: krb5.KDCReq{Body: krb5.KDCReqBody{
			CName: name("alice"), Realm: f.o.Realm, SName: f.tgsName(), Till: f.now.Add(time.Hour), Nonce: 42, ETypes: allETypes,
		}},
		ts:  krb5.PAEncTSEnc{Time: f.now, USec: 678000},
		key: f.key(20, "alice"),
	}
	a.req.PAData = []krb5.PAData{{Type: krb5.PAEncTimestamp}}
	change(&a)
	if len(a.req.PAData) > 0 && a.req.PAData[0].Value == nil {
		enc, err := encrypt(a.key, a.ts.Append(nil), krb5.UsagePAEncTimestamp)
		if err != nil {
			f.t.Fatal(err)
		}
		a.req.PAData[0].Value = enc.Append(nil)
	}
	rep, err := f.exchange(a.req.Append(nil))
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := f.key(rep.EncPart.EType, "alice").Decrypt(nil, rep.EncPart.Cipher, krb5.UsageASRep)
	if err != nil {
		f.t.Fatal(err)
	}
	part, err := krb5.ParseEncKDCRepPart(plaintext)
	if err != nil {
		f.t.Fatal(err)
	}
	return rep, part, nil
}

// opened is what the service sees of a ticket.
func (f *fixture) opened(rep *krb5.KDCRep) *krb5.EncTicketPart {
	f.t.Helper()
	t, _, _, err := f.open(&rep.Ticket)
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

func unchanged[T any](*T) {}

func TestAS(t *testing.T) {
	f := newFixture(t)
	rep, part, err := f.as(unchanged)
	if err != nil {
		t.Fatal(err)
	}
	seen := f.opened(rep)
	start := f.now.Truncate(time.Second)
	const flags = krb5.TicketInitial | krb5.TicketPreAuthent
	switch {
	case rep.TGS || rep.CRealm != f.o.Realm || !rep.CName.Equal(name("alice")):
		t.Errorf("reply %+v", rep)
	case part.TGS || part.Nonce != 42 || part.Flags != flags || !part.AuthTime.Equal(start) || !part.StartTime.Equal(start) ||
		!part.EndTime.Equal(start.Add(time.Hour)) || !part.RenewTill.IsZero() || part.SRealm != f.o.Realm || !part.SName.Equal(f.tgsName()):
		t.Errorf("told %+v", part)
	case seen.Flags != flags || seen.CRealm != f.o.Realm || !seen.CName.Equal(name("alice")) || !seen.EndTime.Equal(part.EndTime) ||
		seen.Key.EType != 20 || !bytes.Equal(seen.Key.Value, part.Key.Value):
		t.Errorf("ticket %+v", seen)
	}
	if rep.EncPart.EType != 20 || rep.Ticket.EncPart.EType != 18 || rep.Ticket.EncPart.KVNO != 1 {
		t.Errorf("reply key %d, ticket key %d, version %d", rep.EncPart.EType, rep.Ticket.EncPart.EType, rep.Ticket.EncPart.KVNO)
	}
	again, _, err := f.as(unchanged)
	if err != nil || bytes.Equal(f.opened(again).Key.Value, seen.Key.Value) {
		t.Error("the same session key twice", err)
	}
}

func TestASRefused(t *testing.T) {
	f := newFixture(t)
	f.AddService("nfs/localhost", ServiceOptions{Enctypes: []int32{17}})
	f.AddService("cifs/localhost", ServiceOptions{Enctypes: []int32{17}, SessionEnctypes: []int32{19}})
	for _, c := range []struct {
		name   string
		change func(*asRequest)
		want   krb5.ErrorCode
	}{
		{"no preauthentication", func(a *asRequest) { a.req.PAData = nil }, krb5.KDC_ERR_PREAUTH_REQUIRED},
		{"malformed timestamp", func(a *asRequest) { a.req.PAData[0].Value = []byte{0x30, 0} }, krb5.KDC_ERR_PREAUTH_FAILED},
		{"wrong key", func(a *asRequest) { a.key, _ = krb5.RandomKey(20) }, krb5.KDC_ERR_PREAUTH_FAILED},
		{"service's key", func(a *asRequest) { a.key = f.key(18, "krbtgt", "GSS.TEST") }, krb5.KDC_ERR_PREAUTH_FAILED},
		{"slow clock", func(a *asRequest) { a.ts.Time = f.now.Add(-6 * time.Minute) }, krb5.KRB_AP_ERR_SKEW},
		{"fast clock", func(a *asRequest) { a.ts.Time = f.now.Add(6 * time.Minute) }, krb5.KRB_AP_ERR_SKEW},
		{"unknown client", func(a *asRequest) { a.req.Body.CName = name("bob") }, krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"no client", func(a *asRequest) { a.req.Body.CName = krb5.PrincipalName{} }, krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"one component, not two", func(a *asRequest) { a.req.Body.CName = name("host/localhost") }, krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"other realm", func(a *asRequest) { a.req.Body.Realm = "OTHER" }, krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"unknown service", func(a *asRequest) { a.req.Body.SName = name("host", "elsewhere") }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"no service", func(a *asRequest) { a.req.Body.SName = krb5.PrincipalName{} }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"user as service", func(a *asRequest) { a.req.Body.SName = name("alice") }, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN},
		{"only RC4", func(a *asRequest) { a.req.Body.ETypes = []krb5.EType{23} }, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"no etypes", func(a *asRequest) { a.req.Body.ETypes = nil }, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"not the service's etype", func(a *asRequest) {
			a.req.Body.SName, a.req.Body.ETypes = name("nfs", "localhost"), []krb5.EType{20, 19, 18}
		}, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"not its session etype", func(a *asRequest) {
			a.req.Body.SName, a.req.Body.ETypes = name("cifs", "localhost"), []krb5.EType{20, 18, 17}
		}, krb5.KDC_ERR_ETYPE_NOSUPP},
		{"postdated", func(a *asRequest) { a.req.Body.Options = krb5.KDCPostdated }, krb5.KDC_ERR_CANNOT_POSTDATE},
		{"from tomorrow", func(a *asRequest) { a.req.Body.From = f.now.Add(24 * time.Hour) }, krb5.KDC_ERR_CANNOT_POSTDATE},
		{"forwarded", func(a *asRequest) { a.req.Body.Options = krb5.KDCForwarded }, krb5.KDC_ERR_BADOPTION},
		{"user to user", func(a *asRequest) { a.req.Body.Options = krb5.KDCEncTktInSkey }, krb5.KDC_ERR_BADOPTION},
		{"anonymous", func(a *asRequest) { a.req.Body.Options = krb5.KDCAnonymous }, krb5.KDC_ERR_BADOPTION},
		{"unknown option", func(a *asRequest) { a.req.Body.Options = 1 << 31 }, krb5.KDC_ERR_BADOPTION},
		{"over already", func(a *asRequest) { a.req.Body.Till = f.now }, krb5.KDC_ERR_NEVER_VALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep, _, err := f.as(c.change)
			if !errors.Is(err, c.want) {
				t.Errorf("%+v, %v, want %v", rep, err, c.want)
			}
		})
	}
}

// A client that asks without preauthentication learns how to make its keys: those
// that it asked for, in its order.
func TestPreauthHints(t *testing.T) {
	f := newFixture(t)
	f.AddUser("bob", "secret")
	for who, salt := range map[string]string{"bob": "GSS.TESTbob", "alice": ""} {
		_, _, err := f.as(func(a *asRequest) {
			a.req.PAData, a.req.Body.CName, a.req.Body.ETypes = nil, name(who), []krb5.EType{23, 17, 20}
		})
		e, ok := errors.AsType[*krb5.KRBError](err)
		if !ok {
			t.Fatal(err)
		}
		list, err := krb5.ParseMethodData(e.EData)
		if err != nil {
			t.Fatal(err)
		}
		value, ok := krb5.FindPAData(list, krb5.PAETypeInfo2)
		info, err := krb5.ParseETypeInfo2(value)
		if !ok || err != nil || len(info) != 2 || info[0].EType != 17 || info[1].EType != 20 ||
			info[0].Salt != salt || info[0].HasSalt != (salt != "") || info[0].S2KParams != nil {
			t.Errorf("ETYPE-INFO2 of %s: %+v, %v", who, info, err)
		}
		if _, ok := krb5.FindPAData(list, krb5.PAEncTimestamp); !ok || e.CRealm != f.o.Realm || !e.CName.Equal(name(who)) {
			t.Errorf("%+v", e)
		}
	}
}

// The session key has the first of the client's etypes that the service allows.
func TestSessionEtype(t *testing.T) {
	f := newFixture(t)
	for _, e := range []int32{17, 18, 19, 20} {
		f.AddService(map[int32]string{17: "a/x", 18: "b/x", 19: "c/x", 20: "d/x"}[e],
			ServiceOptions{Enctypes: []int32{18}, SessionEnctypes: []int32{e}})
	}
	for _, c := range []struct {
		service string
		wanted  []krb5.EType
		want    krb5.EType
	}{
		{"a", allETypes, 17}, {"b", allETypes, 18}, {"c", allETypes, 19}, {"d", allETypes, 20},
		{"a", []krb5.EType{-1, 23, 17}, 17},
	} {
		rep, part, err := f.as(func(a *asRequest) { a.req.Body.SName, a.req.Body.ETypes = name(c.service, "x"), c.wanted })
		if err != nil || part.Key.EType != c.want || len(part.Key.Value) != c.want.KeyLen() || rep.Ticket.EncPart.EType != 18 {
			t.Errorf("%s: session %v, ticket %v, %v", c.service, part.Key.EType, rep.Ticket.EncPart.EType, err)
		}
	}
}

func TestTimes(t *testing.T) {
	f := newFixture(t, Options{Lifetime: 2 * time.Hour, RenewLifetime: 10 * time.Hour})
	start, never := f.now.Truncate(time.Second), time.Time{}
	hours := func(n time.Duration) time.Time { return start.Add(n * time.Hour) }
	epoch := time.Unix(0, 0)
	for _, c := range []struct {
		name        string
		options     uint32
		till, rtime time.Time
		end, renew  time.Time
	}{
		{"as asked", 0, hours(1), never, hours(1), never},
		{"clamped", 0, hours(3), never, hours(2), never},
		{"as long as possible", 0, epoch, never, hours(2), never},
		{"renewable", krb5.KDCRenewable, hours(1), hours(5), hours(1), hours(5)},
		{"renewable, clamped", krb5.KDCRenewable, hours(1), hours(50), hours(1), hours(10)},
		{"renewable for ever", krb5.KDCRenewable, hours(1), epoch, hours(1), hours(10)},
		{"renewable instead", krb5.KDCRenewableOK, hours(5), never, hours(2), hours(5)},
		{"renewable instead, not needed", krb5.KDCRenewableOK, hours(1), never, hours(1), never},
	} {
		rep, part, err := f.as(func(a *asRequest) {
			a.req.Body.Options, a.req.Body.Till, a.req.Body.RTime = c.options, c.till, c.rtime
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		seen := f.opened(rep)
		if !part.EndTime.Equal(c.end) || !part.RenewTill.Equal(c.renew) || !seen.EndTime.Equal(c.end) || !seen.RenewTill.Equal(c.renew) ||
			(part.Flags&krb5.TicketRenewable != 0) != !c.renew.IsZero() {
			t.Errorf("%s: until %v, renewable until %v, flags %#x", c.name, part.EndTime, part.RenewTill, part.Flags)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	fix := newFixture(f)
	var seeds [][]byte
	fix.o.Logf = func(string, ...any) {}
	body := krb5.KDCReqBody{CName: name("alice"), Realm: "GSS.TEST", SName: fix.tgsName(), Till: fix.now.Add(time.Hour), Nonce: 1, ETypes: allETypes}
	enc, err := encrypt(fix.key(18, "alice"), (&krb5.PAEncTSEnc{Time: fix.now}).Append(nil), krb5.UsagePAEncTimestamp)
	if err != nil {
		f.Fatal(err)
	}
	seeds = append(seeds, (&krb5.KDCReq{Body: body}).Append(nil),
		(&krb5.KDCReq{Body: body, PAData: []krb5.PAData{{Type: krb5.PAEncTimestamp, Value: enc.Append(nil)}}}).Append(nil))
	tgt, part, err := fix.as(unchanged)
	if err != nil {
		f.Fatal(err)
	}
	r := fix.tgsRequest(tgt, part)
	seeds = append(seeds, r.build(fix))
	d := &delegation{fixture: fix}
	fix.AddService("HTTP/front", ServiceOptions{Impersonate: true, DelegateTo: []string{"host/localhost"}})
	d.tgt, d.part = d.loginService("HTTP", "front")
	r = fix.tgsRequest(d.tgt, d.part)
	key, err := r.auth.Subkey.Key()
	if err != nil {
		f.Fatal(err)
	}
	user := krb5.S4UUserID{Nonce: 43, CName: name("alice"), CRealm: "GSS.TEST"}
	r.req.Body.SName = front
	r.req.PAData = []krb5.PAData{
		{Type: krb5.PAForUser, Value: krb5.NewPAForUser(krb5.Principal{Name: name("alice"), Realm: "GSS.TEST"}, r.session).Append(nil)},
		{Type: krb5.PAS4UX509User, Value: krb5.NewPAS4UX509User(user, key, krb5.UsageS4UX509UserRequest).Append(nil)},
	}
	seeds = append(seeds, r.build(fix))
	r = fix.tgsRequest(d.tgt, d.part)
	r.req.Body.Options, r.req.Body.Tickets = krb5.KDCCNameInAddlTkt, []krb5.Ticket{tgt.Ticket}
	seeds = append(seeds, r.build(fix))
	for _, s := range seeds {
		if _, err := krb5.ParseKDCReq(s); err != nil {
			f.Fatal(err)
		}
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := fix.answer(b, true)
		if out == nil {
			return
		}
		_, err1 := krb5.ParseKDCRep(out)
		_, err2 := krb5.ParseKRBError(out)
		if err1 != nil && err2 != nil {
			t.Errorf("answered %x with %x", b, out)
		}
	})
}
