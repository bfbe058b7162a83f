package reauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// resumeToken returns the RESUME of a client that has a ticket.
func (w *world) resumeToken() (tok []byte, h gss.Handshake) {
	w.t.Helper()
	h, err := w.client.Initiate(files, &w.init)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { h.Close() })
	tok, _, err = h.Step(context.Background(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, in, err := gss.ParseToken(tok); err != nil || in[0] != tokResume {
		w.t.Fatalf("no RESUME: %v", err)
	}
	return tok, h
}

// answer gives a new acceptor of m one token.
func (w *world) answer(m gss.Mechanism, tok []byte) ([]byte, gss.Context, error) {
	w.t.Helper()
	h, err := m.Accept(&w.accept)
	if err != nil {
		w.t.Fatal(err)
	}
	defer h.Close()
	return h.Step(context.Background(), tok)
}

func (w *world) refuses(what string, m gss.Mechanism, tok []byte) {
	w.t.Helper()
	out, sc, err := w.answer(m, tok)
	if err != nil || sc != nil || !bytes.Equal(out, []byte{tokRefused}) {
		w.t.Errorf("%s: %x, %v", what, out, err)
	}
}

// Every bit of a RESUME counts: REFUSED, the same octet for all, or DefectiveToken.
func TestResumeBits(t *testing.T) {
	w := krbWorld(t, Options{Group: X25519}, Options{Store: strike.NewMemory(strike.MemoryOptions{})})
	w.must(w.shake(nil), false)
	tok, _ := w.resumeToken()
	for bit := range 8 * len(tok) {
		bad := bytes.Clone(tok)
		bad[bit/8] ^= 1 << (bit % 8)
		out, sc, err := w.answer(w.server, bad)
		if sc != nil || err == nil && !bytes.Equal(out, []byte{tokRefused}) || err != nil && (gss.MajorOf(err) != gss.DefectiveToken || len(out) > 0) {
			t.Fatalf("bit %d: %x, %v", bit, out, err)
		}
	}
	for n := range tok {
		if out, sc, err := w.answer(w.server, tok[:n:n]); sc != nil || len(out) > 0 || gss.MajorOf(err) != gss.DefectiveToken {
			t.Fatalf("%d octets: %x, %v", n, out, err)
		}
	}
	// With a frame that fits.
	_, in, _ := gss.ParseToken(tok)
	for n := range in {
		if out, sc, err := w.answer(w.server, gss.AppendToken(nil, w.server.oid, in[:n])); sc != nil || len(out) > 0 || gss.MajorOf(err) != gss.DefectiveToken {
			t.Fatalf("%d octets inside: %x, %v", n, out, err)
		}
	}
	in = bytes.Clone(in)
	in[1] = 2
	_, _, err := w.answer(w.server, gss.AppendToken(nil, w.server.oid, in))
	wantMajor(t, "a grant", err, gss.DefectiveToken)
	if out, sc, err := w.answer(w.server, tok); err != nil || out[0] != tokResumed {
		t.Errorf("the genuine one: %v", err)
	} else if sc != nil {
		sc.Close()
	}
}

// TestAnswerBits changes RESUMED, CONFIRM, REFUSED and BADCB.
func TestAnswerBits(t *testing.T) {
	for _, leg := range []int{1, 2} {
		w := krbWorld(t, Options{}, Options{})
		w.must(w.shake(nil), false)
		length := 1
		for n := 0; n < 2*length; n++ { // a bit of every octet, and every length
			tr := w.shake(func(l int, tok []byte) []byte {
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
	w := krbWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	for what, answer := range map[string][]byte{
		"empty BADCB": {tokBadCB}, "a BADCB of zeros": append([]byte{tokBadCB}, make([]byte, 32)...), "REFUSED and more": {tokRefused, 0},
		"an inner token": {tokInner, 1}, "a last token": appendLast([]byte{1}, nil), "CONFIRM": append([]byte{tokConfirm}, make([]byte, 32)...),
	} {
		_, h := w.resumeToken()
		_, sc, err := h.Step(t.Context(), answer)
		if sc != nil {
			t.Errorf("%s: a context", what)
		}
		wantMajor(t, what, err, gss.DefectiveToken)
	}
}

// What is replayed establishes nothing with keys of the first, and completes nothing.
func TestReplay(t *testing.T) {
	for _, store := range []strike.Store{nil, strike.NewMemory(strike.MemoryOptions{})} {
		w := krbWorld(t, Options{}, Options{Store: store})
		w.must(w.shake(nil), false)
		w.must(w.shake(nil), true)
		tr := w.shake(nil)
		w.must(tr, true)
		h, err := w.server.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		out, sc, err := h.Step(t.Context(), bytes.Clone(tr.Tokens[0]))
		if err != nil || sc != nil || out[0] != tokResumed || out[1] != rfConfirm {
			t.Fatalf("RESUME again: %x, %v", out[:2], err)
		}
		confirm := append([]byte{tokConfirm}, make([]byte, 32)...)
		if len(tr.Tokens) > 2 {
			confirm = bytes.Clone(tr.Tokens[2])
		}
		if _, sc, err = h.Step(t.Context(), confirm); sc != nil || gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("CONFIRM again: %v", err)
		}
		_, ih := w.resumeToken()
		if _, sc, err = ih.Step(t.Context(), bytes.Clone(tr.Tokens[1])); sc != nil || gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("RESUMED again: %v", err)
		}
	}
}

// A ticket is good for its own server, name, mechanism and owner.
func TestSwapped(t *testing.T) {
	ring := NewRing()
	w := krbWorld(t, Options{}, Options{Ring: ring})
	w.must(w.shake(nil), false)
	tok, _ := w.resumeToken()
	w.refuses("another ring", New(w.server.inner, Options{}), tok)
	w.refuses("another name", New(w.server.inner, Options{Ring: ring, Local: func(gss.Name) bool { return false }}), tok)
	other := &toy.Cred{OID: toy.KrbOID, User: "other"}
	h, err := w.server.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{other}})
	if err != nil {
		t.Fatal(err)
	}
	if out, _, err := h.Step(t.Context(), tok); err != nil || out[0] != tokRefused {
		t.Errorf("another credential: %x, %v", out, err)
	}
	h.Close()
	seen := gss.Name{}
	if out, _, err := w.answer(New(w.server.inner, Options{Ring: ring, Local: func(n gss.Name) bool { seen = n; return true }}), tok); err != nil || out[0] != tokResumed {
		t.Errorf("the same ring: %v", err)
	}
	if seen.Text != "svc:host@files.example.org" {
		t.Errorf("Local was asked about %v", seen)
	}

	// The same octets under another mechanism, whose owner has the secret and the ring.
	pk := New(&toy.PK{Party: toy.NewParty("files")}, Options{Ring: ring})
	_, in, _ := gss.ParseToken(tok)
	w.refuses("another mechanism", pk, gss.AppendToken(nil, pk.oid, in))
	_, _, err = w.answer(pk, tok)
	wantMajor(t, "another mechanism's token", err, gss.DefectiveToken)
	e := w.client.take(t)
	c := New(&toy.PK{Party: toy.NewParty("alice")}, Options{})
	pw := &world{t: t, client: c, server: pk, init: gss.InitOptions{Credentials: []gss.Credential{&toy.Cred{OID: toy.PKOID, User: "alice"}}}}
	ih, _ := c.Initiate(files, &pw.init)
	i := ih.(*initiator)
	i.identify(t.Context())
	stolen := *e
	stolen.key = i.key
	c.o.Cache.put(&stolen, nil)
	ih.Close()
	ptok, _ := pw.resumeToken()
	w.refuses("another mechanism, with the secret", pk, ptok)
	pw.must(pw.shake(nil), false)

	// A target that the ticket is not for.
	e2 := e.clone()
	e2.peer.Text = "svc:host@other.example.org"
	w.client.o.Cache.put(e2, e.ticket)
	tok, _ = w.resumeToken()
	w.refuses("another target", w.server, tok)

	// Two clients' tickets with each other's secrets.
	bob := krbWorld(t, Options{}, Options{})
	bob.server = w.server
	bob.client = New(&toy.Krb{Party: toy.NewParty("bob")}, Options{})
	w.client.o.Cache.Clear()
	w.must(w.shake(nil), false)
	bob.must(bob.shake(nil), false)
	a, b := w.client.take(t), bob.client.take(t)
	x := a.clone()
	x.psk = bytes.Clone(b.psk)
	w.client.o.Cache.put(x, a.ticket)
	tok, _ = w.resumeToken()
	w.refuses("another client's secret", w.server, tok)
	x = a.clone()
	x.ticket = bytes.Clone(b.ticket)
	w.client.o.Cache.put(x, a.ticket)
	tok, _ = w.resumeToken()
	w.refuses("another client's ticket", w.server, tok)
	x = a.clone()
	clear(x.psk)
	w.client.o.Cache.put(x, b.ticket)
	tok, _ = w.resumeToken()
	w.refuses("a stolen ticket without its secret", w.server, tok)
}

// take returns the only ticket of a mechanism's cache.
func (m *Mech) take(t testing.TB) *entry {
	t.Helper()
	c := m.o.Cache
	if c.order.Len() != 1 {
		t.Fatalf("%d tickets", c.order.Len())
	}
	return c.order.Front().Value.(*entry).clone()
}

// TestTicketBits flips every bit of what comes to lie in the client's cache.
func TestTicketBits(t *testing.T) {
	w := krbWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	e := w.client.take(t)
	for bit := range 8 * ticketLen {
		bad := bytes.Clone(e.ticket)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, ok := w.server.o.Ring.open(bad, time.Now(), defaultLife); ok {
			t.Fatalf("bit %d", bit)
		}
	}
	for n := range ticketLen {
		if _, ok := w.server.o.Ring.open(e.ticket[:n], time.Now(), defaultLife); ok {
			t.Fatalf("%d octets", n)
		}
	}
	if _, ok := w.server.o.Ring.open(e.ticket, time.Now(), defaultLife); !ok {
		t.Fatal("the genuine one")
	}
}

func TestRefusedFallsBack(t *testing.T) {
	w := pkWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	old := w.client.take(t)
	w.server = New(w.server.inner, Options{}) // it lost everything
	tr := w.shake(nil)
	w.must(tr, false)
	if len(tr.Tokens) != 6 || !bytes.Equal(tr.Tokens[1], []byte{tokRefused}) || tr.Tokens[2][0] != tokFirst {
		t.Errorf("%d tokens", len(tr.Tokens))
	}
	w.must(w.shake(nil), true)
	// The old ticket is still there, for another refusal, and goes only when nothing better is there.
	if w.client.o.Cache.Len() != 2 {
		t.Fatalf("%d tickets", w.client.o.Cache.Len())
	}
	w.client.o.Cache.refuse(old.key, old.ticket)
	if n := w.client.take(t); bytes.Equal(n.ticket, old.ticket) {
		t.Error("the wrong one was forgotten")
	}
	// A REFUSED that somebody forged costs the fast path, once.
	tr = w.shake(func(leg int, tok []byte) []byte {
		if leg == 1 {
			return []byte{tokRefused}
		}
		return tok
	})
	if tr.Initiator != nil || tr.Acceptor != nil {
		t.Error("a context, though the acceptor waits for CONFIRM")
	}
}

func TestBindings(t *testing.T) {
	a, b := []byte("tls-exporter:a"), []byte("tls-exporter:b")
	w := krbWorld(t, Options{}, Options{})
	w.init.Bindings, w.accept.Bindings = a, a
	w.must(w.shake(nil), false)
	ic, ac := w.must(w.shake(nil), true)
	if !ic.Info().Flags.Has(gss.Bound) || !ac.Info().Flags.Has(gss.Bound) {
		t.Error("not bound")
	}

	badcb := func(what string, tok []byte, h gss.Handshake) {
		t.Helper()
		out, sc, err := w.answer(w.server, tok)
		if sc != nil || len(out) != 1+alertLen+tagLen || out[0] != tokBadCB {
			t.Fatalf("%s: %x", what, out)
		}
		wantMajor(t, what, err, gss.BadBindings)
		for _, bad := range [][]byte{out[:20], append(bytes.Clone(out[:32]), out[32]^1)} {
			_, h := w.resumeToken()
			_, _, err := h.Step(t.Context(), bad)
			wantMajor(t, what+", forged", err, gss.DefectiveToken)
		}
		_, sc, err = h.Step(t.Context(), out)
		wantMajor(t, what+", initiator", err, gss.BadBindings)
		if e := new(gss.Error); sc != nil || !errors.As(err, &e) || !e.Remote {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.accept.Bindings = b
	tok, h := w.resumeToken()
	badcb("changed", tok, h)
	w.accept.Bindings = nil
	tok, h = w.resumeToken()
	badcb("the acceptor's removed", tok, h)
	w.accept.Bindings, w.accept.BindingsOptional = b, true
	tok, h = w.resumeToken()
	badcb("changed, optional", tok, h)
	w.accept = gss.AcceptOptions{Bindings: a}

	// The initiator's removed: it does not even try the bound ticket. If it does, it is BADCB.
	w.accept = gss.AcceptOptions{}
	w.init.Bindings = nil
	w.must(w.shake(nil), false)
	w.must(w.shake(nil), true)
	bound := w.client.bound(t)
	ih, _ := w.client.Initiate(files, &w.init)
	i := ih.(*initiator)
	i.identify(t.Context())
	bound.key = i.key
	ih.Close()
	w.client.o.Cache.Clear()
	for _, o := range []gss.AcceptOptions{{}, {Bindings: a, BindingsOptional: true}, {Bindings: a}} {
		w.accept = o
		w.client.o.Cache.put(bound.clone(), nil)
		tok, h = w.resumeToken()
		badcb(fmt.Sprintf("bound ticket without bindings, %+v", o), tok, h)
		w.client.o.Cache.Clear()
	}

	// Where bindings are optional, none is none.
	k := krbWorld(t, Options{}, Options{})
	k.accept = gss.AcceptOptions{Bindings: a, BindingsOptional: true}
	k.must(k.shake(nil), false)
	if _, ac := k.must(k.shake(nil), true); ac.Info().Flags.Has(gss.Bound) {
		t.Error("bound without bindings")
	}
	// Kerberos' acceptors may ignore bindings: never resumed, never refused.
	k = krbWorld(t, Options{}, Options{})
	k.init.Bindings = a
	for range 3 {
		k.must(k.shake(nil), false)
	}
}

// bound returns the ticket that is for bindings.
func (m *Mech) bound(t testing.TB) *entry {
	t.Helper()
	for el := m.o.Cache.order.Front(); el != nil; el = el.Next() {
		if e := el.Value.(*entry); e.tf&tfBound != 0 {
			return e.clone()
		}
	}
	t.Fatal("no bound ticket")
	return nil
}

// A chain of resumptions ends when the first ticket would have, and says who authenticated when.
func TestChain(t *testing.T) {
	c := newClock()
	w := krbWorld(t, Options{Time: c.now}, Options{Time: c.now, Life: 10 * time.Hour, Authorization: func(sc gss.Context) ([]byte, error) {
		return []byte("peer " + sc.Info().Peer.Text), nil
	}})
	w.must(w.shake(nil), false)
	began := c.now()
	last := began.Add(10 * time.Hour)
	for n := range 100 {
		c.add(5*time.Minute + 59*time.Second)
		tr := w.shake(nil)
		_, ac := w.must(tr, true)
		x := ac.(*Context)
		if end := x.Info().Expiry; end.After(last) || last.Sub(end) > time.Millisecond {
			t.Fatalf("resumption %d ends %v after the first", n, end.Sub(began))
		}
		if d := began.Sub(x.AuthTime()); d < 0 || d > time.Millisecond || string(x.Authorization()) != "peer user:alice" {
			t.Fatalf("%v, %q", d, x.Authorization())
		}
		seen := 0
		for name, a := range x.PeerAttributes() {
			if seen++; name != AttributeAuthorization || string(a.Value) != "peer user:alice" || !a.Authenticated {
				t.Errorf("%s %q", name, a.Value)
			}
		}
		if seen != 1 {
			t.Errorf("%d attributes", seen)
		}
	}
	e := w.client.take(t)
	c.add(3 * time.Minute)
	if !c.now().After(last) {
		t.Fatal("the test's clock")
	}
	w.must(w.shake(nil), false)
	// An initiator whose clock stands still tries, and is refused.
	e.end = c.now().Add(time.Hour)
	w.client.o.Cache.Clear()
	w.client.o.Cache.put(e, nil)
	tok, _ := w.resumeToken()
	w.refuses("past its end", w.server, tok)
}

func TestClocks(t *testing.T) {
	for _, d := range []time.Duration{-24 * time.Hour, -6 * time.Minute, -4 * time.Minute, 0, 4 * time.Minute, 6 * time.Minute, 20 * time.Hour, 24 * time.Hour} {
		t.Run(d.String(), func(t *testing.T) {
			ic, ac := newClock(), newClock()
			store := strike.NewMemory(strike.MemoryOptions{})
			w := krbWorld(t, Options{Time: ic.now}, Options{Time: ac.now, Store: store})
			w.must(w.shake(nil), false)
			w.must(w.shake(nil), true)
			ac.add(d)
			tr := w.shake(nil)
			if d >= 24*time.Hour { // the ticket has ended there
				w.must(tr, false)
				return
			}
			if err := tr.Err(); err != nil {
				t.Fatal(err)
			}
			if d.Abs() > skew && len(tr.Tokens) != 3 {
				t.Errorf("%d tokens: a RESUME of another time was believed", len(tr.Tokens))
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	var gone string
	w := krbWorld(t, Options{}, Options{Revoked: func(n gss.Name, at time.Time) bool {
		return n.Text == gone && time.Since(at) < time.Hour
	}})
	w.must(w.shake(nil), false)
	w.must(w.shake(nil), true)
	gone = "user:alice"
	w.must(w.shake(nil), false)
	gone = ""

	// What the options require is checked again.
	w.init.Require = gss.Integ | gss.Mutual
	w.client.o.Cache.Clear()
	w.must2(t)
	w.init.Require = 0
	ic, _ := w.must(w.shake(nil), false)
	if !ic.Info().Flags.Has(gss.DefaultFlags) {
		t.Error(ic.Info().Flags)
	}
	w.init.Require = gss.Integ | gss.Mutual
	w.accept.Require = gss.Conf
	tok, _ := w.resumeToken()
	w.refuses("Conf required, not asked", w.server, tok)

	// A share is required.
	w = krbWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	strict := New(w.server.inner, Options{Ring: w.server.o.Ring, RequireShare: true})
	tok, _ = w.resumeToken()
	w.refuses("no share", strict, tok)
	w.server = strict
	w.must(w.shake(nil), false)
	tok, _ = w.resumeToken()
	_, in, _ := gss.ParseToken(tok)
	if r, _ := parseResume(in); r.group != X25519 {
		t.Errorf("group %d with a ticket that requires one", r.group)
	}
	w.must(w.shake(nil), true)

	// It talks to itself.
	self := New(&toy.Krb{Party: toy.NewParty("alice")}, Options{})
	s := &world{t: t, client: self, server: self}
	s.must(s.shake(nil), false)
	tok, h := s.resumeToken()
	s.refuses("reflected", self, tok)
	h.Close()
	if len(self.waits.m) != 0 {
		t.Errorf("%d nonces are left", len(self.waits.m))
	}
}

// must2 is a handshake without Conf.
func (w *world) must2(t *testing.T) {
	t.Helper()
	tr := w.shake(nil)
	if tr.Err() != nil || tr.Initiator.Info().Flags.Has(gss.Conf) {
		t.Fatal(tr.Err())
	}
}

// No ticket: the context is as good as ever.
func TestNoTicket(t *testing.T) {
	long := strings.Repeat("x", 400)
	for what, w := range map[string]*world{
		"authorization fails":    krbWorld(t, Options{}, Options{Authorization: func(gss.Context) ([]byte, error) { return nil, errors.New("no") }}),
		"authorization too long": krbWorld(t, Options{}, Options{Authorization: func(gss.Context) ([]byte, error) { return make([]byte, 256), nil }}),
		"names too long":         {t: t, client: New(&toy.Krb{Party: toy.NewParty(long)}, Options{}), server: New(&toy.Krb{Party: toy.NewParty("files")}, Options{})},
		"delegation":             {t: t, client: New(&toy.Krb{Party: toy.NewParty("alice")}, Options{}), server: New(&toy.Krb{Party: toy.NewParty("files")}, Options{}), init: gss.InitOptions{Request: gss.Deleg}},
		"DCE style":              {t: t, client: New(&toy.Krb{Party: toy.NewParty("alice")}, Options{}), server: New(&toy.Krb{Party: toy.NewParty("files")}, Options{}), init: gss.InitOptions{Require: gss.DefaultFlags | gss.DCEStyle}},
		"not mutual":             {t: t, client: New(&toy.Krb{Party: toy.NewParty("alice")}, Options{}), server: New(&toy.Krb{Party: toy.NewParty("files")}, Options{}), init: gss.InitOptions{Require: toy.UniFlags}},
		"one token":              {t: t, client: New(&toy.Uni{Party: toy.NewParty("alice")}, Options{}), server: New(&toy.Uni{Party: toy.NewParty("files")}, Options{}), init: gss.InitOptions{Require: toy.UniFlags, Credentials: []gss.Credential{&toy.Cred{OID: toy.UniOID, User: "alice"}}}},
		"nobody knows who":       {t: t, client: New(&toy.PK{Party: toy.NewParty("alice")}, Options{}), server: New(&toy.PK{Party: toy.NewParty("files")}, Options{})},
	} {
		for range 2 {
			tr := w.shake(nil)
			if err := tr.Err(); err != nil {
				t.Errorf("%s: %v", what, err)
			} else if _, ok := tr.Initiator.(*Context); ok {
				t.Errorf("%s: resumed", what)
			}
		}
	}
}

// Two users of one process do not arrive as each other, whoever is the default.
func TestTwoUsers(t *testing.T) {
	alice := &toy.Krb{Party: toy.NewParty("alice")}
	cache := NewCache(CacheOptions{})
	w := krbWorld(t, Options{}, Options{})
	w.client = New(alice, Options{Cache: cache})
	arrives := func(want string, resumed bool) {
		t.Helper()
		tr := w.shake(nil)
		_, ac := w.must(tr, resumed)
		if got := ac.Info().Peer.Text; got != "user:"+want {
			t.Errorf("%s arrived as %s", want, got)
		}
	}
	arrives("alice", false)
	w.init.Credentials = []gss.Credential{&toy.Cred{OID: toy.KrbOID, User: "bob"}}
	arrives("bob", false)
	arrives("bob", true)
	w.init.Credentials = nil
	arrives("alice", true)
	alice.User = "carol" // somebody ran kinit
	arrives("carol", false)
	arrives("carol", true)
	w.init.Credentials = []gss.Credential{&toy.Cred{OID: toy.KrbOID, User: "bob"}}
	arrives("bob", true)
	// Both are named: they are not bob alone.
	w.init.Credentials = append(w.init.Credentials, &toy.Cred{OID: toy.PKOID, User: "dave"})
	arrives("bob", false)

	// The default changes between the choice of a ticket and the inner mechanism's first token.
	w.init.Credentials = nil
	w.client = New(&fickle{alice}, Options{})
	alice.User = "alice"
	arrives("alice", false)
	if e := w.client.take(t); e.local.Text != "user:alice" {
		t.Errorf("the ticket is %v's", e.local)
	}
}

// fickle changes its default user whenever it was asked who that is.
type fickle struct{ *toy.Krb }

func (m *fickle) Acquire(ctx context.Context) ([]gss.Credential, error) {
	cs, err := m.Krb.Acquire(ctx)
	m.User = "mallory"
	return cs, err
}

// The inner contexts of handshakes that end early are closed, and what Close erases is not a
// context's.
func TestCloseEarly(t *testing.T) {
	w := pkWorld(t, Options{}, Options{})
	for legs := 1; legs <= 4; legs++ {
		ih, _ := w.client.Initiate(files, &w.init)
		ah, _ := w.server.Accept(nil)
		hs := []gss.Handshake{ih, ah}
		var tok []byte
		var err error
		for n := range legs {
			if tok, _, err = hs[n%2].Step(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
		}
		held := ih.(*initiator).held
		ih.Close()
		ah.Close()
		if legs == 3 || legs == 4 {
			if held == nil {
				t.Fatal("nothing is held")
			}
			_, err := held.PRF(gss.PRFFull, nil, 16)
			wantMajor(t, "held context", err, gss.NoContext)
		}
	}
}

func TestAttributes(t *testing.T) {
	m := New(&toy.Krb{Party: toy.NewParty("x")}, Options{})
	for _, a := range m.Attributes() {
		if a == oid.MADelegCred || a == oid.MACtxTrans || a == oid.MAMechConcrete {
			t.Error(a)
		}
	}
}
