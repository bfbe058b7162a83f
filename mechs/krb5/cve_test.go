package krb5

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
	"github.com/gsseal/gss/oid"
)

// Ways in which other implementations broke, by their names, as far as no test beside what it
// is about has them. See also TestDelegatedInAuthenticator, TestPeerAttributes, TestTransited,
// TestReplayRace, TestReplayRestart.

// TestCVE_2025_3576: RC4 and its MD5 checksums, and triple DES, are there for nobody who did
// not ask for them, whoever proposes them and in whatever place.
func TestCVE_2025_3576(t *testing.T) {
	for _, e := range weakTypes {
		f := newForger(t, ikrb5.AES256SHA1)
		f.mech = New(Options{Config: &Config{DefaultRealm: testRealm, EncTypes: []int32{int32(e), 18}}, Replay: vouching{}})
		for name, spoil := range map[string]func(p *parts){
			"session key": func(p *parts) { p.tkt.Key = ikrb5.EncryptionKey{EType: e, Value: make([]byte, e.KeyLen())} },
			"subkey":      func(p *parts) { p.auth.Subkey = &ikrb5.EncryptionKey{EType: e, Value: make([]byte, e.KeyLen())} },
		} {
			p := &parts{f.ticketPart(), f.authenticator(allFlags, nil)}
			spoil(p)
			out, _, err := f.accept(f.token(p.tkt, p.auth), nil)
			if gss.MajorOf(err) != gss.Unavailable {
				t.Errorf("%v, %s: %v", e, name, err)
				continue
			}
			refused(t, out, err, gss.Unavailable, ikrb5.KDC_ERR_ETYPE_NOSUPP)
		}
		tkt := f.ticket(f.ticketPart())
		tkt.EncPart.EType = e
		req := ikrb5.APReq{Ticket: tkt, Authenticator: f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageAPReqAuth)}
		if _, _, err := f.accept(frame(tokAPReq, req.Append(nil)), nil); gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("%v, ticket: %v", e, err)
		}
		// Offered by RFC 4537 it is not taken.
		auth := f.authenticator(allFlags, nil)
		inner := []ikrb5.AuthDataEntry{{Type: ikrb5.ADETypeNegotiation, Data: ikrb5.AppendETypeList(nil, []ikrb5.EType{e})}}
		auth.AuthData = []ikrb5.AuthDataEntry{{Type: ikrb5.ADIfRelevant, Data: ikrb5.AppendAuthData(nil, inner)}}
		if got := f.mech.config.negotiate(auth.AuthData, ikrb5.AES256SHA1); got != ikrb5.AES256SHA1 {
			t.Errorf("%v was negotiated", got)
		}
	}
}

// TestFraming (MIT krb5, a82922e097): what a first token's framing says of its length.
func TestFraming(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	_, inner, _ := gss.ParseToken(f.token(f.ticketPart(), f.authenticator(allFlags, nil)))
	der := oid.Krb5.AppendDER(nil)
	n := len(der) + len(inner)
	length := func(n, octets int) []byte {
		b := []byte{0x60, 0x80 | byte(octets)}
		for i := octets - 1; i >= 0; i-- {
			b = append(b, byte(n>>(8*i)))
		}
		return b
	}
	frame := func(l []byte) []byte { return slices.Concat(l, der, inner) }
	good := frame(length(n, 2))
	if _, _, err := f.accept(good, nil); err != nil {
		t.Fatalf("%d octets: %v", n, err)
	}
	for name, tok := range map[string][]byte{
		"one more":                frame(length(n+1, 2)),
		"one less":                frame(length(n-1, 2)),
		"none":                    frame(length(0, 2)),
		"65535":                   frame(length(0xffff, 2)),
		"three octets":            frame(length(n, 3)),
		"four octets":             frame(length(n, 4)),
		"eight octets":            frame(length(n, 8)),
		"2³²-1":                   frame([]byte{0x60, 0x84, 0xff, 0xff, 0xff, 0xff}),
		"one octet, short form":   frame([]byte{0x60, byte(n)}),
		"indefinite":              append(frame([]byte{0x60, 0x80}), 0, 0),
		"127 octets of length":    frame([]byte{0x60, 0xff}),
		"trailing":                append(slices.Clone(good), 0),
		"OID of no octets":        slices.Concat(length(n-len(der)+2, 2), []byte{6, 0}, inner),
		"OID longer than it all":  slices.Concat(length(n, 2), []byte{6, 0x7f}, der[2:], inner),
		"OID's length in 2":       slices.Concat(length(n+1, 2), []byte{6, 0x81, byte(len(der) - 2)}, der[2:], inner),
		"another tag":             append([]byte{0x61}, good[1:]...),
		"header only":             length(n, 2),
		"tag only":                {0x60},
		"framed twice":            gss.AppendToken(nil, oid.Krb5, good),
		"framed, and bare inside": gss.AppendToken(nil, oid.Krb5, inner[2:]),
	} {
		if out, _, err := f.accept(tok, nil); gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("%s: %d octets, %v", name, len(out), err)
		}
	}
}

// TestCVE_2017_11462, 2014-5352, 2015-2695, 2696, 2698: whatever was called on a handshake or
// a context, it is as it was or ended, and every call after that says so.
func TestCVE_2017_11462(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	bad := [][]byte{nil, {0}, {0x60, 0}, frame(tokError, nil), frame(tokAPRep, []byte{0x6f, 0}), bytes.Repeat([]byte{0xff}, 100)}
	over := func(what string, h gss.Handshake) {
		t.Helper()
		for range 2 {
			if out, sc, err := h.Step(context.Background(), nil); out != nil || sc != nil || gss.MajorOf(err) != gss.NoContext {
				t.Errorf("%s: Step: %v", what, err)
			}
			if err := h.Close(); err != nil {
				t.Errorf("%s: Close: %v", what, err)
			}
		}
	}
	for _, style := range []gss.Flags{0, gss.DCEStyle} {
		for n, tok := range bad {
			what := fmt.Sprintf("token %d, %v", n, style)
			h, first := f.initiate(cred, &gss.InitOptions{Request: style})
			if _, sc, err := h.Step(t.Context(), tok); sc != nil || err == nil {
				t.Errorf("%s: initiator: %v", what, err)
			}
			over(what, h)
			a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			if _, sc, err := a.Step(t.Context(), tok); sc != nil || err == nil {
				t.Errorf("%s: acceptor: %v", what, err)
			}
			over(what, a)
			a, err = f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
			if err != nil {
				t.Fatal(err)
			}
			_, sc, err := a.Step(t.Context(), first)
			if err != nil {
				t.Fatal(err)
			}
			if style == 0 { // it has a context, and no more steps
				over(what, a)
				info := sc.Info()
				for _, tok := range bad { // nor does rubbish end the context
					if _, _, err := sc.Unwrap(nil, tok); err == nil {
						t.Errorf("%s: unwrapped", what)
					}
					if err := sc.VerifyMIC(nil, tok); err == nil {
						t.Errorf("%s: verified", what)
					}
				}
				if _, err := sc.MIC(nil, nil); err != nil || sc.Info() != info {
					t.Errorf("%s: %v", what, err)
				}
				sc.Close()
				continue
			}
			if _, sc, err := a.Step(t.Context(), tok); sc != nil || err == nil {
				t.Errorf("%s: third leg: %v", what, err)
			}
			over(what, a)
		}
	}
	// Exported wherever it can be: once, and what it was is over.
	h, tok := f.initiate(cred, nil)
	a, err := f.mech.Accept(&gss.AcceptOptions{Credentials: []gss.Credential{f.service}})
	if err != nil {
		t.Fatal(err)
	}
	rep, ac, err := a.Step(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	_, ic, err := h.Step(t.Context(), rep)
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range []gss.Context{ic, ac} {
		state, err := sc.(gss.Exporter).Export()
		if err != nil {
			t.Fatal(err)
		}
		mic := []byte{4, 4}
		for name, err := range calls(sc.(*secContext), mic, mic) {
			if gss.MajorOf(err) != gss.NoContext {
				t.Errorf("%s after Export: %v", name, err)
			}
		}
		if _, err := sc.(gss.Exporter).Export(); gss.MajorOf(err) != gss.NoContext {
			t.Errorf("exported twice: %v", err)
		}
		sc.Close()
		again, err := f.mech.Import(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.MIC(nil, nil); err != nil {
			t.Error(err)
		}
		again.Close()
	}
	over("initiator", h)
	over("acceptor", a)
}

// TestCVE_2010_1321: an authenticator without the checksum in which GSS says what it wants,
// or with one that is short or of another type.
func TestCVE_2010_1321(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	good := f.authenticator(allFlags, nil).Cksum
	sums := []*ikrb5.Checksum{nil, {}, {Type: checksumType}}
	for n := range good.Sum {
		sums = append(sums, &ikrb5.Checksum{Type: checksumType, Sum: good.Sum[:n]})
	}
	for _, typ := range []int32{0, 1, 7, 8, 9, 12, 14, 15, 16, 19, 20, -138, -1, checksumType - 1, checksumType + 1, 1<<31 - 1, -1 << 31} {
		sums = append(sums, &ikrb5.Checksum{Type: typ, Sum: good.Sum}, &ikrb5.Checksum{Type: typ, Sum: make([]byte, 12)}, &ikrb5.Checksum{Type: typ})
	}
	sum := f.session.Checksum(nil, nil, ikrb5.UsageAPReqCksum) // a real one, of nothing
	sums = append(sums, &ikrb5.Checksum{Type: f.session.EType().ChecksumType(), Sum: sum})
	for _, s := range sums {
		auth := f.authenticator(allFlags, nil)
		auth.Cksum = s
		out, _, err := f.accept(f.token(f.ticketPart(), auth), nil)
		refused(t, out, err, gss.DefectiveToken, ikrb5.KRB_AP_ERR_INAPP_CKSUM)
	}
}

// TestCVE_2017_11103: what a ticket or an AP-REQ says in clear is believed nowhere. Who it is
// for, and who from, come out of what is encrypted; TestKDCReply has the KDC's replies.
func TestCVE_2017_11103(t *testing.T) {
	f := newForger(t, ikrb5.AES256SHA1)
	_, want, err := f.accept(f.token(f.ticketPart(), f.authenticator(allFlags, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(r *ikrb5.APReq)
		major  gss.Major
	}{
		"realm":                 {func(r *ikrb5.APReq) { r.Ticket.Realm = "O" }, gss.NoCred},
		"realm's case":          {func(r *ikrb5.APReq) { r.Ticket.Realm = "test.gss" }, gss.NoCred},
		"no realm":              {func(r *ikrb5.APReq) { r.Ticket.Realm = "" }, 0},
		"name":                  {func(r *ikrb5.APReq) { r.Ticket.SName.Components = []string{"host", "other.test"} }, gss.NoCred},
		"name in one piece":     {func(r *ikrb5.APReq) { r.Ticket.SName.Components = []string{"host/h.test"} }, gss.NoCred},
		"name's type":           {func(r *ikrb5.APReq) { r.Ticket.SName.Type = 0 }, 0},
		"krbtgt":                {func(r *ikrb5.APReq) { r.Ticket.SName.Components = []string{"krbtgt", testRealm} }, gss.NoCred},
		"key version":           {func(r *ikrb5.APReq) { r.Ticket.EncPart.KVNO++ }, gss.NoCred},
		"no key version":        {func(r *ikrb5.APReq) { r.Ticket.EncPart.HasKVNO = false }, 0},
		"ticket's type":         {func(r *ikrb5.APReq) { r.Ticket.EncPart.EType = 17 }, gss.NoCred},
		"ticket's type, RC4":    {func(r *ikrb5.APReq) { r.Ticket.EncPart.EType = 23 }, gss.Unavailable},
		"ticket's type, none":   {func(r *ikrb5.APReq) { r.Ticket.EncPart.EType = 0 }, gss.Unavailable},
		"authenticator's type":  {func(r *ikrb5.APReq) { r.Authenticator.EType = 17 }, gss.DefectiveToken},
		"authenticator in none": {func(r *ikrb5.APReq) { r.Authenticator.EType = 0 }, gss.DefectiveToken},
		"mutual":                {func(r *ikrb5.APReq) { r.Options ^= ikrb5.APMutualRequired }, 0},
		"user to user":          {func(r *ikrb5.APReq) { r.Options |= ikrb5.APUseSessionKey }, gss.Unavailable},
	} {
		part := f.ticketPart()
		part.EndTime = want.Expiry
		r := ikrb5.APReq{Ticket: f.ticket(part), Authenticator: f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageAPReqAuth)}
		tt.change(&r)
		_, info, err := f.accept(frame(tokAPReq, r.Append(nil)), nil)
		if gss.MajorOf(err) != tt.major || err == nil && info != want {
			t.Errorf("%s: %v, %+v", name, err, info)
		}
	}
}

// TestCVE_2020_28196: nesting without end and lengths without end, at each place where octets
// come from somebody else.
func TestCVE_2020_28196(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	cred := f.credential()
	var bodies [][]byte
	for _, unit := range [][]byte{
		{0x30, 0x80}, {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, {0xa0, 0x80}, {0x24, 0x80}, {0x6e, 0x80}, {0x6f, 0x80}, {0x7e, 0x80}, {0x76, 0x80},
		{0x30, 0x82, 0xff, 0xff}, {0xff, 0xff}, {0x1f, 0x80}, {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		bodies = append(bodies, bytes.Repeat(unit, 1e5))
	}
	// Nested as deep as 64 KiB allow, with lengths that are right.
	deep := []byte{}
	for len(deep) < 60_000 {
		head := []byte{0x30, 0x82, byte(len(deep) >> 8), byte(len(deep))}
		switch {
		case len(deep) < 128:
			head = []byte{0x30, byte(len(deep))}
		case len(deep) < 256:
			head = []byte{0x30, 0x81, byte(len(deep))}
		}
		deep = append(head, deep...)
	}
	bodies = append(bodies, deep)
	start := time.Now()
	for n, b := range bodies {
		for id, tok := range map[string][]byte{"bare": b, "AP-REQ": frame(tokAPReq, b), "AP-REP": frame(tokAPRep, b), "KRB-ERROR": frame(tokError, b)} {
			if _, _, err := f.accept(tok, nil); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("body %d as %s to an acceptor: %v", n, id, err)
			}
			h, _ := f.initiate(cred, nil)
			if _, _, err := h.Step(t.Context(), tok); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("body %d as %s to an initiator: %v", n, id, err)
			}
		}
		// Inside what is encrypted, by somebody who has the key.
		seal := func(k *ikrb5.Key, usage uint32) ikrb5.EncryptedData {
			cipher, err := k.Encrypt(nil, b, usage)
			if err != nil {
				t.Fatal(err)
			}
			return ikrb5.EncryptedData{EType: k.EType(), Cipher: cipher, KVNO: 1, HasKVNO: true}
		}
		tkt, auth := f.ticket(f.ticketPart()), f.encrypt(f.authenticator(allFlags, nil), f.session, ikrb5.UsageAPReqAuth)
		bad := tkt
		bad.EncPart = seal(f.key, ikrb5.UsageTicket)
		for what, r := range map[string]ikrb5.APReq{
			"ticket": {Ticket: bad, Authenticator: auth}, "authenticator": {Ticket: tkt, Authenticator: seal(f.session, ikrb5.UsageAPReqAuth)},
		} {
			if _, _, err := f.accept(frame(tokAPReq, r.Append(nil)), nil); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("body %d as %s: %v", n, what, err)
			}
		}
		if len(b) <= maxDelegated {
			a := f.authenticator(allFlags, nil)
			carry(a, allFlags, b)
			if _, _, err := f.accept(f.token(f.ticketPart(), a), nil); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("body %d as KRB-CRED: %v", n, err)
			}
		}
		// What may be ignored is.
		a := f.authenticator(allFlags, nil)
		a.AuthData = []ikrb5.AuthDataEntry{{Type: ikrb5.ADIfRelevant, Data: b}}
		part := f.ticketPart()
		part.AuthData = a.AuthData
		if _, _, err := f.accept(f.token(part, a), nil); err != nil {
			t.Errorf("body %d in AD-IF-RELEVANT: %v", n, err)
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}

// TestCVE_2025_33073: what an initiator sends, sent back to the same host, where the user or
// the service is an acceptor.
func TestCVE_2025_33073(t *testing.T) {
	f := newForger(t, ikrb5.AES128SHA2)
	for _, style := range []gss.Flags{0, gss.DCEStyle} {
		h, tok := f.initiate(f.credential(), &gss.InitOptions{Request: style})
		if _, sc, err := h.Step(t.Context(), tok); sc != nil || gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("to itself: %v", err)
		}
		c, err := FromKeytab(testKeytab(testKey{f.client, f.key, 1, time.Now()}), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.accept(tok, &gss.AcceptOptions{Credentials: []gss.Credential{c}}); gss.MajorOf(err) != gss.NoCred {
			t.Errorf("to the user: %v", err)
		}
		c.Close()
	}
	// Messages: what one side sends it does not take.
	for _, e := range append(slices.Clone(allETypes), weakTypes...) {
		i, a := contextPair2(t, e)
		for _, c := range []*secContext{i, a} {
			for _, l := range levels {
				tok := must[[]byte](t)(c.Wrap(nil, []byte("m"), l))
				if got, _, err := c.Unwrap(nil, tok); got != nil || err == nil {
					t.Errorf("%v, %v: took its own", e, l)
				}
			}
			mic := must[[]byte](t)(c.MIC(nil, []byte("m")))
			if err := c.VerifyMIC([]byte("m"), mic); err == nil {
				t.Errorf("%v: verified its own", e)
			}
		}
	}
}

func contextPair2(t *testing.T, e ikrb5.EType) (i, a *secContext) {
	if slices.Contains(weakTypes, e) {
		return weakPair(t, e, unsequenced)
	}
	return contextPair(t, e, unsequenced)
}

// TestCVE_2020_29652, 2021-43565: nothing set, at every way in, and messages of no octets.
func TestCVE_2020_29652(t *testing.T) {
	typed := func(what string, err error) {
		t.Helper()
		if m := gss.MajorOf(err); m != gss.NoCred && m != gss.BadName && m != gss.DefectiveCredential && m != gss.DefectiveToken {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, m := range map[string]*Mech{"no options": New(Options{}), "a zero Config": New(Options{Config: new(Config)})} {
		for _, target := range []gss.Name{{}, gss.Service("", ""), gss.Service("host", "h"), {Type: oid.NTUser}, {Mech: oid.Krb5}} {
			_, err := m.Initiate(target, nil)
			typed(what+": Initiate", err)
			_, err = m.Initiate(target, &gss.InitOptions{})
			typed(what+": Initiate", err)
			if _, err = m.Canonicalize(t.Context(), target); err != nil {
				typed(what+": Canonicalize", err)
			}
		}
		_, err := m.Accept(nil)
		typed(what+": Accept", err)
		_, err = m.Accept(&gss.AcceptOptions{})
		typed(what+": Accept", err)
		_, err = m.Acquire(t.Context())
		typed(what+": Acquire", err)
		_, err = m.Import(nil)
		typed(what+": Import", err)
		m.Sniff(nil)
		for what, h := range map[string]gss.Handshake{
			"initiator": &initiator{m: m, done: true}, "acceptor": &acceptor{m: m, done: true},
		} {
			if _, _, err := h.Step(t.Context(), nil); gss.MajorOf(err) != gss.NoContext {
				t.Errorf("%s: %v", what, err)
			}
			h.Close()
		}
		// The one thing that a mechanism without anything set can do: accept, with a keytab.
		f := newForger(t, ikrb5.AES128SHA2)
		f.mech = m
		if _, _, err := f.accept(f.token(f.ticketPart(), f.authenticator(allFlags, nil)), nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, b := range map[string][]byte{"nothing": nil, "a version": {5, 2}} {
		_, err := FromKeytab(b, "")
		typed("keytab of "+what, err)
		_, err = FromCCache(b)
		typed("cache of "+what, err)
	}
	for _, e := range append(slices.Clone(allETypes), weakTypes...) {
		i, a := contextPair2(t, e)
		for _, l := range levels {
			for _, msg := range [][]byte{nil, {}} {
				tok := must[[]byte](t)(i.Wrap(nil, msg, l))
				if got, gotLevel, err := a.Unwrap(nil, tok); len(got) != 0 || gotLevel != l || err != nil {
					t.Errorf("%v: %q, %v, %v", e, got, gotLevel, err)
				}
			}
		}
		if err := a.VerifyMIC(nil, must[[]byte](t)(i.MIC(nil, nil))); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		for _, tok := range [][]byte{nil, {}} {
			if _, _, err := a.Unwrap(nil, tok); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("%v: a token of no octets: %v", e, err)
			}
			if err := a.VerifyMIC(nil, tok); gss.MajorOf(err) != gss.DefectiveToken {
				t.Errorf("%v: a MIC of no octets: %v", e, err)
			}
		}
	}
}
