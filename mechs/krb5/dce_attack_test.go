package krb5

import (
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/strike"
)

// begin takes a DCE style handshake to where the acceptor waits for the third leg, which
// it returns with the second.
func (f *forger) begin(t *testing.T, cred *Credential) (a gss.Handshake, second, third []byte) {
	t.Helper()
	h, tok := f.initiate(cred, &gss.InitOptions{Request: gss.DCEStyle})
	a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	second, sc, err := a.Step(t.Context(), tok)
	if sc != nil || err != nil || len(second) == 0 {
		t.Fatalf("second leg: %v, %v", sc, err)
	}
	third, sc, err = h.Step(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	sc.Close()
	return a, second, third
}

// TestDCEThirdLeg: only the initiator's proof that it read the second leg is one.
func TestDCEThirdLeg(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	_, _, elsewhere := f.begin(t, cred)
	forge := func(h gss.Handshake, usage uint32, change func(p *ikrb5.EncAPRepPart)) []byte {
		p := ikrb5.EncAPRepPart{CTime: time.Now().Truncate(time.Second), HasSeq: true, SeqNumber: h.(*acceptor).wait.seq}
		change(&p)
		cipher, err := f.session.Encrypt(nil, p.Append(nil), usage)
		if err != nil {
			t.Fatal(err)
		}
		rep := ikrb5.APRep{EncPart: ikrb5.EncryptedData{EType: f.session.EType(), Cipher: cipher}}
		return rep.Append(nil)
	}
	plain := func(p *ikrb5.EncAPRepPart) {}
	kerr := ikrb5.KRBError{Code: ikrb5.KRB_AP_ERR_SKEW, STime: time.Now(), Realm: testRealm, SName: f.server.Name}
	for name, tt := range map[string]struct {
		in    func(h gss.Handshake, second, third []byte) []byte
		major gss.Major
	}{
		"as it should be":           {func(_ gss.Handshake, _, third []byte) []byte { return third }, 0},
		"forged well":               {func(h gss.Handshake, _, _ []byte) []byte { return forge(h, ikrb5.UsageAPRepEnc, plain) }, 0},
		"reflected: the second leg": {func(_ gss.Handshake, second, _ []byte) []byte { return second }, gss.BadMIC},
		"of another handshake":      {func(_ gss.Handshake, _, _ []byte) []byte { return elsewhere }, gss.BadMIC},
		"nothing":                   {func(_ gss.Handshake, _, _ []byte) []byte { return nil }, gss.DefectiveToken},
		"framed":                    {func(_ gss.Handshake, _, third []byte) []byte { return frame(tokAPRep, third) }, gss.DefectiveToken},
		"KRB-ERROR":                 {func(_ gss.Handshake, _, _ []byte) []byte { return kerr.Append(nil) }, gss.DefectiveToken},
		"an octet more":             {func(_ gss.Handshake, _, third []byte) []byte { return append(slices.Clone(third), 0) }, gss.DefectiveToken},
		"another usage":             {func(h gss.Handshake, _, _ []byte) []byte { return forge(h, ikrb5.UsageAPReqAuth, plain) }, gss.BadMIC},
		"another number": {func(h gss.Handshake, _, _ []byte) []byte {
			return forge(h, ikrb5.UsageAPRepEnc, func(p *ikrb5.EncAPRepPart) { p.SeqNumber++ })
		}, gss.BadMIC},
		"no number": {func(h gss.Handshake, _, _ []byte) []byte {
			return forge(h, ikrb5.UsageAPRepEnc, func(p *ikrb5.EncAPRepPart) { p.HasSeq = false })
		}, gss.BadMIC},
		"with a subkey": {func(h gss.Handshake, _, _ []byte) []byte {
			return forge(h, ikrb5.UsageAPRepEnc, func(p *ikrb5.EncAPRepPart) {
				p.Subkey = &ikrb5.EncryptionKey{EType: 17, Value: make([]byte, 16)}
			})
		}, gss.BadMIC},
	} {
		t.Run(name, func(t *testing.T) {
			h, second, third := f.begin(t, cred)
			wait := h.(*acceptor).wait
			out, sc, err := h.Step(t.Context(), tt.in(h, second, third))
			if gss.MajorOf(err) != tt.major || len(out) != 0 || (sc != nil) != (tt.major == 0) {
				t.Errorf("%v, want %v", err, tt.major)
			}
			erased(t, "session key", wait.session)
			if sc != nil {
				defer sc.Close()
				if _, err := sc.MIC(nil, []byte("x")); err != nil {
					t.Error(err)
				}
			}
			if _, _, err := h.Step(t.Context(), third); gss.MajorOf(err) != gss.NoContext {
				t.Errorf("a step more: %v", err)
			}
		})
	}
	t.Run("reflected: a second leg without a subkey", func(t *testing.T) { // as with keys of old types
		h, _, _ := f.begin(t, cred)
		second := forge(h, ikrb5.UsageAPRepEnc, plain)
		h.(*acceptor).wait.sent = second
		kvno, err := ikrb5.ParseAPRep(second) // as it would be with what nothing protects changed
		if err != nil {
			t.Fatal(err)
		}
		kvno.EncPart.HasKVNO = true
		if _, sc, err := h.Step(t.Context(), kvno.Append(nil)); sc != nil || gss.MajorOf(err) != gss.BadMIC {
			t.Errorf("%v, %v", sc, err)
		}
	})
	// Its numbers take more or fewer octets: so every place that there is in this one.
	const longest = 128
	for i := range longest {
		for bit := -1; bit < 8; bit++ { // -1: a prefix
			h, _, third := f.begin(t, cred)
			if len(third) > longest {
				t.Fatalf("%d octets", len(third))
			}
			if i >= len(third) {
				h.Close()
				continue
			}
			bad := slices.Clone(third)
			if bit < 0 {
				bad = bad[:i]
			} else {
				bad[i] ^= 1 << bit
			}
			if _, sc, err := h.Step(t.Context(), bad); sc != nil || gss.MajorOf(err) != gss.BadMIC && gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("octet %d bit %d: %v", i, bit, err)
			}
		}
	}
}

// erased checks that a key is of no use any more.
func erased(t *testing.T, what string, k *ikrb5.Key) {
	t.Helper()
	if _, err := k.Encrypt(nil, []byte("x"), 1); err == nil {
		t.Errorf("the %s is still there", what)
	}
}

// TestDCEStyle: the framing and the flag say the same, in both directions, and the first
// leg counts once.
func TestDCEStyle(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	bare := func(flags gss.Flags) []byte {
		_, msg, _ := unframe(f.token(f.ticketPart(), f.authenticator(flags, nil)))
		return msg
	}
	dce := allFlags | gss.DCEStyle
	for name, tok := range map[string][]byte{
		"flag, framed":           f.token(f.ticketPart(), f.authenticator(dce, nil)),
		"no flag, bare":          bare(allFlags),
		"flag, bare, not mutual": bare(dce &^ gss.Mutual),
		"one-way, bare":          bare(allFlags &^ gss.Mutual),
	} {
		out, _, err := f.accept(tok, nil)
		if e := gss.MajorOf(err); e != gss.DefectiveToken {
			t.Errorf("%s: %v", name, err)
		}
		id, msg, ok := unframeUnless(f.mech.Sniff(tok), out)
		if kerr, err := ikrb5.ParseKRBError(msg); !ok || id != tokError || err != nil || kerr.Code != ikrb5.KRB_AP_ERR_MSG_TYPE {
			t.Errorf("%s: the peer is told %x", name, out)
		}
	}
	// The acceptor's answer in the other style.
	cred := f.credential()
	for _, style := range []gss.Flags{0, gss.DCEStyle} {
		h, tok := f.initiate(cred, &gss.InitOptions{Request: style})
		a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
		if err != nil {
			t.Fatal(err)
		}
		rep, sc, err := a.Step(t.Context(), tok)
		if err != nil {
			t.Fatal(err)
		}
		if sc != nil {
			sc.Close()
		}
		if style == 0 {
			_, rep, _ = unframe(rep)
		} else {
			rep = frame(tokAPRep, rep)
		}
		if out, sc, err := h.Step(t.Context(), rep); out != nil || sc != nil || gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("style %v: %v", style, err)
		}
		a.Close()
	}
	// Replayed, it is seen as it would be framed.
	g := f.in(t)
	g.mech = New(Options{Config: &f.mech.config, Replay: old{strike.NewMemory(strike.MemoryOptions{})}})
	_, tok := g.initiate(cred, &gss.InitOptions{Request: gss.DCEStyle})
	for i, want := range []gss.Major{0, gss.DuplicateToken} {
		a, err := g.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Step(t.Context(), tok); gss.MajorOf(err) != want {
			t.Errorf("time %d: %v", i+1, err)
		}
		a.Close()
	}
}
