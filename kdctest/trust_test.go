package kdctest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// chain is realms A, B, C, …, of which each trusts the one before; alice is of A.
func chain(t *testing.T, o Options, names ...string) []*fixture {
	t.Helper()
	var list []*fixture
	for i, n := range names {
		o.Realm = n
		f := newFixture(t, o)
		if i > 0 {
			f.Trust(list[i-1].Realm)
		}
		list = append(list, f)
	}
	return list
}

// step shows a ticket to a realm for a service of it.
func step(f *fixture, rep *krb5.KDCRep, part *krb5.EncKDCRepPart, service krb5.PrincipalName, change func(*tgsRequest)) (*krb5.KDCRep, *krb5.EncKDCRepPart, error) {
	return f.tgs(rep, part, func(r *tgsRequest) {
		r.req.Body.SName = service
		change(r)
	})
}

func TestTrust(t *testing.T) {
	for _, pac := range []bool{false, true} {
		f := chain(t, Options{PAC: pac}, "A", "B", "C", "D")
		tgt, part := f[0].login(allOptions)
		// A knows no way to D but by B: that is what it answers, and so on.
		var path []string
		for i, realm := range f[:3] {
			var err error
			if tgt, part, err = step(realm, tgt, part, tgsName("D"), unchanged); err != nil {
				t.Fatal(err)
			}
			next := f[i+1].o.Realm
			if !part.SName.Equal(tgsName(next)) || part.SRealm != realm.o.Realm || !rep(tgt).SName.Equal(tgsName(next)) {
				t.Fatalf("from %s: a TGT for %v of %s", realm.o.Realm, part.SName, part.SRealm)
			}
			path = append(path, next)
		}
		svc, told, err := f[3].tgs(tgt, part, unchanged)
		if err != nil {
			t.Fatal(err)
		}
		seen := f[3].opened(svc)
		if told.Flags&krb5.TicketTransitedOK == 0 || seen.CRealm != "A" || !seen.CName.Equal(name("alice")) || string(seen.Transited) != "B,C" ||
			seen.TransitedType != 1 || strings.Join(path, " ") != "B C D" {
			t.Errorf("%+v by %v", seen, path)
		}
		if _, _, err := step(f[1], tgt, part, tgsName("A"), unchanged); err == nil {
			t.Error("the ticket of another realm was taken")
		}
	}
}

func rep(r *krb5.KDCRep) krb5.Ticket { return r.Ticket }

func TestTrustRefused(t *testing.T) {
	f := chain(t, Options{Transit: func(realm string) bool { return realm != "BAD" }}, "A", "BAD", "C")
	tgt, part := f[0].login(0)
	tgt, part, err := step(f[0], tgt, part, tgsName("C"), unchanged)
	if err != nil {
		t.Fatal(err)
	}
	if tgt, part, err = step(f[1], tgt, part, tgsName("C"), unchanged); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f[2].tgs(tgt, part, unchanged); !errors.Is(err, krb5.KDC_ERR_PATH_NOT_ACCEPTED) {
		t.Errorf("by a realm that may not be between: %v", err)
	}
	_, told, err := step(f[2], tgt, part, name("host", "localhost"), func(r *tgsRequest) { r.req.Body.Options = krb5.KDCNoTransitCheck })
	if err != nil || told.Flags&krb5.TicketTransitedOK != 0 {
		t.Errorf("unchecked, as asked for: %+v, %v", told, err)
	}
	for _, s := range []krb5.PrincipalName{tgsName("NOWHERE"), name("host", "nowhere")} {
		if _, _, err := step(f[0], tgt, part, s, unchanged); err == nil {
			t.Errorf("%v: found", s)
		}
	}

	// A realm that is trusted says of its tickets whatever it likes: clients of this
	// realm, and paths of which nobody knows.
	for _, tt := range []struct {
		forge func(*krb5.EncTicketPart)
		want  krb5.ErrorCode
	}{
		{func(p *krb5.EncTicketPart) { p.CRealm = "C" }, krb5.KDC_ERR_POLICY},
		{func(p *krb5.EncTicketPart) { p.CRealm = "MARS" }, krb5.KDC_ERR_PATH_NOT_ACCEPTED},
		{func(p *krb5.EncTicketPart) { p.Transited = []byte("MARS") }, krb5.KDC_ERR_PATH_NOT_ACCEPTED},
		{func(p *krb5.EncTicketPart) { p.Transited = []byte(",") }, krb5.KDC_ERR_TRTYPE_NOSUPP},
		{func(p *krb5.EncTicketPart) { p.Transited, p.TransitedType = []byte("A"), 2 }, krb5.KDC_ERR_TRTYPE_NOSUPP},
	} {
		f[2].o.Transit = nil
		forged, err := f[2].forge(t, f[1], tgt, tt.forge)
		if err != nil {
			t.Fatal(err)
		}
		seen, _, _, err := f[2].open(&forged.Ticket)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = step(f[2], forged, part, name("host", "localhost"), func(r *tgsRequest) { r.auth.CRealm = seen.CRealm })
		if !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", seen, err, tt.want)
		}
	}
}

// forge is a TGT that issuer made for f, after a change.
func (f *fixture) forge(t *testing.T, issuer *fixture, tgt *krb5.KDCRep, change func(*krb5.EncTicketPart)) (*krb5.KDCRep, error) {
	t.Helper()
	part, _, _, err := f.open(&tgt.Ticket)
	if err != nil {
		return nil, err
	}
	change(part)
	server, _ := issuer.lookup(tgsName(f.o.Realm))
	forged := *tgt
	forged.CRealm, forged.RawTicket = part.CRealm, nil
	forged.Ticket, err = issuer.seal(server, part, nil)
	return &forged, err
}

// A client that says canonicalize is sent towards the realm that has the service.
func TestReferral(t *testing.T) {
	f := chain(t, Options{}, "A", "B", "C")
	f[2].AddService("HTTP/far")
	tgt, part := f[0].login(0)
	far := name("HTTP", "far")
	if _, _, err := step(f[0], tgt, part, far, unchanged); !errors.Is(err, krb5.KDC_ERR_S_PRINCIPAL_UNKNOWN) {
		t.Errorf("without canonicalize: %v", err)
	}
	canonicalize := func(r *tgsRequest) { r.req.Body.Options = krb5.KDCCanonicalize }
	for i := range 2 {
		var err error
		if tgt, part, err = step(f[i], tgt, part, far, canonicalize); err != nil || !part.SName.Equal(tgsName(f[i+1].o.Realm)) {
			t.Fatalf("%v, %v", part, err)
		}
	}
	if _, told, err := step(f[2], tgt, part, far, canonicalize); err != nil || !told.SName.Equal(far) || told.SRealm != "C" {
		t.Errorf("%+v, %v", told, err)
	}
}

func TestFaults(t *testing.T) {
	f := newFixture(t)
	f.FailNext(29, 0, 60)
	var got []error
	for range 4 {
		_, _, err := f.as(unchanged)
		got = append(got, err)
	}
	if !errors.Is(got[0], krb5.KDC_ERR_SVC_UNAVAILABLE) || got[1] != nil || !errors.Is(got[2], krb5.KRB_ERR_GENERIC) || got[3] != nil {
		t.Errorf("%v", got)
	}
	var seen []Request
	f.Intercept(func(r Request) Fault {
		seen = append(seen, r)
		if r.TGS {
			return Fault{Drop: true}
		}
		return Fault{Delay: time.Millisecond, Reply: func(b []byte) []byte { return append(b, 0) }}
	})
	rep, part := func() (*krb5.KDCRep, *krb5.EncKDCRepPart) {
		f.Intercept(nil)
		defer f.Intercept(func(r Request) Fault { seen = append(seen, r); return Fault{Drop: r.TGS} })
		return f.login(0)
	}()
	if out := f.answer(f.tgsRequest(rep, part).build(f), true); out != nil {
		t.Errorf("not dropped: %x", out)
	}
	if as, tgs := f.Requests(); as != 5 || tgs != 1 || len(seen) != 1 || seen[0] != (Request{TGS: true, N: 1, Server: "host/localhost", UDP: true}) {
		t.Errorf("%d, %d, %+v", as, tgs, seen)
	}
	f.Intercept(func(r Request) Fault {
		return Fault{Delay: time.Millisecond, Reply: func(b []byte) []byte { return append(b, 0) }}
	})
	out := f.answer(f.tgsRequest(rep, part).build(f), false)
	if _, err := krb5.ParseKDCRep(out); err == nil || out[len(out)-1] != 0 {
		t.Errorf("not changed: %x", out)
	}
	f.Intercept(nil)

	f.Refuse("alice", 18)
	if _, _, err := f.as(unchanged); !errors.Is(err, krb5.KDC_ERR_CLIENT_REVOKED) {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := f.tgs(rep, part, unchanged); !errors.Is(err, krb5.KDC_ERR_CLIENT_REVOKED) {
		t.Errorf("TGT of who was revoked: %v", err)
	}
	f.Refuse("alice", 0)
	f.Refuse("host/localhost", 2)
	if _, _, err := f.tgs(rep, part, unchanged); !errors.Is(err, krb5.KDC_ERR_SERVICE_EXP) {
		t.Errorf("expired service: %v", err)
	}
	f.Refuse("host/localhost", 0)
	f.Advance(6 * time.Minute)
	if _, _, err := f.tgs(rep, part, unchanged); err == nil || !strings.Contains(err.Error(), "SKEW") {
		t.Errorf("a clock that was set forward: %v", err)
	}
	f.Advance(-6 * time.Minute)
	if _, _, err := f.tgs(rep, part, unchanged); err != nil {
		t.Error(err)
	}
}
