package reauth

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/conformance"
	"github.com/gsseal/gss/internal/toy"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
)

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
	// Or she waits for Carol herself, in Bob's place. Carol knows from whom the grant came.
	for what, by := range map[string]gss.Name{"Mallory": mb.Info().Local, "nobody": {}, "Carol": x.carol} {
		c, err := FromGrant(g, by, x.carol)
		if c != nil || !errors.Is(err, errIntroducer) {
			t.Errorf("Alice's name on a grant that came from %s: %v", what, err)
		}
		wantMajor(t, what, err, gss.BadName)
	}
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
