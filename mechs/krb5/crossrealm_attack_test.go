package krb5

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// refer makes a fake KDC answer for another service than it was asked for.
func (k *fakeKDC) refer(req *ikrb5.KDCReq, to ikrb5.Principal) []byte {
	part := k.part(req)
	part.SRealm, part.SName = to.Realm, to.Name
	rep := k.rep(req, part)
	rep.Ticket.Realm, rep.Ticket.SName = to.Realm, to.Name
	return rep.Append(nil)
}

// KDCs that send a client in a circle, or on and on, or where it did not ask to go.
func TestWanderingKDCs(t *testing.T) {
	for name, tt := range map[string]struct {
		to    func(n int, req *ikrb5.KDCReq) ikrb5.Principal // of the nth TGS request
		paths map[string]map[string][]string
		most  int // requests
	}{
		"on and on":      {to: func(n int, req *ikrb5.KDCReq) ikrb5.Principal { return tgtName(fmt.Sprint("R", n), req.Body.Realm) }, most: maxHops},
		"back at once":   {to: func(n int, req *ikrb5.KDCReq) ikrb5.Principal { return tgtName(testRealm, req.Body.Realm) }, most: 1},
		"in a circle":    {to: func(n int, req *ikrb5.KDCReq) ikrb5.Principal { return tgtName(fmt.Sprint("R", n%3), req.Body.Realm) }, most: 4},
		"another issuer": {to: func(n int, req *ikrb5.KDCReq) ikrb5.Principal { return tgtName("R1", "R2") }, most: 1},
		"no TGT": {to: func(n int, req *ikrb5.KDCReq) ikrb5.Principal {
			return ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"host", "evil"}}, Realm: req.Body.Realm}
		}, most: 1},
		"off the configured path": {
			to:    func(n int, req *ikrb5.KDCReq) ikrb5.Principal { return tgtName("R1", req.Body.Realm) },
			paths: map[string]map[string][]string{testRealm: {"FAR": {"R2"}}}, most: 1,
		},
	} {
		for _, target := range []gss.Name{mechName(ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"host", "h"}}, Realm: "FAR"}), gss.Service("host", "unknown")} {
			if tt.paths != nil && target.Mech == "" {
				continue // no path is known for what nobody knows
			}
			k, m, cred := newFakeKDC(t)
			m.config.KDCs["FAR"], m.config.CAPaths = []string{"tcp/kdc"}, tt.paths
			for i := range 50 {
				m.config.KDCs[fmt.Sprint("R", i)] = []string{"tcp/kdc"}
			}
			asked := 0
			k.answer = func(req *ikrb5.KDCReq) []byte {
				if !req.TGS {
					return k.honest(req)
				}
				asked++
				return k.refer(req, tt.to(asked, req))
			}
			h, err := m.Initiate(target, &gss.InitOptions{Credentials: []gss.Credential{cred}})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.Failure || asked > tt.most {
				t.Errorf("%s, %v: %v after %d requests", name, target, err, asked)
			}
			h.Close()
		}
	}
}

// A KDC that does not know of S4U, with somebody on the way who writes the user's name
// into its reply, does not give a service's own ticket for the user's.
func TestS4USelfUnsigned(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA2)
	k := &fakeKDC{key: f.key}
	user := ikrb5.Principal{Name: ikrb5.PrincipalName{Type: 1, Components: []string{"alice"}}, Realm: testRealm}
	cred, err := FromKeytab(f.keytab(), f.server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer cred.Close()
	m := New(Options{Config: &Config{Forwardable: true, KDCs: map[string][]string{testRealm: {"tcp/kdc"}}}, Dial: k.dial})
	for name, tt := range map[string]struct {
		inside  ikrb5.Principal // the ticket's client
		padata  func(req *ikrb5.KDCReq) []ikrb5.PAData
		keytab  bool
		allowed bool
	}{
		"nothing said, own ticket":        {inside: f.server, keytab: true},
		"nothing said, the user's ticket": {inside: user, keytab: true, allowed: true},
		"nothing said, no key to look":    {inside: user},
		"said by the KDC":                 {inside: f.server, padata: k.understood(user, 0, ikrb5.UsageS4UX509UserReply), allowed: true}, // no key to look
		"said, and so it is":              {inside: user, padata: k.understood(user, 0, ikrb5.UsageS4UX509UserReply), keytab: true, allowed: true},
		"said, the ticket exchanged":      {inside: f.server, padata: k.understood(user, 0, ikrb5.UsageS4UX509UserReply), keytab: true},
		"said in the request's way":       {inside: user, padata: k.understood(user, 0, ikrb5.UsageS4UX509UserRequest), keytab: true},
		"of another request":              {inside: user, padata: k.understood(user, 1, ikrb5.UsageS4UX509UserReply), keytab: true},
		"of another user":                 {inside: user, padata: k.understood(f.server, 0, ikrb5.UsageS4UX509UserReply), keytab: true},
		"rubbish": {inside: user, keytab: true, padata: func(*ikrb5.KDCReq) []ikrb5.PAData {
			return []ikrb5.PAData{{Type: ikrb5.PAS4UX509User, Value: []byte{0x30}}}
		}},
	} {
		service := cred
		k.answer = func(req *ikrb5.KDCReq) []byte {
			rep := k.rep(req, k.part(req))
			if !req.TGS {
				rep.CName = f.server.Name
				return rep.Append(nil)
			}
			part := f.ticketPart()
			part.CName, part.CRealm = tt.inside.Name, tt.inside.Realm
			rep.Ticket = f.ticket(part)
			rep.CName, rep.CRealm = user.Name, user.Realm
			if tt.padata != nil {
				rep.PAData = tt.padata(req)
			}
			return rep.Append(nil)
		}
		if !tt.keytab {
			tgt := &ticket{server: tgtName(testRealm, testRealm), raw: k.honestTicket(), key: k.key, start: f.ticketPart().AuthTime, end: f.ticketPart().EndTime, flags: ikrb5.TicketForwardable}
			if service, err = FromCCache(testCCache(f.server, tgt)); err != nil {
				t.Fatal(err)
			}
		}
		c, err := m.Impersonate(t.Context(), service, mechName(user))
		if (err == nil) != tt.allowed || err != nil && !errors.Is(err, errReply) && !errors.Is(err, ikrb5.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

// understood is a KDC's signature under that it issued a ticket of user.
func (k *fakeKDC) understood(user ikrb5.Principal, off uint32, usage uint32) func(*ikrb5.KDCReq) []ikrb5.PAData {
	return func(req *ikrb5.KDCReq) []ikrb5.PAData {
		id := ikrb5.S4UUserID{Nonce: req.Body.Nonce + off, CName: user.Name, CRealm: user.Realm}
		return []ikrb5.PAData{{Type: ikrb5.PAS4UX509User, Value: ikrb5.NewPAS4UX509User(id, k.key, usage).Append(nil)}}
	}
}

// KDCs that know nothing, and a path that is long: what is asked is bounded.
func TestLongPath(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	far := "FAR"
	for i := range 40 {
		far = fmt.Sprintf("R%d.%s", i, far)
	}
	var asked []string
	k.answer = func(req *ikrb5.KDCReq) []byte {
		if !req.TGS {
			return k.honest(req)
		}
		asked = append(asked, tgtRealm(ikrb5.Principal{Name: req.Body.SName, Realm: req.Body.Realm}))
		e := ikrb5.KRBError{Code: ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN, Realm: testRealm, SName: req.Body.SName}
		return e.Append(nil)
	}
	m.config.CAPaths = map[string]map[string][]string{testRealm: {far: ikrb5.RealmPath("FAR", far)}}
	_, err := m.tgtFor(t.Context(), cred.shared, far)
	if !errors.Is(err, ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN) || len(asked) == 0 || len(asked) > maxHops || asked[0] != far {
		t.Errorf("%v after %q", err, asked)
	}
}

// A realm on the way to one place says of its own accord who is near another. It is not
// believed when somebody wants to go there: it knows the keys of what it issued.
func TestPathOfAnother(t *testing.T) {
	k, m, cred := newFakeKDC(t)
	for _, realm := range []string{"EVIL", "PARTNER"} {
		m.config.KDCs[realm] = []string{"tcp/kdc"}
	}
	var asked []string
	k.answer = func(req *ikrb5.KDCReq) []byte {
		want := ikrb5.Principal{Name: req.Body.SName, Realm: req.Body.Realm}
		if !req.TGS {
			return k.honest(req)
		}
		asked = append(asked, want.String())
		switch {
		case want.Realm == testRealm && tgtRealm(want) == "PARTNER":
			return k.honest(req)
		case want.Realm == testRealm: // it knows where all others are
			return k.refer(req, tgtName("EVIL", testRealm))
		case want.Realm == "EVIL" && tgtRealm(want) == "SUB.EVIL":
			return k.refer(req, tgtName("PARTNER", "EVIL"))
		case want.Realm == "EVIL":
			return k.honest(req)
		}
		e := ikrb5.KRBError{Code: ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN, Realm: want.Realm, SName: want.Name}
		return e.Append(nil)
	}
	if _, err := m.tgtFor(t.Context(), cred.shared, "SUB.EVIL"); !errors.Is(err, ikrb5.KDC_ERR_S_PRINCIPAL_UNKNOWN) {
		t.Fatalf("%v after %q", err, asked)
	}
	asked = nil
	tgt, err := m.tgtFor(t.Context(), cred.shared, "PARTNER")
	if err != nil || !tgt.server.Equal(tgtName("PARTNER", testRealm)) || len(asked) != 1 {
		t.Errorf("%v, %v after %q", tgt, err, asked)
	}
	// What was got on the way to where it leads is kept.
	for range 2 {
		asked = nil
		if tgt, err = m.tgtFor(t.Context(), cred.shared, "OTHER"); err != nil || !tgt.server.Equal(tgtName("OTHER", "EVIL")) {
			t.Fatalf("%v, %v after %q", tgt, err, asked)
		}
	}
	if len(asked) != 0 {
		t.Errorf("asked again: %q", asked)
	}
	// And each ticket is stored once.
	c := cred.shared.ccache()
	defer c.erase()
	for i := range c.creds {
		for j := range i {
			if c.creds[i].server.Equal(c.creds[j].server) {
				t.Errorf("%v is there twice", c.creds[i].server)
			}
		}
	}
}

// A service that acts for a user asks nobody for a ticket in another realm, of which its
// own KDC would not have been asked whether it may.
func TestProxyOtherRealm(t *testing.T) {
	k, m, service := newFakeKDC(t)
	asked := false
	k.answer = func(req *ikrb5.KDCReq) []byte {
		asked = true
		return k.honest(req)
	}
	evidence := &ticket{server: service.shared.principal, raw: k.honestTicket(), key: k.key, end: time.Now().Add(time.Hour), flags: ikrb5.TicketForwardable}
	cred := newProxy(service.Handle(), tgtName("U", testRealm), evidence)
	for realm, want := range map[string]error{"FAR": errOtherRealm, testRealm: errReply} { // whose user is not alice
		m.config.KDCs[realm] = []string{"tcp/kdc"}
		asked = false
		_, err := m.s4u2proxy(t.Context(), cred.shared, ikrb5.Principal{Name: ikrb5.PrincipalName{Components: []string{"host", "h"}}, Realm: realm})
		if !errors.Is(err, want) || asked == (want == errOtherRealm) {
			t.Errorf("%s: %v, asked: %t", realm, err, asked)
		}
	}
}
