package seal

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

func TestIntroduce(t *testing.T) {
	x := newTrio(t)
	_, err := x.alice.Introduce(nil, nil, x.grants, nil)
	wantMajor(t, "no relay named", err, gss.BadName, ErrRelay)
	g, err := x.alice.Introduce(nil, []byte("for the application"), x.grants, &Options{Relay: mn("carol")})
	if err != nil {
		t.Fatal(err)
	}
	h, err := x.carol.Accept(g)
	if err != nil {
		t.Fatal(err)
	}
	sealed, key, err := h.Credential()
	if err != nil {
		t.Fatal(err)
	}

	// Nobody unseals it, with whatever proof.
	for what, m := range map[string][]byte{"bare": sealed, "presented": x.present(t, h, Channel{Context: x.toBob})} {
		_, err = x.bob.Unseal(t.Context(), nil, m, &UnsealOptions{Relay: x.onBob})
		wantMajor(t, what, err, gss.Unauthorized, ErrIntroduction)
	}

	hCarol, _ := hashName(mn("carol"))
	var kept []byte
	calls := 0
	admit := func(k []byte, relay [32]byte, from, to gss.Name, end time.Time) error {
		calls++
		kept = k
		if !bytes.Equal(k, key) || relay != hCarol || from != mn("alice") || to != mn("bob") || !end.Equal(h.NotAfter()) {
			t.Errorf("admit(%x, %v, %v, %v)", relay, from, to, end)
		}
		return nil
	}
	no := errors.New("policy")
	if _, err = x.bob.Redeem(t.Context(), sealed, func([]byte, [32]byte, gss.Name, gss.Name, time.Time) error { return no }); err != no {
		t.Errorf("refused: %v", err)
	}
	body, err := x.bob.Redeem(t.Context(), sealed, admit)
	if err != nil || string(body) != "for the application" || calls != 1 {
		t.Fatalf("%q, %v", body, err)
	}
	if !isZero(kept) {
		t.Error("the key is not erased")
	}
	_, err = x.bob.Redeem(t.Context(), sealed, admit)
	wantMajor(t, "again", err, gss.DuplicateToken, strike.ErrSeen)
	for i := range sealed {
		f := bytes.Clone(sealed)
		f[i] ^= 0x10
		_, err = x.bob.Redeem(t.Context(), f, nil)
		if gss.MajorOf(err) != gss.BadMIC {
			t.Fatalf("octet %d changed: %v", i, err)
		}
	}
	_, err = x.bob.Redeem(t.Context(), x.grant(t, &Options{OneTime: true, Relay: mn("carol")}).sealed, nil)
	wantMajor(t, "an ordinary grant", err, gss.Unauthorized, ErrIntroduction)
	h.Close()
	_, _, err = h.Credential()
	wantMajor(t, "closed", err, gss.OldToken, ErrExpired)
}

// Who was introduced grants nothing and does not introduce, whatever it is that shows it.
func TestIntroducedDoesNotIntroduce(t *testing.T) {
	composite := gss.Name{Mech: oid.Introduced, Text: "alice and carol"}
	x := newTrio(t)
	// nothing checks that s makes no grant in any form.
	nothing := func(what string, s *Sender) {
		t.Helper()
		for how, via := range map[string]*Sender{"derived": x.grants, "carried": nil} {
			for _, relay := range []gss.Name{{}, mn("dave")} {
				_, err := s.Grant(nil, nil, via, &Options{Relay: relay})
				wantMajor(t, what+", "+how, err, gss.Unauthorized, ErrIntroduced)
				_, _, err = s.GrantStream(nil, io.Discard, via, &Options{Relay: relay})
				wantMajor(t, what+", a stream, "+how, err, gss.Unauthorized, ErrIntroduced)
			}
			_, err := s.Grant(nil, nil, via, nil)
			wantMajor(t, what+", without options, "+how, err, gss.Unauthorized, ErrIntroduced)
			_, err = s.Introduce(nil, nil, via, &Options{Relay: mn("dave")})
			wantMajor(t, what+", an introduction, "+how, err, gss.Unauthorized, ErrIntroduced)
		}
		_, err := x.alice.Introduce(nil, nil, s, &Options{Relay: mn("dave")})
		wantMajor(t, what+", of the context with the relay", err, gss.Unauthorized, ErrIntroduced)
		if _, err := x.alice.Grant(nil, nil, s, nil); err != nil {
			t.Errorf("%s, the relay of a message: %v", what, err)
		}
		mustSeal(t, s, "a message of his own", &Options{Relay: mn("dave")})
	}
	for what, change := range map[string]func(i, a *gss.Info){
		"the mechanism":         func(i, a *gss.Info) { i.Mech, a.Mech = oid.Introduced, oid.Introduced },
		"the originator's name": func(i, a *gss.Info) { i.Local, a.Peer = composite, composite },
		"the recipient's name":  func(i, a *gss.Info) { i.Peer, a.Local = composite, composite },
		"under another mechanism": func(i, a *gss.Info) {
			i.Mech = oid.Join(oid.Reauth, oid.Introduced)
			a.Mech = i.Mech
			i.Local, a.Peer = composite, composite
		},
	} {
		i, a := pair("carol", "bob")
		change(&i.info, &a.info)
		s := mustSender(t, i)
		nothing(what, s)

		// Somebody whose package seal does it all the same.
		r := mustRecipient(t, nil, a)
		unseal := func(how string, extra Claims, payload []byte) {
			t.Helper()
			body := newStreamBody()
			m, g, err := s.seal(nil, body, &Options{Relay: mn("dave")}, extra, relaySecret{by: byCarried})
			if err != nil {
				t.Fatal(err)
			}
			p, err := appendProof(bytes.Clone(m), &g.key, m, payload, &binding{boundNone}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			o := &UnsealOptions{Unbound: true, RelayNames: []gss.Name{mn("dave")}}
			switch {
			case extra.Has(Introduction):
				_, err = r.Redeem(t.Context(), m, nil)
			case extra.Has(Stream):
				_, _, err = r.UnsealStream(t.Context(), bytes.NewReader(p), o)
			default:
				_, err = r.Unseal(t.Context(), nil, p, o)
			}
			wantMajor(t, what+", "+how, err, gss.Unauthorized, ErrIntroduced)
		}
		unseal("redeemed", OneTime|Introduction, nil)
		unseal("unsealed", 0, []byte("payload"))
		unseal("unsealed, a stream", Stream, nil)
		m := mustSeal(t, s, "by name", &Options{Relay: mn("dave")})
		if _, err := r.Unseal(t.Context(), nil, m, &UnsealOptions{RelayNames: []gss.Name{mn("dave")}}); err != nil {
			t.Errorf("%s, a message by name: %v", what, err)
		}

		// A State of the context knows it, too.
		i.claimed = nil
		st, err := NewState(i)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		s, err = st.NewSender()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		nothing(what+", of a State", s)
	}
	_, err := x.alice.Introduce(nil, nil, x.grants, &Options{Relay: composite})
	wantMajor(t, "the introduced is a relay", err, gss.BadName, ErrIntroduced)
}
