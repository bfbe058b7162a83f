package kdctest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gsseal/gss/internal/krb5"
)

// A delegation is a realm with a front that may act for users towards a back.
type delegation struct {
	*fixture
	tgt  *krb5.KDCRep // of the front
	part *krb5.EncKDCRepPart
}

var front, back = name("HTTP", "front"), name("host", "back")

func newDelegation(t *testing.T, o Options) *delegation {
	f := newFixture(t, o)
	f.SetLogon("alice", Logon{FullName: "Alice", ID: 1234, Groups: []uint32{1100}, ExtraSIDs: []string{"S-1-18-1"}})
	f.AddService("HTTP/front", ServiceOptions{Impersonate: true, DelegateTo: []string{"host/back"}})
	f.AddService("HTTP/plain", ServiceOptions{DelegateTo: []string{"host/back"}})
	f.AddService("host/back")
	d := &delegation{fixture: f}
	d.tgt, d.part = d.loginService("HTTP", "front")
	return d
}

func (d *delegation) loginService(components ...string) (*krb5.KDCRep, *krb5.EncKDCRepPart) {
	d.t.Helper()
	key := d.key(20, components...)
	ts, err := encrypt(key, (&krb5.PAEncTSEnc{Time: d.now}).Append(nil), krb5.UsagePAEncTimestamp)
	if err != nil {
		d.t.Fatal(err)
	}
	req := krb5.KDCReq{PAData: []krb5.PAData{{Type: krb5.PAEncTimestamp, Value: ts.Append(nil)}}, Body: krb5.KDCReqBody{
		CName: name(components...), Realm: d.o.Realm, SName: d.tgsName(), Till: d.now.Add(1e13), Nonce: 1, ETypes: allETypes, Options: krb5.KDCForwardable,
	}}
	rep, err := d.fixture.exchange(req.Append(nil))
	if err != nil {
		d.t.Fatal(err)
	}
	plain, err := key.Decrypt(nil, rep.EncPart.Cipher, krb5.UsageASRep)
	if err != nil {
		d.t.Fatal(err)
	}
	part, err := krb5.ParseEncKDCRepPart(plain)
	if err != nil {
		d.t.Fatal(err)
	}
	return rep, part
}

// self asks for a ticket of alice to the front.
func (d *delegation) self(change func(*tgsRequest)) (*krb5.KDCRep, *krb5.EncKDCRepPart, error) {
	d.t.Helper()
	return d.tgs(d.tgt, d.part, func(r *tgsRequest) {
		r.req.Body.SName, r.req.Body.Options = front, krb5.KDCForwardable
		alice := krb5.NewPAForUser(krb5.Principal{Name: name("alice"), Realm: d.o.Realm}, r.session)
		r.req.PAData = []krb5.PAData{{Type: krb5.PAForUser, Value: alice.Append(nil)}}
		change(r)
	})
}

// proxy shows evidence for a ticket to the back.
func (d *delegation) proxy(evidence *krb5.KDCRep, change func(*tgsRequest)) (*krb5.KDCRep, *krb5.EncKDCRepPart, error) {
	d.t.Helper()
	return d.tgs(d.tgt, d.part, func(r *tgsRequest) {
		r.req.Body.SName, r.req.Body.Options = back, krb5.KDCCNameInAddlTkt|krb5.KDCForwardable
		r.req.Body.Tickets = []krb5.Ticket{evidence.Ticket}
		change(r)
	})
}

func TestS4U(t *testing.T) {
	for _, pac := range []bool{false, true} {
		d := newDelegation(t, Options{PAC: pac})
		self, told, err := d.self(unchanged)
		if err != nil {
			t.Fatal(err)
		}
		seen := d.opened(self)
		if !self.CName.Equal(name("alice")) || !seen.CName.Equal(name("alice")) || told.Flags&krb5.TicketForwardable == 0 {
			t.Errorf("self: %+v", seen)
		}
		rep, told, err := d.proxy(self, unchanged)
		if err != nil {
			t.Fatal(err)
		}
		seen = d.opened(rep)
		if !rep.CName.Equal(name("alice")) || !seen.CName.Equal(name("alice")) || seen.CRealm != d.o.Realm || told.Flags&krb5.TicketForwardable == 0 {
			t.Errorf("proxy: %+v", seen)
		}
		p, err := krb5.VerifyPAC(seen, d.key(18, "host", "back"), d.key(18, "krbtgt", d.o.Realm))
		if err != nil || (p != nil) != pac {
			t.Fatal(p, err)
		}
		if !pac {
			continue
		}
		l, err := p.Logon()
		if err != nil || l.Name != "alice" || l.FullName != "Alice" || l.User().String() != "S-1-5-21-1-2-3-1234" || len(l.Groups) != 2 || len(l.ExtraSIDs) != 1 {
			t.Errorf("%+v, %v", l, err)
		}
		b, _ := p.Buffer(krb5.PACDelegationInfo)
		info, err := krb5.ParseDelegationInfo(b)
		if err != nil || info.Target != "host/back" || strings.Join(info.Transited, " ") != "HTTP/front@GSS.TEST" {
			t.Errorf("%+v, %v", info, err)
		}
		if _, ok := p.Buffer(krb5.PACRequestor); ok {
			t.Error("a service ticket says who asked for the TGT")
		}
	}
}

// A ticket of a user who came to the front is evidence too, if it is forwardable.
func TestS4U2ProxyByTicket(t *testing.T) {
	d := newDelegation(t, Options{PAC: true})
	tgt, part := d.login(krb5.KDCForwardable)
	for _, forwardable := range []bool{true, false} {
		came, _, err := d.tgs(tgt, part, func(r *tgsRequest) {
			if r.req.Body.SName = front; forwardable {
				r.req.Body.Options = krb5.KDCForwardable
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		rep, _, err := d.proxy(came, unchanged)
		if forwardable && (err != nil || !d.opened(rep).CName.Equal(name("alice"))) || !forwardable && !errors.Is(err, krb5.KDC_ERR_BADOPTION) {
			t.Errorf("forwardable %v: %v", forwardable, err)
		}
	}
}

func TestS4URefused(t *testing.T) {
	d := newDelegation(t, Options{PAC: true})
	d.AddUser("bob", "")
	forUser := func(p krb5.Principal, change func(*krb5.PAForUserData)) func(*tgsRequest) {
		return func(r *tgsRequest) {
			pa := krb5.NewPAForUser(p, r.session)
			change(pa)
			r.req.PAData = []krb5.PAData{{Type: krb5.PAForUser, Value: pa.Append(nil)}}
		}
	}
	alice := krb5.Principal{Name: name("alice"), Realm: d.o.Realm}
	// Heimdal's way: u32 name type, name, realm and package under the session key.
	forUserOwn := func(p krb5.Principal, more []byte) func(*tgsRequest) {
		return func(r *tgsRequest) {
			pa := krb5.PAForUserData{User: p, Package: "Kerberos"}
			msg := append(slices.Concat([]byte{1, 0, 0, 0}, []byte("alice"), []byte(p.Realm), []byte("Kerberos")), more...)
			pa.Cksum = krb5.Checksum{Type: r.session.EType().ChecksumType(), Sum: r.session.Checksum(nil, msg, 17)}
			r.req.PAData = []krb5.PAData{{Type: krb5.PAForUser, Value: pa.Append(nil)}}
		}
	}
	x509 := func(id krb5.S4UUserID, usage uint32) func(*tgsRequest) {
		return func(r *tgsRequest) {
			key, _ := r.auth.Subkey.Key()
			r.req.PAData = append(r.req.PAData, krb5.PAData{Type: krb5.PAS4UX509User, Value: krb5.NewPAS4UX509User(id, key, usage).Append(nil)})
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*tgsRequest)
		want   krb5.ErrorCode // 0: good
	}{
		{"as it should be", unchanged[tgsRequest], 0},
		{"both ways", x509(krb5.S4UUserID{Nonce: 43, CName: name("alice"), CRealm: d.o.Realm}, krb5.UsageS4UX509UserRequest), 0},
		{"another nonce", x509(krb5.S4UUserID{Nonce: 44, CName: name("alice"), CRealm: d.o.Realm}, krb5.UsageS4UX509UserRequest), krb5.KRB_AP_ERR_MODIFIED},
		{"another usage", x509(krb5.S4UUserID{Nonce: 43, CName: name("alice"), CRealm: d.o.Realm}, krb5.UsageS4UX509UserReply), krb5.KRB_AP_ERR_MODIFIED},
		{"no name", x509(krb5.S4UUserID{Nonce: 43, CRealm: d.o.Realm}, krb5.UsageS4UX509UserRequest), krb5.KDC_ERR_PADATA_TYPE_NOSUPP},
		{"another user than signed", forUser(alice, func(p *krb5.PAForUserData) { p.User.Name = name("bob") }), krb5.KRB_AP_ERR_MODIFIED},
		{"another realm than signed", forUser(alice, func(p *krb5.PAForUserData) { p.User.Realm = "X" }), krb5.KRB_AP_ERR_MODIFIED},
		{"checksum cut", forUser(alice, func(p *krb5.PAForUserData) { p.Cksum.Sum = p.Cksum.Sum[:4] }), krb5.KRB_AP_ERR_MODIFIED},
		{"checksum empty", forUser(alice, func(p *krb5.PAForUserData) { p.Cksum.Sum = nil }), krb5.KRB_AP_ERR_MODIFIED},
		{"checksum unkeyed", forUser(alice, func(p *krb5.PAForUserData) { p.Cksum.Type = 7 }), krb5.KRB_AP_ERR_MODIFIED},
		{"checksum of the key's type", forUserOwn(alice, nil), 0},
		{"checksum of the key's type, wrong", forUserOwn(alice, []byte("x")), krb5.KRB_AP_ERR_MODIFIED},
		{"nobody", forUser(krb5.Principal{Name: name("mallory"), Realm: d.o.Realm}, unchanged[krb5.PAForUserData]), krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"somebody elsewhere", forUser(krb5.Principal{Name: name("alice"), Realm: "OTHER"}, unchanged[krb5.PAForUserData]), krb5.KDC_ERR_C_PRINCIPAL_UNKNOWN},
		{"to another service", func(r *tgsRequest) { r.req.Body.SName = back }, krb5.KDC_ERR_BADOPTION},
		{"a TGT", func(r *tgsRequest) { r.req.Body.SName = d.tgsName() }, krb5.KDC_ERR_BADOPTION},
		{"forwarded", func(r *tgsRequest) { r.req.Body.Options |= krb5.KDCForwarded }, krb5.KDC_ERR_BADOPTION},
		{"and proxy at once", func(r *tgsRequest) { r.req.Body.Options |= krb5.KDCCNameInAddlTkt }, krb5.KDC_ERR_BADOPTION},
	} {
		if _, _, err := d.self(tt.change); tt.want == 0 && err != nil || tt.want != 0 && !errors.Is(err, tt.want) {
			t.Errorf("self, %s: %v, want %v", tt.name, err, tt.want)
		}
	}
	evidence, _, err := d.self(unchanged)
	if err != nil {
		t.Fatal(err)
	}
	strange, _, err := d.self(func(r *tgsRequest) { r.req.Body.Options = 0 })
	if err != nil {
		t.Fatal(err)
	}
	tgt, part := d.login(krb5.KDCForwardable)
	others, _, err := d.tgs(tgt, part, func(r *tgsRequest) { r.req.Body.SName, r.req.Body.Options = back, krb5.KDCForwardable })
	if err != nil {
		t.Fatal(err)
	}
	show := func(list ...krb5.Ticket) func(*tgsRequest) {
		return func(r *tgsRequest) { r.req.Body.Tickets = list }
	}
	renamed := others.Ticket
	renamed.SName = front
	// The front makes evidence of its own: it has its key, but not the KDC's.
	forge := func(change func(*krb5.EncTicketPart)) krb5.Ticket {
		part := d.opened(evidence)
		change(part)
		enc, err := encrypt(d.key(18, "HTTP", "front"), part.Append(nil), krb5.UsageTicket)
		if err != nil {
			t.Fatal(err)
		}
		enc.KVNO, enc.HasKVNO = 1, true
		return krb5.Ticket{Realm: d.o.Realm, SName: front, EncPart: enc}
	}
	weak := d.opened(strange)
	for _, tt := range []struct {
		name   string
		change func(*tgsRequest)
		want   krb5.ErrorCode
	}{
		{"as it should be", unchanged[tgsRequest], 0},
		{"no evidence", show(), krb5.KDC_ERR_BADOPTION},
		{"two", show(evidence.Ticket, evidence.Ticket), krb5.KDC_ERR_BADOPTION},
		{"not forwardable", show(strange.Ticket), krb5.KDC_ERR_BADOPTION},
		{"for another service", show(others.Ticket), krb5.KDC_ERR_BADOPTION},
		{"for another service, renamed", show(renamed), krb5.KRB_AP_ERR_BAD_INTEGRITY},
		{"a TGT", show(tgt.Ticket), krb5.KDC_ERR_BADOPTION},
		{"to a service that is not permitted", func(r *tgsRequest) { r.req.Body.SName = name("host", "localhost") }, krb5.KDC_ERR_BADOPTION},
		{"to the TGS", func(r *tgsRequest) { r.req.Body.SName = d.tgsName() }, krb5.KDC_ERR_BADOPTION},
		{"forged, nothing changed", show(forge(unchanged[krb5.EncTicketPart])), 0},
		{"made forwardable by the service (CVE-2020-17049)", show(forge(func(p *krb5.EncTicketPart) { *p = *weak; p.Flags |= krb5.TicketForwardable })), krb5.KRB_AP_ERR_MODIFIED},
		{"of another user", show(forge(func(p *krb5.EncTicketPart) { p.CName = name("bob") })), krb5.KRB_AP_ERR_MODIFIED},
		{"longer", show(forge(func(p *krb5.EncTicketPart) { p.EndTime = p.EndTime.Add(1e15) })), krb5.KRB_AP_ERR_MODIFIED},
		{"without a PAC", show(forge(func(p *krb5.EncTicketPart) { p.AuthData = nil })), krb5.KRB_AP_ERR_MODIFIED},
	} {
		if _, _, err := d.proxy(evidence, tt.change); tt.want == 0 && err != nil || tt.want != 0 && !errors.Is(err, tt.want) {
			t.Errorf("proxy, %s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// HTTP/plain gets evidence that is of no use.
	d.tgt, d.part = d.loginService("HTTP", "plain")
	plain, told, err := d.self(func(r *tgsRequest) { r.req.Body.SName = name("HTTP", "plain") })
	if err != nil || told.Flags&krb5.TicketForwardable != 0 {
		t.Fatalf("%+v, %v", told, err)
	}
	if _, _, err := d.proxy(plain, unchanged); !errors.Is(err, krb5.KDC_ERR_BADOPTION) {
		t.Errorf("protocol transition that is not permitted: %v", err)
	}
}
