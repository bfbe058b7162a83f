package reauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
)

// flight returns the RESUME of a client with c.
func (x *affair) flight(c gss.Credential) (tok []byte, h gss.Handshake) {
	x.t.Helper()
	i := x.init
	i.Credentials = []gss.Credential{c}
	h, err := x.client.Initiate(x.ab.Info().Peer, &i)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { h.Close() })
	if tok, _, err = h.Step(context.Background(), nil); err != nil {
		x.t.Fatal(err)
	}
	return tok, h
}

// answer gives a new acceptor of m one token.
func (x *affair) answer(m gss.Mechanism, tok []byte) ([]byte, gss.Context, error) {
	x.t.Helper()
	h, err := m.Accept(&x.accept)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { h.Close() })
	return h.Step(context.Background(), tok)
}

// refuses checks that m says REFUSED, for want.
func (x *affair) refuses(what string, m gss.Mechanism, tok []byte, want ...error) {
	x.t.Helper()
	out, sc, err := x.answer(m, bytes.Clone(tok))
	if sc != nil || !bytes.Equal(out, []byte{tokRefused}) {
		x.t.Errorf("%s: %x, %v", what, out, err)
	}
	wantMajor(x.t, what, err, gss.NoCred)
	for _, w := range want {
		if !errors.Is(err, w) {
			x.t.Errorf("%s: %v, want %v", what, err, w)
		}
	}
}

// takes checks that the grant is good still.
func (x *affair) takes(what string, tok []byte) {
	x.t.Helper()
	out, sc, err := x.answer(x.server, bytes.Clone(tok))
	if err != nil || len(out) < 2 || out[0] != tokResumed {
		x.t.Errorf("%s: %x, %v", what, out, err)
	}
	if sc != nil {
		sc.Close()
	}
}

// A fakeGrant is what somebody makes up.
type fakeGrant struct {
	sealed, key []byte
	by, to      gss.Name
	end         time.Time
}

func (g *fakeGrant) Credential() ([]byte, []byte, error) {
	return bytes.Clone(g.sealed), bytes.Clone(g.key), nil
}
func (g *fakeGrant) Originator() gss.Name { return g.by }
func (g *fakeGrant) Recipient() gss.Name  { return g.to }
func (g *fakeGrant) NotAfter() time.Time  { return g.end }

// stolen returns all of a grant.
func (x *affair) stolen(h *gssseal.Held) *fakeGrant {
	x.t.Helper()
	sealed, key, err := h.Credential()
	if err != nil {
		x.t.Fatal(err)
	}
	return &fakeGrant{sealed, key, h.Originator(), h.Recipient(), h.NotAfter()}
}

func (x *affair) credential(g Grant, self gss.Name) *Credential {
	x.t.Helper()
	c, err := FromGrant(g, self)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

// Every bit of a first flight counts, and no attempt uses up the grant or the ticket.
func TestIntroducedBits(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("body")
	for _, kind := range []byte{kindGrant, kindTicket} {
		tok, _ := x.flight(c)
		if kindOf(t, tok) != kind {
			t.Fatal("kind")
		}
		for bit := range 8 * len(tok) {
			bad := bytes.Clone(tok)
			bad[bit/8] ^= 1 << (bit % 8)
			out, sc, err := x.answer(x.server, bad)
			m := gss.MajorOf(err)
			if sc != nil || !(m == gss.NoCred && bytes.Equal(out, []byte{tokRefused}) || m == gss.DefectiveToken && len(out) == 0) {
				t.Fatalf("bit %d: %x, %v", bit, out, err)
			}
		}
		_, in, _ := gss.ParseToken(tok)
		for n := range in {
			if out, sc, err := x.answer(x.server, gss.AppendToken(nil, oid.Introduced, in[:n])); sc != nil || len(out) > 0 || gss.MajorOf(err) != gss.DefectiveToken {
				t.Fatalf("%d octets: %x, %v", n, out, err)
			}
		}
		for n := range 256 {
			if n == kindTicket || n == kindGrant {
				continue
			}
			bad := bytes.Clone(in)
			bad[1] = byte(n)
			if out, sc, err := x.answer(x.server, gss.AppendToken(nil, oid.Introduced, bad)); sc != nil || len(out) > 0 || gss.MajorOf(err) != gss.DefectiveToken {
				t.Fatalf("kind %d: %x, %v", n, out, err)
			}
		}
		if kind == kindGrant {
			x.good(x.come(c, nil), kind, "body")
		} else {
			x.takes("the genuine one", tok)
		}
	}
	for _, in := range [][]byte{{tokFirst, 1}, {tokInner, 1}, {tokLast, 0, 0, 0, 0, 0}, {tokRefused}} {
		_, _, err := x.answer(x.server, gss.AppendToken(nil, oid.Introduced, in))
		wantMajor(t, fmt.Sprintf("%x", in), err, gss.DefectiveToken)
	}
}

// TestIntroducedAnswerBits changes what is answered, and the confirmation.
func TestIntroducedAnswerBits(t *testing.T) {
	for _, leg := range []int{1, 2} {
		x := toys(t, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, IntroducedOptions{})
		length := 1
		for n := 0; n < 2*length; n += 3 { // bits and lengths in turn
			tr := x.come(x.introduce(""), func(l int, tok []byte) []byte {
				if l != leg {
					return tok
				}
				length = len(tok)
				if n%2 == 1 {
					return tok[:n/2]
				}
				tok[n/2] ^= 1 << (n / 2 % 8)
				return tok
			})
			if leg == 1 && tr.Initiator != nil || tr.Acceptor != nil || tr.Err() == nil {
				t.Fatalf("leg %d, %d: a context", leg, n)
			}
		}
		if length < 33 {
			t.Fatalf("leg %d has %d octets", leg, length)
		}
	}
}

// Who is not Carol does not come in as Carol.
func TestIntroducedWrongCarol(t *testing.T) {
	m := toyMeeting(t)
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{}, nil)
	held := x.hold("", nil)
	g := x.stolen(held)
	dave := gss.Name{Mech: toy.KrbOID, Text: "user:dave"}

	fl := func(g Grant, self gss.Name) []byte { tok, _ := x.flight(x.credential(g, self)); return tok }
	x.refuses("Dave, with all of Carol's grant, in his name", x.server, fl(held, dave), errGrant)
	noKey := *g
	noKey.key = make([]byte, 32)
	x.refuses("Carol's grant without its key", x.server, fl(&noKey, x.carol), errGrant)

	// Dave has a grant of his own, and calls himself Carol.
	da, ad := m(t, "dave", "alice")
	via, err := gssseal.NewSender(ad)
	if err != nil {
		t.Fatal(err)
	}
	defer via.Close()
	relay, err := gssseal.NewRelay(da)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	b, err := x.toBob.Introduce(nil, nil, via, &gssseal.Options{Relay: dave})
	if err != nil {
		t.Fatal(err)
	}
	daves, err := relay.Accept(b)
	if err != nil {
		t.Fatal(err)
	}
	defer daves.Close()
	x.refuses("Dave's grant, in Carol's name", x.server, fl(daves, x.carol), errGrant)
	mixed := *x.stolen(daves)
	mixed.sealed = g.sealed
	x.refuses("Carol's grant with Dave's key", x.server, fl(&mixed, x.carol), errGrant)
	mixed = *g
	mixed.sealed, _, _ = daves.Credential()
	x.refuses("Dave's grant with Carol's key", x.server, fl(&mixed, dave), errGrant)

	// Dave takes a grant that was for Carol: the key is not derived of his context with Alice.
	b, err = x.toBob.Introduce(nil, nil, x.toCarol, &gssseal.Options{Relay: x.carol})
	if err != nil {
		t.Fatal(err)
	}
	caught, err := relay.Accept(b)
	if err != nil {
		t.Fatal(err)
	}
	defer caught.Close()
	x.refuses("a grant that was caught", x.server, fl(caught, x.carol), errGrant)

	// The genuine ones, still.
	x.takes("Dave in his own name", fl(daves, dave))
	x.takes("Carol", fl(held, x.carol))
}

// An introduction is in the introducer's own name.
func TestIntroducedByMallory(t *testing.T) {
	m := toyMeeting(t)
	var asked []gss.Name
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{Introduce: func(by, who gss.Name) bool {
		asked = append(asked, by, who)
		return true
	}}, nil)
	mb, bm := m(t, "mallory", "bob")
	if _, err := x.recipient.Add(bm); err != nil {
		t.Fatal(err)
	}
	s, err := gssseal.NewSender(mb)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice := x.ab.Info().Local
	x.toBob, x.ab = s, mb
	ic, _ := x.good(x.come(x.introduce(""), nil), kindGrant, "")
	by, who, _ := SplitIntroduced(ic.Info().Local)
	if by != bm.Info().Peer || who != x.carol || len(asked) != 2 || asked[0] != by || asked[1] != who {
		t.Errorf("%v, %v, asked about %v", by, who, asked)
	}
	// She tells Carol that she is Alice: Carol would not have what Bob has.
	g := x.stolen(x.hold("", nil))
	g.by = alice
	tok, _ := x.flight(x.credential(g, x.carol))
	x.refuses("an introducer that lies of its name", x.server, tok, errGrant)
	// Or that Bob is somebody else.
	g = x.stolen(x.hold("", nil))
	g.to = gss.Name{Mech: toy.KrbOID, Text: "svc:host@dave.test"}
	c := x.credential(g, x.carol)
	ih, err := x.client.Initiate(c.Target(), &gss.InitOptions{Credentials: []gss.Credential{c}})
	if err != nil {
		t.Fatal(err)
	}
	defer ih.Close()
	tok, _, _ = ih.Step(t.Context(), nil)
	x.refuses("an introducer that lies of the acceptor's name", x.server, tok, errGrant)
}

// Who was not to be introduced, by whom, is not, with a grant or a ticket; and nothing is used
// up meanwhile.
func TestIntroducedPolicy(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	for _, kind := range []byte{kindGrant, kindTicket} {
		for what, change := range map[string]func(*IntroducedOptions){
			"nil":        func(o *IntroducedOptions) { o.Introduce = nil },
			"false":      func(o *IntroducedOptions) { o.Introduce = func(by, who gss.Name) bool { return by == who } },
			"not by her": func(o *IntroducedOptions) { o.Introduce = func(by, _ gss.Name) bool { return by != x.ba.Info().Peer } },
			"not her":    func(o *IntroducedOptions) { o.Introduce = func(_, who gss.Name) bool { return who != x.carol } },
			"revoked":    func(o *IntroducedOptions) { o.Revoked = func(gss.Name, time.Time) bool { return true } },
			"revoked before": func(o *IntroducedOptions) {
				o.Revoked = func(n gss.Name, at time.Time) bool { return n == c.Name() && !at.After(time.Now()) }
			},
		} {
			o := x.serverOpts
			change(&o)
			tok, _ := x.flight(c)
			if kindOf(t, tok) != kind {
				t.Fatal("kind")
			}
			x.refuses(what, Introduced(x.recipient, o), tok, errPolicy)
		}
		for what, l := range map[string]func(gss.Name) bool{"no name": func(gss.Name) bool { return false }, "another": func(n gss.Name) bool { return n != x.ba.Info().Local }} {
			o := x.serverOpts
			o.Local = l
			tok, _ := x.flight(c)
			x.refuses("Local says "+what, Introduced(x.recipient, o), tok, errGrant)
		}
		for _, a := range []struct {
			c  gss.Credential
			ok bool
		}{{&toy.Cred{OID: toy.KrbOID, User: "dave"}, false}, {nameless{toy.UniOID}, false}, {nameless{toy.KrbOID}, true}} {
			x.accept.Credentials = []gss.Credential{a.c}
			if tok, _ := x.flight(c); !a.ok {
				x.refuses("an acceptor with another's credential", x.server, tok, errGrant)
			} else if kind == kindGrant {
				x.good(x.come(c, nil), kind, "")
			}
		}
		x.accept.Credentials = nil
	}
	// The tickets are good still.
	x.good(x.come(c, nil), kindTicket, "")

	// The context with the introducer is gone.
	c = x.introduce("")
	tok, _ := x.flight(c)
	x.source.Remove()
	x.refuses("after Remove", x.server, tok, gss.BadMIC)
}

// Whoever cannot open grants takes tickets.
func TestIntroducedWithoutOpener(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("body")
	front := Introduced(nil, x.serverOpts)
	tok, _ := x.flight(c)
	x.refuses("a grant", front, tok, errOpener)
	x.good(x.come(c, nil), kindGrant, "body")
	x.server = front
	x.good(x.come(c, nil), kindTicket, "body")
}

// A grant is for one Bob, and so is a ticket.
func TestIntroducedOtherBob(t *testing.T) {
	m := toyMeeting(t)
	ring := NewRing()
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{Ring: ring}, nil)
	toDave := func(t testing.TB, _, _ string) (gss.Context, gss.Context) { return m(t, "alice", "dave") }
	other := stage(t, toDave, m, IntroducedOptions{}, IntroducedOptions{Ring: ring, Local: func(n gss.Name) bool { return n.Text == "svc:host@dave.test" }}, nil)
	c := x.introduce("")
	tok, _ := x.flight(c)
	x.refuses("a grant for Bob at Dave's", other.server, tok, gss.BadMIC)
	x.good(x.come(c, nil), kindGrant, "")
	tok, _ = x.flight(c)
	x.refuses("a ticket for Bob at Dave's, who has the ring", other.server, tok, errGrant)
	x.refuses("a ticket for Bob at another Bob's", Introduced(x.recipient, IntroducedOptions{Introduce: anybody}), tok, errTicket)

	// Carol has the secret of the ticket, and asks for Dave with it.
	e := x.client.take(t)
	e.peer, _ = IntroducedName(x.ab.Info().Local, gss.Name{Mech: toy.KrbOID, Text: "svc:host@dave.test"})
	x.refuses("a ticket for Bob, asking for Dave", other.server, x.crafted(e, kindTicket, X25519, nil), errGrant)
}

func (x *Redeemer) take(t testing.TB) *entry { return x.m.take(t) }

// crafted makes a RESUME of e as its owner would who does not keep to the rules; who is N(initiator) in it.
func (x *affair) crafted(e *entry, kind byte, g Group, who []byte) []byte {
	x.t.Helper()
	return x.craft(oid.Introduced, e, kind, g, who, nil)
}

func (x *affair) craft(mech oid.OID, e *entry, kind byte, g Group, who, share []byte) []byte {
	x.t.Helper()
	_, recipient, ok := SplitIntroduced(e.peer)
	if !ok {
		recipient = e.peer
	}
	target, err := recipient.Export()
	if err != nil {
		x.t.Fatal(err)
	}
	r := &resume{kind: kind, group: g, ni: make([]byte, nonceLen), cred: e.ticket, share: share}
	if share == nil {
		if _, r.share, err = newShare(g); err != nil {
			x.t.Fatal(err)
		}
	}
	head := r.appendHead(nil)
	k := newSchedule(kind, e.psk, mech.AppendDER(nil), head)
	a := &authenticator{time: time.Now(), flags: gss.DefaultFlags, bind: newBinding(nil), initiator: who, target: target}
	auth, err := seal(k.authKey(), a.marshal())
	if err != nil {
		x.t.Fatal(err)
	}
	return gss.AppendToken(nil, mech, appendVec16(head, auth))
}

// asEntry is a grant as crafted takes it, and N(initiator).
func (x *affair) asEntry(g *fakeGrant) (*entry, []byte) {
	x.t.Helper()
	c := x.credential(g, x.carol)
	return &entry{ticket: g.sealed, psk: g.key, local: c.local, peer: c.peer}, c.who
}

// Without a share the introducer, who knows the key, would read everything. No acceptor
// goes without, and no initiator.
func TestIntroducedShareRequired(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	g := x.stolen(x.hold("", nil))
	e, who := x.asEntry(g)
	x.refuses("a grant, group 0", x.server, x.crafted(e, kindGrant, NoShare, who), errShareDue)
	x.refuses("a grant, group 0 and a share", x.server, x.craft(oid.Introduced, e, kindGrant, NoShare, who, make([]byte, 32)), errShareDue)
	for what, share := range map[string][]byte{"zero": make([]byte, 32), "one": append([]byte{1}, make([]byte, 31)...), "none": {}, "short": make([]byte, 31)} {
		x.refuses("a share of low order: "+what, x.server, x.craft(oid.Introduced, e, kindGrant, X25519, who, share), errShare)
	}
	x.refuses("another group", x.server, x.craft(oid.Introduced, e, kindGrant, 4, who, make([]byte, 32)), errShareDue)
	x.takes("with a share", x.crafted(e, kindGrant, X25519, who))
	x.good(x.come(c, nil), kindGrant, "")
	k := x.client.take(t)
	x.refuses("a ticket, group 0", x.server, x.crafted(k, kindTicket, NoShare, nil), errShareDue)
	x.takes("a ticket with a share", x.crafted(k, kindTicket, X25519, nil))

	// An acceptor that answers without one, or with one of low order.
	for what, share := range map[string][]byte{"none": {}, "zero": make([]byte, 32)} {
		c := x.introduce("")
		tr := x.come(c, func(leg int, tok []byte) []byte {
			if leg != 1 {
				return tok
			}
			r, _ := parseResumed(tok)
			w := resumed{rf: r.rf, nr: r.nr, share: share}
			return appendVec16(w.appendHead(nil), r.reply)
		})
		if tr.Initiator != nil || tr.Acceptor != nil || !errors.Is(tr.InitErr, errShare) {
			t.Errorf("%s: %v", what, tr.InitErr)
		}
	}
}

// The introducer has the key of the grant and listens. She learns who comes and when, and
// neither the reply, nor the next ticket's secret, nor the context's keys.
func TestIntroducedListeningIntroducer(t *testing.T) {
	for _, group := range []Group{X25519, X25519MLKEM768, P256} {
		x := toys(t, IntroducedOptions{Group: group}, IntroducedOptions{})
		held := x.hold("", nil)
		g := x.stolen(held) // Alice and Carol have the same
		tr := x.come(x.credential(held, x.carol), nil)
		x.good(tr, kindGrant, "")
		_, in, _ := gss.ParseToken(tr.Tokens[0])
		r, _ := parseResume(in)
		w, _ := parseResumed(tr.Tokens[1])
		k := newSchedule(kindGrant, g.key, oid.Introduced.AppendDER(nil), r.head)
		p, err := open(k.authKey(), r.auth)
		if a, ok := parseAuthenticator(p); err != nil || !ok || len(a.initiator) == 0 {
			t.Fatal("the test does not have the key", err)
		}
		k.authenticated(r.auth)
		own, _, err := newShare(group)
		if err != nil {
			t.Fatal(err)
		}
		guess, err := own.secret(w.share)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string][]byte{"no secret": nil, "one of her own": guess} {
			s := *k
			s.es = bytes.Clone(k.es)
			s.agreed(secret, w.head)
			if _, err := open(s.replyKey(), w.reply); err == nil {
				t.Errorf("group %d: she reads the reply with %s", group, what)
			}
			if psk := s.nextPSK(); bytes.Equal(psk, x.client.take(t).psk) {
				t.Errorf("group %d: she has the next secret with %s", group, what)
			}
		}
	}
}

// What was sealed for something else is no grant, and a grant is good once.
func TestIntroducedReplay(t *testing.T) {
	m := toyMeeting(t)
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{Store: &vouching{}}, nil)
	plain, err := x.toBob.Grant(nil, nil, x.toCarol, &gssseal.Options{OneTime: true, Relay: x.carol})
	if err != nil {
		t.Fatal(err)
	}
	h, err := x.relay.Accept(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	tok, _ := x.flight(x.credential(h, x.carol))
	x.refuses("a grant that is no introduction", x.server, tok, gssseal.ErrIntroduction)

	held := x.hold("", nil)
	c := x.credential(held, x.carol)
	before, _ := x.flight(c) // another RESUME of the same grant
	tr := x.come(c, nil)
	x.good(tr, kindGrant, "")
	x.refuses("the first flight, again", x.server, tr.Tokens[0], strike.ErrSeen)
	x.refuses("the grant, again", x.server, before, strike.ErrSeen)
	x.restart()
	x.refuses("the first flight, after a restart", x.server, tr.Tokens[0], strike.ErrSeen)

	// A host that lost its store, and kept what it needs to open grants.
	s, err := gssseal.NewState(x.ba)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again := gssseal.NewRecipient(nil)
	defer again.Close()
	if _, err := again.AddState(s); err != nil {
		t.Fatal(err)
	}
	x.refuses("the first flight, after the store was lost", Introduced(again, x.serverOpts), tr.Tokens[0], strike.ErrUnsure)

	// RESUMED and CONFIRM of another handshake.
	y := toys(t, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, IntroducedOptions{})
	first := y.come(y.introduce(""), nil)
	y.good(first, kindGrant, "")
	for leg := 1; leg <= 2; leg++ {
		tr := y.come(y.introduce(""), func(l int, tok []byte) []byte {
			if l == leg {
				return bytes.Clone(first.Tokens[leg])
			}
			return tok
		})
		if leg == 1 && tr.Initiator != nil || tr.Acceptor != nil {
			t.Errorf("leg %d replayed: a context", leg)
		}
	}
	// The ticket's flight: an answer, never the first one's keys.
	tr = x.come(c, nil)
	x.good(tr, kindTicket, "")
	out, sc, err := x.answer(x.server, tr.Tokens[0])
	if err != nil || sc != nil || out[0] != tokResumed || out[1] != rfConfirm {
		t.Errorf("a ticket's flight, again: %x, %v", out[:2], err)
	}
}

// Who was introduced introduces nobody.
func TestIntroducedDoesNotIntroduce(t *testing.T) {
	m := toyMeeting(t)
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{}, nil)
	c := x.introduce("")
	for _, kind := range []byte{kindGrant, kindTicket} {
		ic, ac := x.good(x.come(c, nil), kind, "")
		for side, sc := range map[string]gss.Context{"Carol": ic, "Bob": ac} {
			s, err := gssseal.NewSender(sc)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Introduce(nil, nil, x.toCarol, &gssseal.Options{Relay: gss.Name{Mech: toy.KrbOID, Text: "user:dave"}})
			if !errors.Is(err, gssseal.ErrIntroduced) || gss.MajorOf(err) != gss.Unauthorized {
				t.Errorf("%s, of kind %d: %v", side, kind, err)
			}
			// Other messages are welcome.
			r := gssseal.NewRecipient(nil)
			defer r.Close()
			other := ac
			if side == "Bob" {
				other = ic
			}
			if _, err := r.Add(other); err != nil {
				t.Fatal(err)
			}
			sealed, err := s.Seal(nil, []byte("message"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := r.Unseal(t.Context(), nil, sealed, nil); err != nil || got.Originator != sc.Info().Local {
				t.Errorf("%v, %v", got.Originator, err)
			}
		}
	}
	// An opener that knows no better.
	introduced, _ := IntroducedName(x.ab.Info().Local, x.carol)
	for what, o := range map[string]*openerFunc{
		"the originator was introduced":       {from: introduced, to: x.ba.Info().Local},
		"the recipient was introduced":        {from: x.ba.Info().Peer, to: introduced},
		"the originator is no mechanism name": {from: gss.User("alice"), to: x.ba.Info().Local},
		"the originator is nobody":            {to: x.ba.Info().Local},
		"it does not ask":                     {from: x.ba.Info().Peer, to: x.ba.Info().Local, silent: true},
		"it does not listen":                  {from: x.ba.Info().Peer, to: x.ba.Info().Local, key: make([]byte, 32), deaf: true},
	} {
		g := x.stolen(x.hold("", nil))
		e, who := x.asEntry(g)
		if o.key == nil {
			o.key = g.key
		}
		carol, _ := x.carol.Export()
		copy(o.relay[:], hash(carol))
		x.refuses(what, Introduced(o, x.serverOpts), x.crafted(e, kindGrant, X25519, who))
	}
}

// An openerFunc is an Opener with faults.
type openerFunc struct {
	from, to     gss.Name
	key          []byte
	relay        [32]byte
	silent, deaf bool
}

func (o *openerFunc) Redeem(_ context.Context, _ []byte, admit func([]byte, [32]byte, gss.Name, gss.Name, time.Time) error) ([]byte, error) {
	if o.silent {
		return nil, nil
	}
	err := admit(bytes.Clone(o.key), o.relay, o.from, o.to, time.Now().Add(time.Hour))
	if o.deaf {
		err = nil
	}
	return nil, err
}

// Tickets of introductions and of resumptions are not each other's.
func TestIntroducedTicketsApart(t *testing.T) {
	ring := NewRing()
	w := krbWorld(t, Options{}, Options{Ring: ring})
	w.must(w.shake(nil), false)
	x := toys(t, IntroducedOptions{}, IntroducedOptions{Ring: ring})
	x.good(x.come(x.introduce(""), nil), kindGrant, "")

	plain, introduced := w.client.take(t), x.client.take(t)
	x.refuses("a ticket of reauth", x.server, x.crafted(plain, kindTicket, X25519, nil), errTicket)
	tok := x.craft(w.server.oid, introduced, kindTicket, X25519, nil, nil)
	w.refuses("a ticket of an introduction", w.server, tok)
	_, _, err := w.answer(w.server, x.craft(w.server.oid, introduced, kindGrant, X25519, nil, nil))
	wantMajor(t, "a grant", err, gss.DefectiveToken)

	// All that a ticket of the same ring can say.
	name := func(n gss.Name) []byte { b, _ := n.Export(); return b }
	alice, bob := x.ba.Info().Peer, x.ba.Info().Local
	body := ticket{tf: tfIntroduced | tfShare, flags: services, authTime: time.Now(), issued: time.Now(), end: time.Now().Add(time.Hour),
		psk: introduced.psk, acceptor: hash(name(bob)), inner: oid.Introduced, initiator: x.carol, introducer: name(alice)}
	composite, _ := IntroducedName(alice, x.carol)
	show := func(change func(*ticket)) []byte {
		k := body
		change(&k)
		e := introduced.clone()
		e.ticket = ring.seal(&k, time.Now(), defaultLife)
		return x.crafted(e, kindTicket, X25519, nil)
	}
	for what, change := range map[string]func(*ticket){
		"without tf 02":            func(k *ticket) { k.tf &^= tfIntroduced },
		"with tf 08":               func(k *ticket) { k.tf |= 8 },
		"without an introducer":    func(k *ticket) { k.introducer = nil },
		"introducer introduced":    func(k *ticket) { k.introducer = name(composite) },
		"of another mechanism":     func(k *ticket) { k.inner = toy.KrbOID },
		"of a stack":               func(k *ticket) { k.inner = oid.Join(oid.Reauth, oid.Introduced) },
		"introduced is introduced": func(k *ticket) { k.initiator = composite },
		"of another acceptor":      func(k *ticket) { k.acceptor = hash(name(x.carol)) },
		"with another secret":      func(k *ticket) { k.psk = make([]byte, 32) },
		"at its end":               func(k *ticket) { k.end = time.Now().Truncate(time.Millisecond) },
	} {
		x.refuses(what, x.server, show(change))
	}
	x.takes("as it should be", show(func(*ticket) {}))
	e := introduced.clone()
	e.ticket = ring.seal(&body, time.Now(), defaultLife)
	x.refuses("with a name", x.server, x.crafted(e, kindTicket, X25519, name(composite)), errGrant)
	e.psk = make([]byte, 32)
	x.refuses("a stolen ticket without its secret", x.server, x.crafted(e, kindTicket, X25519, nil), errGrant)
	for n := range ticketLen { // TestTicketBits has them all
		bit := 8*n + n%8
		bad := introduced.clone()
		bad.ticket[bit/8] ^= 1 << (bit % 8)
		if out, sc, _ := x.answer(x.server, x.crafted(bad, kindTicket, X25519, nil)); sc != nil || !bytes.Equal(out, []byte{tokRefused}) {
			t.Fatalf("bit %d", bit)
		}
	}
}

func TestIntroducedBindings(t *testing.T) {
	a, b := []byte("tls-exporter:a"), []byte("tls-exporter:b")
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	badcb := func(what string, init, accept []byte, optional bool) {
		t.Helper()
		x.init.Bindings, x.accept.Bindings, x.accept.BindingsOptional = init, accept, optional
		tr := x.come(c, nil)
		if tr.Initiator != nil || tr.Acceptor != nil || len(tr.Tokens) != 2 || tr.Tokens[1][0] != tokBadCB {
			t.Fatalf("%s: %v", what, tr.Err())
		}
		wantMajor(t, what+", acceptor", tr.AcceptErr, gss.BadBindings)
		wantMajor(t, what+", initiator", tr.InitErr, gss.BadBindings)
	}
	for range 2 { // with the grant, which is not used up, then with the ticket
		badcb("changed", a, b, false)
		badcb("changed, optional", a, b, true)
		badcb("the acceptor's removed", a, nil, false)
		badcb("the initiator's removed", nil, a, false)
		x.init.Bindings, x.accept.Bindings, x.accept.BindingsOptional = a, a, false
		tr := x.come(c, nil)
		if err := tr.Err(); err != nil || !tr.Initiator.Info().Flags.Has(gss.Bound) || !tr.Acceptor.Info().Flags.Has(gss.Bound) {
			t.Fatal(err)
		}
		x.init.Bindings, x.accept.Bindings = nil, nil
	}
	// A bound ticket is not even tried without bindings: the grant is, which is used up.
	x.refused("the bindings removed", x.come(c, nil))
	// One that is not bound is tried with bindings, and bound from then on.
	free := x.introduce("")
	x.good(x.come(free, nil), kindGrant, "")
	x.init.Bindings, x.accept.Bindings = a, a
	for range 2 {
		if _, ac := x.good(x.come(free, nil), kindTicket, ""); !ac.Info().Flags.Has(gss.Bound) {
			t.Error("not bound")
		}
	}
	x.init.Bindings, x.accept.Bindings = nil, nil
	x.refused("the bindings removed, again", x.come(free, nil))
	x.client.m.o.Cache.Clear()
	x.init.Bindings, x.accept.Bindings = a, a
	c = x.introduce("")
	x.good(x.come(c, nil), kindGrant, "")
	x.init.Bindings, x.accept.Bindings = nil, nil
	// A bound ticket, without bindings.
	e := x.client.take(t)
	if e.tf&tfBound == 0 {
		t.Fatal("tf")
	}
	for _, o := range []gss.AcceptOptions{{}, {Bindings: a, BindingsOptional: true}} {
		x.accept = o
		out, sc, err := x.answer(x.server, x.crafted(e, kindTicket, X25519, nil))
		if sc != nil || len(out) == 0 || out[0] != tokBadCB {
			t.Errorf("%x", out)
		}
		wantMajor(t, fmt.Sprintf("%+v", o), err, gss.BadBindings)
	}
	// None, where that is allowed.
	x = toys(t, IntroducedOptions{}, IntroducedOptions{})
	x.accept = gss.AcceptOptions{Bindings: a, BindingsOptional: true}
	c = x.introduce("")
	for _, kind := range []byte{kindGrant, kindTicket} {
		if _, ac := x.good(x.come(c, nil), kind, ""); ac.Info().Flags.Has(gss.Bound) {
			t.Error("bound without bindings")
		}
	}
	// What the acceptor requires is checked before the grant is used up.
	c = x.introduce("")
	x.accept, x.init.Require = gss.AcceptOptions{Require: gss.Conf}, gss.Integ|gss.Mutual
	tok, _ := x.flight(c)
	out, sc, err := x.answer(x.server, tok)
	if sc != nil || !bytes.Equal(out, []byte{tokRefused}) {
		t.Errorf("%x", out)
	}
	wantMajor(t, "Conf required, not asked", err, gss.Unavailable)
	x.init.Require = 0
	x.good(x.come(c, nil), kindGrant, "")
}

// However often renewed, no introduced context outlives the grant, or the introducer's context.
func TestIntroducedChain(t *testing.T) {
	for what, expires := range map[string]bool{"the grant's": false, "the introducer's context's": true} {
		synctest.Test(t, func(t *testing.T) {
			end := time.Now().Add(6 * time.Hour)
			m := toyMeeting(t)
			ab := func(t testing.TB, from, to string) (gss.Context, gss.Context) {
				i, a := m(t, from, to)
				if expires {
					return &ending{i.(gss.Claimer), end}, &ending{a.(gss.Claimer), end}
				}
				return i, a
			}
			x := stage(t, ab, m, IntroducedOptions{}, IntroducedOptions{}, nil)
			o := &gssseal.Options{Relay: x.carol, Lifetime: 6 * time.Hour}
			if expires {
				o.Lifetime = 7 * 24 * time.Hour
			}
			held := x.hold("", o)
			g := x.stolen(held)
			c := x.credential(held, x.carol)
			began := time.Now()
			_, ac := x.good(x.come(c, nil), kindGrant, "")
			for n := range 100 {
				if e := ac.Info().Expiry; e.After(end) || end.Sub(e) > time.Millisecond {
					t.Fatalf("%s, %d: ends %v after the end", what, n, e.Sub(end))
				}
				time.Sleep(3 * time.Minute)
				_, ac = x.good(x.come(c, nil), kindTicket, "")
				if at := ac.(*Context).AuthTime(); at.After(began) || began.Sub(at) > time.Millisecond {
					t.Fatalf("authenticated at %v", at)
				}
			}
			last := x.client.take(t)
			time.Sleep(time.Until(end))
			x.refuses(what+": the ticket after the end", x.server, x.crafted(last, kindTicket, X25519, nil), errEnd)
			// A thief of the grant, who does not mind that it ended.
			e, who := x.asEntry(g)
			x.refuses(what+": the grant after the end", x.server, x.crafted(e, kindGrant, X25519, who), errEnd)
			time.Sleep(skew + time.Second)
			x.refuses(what+": the grant later", x.server, x.crafted(e, kindGrant, X25519, who))
			if !expires {
				if _, _, err := c.open(); gss.MajorOf(err) != gss.OldToken {
					t.Error(err)
				}
			}
		})
	}
}

// ending is a context that ends.
type ending struct {
	gss.Claimer
	end time.Time
}

func (c *ending) Info() gss.Info {
	i := c.Claimer.Info()
	i.Expiry = c.end
	return i
}

// A clock that is a day off lets nobody in who should not be, and takes CONFIRM of the others.
func TestIntroducedClocks(t *testing.T) {
	for _, d := range []time.Duration{-24 * time.Hour, -6 * time.Minute, 6 * time.Minute, 59 * time.Minute, 24 * time.Hour} {
		c := newClock()
		c.add(d)
		x := toys(t, IntroducedOptions{}, IntroducedOptions{Time: c.now, Store: &vouching{}})
		cred := x.introduce("")
		tr := x.come(cred, nil)
		if d > time.Hour {
			if why := x.refused(d.String(), tr); !errors.Is(why, errEnd) {
				t.Error(why)
			}
			continue
		}
		if err := tr.Err(); err != nil || len(tr.Tokens) != 3 {
			t.Errorf("%v: %d tokens, %v", d, len(tr.Tokens), err)
		}
	}
}

// Nobody is let in whose grant cannot be struck.
func TestIntroducedStoreFails(t *testing.T) {
	broken := errors.New("disk")
	m := toyMeeting(t)
	x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{}, &gssseal.RecipientOptions{Store: failing{broken}})
	why := x.refused("a broken store", x.come(x.introduce(""), nil))
	if !errors.Is(why, broken) {
		t.Error(why)
	}
	ctx, cancel := context.WithCancel(t.Context())
	y := toys(t, IntroducedOptions{}, IntroducedOptions{Introduce: func(_, _ gss.Name) bool { cancel(); return true }})
	tok, _ := y.flight(y.introduce(""))
	ah, _ := y.server.Accept(nil)
	defer ah.Close()
	out, sc, err := ah.Step(ctx, tok)
	if sc != nil || !bytes.Equal(out, []byte{tokRefused}) || !errors.Is(err, context.Canceled) {
		t.Errorf("%x, %v", out, err)
	}
}

type failing struct{ err error }

func (f failing) Strike(context.Context, [32]byte, time.Time, time.Time) error { return f.err }

// Whoever is on the path can say REFUSED, as often as he likes: the ticket is still there when he
// is gone, and the grant is not used up if it was he who got it.
func TestIntroducedForgedRefusal(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	c := x.introduce("")
	for _, kind := range []byte{kindGrant, kindTicket} {
		for range 4 {
			tok, h := x.flight(c)
			if kindOf(t, tok) != kind {
				t.Fatal("kind")
			}
			_, sc, err := h.Step(t.Context(), []byte{tokRefused})
			if sc != nil {
				t.Fatal("a context")
			}
			wantMajor(t, "REFUSED", err, gss.NoCred)
		}
		x.good(x.come(c, nil), kind, "")
	}
}

// One process in both roles does not talk to itself.
func TestIntroducedSelf(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	x.client = x.server
	tok, h := x.flight(x.introduce(""))
	x.refuses("reflected", x.server, tok, errShareDue)
	h.Close()
	if len(x.server.m.waits.m) != 0 {
		t.Errorf("%d nonces are left", len(x.server.m.waits.m))
	}
}

// Reauth over introductions issues no tickets of its own: Introduce would not be asked.
func TestIntroducedWithinReauth(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	client, server := New(x.client, Options{}), New(x.server, Options{})
	c := x.introduce("")
	for range 2 {
		ih, err := client.Initiate(c.Target(), &gss.InitOptions{Credentials: []gss.Credential{c}})
		if err != nil {
			t.Fatal(err)
		}
		ah, err := server.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := conformance.Pump(t.Context(), ih, ah)
		defer tr.Close()
		if err := tr.Err(); err != nil {
			t.Fatal(err)
		}
		if tr.Acceptor.Info().Mech != oid.Introduced || client.o.Cache.Len() != 0 {
			t.Error(tr.Acceptor.Info().Mech, client.o.Cache.Len())
		}
	}
}

// The introducer can be Bob to Carol, as she has the key. But even then a context is no longer and no
// more than what Carol asked for, and on her channel.
func TestIntroducedAnswerOfTheIntroducer(t *testing.T) {
	x := toys(t, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, IntroducedOptions{})
	x.init.Require = gss.Mutual | gss.Integ
	x.init.Bindings = []byte("tls-exporter:a")
	bind := newBinding(x.init.Bindings)
	for what, tt := range map[string]struct {
		change func(*answered)
		want   gss.Major
	}{
		"as it should be":   {func(*answered) {}, 0},
		"a later end":       {func(a *answered) { a.end = a.end.Add(time.Millisecond) }, gss.DefectiveToken},
		"more flags":        {func(a *answered) { a.flags |= gss.Conf }, gss.DefectiveToken},
		"fewer than needed": {func(a *answered) { a.flags = gss.Integ }, gss.Unavailable},
		"another channel":   {func(a *answered) { a.bind = newBinding([]byte("tls-exporter:b")) }, gss.BadBindings},
		"no channel":        {func(a *answered) { a.bind = newBinding(nil) }, gss.BadBindings},
		"a short ticket":    {func(a *answered) { a.ticket = make([]byte, ticketLen-1) }, gss.DefectiveToken},
		"a ticket":          {func(a *answered) { a.ticket = make([]byte, ticketLen) }, 0},
	} {
		held := x.hold("", nil)
		tok, h := x.flight(x.credential(held, x.carol))
		_, in, _ := gss.ParseToken(tok)
		r, _ := parseResume(in)
		k := newSchedule(kindGrant, x.stolen(held).key, oid.Introduced.AppendDER(nil), r.head)
		k.authenticated(r.auth)
		pub, secret, err := answer(r.group, r.share)
		if err != nil {
			t.Fatal(err)
		}
		w := resumed{nr: make([]byte, nonceLen), share: pub}
		head := w.appendHead(nil)
		k.agreed(secret, head)
		a := answered{time: time.Now(), flags: gss.Mutual | gss.Integ, end: held.NotAfter(), bind: bind}
		tt.change(&a)
		reply, err := seal(k.replyKey(), a.marshal())
		if err != nil {
			t.Fatal(err)
		}
		_, sc, err := h.Step(t.Context(), appendVec16(head, reply))
		if tt.want == 0 {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			} else {
				sc.Close()
			}
			continue
		}
		if sc != nil {
			t.Errorf("%s: a context", what)
		}
		wantMajor(t, what, err, tt.want)
	}
}
