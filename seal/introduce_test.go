package seal

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/gsseal/gss"
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
