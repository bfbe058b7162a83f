package seal

import (
	"bytes"
	"errors"
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

// Who was introduced does not introduce, whatever it is that shows it.
func TestIntroducedDoesNotIntroduce(t *testing.T) {
	composite := gss.Name{Mech: oid.Introduced, Text: "alice and carol"}
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
		s, via := mustSender(t, i), newTrio(t)
		_, err := s.Introduce(nil, nil, via.grants, &Options{Relay: mn("dave")})
		wantMajor(t, what, err, gss.Unauthorized, ErrIntroduced)
		_, err = via.alice.Introduce(nil, nil, s, &Options{Relay: mn("dave")})
		wantMajor(t, what+", of the context with the relay", err, gss.Unauthorized, ErrIntroduced)

		// Somebody whose package seal does it all the same.
		g, err := s.grant(nil, nil, via.grants, &Options{Relay: mn("dave")}, OneTime|Introduction)
		if err != nil {
			t.Fatal(err)
		}
		h, err := via.carol.Accept(g)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		_, err = mustRecipient(t, nil, a).Redeem(t.Context(), h.sealed, nil)
		wantMajor(t, what+", redeemed", err, gss.Unauthorized, ErrIntroduced)

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
		_, err = s.Introduce(nil, nil, via.grants, &Options{Relay: mn("dave")})
		wantMajor(t, what+", of a State", err, gss.Unauthorized, ErrIntroduced)
	}
	x := newTrio(t)
	_, err := x.alice.Introduce(nil, nil, x.grants, &Options{Relay: composite})
	wantMajor(t, "the introduced is a relay", err, gss.BadName, ErrIntroduced)
}
