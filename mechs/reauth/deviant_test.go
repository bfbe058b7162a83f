package reauth

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/strike"
)

// deviant makes a RESUME of e as its owner would who does not keep to the rules.
func (w *world) deviant(e *entry, change func(*authenticator)) []byte {
	w.t.Helper()
	target, err := e.peer.Export()
	if err != nil {
		w.t.Fatal(err)
	}
	r := &resume{kind: kindTicket, ni: make([]byte, nonceLen), cred: e.ticket}
	head := r.appendHead(nil)
	k := newSchedule(r.kind, e.psk, w.server.der, head)
	a := &authenticator{time: w.server.o.Time(), flags: gss.DefaultFlags, bind: newBinding(nil), target: target}
	change(a)
	auth, err := seal(k.authKey(), a.marshal())
	if err != nil {
		w.t.Fatal(err)
	}
	return gss.AppendToken(nil, w.server.oid, appendVec16(head, auth))
}

func plainly(*authenticator) {}

// The owner of a ticket gets no more than what is in it, whatever he asks for.
func TestDeviantOwner(t *testing.T) {
	w := krbWorld(t, Options{}, Options{Store: &vouching{}})
	w.must(w.shake(nil), false)
	e := w.client.take(t)
	alice, _ := e.local.Export()
	w.refuses("N(initiator)", w.server, w.deviant(e, func(a *authenticator) { a.initiator = alice }))
	w.accept = gss.AcceptOptions{Bindings: []byte("tls-exporter:a"), BindingsOptional: true}
	for what, tt := range map[string]struct {
		change func(*authenticator)
		want   byte
	}{
		"no bindings":               {plainly, tokResumed},
		"no bindings, and a hash":   {func(a *authenticator) { a.bind.hash = newBinding([]byte("x")).hash }, tokBadCB},
		"no bindings, and our hash": {func(a *authenticator) { a.bind.hash = newBinding(w.accept.Bindings).hash }, tokBadCB},
		"bindings, and no hash":     {func(a *authenticator) { a.bind.present = 1 }, tokBadCB},
		"ours":                      {func(a *authenticator) { a.bind = newBinding(w.accept.Bindings) }, tokResumed},
	} {
		if out, sc, err := w.answer(w.server, w.deviant(e, tt.change)); out[0] != tt.want || (sc != nil) != (tt.want == tokResumed) {
			t.Errorf("%s: %x, %v", what, out[:1], err)
		}
	}
	w.accept = gss.AcceptOptions{}
	k, ok := w.server.o.Ring.open(e.ticket, time.Now(), defaultLife)
	if !ok {
		t.Fatal("the ticket")
	}
	k.flags = gss.Mutual | gss.Integ
	e.ticket = w.server.o.Ring.seal(k, time.Now(), defaultLife)
	_, sc, err := w.answer(w.server, w.deviant(e, func(a *authenticator) { a.flags = ^gss.Flags(0) }))
	if err != nil || sc.Info().Flags != gss.Mutual|gss.Integ|gss.ProtReady {
		t.Errorf("flags: %v", err)
	}
}

// All that a ticket of the same ring can say.
func TestTicketsOfTheRing(t *testing.T) {
	w := krbWorld(t, Options{}, Options{Store: &vouching{}})
	w.must(w.shake(nil), false)
	e := w.client.take(t)
	k, ok := w.server.o.Ring.open(e.ticket, time.Now(), defaultLife)
	if !ok {
		t.Fatal("the ticket")
	}
	name, _ := e.local.Export()
	for what, change := range map[string]func(*ticket){
		"introduced":           func(k *ticket) { k.tf |= tfIntroduced },
		"an unknown tf":        func(k *ticket) { k.tf |= 8 },
		"an introducer":        func(k *ticket) { k.introducer = name },
		"another mechanism":    func(k *ticket) { k.inner = toy.PKOID },
		"of this one":          func(k *ticket) { k.inner = w.server.oid },
		"of introductions":     func(k *ticket) { k.inner = oid.Introduced },
		"another acceptor":     func(k *ticket) { k.acceptor = hash(name) },
		"its end":              func(k *ticket) { k.end = time.Now() },
		"a share, without one": func(k *ticket) { k.tf |= tfShare },
		"another secret":       func(k *ticket) { k.psk = make([]byte, keyLen) },
	} {
		x, f := *k, e.clone()
		change(&x)
		f.ticket = w.server.o.Ring.seal(&x, time.Now(), defaultLife)
		if f.ticket == nil {
			t.Fatal(what)
		}
		w.refuses(what, w.server, w.deviant(f, plainly))
	}
	if _, sc, err := w.answer(w.server, w.deviant(e, plainly)); sc == nil {
		t.Errorf("as it is: %v", err)
	}
}

// What is sealed in a BADCB is one plaintext and no other.
func TestBadCBOtherwise(t *testing.T) {
	for what, p := range map[string][]byte{
		"as it should be": append([]byte{alertCode}, make([]byte, alertLen-1)...),
		"another code":    append([]byte{alertCode + 1}, make([]byte, alertLen-1)...),
		"no zeros":        append([]byte{alertCode, 1}, make([]byte, alertLen-2)...),
		"short":           append([]byte{alertCode}, make([]byte, alertLen-2)...),
		"long":            append([]byte{alertCode}, make([]byte, alertLen)...),
		"nothing":         {},
	} {
		w := krbWorld(t, Options{}, Options{})
		w.must(w.shake(nil), false)
		_, h := w.resumeToken()
		i := h.(*initiator)
		secret := i.entry.psk
		c, err := seal(i.keys.alertKey(), p)
		if err != nil {
			t.Fatal(err)
		}
		out, sc, err := h.Step(t.Context(), append([]byte{tokBadCB}, c...))
		want := gss.Major(gss.DefectiveToken)
		if what == "as it should be" {
			want = gss.BadBindings
		}
		if sc != nil || len(out) > 0 {
			t.Errorf("%s: %x", what, out)
		}
		wantMajor(t, what, err, want)
		if !zero(secret) {
			t.Errorf("%s: the secret is not erased", what)
		}
	}
}

// No secret of a handshake is left when it is over or closed.
func TestErased(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	for _, kind := range []byte{kindGrant, kindTicket} {
		for _, closed := range []bool{true, false} {
			c := x.introduce("")
			if kind == kindTicket {
				x.good(x.come(c, nil), kindGrant, "")
			}
			tok, h := x.flight(c)
			if kindOf(t, tok) != kind {
				t.Fatal("kind")
			}
			i := h.(*presenting)
			secrets := [][]byte{i.entry.psk, i.keys.es, i.keys.room.es[:]}
			if zero(secrets[0]) || zero(secrets[1]) {
				t.Fatal("no secrets")
			}
			if closed {
				h.Close()
			} else if _, _, err := h.Step(t.Context(), []byte{tokResumed}); err == nil {
				t.Fatal("no error")
			}
			for n, s := range secrets {
				if !zero(s) {
					t.Errorf("kind %d, secret %d, closed: %v", kind, n, closed)
				}
			}
		}
	}
}

// A stage for what is in a ticket, and for times.
func TestIntroducedTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		m := toyMeeting(t)
		x := stage(t, m, m, IntroducedOptions{}, IntroducedOptions{Life: time.Hour, Revoked: func(n gss.Name, at time.Time) bool {
			asked = append(asked, at)
			return false
		}}, nil)
		began := time.Now()
		held := x.hold("words", &gssseal.Options{Relay: x.carol, Lifetime: 6 * time.Hour})
		c := x.credential(held, x.carol)
		alice, _ := x.ba.Info().Peer.Export()
		bob, _ := x.ba.Info().Local.Export()
		for kind := byte(kindGrant); time.Since(began) < 50*time.Minute; kind = kindTicket {
			_, ac := x.good(x.come(c, nil), kind, "words")
			if e := ac.Info().Expiry; !e.Equal(began.Add(time.Hour)) {
				t.Errorf("ends %v after the beginning", e.Sub(began))
			}
			k, ok := x.ring.open(x.client.take(t).ticket, time.Now(), time.Hour)
			if !ok || k.tf != tfIntroduced|tfShare || k.flags != services || k.inner != oid.Introduced || k.initiator != x.carol ||
				!bytes.Equal(k.introducer, alice) || !bytes.Equal(k.acceptor, hash(bob)) || string(k.app) != "words" {
				t.Errorf("%+v", k)
			}
			if !k.authTime.Equal(began) || !k.issued.Equal(time.Now()) || !k.end.Equal(began.Add(time.Hour)) || !asked[len(asked)-1].Equal(began) {
				t.Errorf("%v, %v, %v; asked of %v", k.authTime, k.issued, k.end, asked)
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// Whoever shares a ring and has a shorter life keeps to it.
func TestShorterLife(t *testing.T) {
	w := krbWorld(t, Options{}, Options{})
	w.must(w.shake(nil), false)
	w.server = New(w.server.inner, Options{Ring: w.server.o.Ring, Life: time.Hour})
	_, ac := w.must(w.shake(nil), true)
	if time.Until(ac.Info().Expiry) > time.Hour {
		t.Errorf("ends at %v", ac.Info().Expiry)
	}
}

// A store that is younger than the first ticket vouches for what comes with the next one.
func TestYoungStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := krbWorld(t, Options{}, Options{})
		w.must(w.shake(nil), false)
		time.Sleep(time.Second)
		w.server = New(w.server.inner, Options{Ring: w.server.o.Ring, Store: strike.NewMemory(strike.MemoryOptions{})})
		for n := range 3 {
			time.Sleep(time.Second)
			tr := w.shake(nil)
			w.must(tr, true)
			if want := 2 + max(1-n, 0); len(tr.Tokens) != want {
				t.Errorf("%d: %d tokens, want %d", n, len(tr.Tokens), want)
			}
		}
	})
}

// Names that are too long for a RESUME.
func TestIntroducedLongNames(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	g := x.stolen(x.hold("", nil))
	for n, ok := range map[int]bool{8000: true, 16384: false, 40000: false} {
		g.by.Text = strings.Repeat("a", n)
		_, err := FromGrant(g, g.by, x.carol)
		if ok && err != nil || !ok && gss.MajorOf(err) != gss.DefectiveCredential {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// A credential that is made leaves no copy of the key.
func TestFromGrantErases(t *testing.T) {
	x := toys(t, IntroducedOptions{}, IntroducedOptions{})
	g := &watched{Grant: x.hold("", nil)}
	x.credential(g, x.carol)
	if g.key == nil || !zero(g.key) {
		t.Error("the key is not erased")
	}
}

// watched remembers the key that it gave away.
type watched struct {
	Grant
	key []byte
}

func (g *watched) Credential() (sealed, key []byte, err error) {
	sealed, g.key, err = g.Grant.Credential()
	return sealed, g.key, err
}

// A ticket ends with the context that it came with.
func TestTicketEndsWithItsContext(t *testing.T) {
	s := krbStand(t)
	client, server := New(s.client, Options{}), New(s.server, Options{})
	tr := shake(t, client, server, &s.init, &s.accept, nil)
	if err := tr.Err(); err != nil {
		t.Fatal(err)
	}
	end := tr.Acceptor.Info().Expiry
	if end.IsZero() || time.Until(end) >= defaultLife {
		t.Fatalf("the context ends at %v", end)
	}
	tr = shake(t, client, server, &s.init, &s.accept, nil)
	if err := tr.Err(); err != nil {
		t.Fatal(err)
	}
	if _, ok := tr.Acceptor.(*Context); !ok || tr.Acceptor.Info().Expiry.After(end) || tr.Initiator.Info().Expiry.After(end) {
		t.Errorf("ends at %v, after %v", tr.Acceptor.Info().Expiry, end)
	}
}
