package reauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
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
	c, err := FromGrant(g, g.Originator(), self)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

// Every bit of a first flight counts, and no attempt uses up the grant or the ticket.
func TestIntroducedBits(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	for _, leg := range []int{1, 2} {
		x := toys(t, IntroducedOptions{Cache: NewCache(CacheOptions{Entries: -1})}, IntroducedOptions{})
		length := 1
		for n := 0; n < 2*length; n += 3 + 8*min(n/100, 1) { // bits and lengths in turn; most of the reply is one ciphertext
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
