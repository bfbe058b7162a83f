package reauth

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	gssseal "github.com/gsseal/gss/seal"
)

// introducedVector is a file of testdata/introduced: what testdata/vectors.py computes of
// a grant, its redemption on 2000-01-01, and the way back.
type introducedVector struct {
	Introducer, Recipient, Introduced, IntroducerToRelay, Mech, MechRelay, PRF, PRFRelay octets
	Grant, Sealed, Key, Body, Local, Peer, RingID, RingKey                               octets
	End, AuthTime                                                                        int64
	Flights                                                                              []struct {
		Kind                                                                               byte
		Now                                                                                int64
		Private, PSK, Bindings, Resume, BadCB, Resumed, PSK2, Ticket2, MS, Confirm, PRFOut octets
	}
}

// A prfContext is a context whose PRF is known, and nothing else.
type prfContext struct {
	info gss.Info
	out  []byte
}

func (c *prfContext) Info() gss.Info { return c.info }

func (c *prfContext) PRF(key gss.PRFKey, in []byte, n int) ([]byte, error) {
	if key != gss.PRFFull || string(in) != "gss seal 1" || n != len(c.out) {
		return nil, gss.Unavailable
	}
	return bytes.Clone(c.out), nil
}

// Claim is true: it is known since when the context is there.
func (c *prfContext) Claim(string) bool { return true }

func loadIntroduced(t testing.TB) map[string]*introducedVector {
	t.Helper()
	names, err := filepath.Glob("testdata/introduced/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no vectors", err)
	}
	vs := make(map[string]*introducedVector)
	for _, f := range names {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v := new(introducedVector)
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(f, err)
		}
		vs[filepath.Base(f)] = v
	}
	return vs
}

func TestIntroducedVectors(t *testing.T) {
	for name, v := range loadIntroduced(t) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, v.run) })
	}
}

// FuzzIntroduced: no first token does more than fail, or ask for CONFIRM; and only what has the
// key does that.
func FuzzIntroduced(f *testing.F) {
	v := loadIntroduced(f)["krb5.json"]
	now := time.UnixMilli(v.Flights[0].Now)
	carol, _ := parseMN(v.Introduced)
	o := &openerFunc{key: v.Key, relay: [32]byte(hash(v.Introduced))}
	o.from, _ = parseMN(v.Introducer)
	o.to, _ = parseMN(v.Recipient)
	server := Introduced(o, IntroducedOptions{Introduce: func(_, who gss.Name) bool { return who == carol },
		Time: func() time.Time { return now }, Ring: ringOf(v.RingID, v.RingKey, now)})
	good := make(map[string]bool)
	for _, x := range v.Flights {
		tok := gss.AppendToken(nil, oid.Introduced, x.Resume)
		good[string(x.Resume)] = true
		f.Add(tok)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := server.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		out, sc, err := h.Step(t.Context(), b)
		if sc != nil || err == nil && len(out) == 0 {
			t.Fatalf("%x, %v", out, err)
		}
		if len(out) > 0 && out[0] == tokResumed {
			if _, in, _ := gss.ParseToken(b); !good[string(in)] {
				t.Errorf("%x", b)
			}
		}
	})
}

func (v *introducedVector) run(t *testing.T) {
	mn := func(b []byte) gss.Name {
		n, ok := parseMN(b)
		if !ok {
			t.Fatalf("no name: %x", b)
		}
		return n
	}
	mech, errM := oid.ParseDER(v.Mech)
	mechRelay, errR := oid.ParseDER(v.MechRelay)
	if errM != nil || errR != nil || len(v.Flights) != 2 {
		t.Fatal(errM, errR)
	}
	alice, bob, carol := mn(v.Introducer), mn(v.Recipient), mn(v.Introduced)
	relay, err := gssseal.NewRelay(&prfContext{gss.Info{Mech: mechRelay, Local: carol, Peer: mn(v.IntroducerToRelay), Initiator: true, Flags: gss.DefaultFlags}, v.PRFRelay})
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	recipient := gssseal.NewRecipient(nil)
	defer recipient.Close()
	if _, err := recipient.Add(&prfContext{gss.Info{Mech: mech, Local: bob, Peer: alice, Flags: gss.DefaultFlags}, v.PRF}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.UnixMilli(v.Flights[0].Now)))
	held, err := relay.Accept(v.Grant)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	sealed, key, err := held.Credential()
	if err != nil || !bytes.Equal(sealed, v.Sealed) || !bytes.Equal(key, v.Key) {
		t.Fatalf("%x, %v", key, err)
	}
	c, err := FromGrant(held, alice, carol)
	if err != nil || c.Name() != mn(v.Local) || c.Target() != mn(v.Peer) || !bytes.Equal(c.who, v.Local) {
		t.Fatal(c, err)
	}
	client := Introduced(nil, IntroducedOptions{})
	server := Introduced(recipient, IntroducedOptions{Introduce: func(by, who gss.Name) bool { return by == alice && who == carol },
		Ring: ringOf(v.RingID, v.RingKey, time.UnixMilli(v.AuthTime))})
	for _, x := range v.Flights {
		time.Sleep(time.Until(time.UnixMilli(x.Now)))
		r, ok := parseResume(x.Resume)
		if !ok || r.kind != x.Kind || r.group != X25519 {
			t.Fatal("RESUME")
		}

		// The acceptor takes this flight.
		ah, err := server.Accept(&gss.AcceptOptions{Bindings: x.Bindings})
		if err != nil {
			t.Fatal(err)
		}
		defer ah.Close()
		out, _, err := ah.Step(t.Context(), gss.AppendToken(nil, oid.Introduced, x.Resume))
		if err != nil || len(out) == 0 || out[0] != tokResumed {
			t.Fatalf("an acceptor: %x, %v", out, err)
		}
		if held := ah.(*redeeming).held.(*Context); held.Info().Peer != c.Name() || held.Info().Local != c.Target() ||
			held.Info().Expiry.UnixMilli() != v.End || held.AuthTime().UnixMilli() != v.AuthTime || string(held.Authorization()) != string(v.Body) {
			t.Errorf("%+v, %v, %q", held.Info(), held.AuthTime(), held.Authorization())
		}

		// The initiator that sent it reads this answer.
		h := &presenting{asking{o: (*gss.InitOptions)(nil).Resolved(), asked: gss.DefaultFlags}, c}
		h.handshake = handshake{m: client.m, op: "test", bind: newBinding(x.Bindings)}
		h.entry = &entry{key: c.id, flags: services, end: c.end, local: c.local, peer: c.peer, psk: bytes.Clone(x.PSK)}
		priv, err := ecdh.X25519().NewPrivateKey(x.Private)
		if err != nil || !bytes.Equal(priv.PublicKey().Bytes(), r.share) {
			t.Fatal("share", err)
		}
		h.share = &share{group: X25519, ec: priv}
		h.keys = newSchedule(r.kind, x.PSK, client.m.der, r.head)
		p, err := open(h.keys.authKey(), r.auth)
		if err != nil {
			t.Fatal(err)
		}
		want := &authenticator{time: time.UnixMilli(x.Now), flags: gss.DefaultFlags, bind: h.bind, target: v.Recipient}
		if x.Kind == kindGrant {
			want.initiator = v.Local
		}
		if !bytes.Equal(p, want.marshal()) {
			t.Errorf("A %x", p)
		}
		h.keys.authenticated(r.auth)
		alert, err := seal(h.keys.alertKey(), append([]byte{alertCode}, make([]byte, alertLen-1)...))
		if err != nil || !bytes.Equal(append([]byte{tokBadCB}, alert...), x.BadCB) {
			t.Errorf("BADCB %x", alert)
		}
		out, sc, err := h.answered(t.Context(), x.Resumed)
		if err != nil {
			t.Fatal(err)
		}
		defer sc.Close()
		i := sc.Info()
		if i.Local != c.Name() || i.Peer != c.Target() || i.Expiry.UnixMilli() != v.End || i.Flags.Has(gss.Bound) != (len(x.Bindings) > 0) {
			t.Errorf("%+v", i)
		}
		if k, err := sc.PRF(gss.PRFFull, []byte("known answer"), 32); err != nil || !bytes.Equal(k, x.PRFOut) || !bytes.Equal(h.ms, x.MS) {
			t.Errorf("PRF %x, %v", k, err)
		}
		if w, _ := parseResumed(x.Resumed); (w.rf == rfConfirm) != (len(out) > 0) || len(out) > 0 && !bytes.Equal(out, x.Confirm) {
			t.Errorf("CONFIRM %x", out)
		}
		e := client.m.o.Cache.take(c.id, time.Now(), func(*entry) bool { return true })
		if e == nil || !bytes.Equal(e.psk, x.PSK2) || !bytes.Equal(e.ticket, x.Ticket2) {
			t.Error("next ticket")
		}
		client.m.o.Cache.Clear()

		// And what is in the ticket.
		tk, ok := server.m.o.Ring.open(x.Ticket2, time.Now(), defaultLife)
		tf := byte(tfIntroduced | tfShare)
		if len(x.Bindings) > 0 {
			tf |= tfBound
		}
		if !ok || tk.tf != tf || tk.flags != gss.DefaultFlags || tk.inner != oid.Introduced || tk.initiator != carol || !bytes.Equal(tk.introducer, v.Introducer) ||
			!bytes.Equal(tk.acceptor, hash(v.Recipient)) || !bytes.Equal(tk.app, v.Body) || tk.end.UnixMilli() != v.End || tk.authTime.UnixMilli() != v.AuthTime || !bytes.Equal(tk.psk, x.PSK2) {
			t.Errorf("ticket %+v", tk)
		}
	}
}
