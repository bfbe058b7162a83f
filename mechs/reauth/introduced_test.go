package reauth

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/kdctest"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
)

// A meeting makes a context between two people, with the mechanism that it is of.
type meeting func(t testing.TB, from, to string) (ic, ac gss.Context)

func handshakes(m map[string]gss.Mechanism) meeting {
	return func(t testing.TB, from, to string) (ic, ac gss.Context) {
		t.Helper()
		var o gss.InitOptions
		if _, ok := m[from].(*toy.Krb); ok {
			o.Credentials = []gss.Credential{&toy.Cred{OID: toy.KrbOID, User: from}}
		}
		return conformance.Establish(t, conformance.Setup{
			Initiator: m[from], Acceptor: m[to], Target: gss.Service("host", to+".test"), InitOptions: o,
		})
	}
}

func toyMeeting(testing.TB) meeting {
	m := make(map[string]gss.Mechanism)
	for _, who := range people {
		m[who] = &toy.Krb{Party: toy.NewParty(who)}
	}
	return handshakes(m)
}

var people = []string{"alice", "bob", "carol", "dave", "mallory"}

func krb5Meeting(t testing.TB) meeting {
	realm := kdctest.New(t)
	m := make(map[string]gss.Mechanism)
	for _, who := range people {
		realm.AddUser(who, "secret of "+who)
		realm.AddService("host/" + who + ".test")
		keys, err := realm.Keytab("host/" + who + ".test")
		if err != nil {
			t.Fatal(err)
		}
		config, err := krb5.ParseConfig(realm.Krb5Conf())
		if err != nil {
			t.Fatal(err)
		}
		user, err := krb5.FromPassword(who+"@"+realm.Realm(), "secret of "+who)
		if err != nil {
			t.Fatal(err)
		}
		service, err := krb5.FromKeytab(keys, "")
		if err != nil {
			t.Fatal(err)
		}
		m[who] = krb5.New(krb5.Options{Config: config, Initiator: user.Source(), Acceptor: service.Source()})
	}
	return handshakes(m)
}

func pkixMeeting(t testing.TB) meeting {
	m := make(map[string]gss.Mechanism)
	for _, who := range people {
		m[who] = pkixMech(t, testCA.Issue(pkixtest.Template{Emails: []string{who + "@example.org"}, DNS: []string{who + ".test"}}))
	}
	return handshakes(m)
}

// An affair is Alice, Bob and Carol: she has a context with each of them, and Bob's server and
// Carol's client speak oid.Introduced.
type affair struct {
	t          testing.TB
	toBob      *gssseal.Sender // Alice's
	toCarol    *gssseal.Sender // Alice's
	relay      *gssseal.Relay  // Carol's
	recipient  *gssseal.Recipient
	source     *gssseal.Source // of the context with Alice
	ab, ba     gss.Context     // Alice's end, and Bob's
	ac, ca     gss.Context     // Alice's end, and Carol's
	carol      gss.Name        // as Alice has her
	client     *Redeemer       // Carol's
	server     *Redeemer       // Bob's
	ring       *Ring           // Bob's
	serverOpts IntroducedOptions
	init       gss.InitOptions // without credentials
	accept     gss.AcceptOptions
}

func anybody(introducer, introduced gss.Name) bool { return true }

// stage sets it. Options of the server without a Ring or Introduce get one.
func stage(t testing.TB, ab, ac meeting, client, server IntroducedOptions, ro *gssseal.RecipientOptions) *affair {
	t.Helper()
	x := &affair{t: t}
	x.ab, x.ba = ab(t, "alice", "bob")
	x.ca, x.ac = ac(t, "carol", "alice")
	x.carol = x.ac.Info().Peer
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	x.toBob, err = gssseal.NewSender(x.ab)
	must(err)
	x.toCarol, err = gssseal.NewSender(x.ac)
	must(err)
	x.relay, err = gssseal.NewRelay(x.ca)
	must(err)
	x.recipient = gssseal.NewRecipient(ro)
	x.source, err = x.recipient.Add(x.ba)
	must(err)
	t.Cleanup(func() {
		x.toBob.Close()
		x.toCarol.Close()
		x.relay.Close()
		x.recipient.Close()
	})
	if server.Ring == nil {
		server.Ring = NewRing()
	}
	if server.Introduce == nil {
		server.Introduce = anybody
	}
	x.ring, x.serverOpts = server.Ring, server
	x.client, x.server = Introduced(nil, client), Introduced(x.recipient, server)
	return x
}

func toys(t testing.TB, client, server IntroducedOptions) *affair {
	m := toyMeeting(t)
	return stage(t, m, m, client, server, nil)
}

// hold gives Carol a grant.
func (x *affair) hold(body string, o *gssseal.Options) *gssseal.Held {
	x.t.Helper()
	if o == nil {
		o = &gssseal.Options{Relay: x.carol}
	}
	g, err := x.toBob.Introduce(nil, []byte(body), x.toCarol, o)
	if err != nil {
		x.t.Fatal(err)
	}
	h, err := x.relay.Accept(g)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { h.Close() })
	return h
}

// introduce gives Carol a credential.
func (x *affair) introduce(body string) *Credential {
	x.t.Helper()
	c, err := FromGrant(x.hold(body, nil), x.ab.Info().Local, x.ca.Info().Local)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

// come is a handshake of Carol with Bob.
func (x *affair) come(c gss.Credential, alter func(leg int, tok []byte) []byte) *conformance.Trace {
	x.t.Helper()
	i := x.init
	i.Credentials = []gss.Credential{c}
	ih, err := x.client.Initiate(x.ab.Info().Peer, &i)
	if err != nil {
		x.t.Fatal(err)
	}
	ah, err := x.server.Accept(&x.accept)
	if err != nil {
		x.t.Fatal(err)
	}
	if alter == nil {
		alter = func(_ int, tok []byte) []byte { return tok }
	}
	tr := conformance.Pump(context.Background(), &altered{ih, alter, 1}, &altered{ah, alter, 0})
	x.t.Cleanup(tr.Close)
	return tr
}

// kindOf is the kind of a RESUME.
func kindOf(t testing.TB, tok []byte) byte {
	t.Helper()
	mech, in, err := gss.ParseToken(tok)
	if err != nil || mech != oid.Introduced || in[0] != tokResume {
		t.Fatalf("no RESUME: %v", err)
	}
	return in[1]
}

// good checks that both have a context as it should be, after a RESUME of that kind.
func (x *affair) good(tr *conformance.Trace, kind byte, body string) (ic, ac gss.Context) {
	x.t.Helper()
	if err := tr.Err(); err != nil {
		x.t.Fatal(err)
	}
	if k := kindOf(x.t, tr.Tokens[0]); k != kind {
		x.t.Fatalf("kind %d, not %d", k, kind)
	}
	i, a := tr.Initiator.Info(), tr.Acceptor.Info()
	carol, _ := IntroducedName(x.ab.Info().Local, x.carol)
	bob, _ := IntroducedName(x.ab.Info().Local, x.ab.Info().Peer)
	if i.Local != carol || a.Peer != carol || i.Peer != bob || a.Local != bob || carol.IsZero() || bob.IsZero() {
		x.t.Fatalf("names: %v %v %v %v", i.Local, i.Peer, a.Local, a.Peer)
	}
	if i.Mech != oid.Introduced || a.Mech != oid.Introduced || i.Flags != a.Flags || !i.Flags.Has(gss.DefaultFlags) || !i.Expiry.Equal(a.Expiry) {
		x.t.Fatalf("%+v %+v", i, a)
	}
	for _, d := range [][2]gss.Context{{tr.Initiator, tr.Acceptor}, {tr.Acceptor, tr.Initiator}} {
		tok, err := d[0].Wrap(nil, []byte("hello"), gss.Confidential)
		if err != nil {
			x.t.Fatal(err)
		}
		if b, l, err := d[1].Unwrap(nil, tok); err != nil || string(b) != "hello" || l != gss.Confidential {
			x.t.Fatalf("%q, %v", b, err)
		}
		mic, err := d[0].MIC(nil, []byte("hello"))
		if err != nil || d[1].VerifyMIC([]byte("hello"), mic) != nil {
			x.t.Fatal("MIC", err)
		}
	}
	p, errP := tr.Initiator.PRF(gss.PRFFull, []byte("x"), 32)
	q, errQ := tr.Acceptor.PRF(gss.PRFFull, []byte("x"), 32)
	if errP != nil || errQ != nil || !bytes.Equal(p, q) || zero(p) {
		x.t.Fatal("PRF", errP, errQ)
	}
	got := ""
	for name, attr := range tr.Acceptor.(gss.Attributed).PeerAttributes() {
		if name != AttributeIntroduction || !attr.Authenticated {
			x.t.Errorf("attribute %q", name)
		}
		got = string(attr.Value)
	}
	if got != body || string(tr.Acceptor.(*Context).Authorization()) != body {
		x.t.Errorf("body %q, want %q", got, body)
	}
	for range tr.Initiator.(gss.Attributed).PeerAttributes() {
		x.t.Error("the initiator has an attribute")
	}
	return tr.Initiator, tr.Acceptor
}

// refused checks that the acceptor said REFUSED, and returns why.
func (x *affair) refused(what string, tr *conformance.Trace) error {
	x.t.Helper()
	if tr.Initiator != nil || tr.Acceptor != nil || tr.Broken != nil {
		x.t.Fatalf("%s: a context, or %v", what, tr.Broken)
	}
	if len(tr.Tokens) != 2 || !bytes.Equal(tr.Tokens[1], []byte{tokRefused}) {
		x.t.Fatalf("%s: %d tokens, %v, %v", what, len(tr.Tokens), tr.InitErr, tr.AcceptErr)
	}
	wantMajor(x.t, what+", acceptor", tr.AcceptErr, gss.NoCred)
	wantMajor(x.t, what+", initiator", tr.InitErr, gss.NoCred)
	if e, ok := errors.AsType[*gss.Error](tr.InitErr); !ok || !e.Remote {
		x.t.Errorf("%s: %v", what, tr.InitErr)
	}
	return tr.AcceptErr
}

// restart makes Bob's server anew: it has its ring, and the state of the contexts with those
// who may introduce.
func (x *affair) restart() { x.server = Introduced(x.recipient, x.serverOpts) }

// TestIntroduced is the whole introduction, whatever Alice has with the two.
func TestIntroduced(t *testing.T) {
	meetings := map[string]meeting{"toy": toyMeeting(t), "krb5": krb5Meeting(t), "pkix": pkixMeeting(t)}
	for ab, bob := range meetings {
		for ac, carol := range meetings {
			t.Run(ab+" and "+ac, func(t *testing.T) {
				for _, store := range []strike.Store{nil, strike.NewMemory(strike.MemoryOptions{})} {
					x := stage(t, bob, carol, IntroducedOptions{}, IntroducedOptions{Store: store}, nil)
					c := x.introduce("may read")
					ic, _ := x.good(x.come(c, nil), kindGrant, "may read")
					if by, who, ok := SplitIntroduced(ic.Info().Peer); !ok || by != x.ba.Info().Peer || who != x.ba.Info().Local {
						t.Errorf("%v, %v", by, who)
					}
					for range 3 { // by ticket; the grant is used up
						x.restart()
						x.good(x.come(c, nil), kindTicket, "may read")
					}
					x.client.m.o.Cache.Clear()
					why := x.refused("a second time", x.come(c, nil))
					if !errors.Is(why, strike.ErrSeen) || !errors.Is(why, gss.DuplicateToken) {
						t.Error(why)
					}
					// Another introduction is another credential.
					x.good(x.come(x.introduce("may write"), nil), kindGrant, "may write")
				}
			})
		}
	}
}

// Both ends of a context may introduce, and whoever accepted the context with the introduced.
func TestIntroducedByAcceptor(t *testing.T) {
	m := toyMeeting(t)
	x := stage(t, func(t testing.TB, _, _ string) (gss.Context, gss.Context) {
		ic, ac := m(t, "bob", "alice")
		return ac, ic
	}, func(t testing.TB, _, _ string) (gss.Context, gss.Context) {
		ic, ac := m(t, "alice", "carol")
		return ac, ic
	}, IntroducedOptions{}, IntroducedOptions{}, nil)
	c := x.introduce("")
	x.good(x.come(c, nil), kindGrant, "")
	x.good(x.come(c, nil), kindTicket, "")
}

func TestIntroducedGroups(t *testing.T) {
	for g, want := range map[Group]Group{NoShare: X25519, X25519: X25519, X25519MLKEM768: X25519MLKEM768, P256: P256} {
		x := toys(t, IntroducedOptions{Group: g}, IntroducedOptions{})
		c := x.introduce("")
		for _, kind := range []byte{kindGrant, kindTicket} {
			tr := x.come(c, nil)
			x.good(tr, kind, "")
			_, in, _ := gss.ParseToken(tr.Tokens[0])
			if r, ok := parseResume(in); !ok || r.group != want || len(r.share) == 0 {
				t.Errorf("group %d", r.group)
			}
			if len(tr.Tokens) != 3 {
				t.Errorf("%d tokens without a store", len(tr.Tokens))
			}
		}
	}
}

// With a store that can vouch, and clocks that agree, there is no CONFIRM.
func TestIntroducedAtOnce(t *testing.T) {
	for _, d := range []time.Duration{-skew - time.Second, 0, skew + time.Second} {
		c := newClock()
		c.add(d)
		x := toys(t, IntroducedOptions{Time: c.now}, IntroducedOptions{Store: &vouching{}})
		cred := x.introduce("")
		for _, kind := range []byte{kindGrant, kindTicket} {
			tr := x.come(cred, nil)
			x.good(tr, kind, "")
			if want := 2 + min(int(d.Abs()/skew), 1); len(tr.Tokens) != want {
				t.Errorf("%d tokens with clocks that differ by %v", len(tr.Tokens), d)
			}
		}
	}
}

// vouching is a store that is complete since ever.
type vouching struct {
	mu   sync.Mutex
	seen map[[32]byte]bool
}

func (s *vouching) Strike(_ context.Context, key [32]byte, from, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[key] {
		return strike.ErrSeen
	}
	if s.seen == nil {
		s.seen = make(map[[32]byte]bool)
	}
	s.seen[key] = true
	return nil
}

// Of many who redeem one grant at the same time one gets in.
func TestIntroducedRace(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	for range 20 {
		c := x.introduce("")
		const racers = 4
		var won, refused atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range racers {
			client := Introduced(nil, IntroducedOptions{})
			wg.Go(func() {
				ih, err := client.Initiate(c.Target(), &gss.InitOptions{Credentials: []gss.Credential{c}})
				if err != nil {
					t.Error(err)
					return
				}
				ah, err := x.server.Accept(nil)
				if err != nil {
					t.Error(err)
					return
				}
				<-start
				tr := conformance.Pump(context.Background(), ih, ah)
				defer tr.Close()
				switch {
				case tr.Err() == nil:
					won.Add(1)
				case errors.Is(tr.AcceptErr, strike.ErrSeen) && gss.MajorOf(tr.InitErr) == gss.NoCred:
					refused.Add(1)
				default:
					t.Error(tr.Err())
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 || refused.Load() != racers-1 {
			t.Fatalf("%d won, %d were refused", won.Load(), refused.Load())
		}
	}
}

// What Alice says of Carol comes with every ticket, or there is no ticket.
func TestIntroducedBody(t *testing.T) {
	for n, kept := range map[int]bool{0: true, 1: true, MaxAuthorization: true, MaxAuthorization + 1: false, 40000: false} {
		x := toys(t, IntroducedOptions{}, IntroducedOptions{})
		body := string(bytes.Repeat([]byte{'b'}, n))
		c := x.introduce(body)
		x.good(x.come(c, nil), kindGrant, body)
		if (x.client.m.o.Cache.Len() == 1) != kept {
			t.Errorf("%d octets: %d tickets", n, x.client.m.o.Cache.Len())
		}
		if kept {
			x.good(x.come(c, nil), kindTicket, body)
		} else {
			x.refused("without a ticket", x.come(c, nil))
		}
	}
	// More than a token carries.
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	_, err := FromGrant(x.hold(string(make([]byte, 70000)), nil), x.ab.Info().Local, x.carol)
	wantMajor(t, "too long", err, gss.DefectiveCredential)
}

// The credentials of two grants have each their own tickets, though the names are the same.
func TestIntroducedTicketsOfTheirGrant(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	reads, writes := x.introduce("may read"), x.introduce("may write")
	x.good(x.come(writes, nil), kindGrant, "may write")
	x.good(x.come(reads, nil), kindGrant, "may read")
	x.good(x.come(writes, nil), kindTicket, "may write")
	x.good(x.come(reads, nil), kindTicket, "may read")
}

func TestIntroducedNames(t *testing.T) {
	alice, carol := gss.Name{Mech: oid.Krb5, Text: "alice@A"}, gss.Name{Mech: oid.PKIX, Text: "mail:carol@example.org"}
	n, err := IntroducedName(alice, carol)
	if err != nil {
		t.Fatal(err)
	}
	b, err := n.Export()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := alice.Export()
	c, _ := carol.Export()
	want := append(append([]byte{4, 1, 0, byte(len(oid.Introduced) + 2)}, oid.Introduced.AppendDER(nil)...), 0, 0, 0, byte(4+len(a)+len(c)))
	want = append(append(append(append(want, 0, byte(len(a))), a...), 0, byte(len(c))), c...)
	if !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	if back, err := gss.ParseName(b); err != nil || back != n {
		t.Errorf("%v, %v", back, err)
	}
	if by, who, ok := SplitIntroduced(n); !ok || by != alice || who != carol {
		t.Errorf("%v, %v, %v", by, who, ok)
	}
	if other, _ := IntroducedName(carol, alice); other == n {
		t.Error("the order does not matter")
	}
	for what, x := range map[string][2]gss.Name{
		"zero": {alice, {}}, "a user's": {gss.User("alice"), carol}, "empty": {alice, {Mech: oid.Krb5}},
		"introduced": {alice, n}, "by an introduced": {n, carol}, "long": {alice, {Mech: oid.Krb5, Text: string(make([]byte, 1<<16))}},
	} {
		if got, err := IntroducedName(x[0], x[1]); err == nil || !got.IsZero() {
			t.Errorf("%s: %v", what, got)
		}
	}
	for i := range n.Text { // cut, and with one octet too much
		if _, _, ok := SplitIntroduced(gss.Name{Mech: oid.Introduced, Text: n.Text[:i]}); ok {
			t.Errorf("%d octets", i)
		}
	}
	en, _ := n.Export()
	for what, x := range map[string]gss.Name{
		"more": {Mech: oid.Introduced, Text: n.Text + "x"}, "another mechanism's": {Mech: oid.Krb5, Text: n.Text},
		"nested": {Mech: oid.Introduced, Text: string(appendVec16(appendVec16(nil, a), en))}, "typed": {Mech: oid.Introduced, Type: oid.NTExport, Text: n.Text},
		"empty part": {Mech: oid.Introduced, Text: string(appendVec16(appendVec16(nil, a), nil))},
	} {
		if _, _, ok := SplitIntroduced(x); ok {
			t.Error(what)
		}
	}
}

// Targets and credentials that are not for each other.
func TestIntroducedInitiate(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	cs := []gss.Credential{c}
	for what, tt := range map[string]struct {
		target gss.Name
		o      gss.InitOptions
		want   gss.Major
	}{
		"no credential":       {c.Target(), gss.InitOptions{}, gss.NoCred},
		"another's":           {c.Target(), gss.InitOptions{Credentials: []gss.Credential{&toy.Cred{OID: toy.KrbOID, User: "carol"}}}, gss.NoCred},
		"no target":           {gss.Name{}, gss.InitOptions{Credentials: cs}, gss.BadName},
		"a service":           {files, gss.InitOptions{Credentials: cs}, gss.BadNameType},
		"another target":      {x.ab.Info().Local, gss.InitOptions{Credentials: cs}, gss.BadName},
		"itself":              {c.Name(), gss.InitOptions{Credentials: cs}, gss.BadName},
		"delegation required": {c.Target(), gss.InitOptions{Credentials: cs, Require: gss.Deleg}, gss.Unavailable},
		"anonymity required":  {c.Target(), gss.InitOptions{Credentials: cs, Require: gss.Anon}, gss.Unavailable},
		"bindings required":   {c.Target(), gss.InitOptions{Credentials: cs, Require: gss.Bound}, gss.Unavailable},
	} {
		_, err := x.client.Initiate(tt.target, &tt.o)
		wantMajor(t, what, err, tt.want)
	}
	if c.Mech() != oid.Introduced || c.Name() != c.local || c.Expiry().IsZero() {
		t.Error(c.Mech(), c.Name(), c.Expiry())
	}
	// With several, the one for the target is taken.
	m := toyMeeting(t)
	y := stage(t, func(t testing.TB, _, _ string) (gss.Context, gss.Context) { return m(t, "alice", "dave") }, m, IntroducedOptions{}, IntroducedOptions{}, nil)
	other := y.introduce("")
	ih, err := x.client.Initiate(c.Target(), &gss.InitOptions{Credentials: []gss.Credential{other, c}})
	if err != nil || ih.(*presenting).cred != c {
		t.Error(err)
	}
	// Closed, or its grant is.
	c.Close()
	_, _, err = ih.Step(t.Context(), nil)
	wantMajor(t, "closed", err, gss.NoCred)
	held := x.hold("", nil)
	c, err = FromGrant(held, x.ab.Info().Local, x.carol)
	if err != nil {
		t.Fatal(err)
	}
	held.Close()
	ih, _ = x.client.Initiate(c.Target(), &gss.InitOptions{Credentials: []gss.Credential{c}})
	_, _, err = ih.Step(t.Context(), nil)
	wantMajor(t, "grant closed", err, gss.CredentialsExpired)
	_, err = FromGrant(held, x.ab.Info().Local, x.carol)
	wantMajor(t, "of a closed grant", err, gss.OldToken)
	_, err = FromGrant(x.hold("", nil), x.ab.Info().Local, c.Name())
	wantMajor(t, "of somebody who was introduced", err, gss.BadName)
	_, err = FromGrant(x.hold("", nil), x.ab.Info().Local, gss.User("carol"))
	wantMajor(t, "of a user's name", err, gss.NameNotMN)
}
