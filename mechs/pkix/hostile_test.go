package pkix_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
)

// midway is a handshake whose every token was recorded and whose sides can be
// forked where they wait for M2 and M3.
type midway struct {
	m1, m2, m3 []byte
	ih, ah     gss.Handshake
}

// small has the shortest tokens, so that all of their bits can be tried.
func small(c *pkix.Config) { c.Suites = []pkix.Suite{pkix.X25519} }

func halfway(t testing.TB, change func(*pkix.Config)) *midway {
	t.Helper()
	ctx := context.Background()
	var w midway
	var err error
	step := func(h gss.Handshake, in []byte) []byte {
		out, _, err := h.Step(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if w.ih, err = mechanism(t, aliceCert, change).Initiate(bob, nil); err != nil {
		t.Fatal(err)
	}
	if w.ah, err = mechanism(t, bobCert, change).Accept(nil); err != nil {
		t.Fatal(err)
	}
	w.m1 = step(w.ih, nil)
	w.m2 = step(w.ah, w.m1)
	w.m3 = step(pkix.Fork(w.ih), w.m2)
	return &w
}

// refused fails the test unless h refuses tok with a typed error before the peer
// has proven anything, and is finished.
func refused(t *testing.T, what string, h gss.Handshake, tok []byte) {
	t.Helper()
	_, c, err := h.Step(context.Background(), tok)
	e, ok := errors.AsType[*gss.Error](err)
	if c != nil || !ok || e.Major != gss.DefectiveToken && e.Major != gss.BadMIC {
		t.Errorf("%s: %v", what, err)
	}
	if _, _, err := h.Step(context.Background(), tok); gss.MajorOf(err) != gss.NoContext {
		t.Errorf("%s: the handshake goes on: %v", what, err)
	}
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// Every bit and every length of every flight.
func TestTamperedFlights(t *testing.T) {
	w := halfway(t, small)
	ctx := context.Background()
	b := mechanism(t, bobCert, small)

	// A changed M1 may be answered; then the initiator finds out.
	for bit := 0; bit < len(w.m1)*8; bit += stride {
		ah, err := b.Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		out, c, err := ah.Step(ctx, flip(w.m1, bit))
		if c != nil {
			t.Fatal("a context after M1")
		}
		if len(out) > 0 {
			_, c, ierr := pkix.Fork(w.ih).Step(ctx, out)
			if c != nil || ierr == nil {
				t.Errorf("M1 bit %d: the initiator has a context", bit)
			}
		} else if gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("M1 bit %d: %v", bit, err)
		}
		ah.Close()
	}
	for n := 0; n < len(w.m1); n += stride {
		ah, _ := b.Accept(nil)
		refused(t, fmt.Sprint("M1 cut to ", n), ah, w.m1[:n])
	}
	ah, _ := b.Accept(nil)
	refused(t, "M1 and an octet", ah, append(bytes.Clone(w.m1), 0))

	for name, f := range map[string]struct {
		h   gss.Handshake
		tok []byte
	}{"M2": {w.ih, w.m2}, "M3": {w.ah, w.m3}} {
		for bit := 0; bit < len(f.tok)*8; bit += stride {
			refused(t, fmt.Sprint(name, " bit ", bit), pkix.Fork(f.h), flip(f.tok, bit))
		}
		for n := 0; n < len(f.tok); n += stride {
			refused(t, fmt.Sprint(name, " cut to ", n), pkix.Fork(f.h), f.tok[:n])
		}
		refused(t, name+" and an octet", pkix.Fork(f.h), append(bytes.Clone(f.tok), 0))
		if _, c, err := pkix.Fork(f.h).Step(ctx, f.tok); c == nil {
			t.Errorf("%s itself: %v", name, err)
		}
	}
}

// A peer that has the handshake's keys, and so can encrypt, changes its proof.
func TestTamperedProofs(t *testing.T) {
	w := halfway(t, small)
	for name, f := range map[string]struct {
		h   gss.Handshake
		tok []byte
	}{"P2": {w.ih, w.m2}, "P3": {w.ah, w.m3}} {
		var p []byte
		pkix.Forge(f.h, f.tok, func(q []byte, _ func([]byte) []byte) []byte { p = q; return q })
		finAt := pkix.FinAt(p, 32)
		for i := 0; i < len(p); i += stride {
			bad := pkix.Forge(f.h, f.tok, func(p []byte, _ func([]byte) []byte) []byte { return flip(p, 8*i+i%8) })
			refused(t, fmt.Sprint(name, " octet ", i), pkix.Fork(f.h), bad)
			if i < finAt {
				bad := pkix.Forge(f.h, f.tok, func(p []byte, fin func([]byte) []byte) []byte {
					p = flip(p, 8*i+i%8)
					copy(p[finAt:], fin(p[:finAt]))
					return p
				})
				refused(t, fmt.Sprint(name, " octet ", i, ", confirmed"), pkix.Fork(f.h), bad)
			}
		}
		for what, change := range map[string]func([]byte) []byte{
			"cut":              func(p []byte) []byte { return p[:len(p)-1] },
			"cut to the fin":   func(p []byte) []byte { return p[:finAt+32] },
			"padded too far":   func(p []byte) []byte { return append(p, make([]byte, 512)...) },
			"padded by one":    func(p []byte) []byte { return append(p, 0) },
			"empty":            func([]byte) []byte { return nil },
			"padding not zero": func(p []byte) []byte { p[len(p)-1] = 1; return p },
		} {
			bad := pkix.Forge(f.h, f.tok, func(p []byte, _ func([]byte) []byte) []byte { return change(p) })
			refused(t, name+" "+what, pkix.Fork(f.h), bad)
		}
		same := pkix.Forge(f.h, f.tok, func(p []byte, _ func([]byte) []byte) []byte { return p })
		if !bytes.Equal(same, f.tok) {
			t.Error(name, "forged without a change is another token")
		}
	}
}

func TestReplayAndReflection(t *testing.T) {
	w, v := halfway(t, small), halfway(t, small)
	refused(t, "M3 of another handshake", pkix.Fork(w.ah), v.m3)
	refused(t, "M2 of another handshake", pkix.Fork(w.ih), v.m2)
	refused(t, "M1 in place of M2", pkix.Fork(w.ih), w.m1)
	refused(t, "M3 in place of M2", pkix.Fork(w.ih), w.m3)
	refused(t, "M2 in place of M3", pkix.Fork(w.ah), w.m2)
	refused(t, "M1 in place of M3", pkix.Fork(w.ah), w.m1)
	ah, _ := mechanism(t, bobCert, small).Accept(nil)
	refused(t, "M2 in place of M1", ah, w.m2)
	ah, _ = mechanism(t, bobCert, small).Accept(nil)
	refused(t, "M3 in place of M1", ah, w.m3)
	// The acceptor's own proof, sent back as the initiator's.
	_, inner, _ := gss.ParseToken(w.m2)
	e2 := inner[1+2+32+2+32:]
	refused(t, "E2 as E3", pkix.Fork(w.ah), pkix.Frame(append([]byte{4}, e2...)))
	ih, _ := mechanism(t, aliceCert, small).Initiate(bob, nil)
	refused(t, "an initiator that is sent a token first", ih, w.m2)
	for _, h := range []gss.Handshake{pkix.Fork(w.ih), pkix.Fork(w.ah)} {
		refused(t, "no token", h, nil)
	}
	big := make([]byte, 1<<20)
	refused(t, "a mebibyte", pkix.Fork(w.ah), pkix.Frame(big))
}

func TestErrorTokens(t *testing.T) {
	w := halfway(t, small)
	for _, h := range []gss.Handshake{pkix.Fork(w.ih), pkix.Fork(w.ah)} {
		for code, want := range map[byte]gss.Major{1: gss.Unavailable, 2: gss.Failure, 0: gss.DefectiveToken, 3: gss.DefectiveToken} {
			out, c, err := pkix.Fork(h).Step(context.Background(), pkix.Frame([]byte{0x0f, code}))
			e, ok := errors.AsType[*gss.Error](err)
			if !ok || e.Major != want || c != nil || len(out) > 0 || e.Remote != (want != gss.DefectiveToken) {
				t.Errorf("code %d: %v", code, err)
			}
		}
	}
	refused(t, "an alert that nobody encrypted", pkix.Fork(w.ah), pkix.Frame(append([]byte{0x0e, 32}, make([]byte, 32)...)))
	refused(t, "an alert for the initiator", pkix.Fork(w.ih), pkix.Frame(append([]byte{0x0e, 32}, make([]byte, 32)...)))
}

func TestBindings(t *testing.T) {
	a, b := mechanism(t, aliceCert, small), mechanism(t, bobCert, small)
	x, y := []byte("tls-unique:x"), []byte("tls-unique:y")
	for _, tt := range []struct {
		i, a []byte
		ok   bool
	}{{nil, nil, true}, {x, x, true}, {x, y, false}, {x, nil, false}, {nil, x, false}} {
		r := (&run{initiator: a, acceptor: b, target: bob, init: &gss.InitOptions{Bindings: tt.i}, accept: &gss.AcceptOptions{Bindings: tt.a}}).do(t)
		if tt.ok {
			r.good(t, aliceText, bobText)
			if r.ic.Info().Flags.Has(gss.Bound) != (len(tt.i) > 0) {
				t.Error("Bound", r.ic.Info().Flags)
			}
			continue
		}
		e, ok := errors.AsType[*gss.Error](r.acptErr)
		if r.ic != nil || r.ac != nil || gss.MajorOf(r.initErr) != gss.BadBindings || !ok || e.Major != gss.BadBindings || !e.Remote {
			t.Errorf("%q and %q: %v; %v", tt.i, tt.a, r.initErr, r.acptErr)
		}
		if bytes.Contains(r.tokens[2], []byte{0x30, 0x82}) || len(r.tokens[2]) > 100 {
			t.Error("the initiator showed itself")
		}
	}
	if _, err := b.Accept(&gss.AcceptOptions{BindingsOptional: true}); gss.MajorOf(err) != gss.Unavailable {
		t.Error("optional:", err)
	}

	// An initiator that does not mind is found out by the acceptor, after all else.
	ih, _ := a.Initiate(bob, &gss.InitOptions{Bindings: x})
	ah, _ := b.Accept(&gss.AcceptOptions{Bindings: x})
	ctx := context.Background()
	m1, _, _ := ih.Step(ctx, nil)
	m2, _, _ := ah.Step(ctx, m1)
	m3, _, err := ih.Step(ctx, m2)
	if err != nil {
		t.Fatal(err)
	}
	honest := pkix.Fork(ah)
	pkix.Rebind(ah, y)
	_, c, err := ah.Step(ctx, m3)
	if c != nil || gss.MajorOf(err) != gss.BadBindings {
		t.Error("the acceptor's own check:", err)
	}
	if _, c, err := honest.Step(ctx, m3); c == nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	a, b := mechanism(t, aliceCert, small), mechanism(t, bobCert, small)
	base := gss.Mutual | gss.Conf | gss.Integ | gss.ProtReady
	for _, tt := range []struct{ require, request, accept, want gss.Flags }{
		{0, 0, 0, base | gss.Replay | gss.Sequence},
		{gss.Mutual, 0, 0, base},
		{gss.Mutual, gss.Replay | gss.Deleg, 0, base | gss.Replay},
		{gss.Mutual | gss.ProtReady, gss.Sequence, gss.Conf, base | gss.Sequence},
	} {
		r := (&run{initiator: a, acceptor: b, target: bob, init: &gss.InitOptions{Require: tt.require, Request: tt.request},
			accept: &gss.AcceptOptions{Require: tt.accept}}).do(t)
		r.good(t, aliceText, bobText)
		if r.ic.Info().Flags != tt.want {
			t.Errorf("%+v: %v", tt, r.ic.Info().Flags)
		}
	}
	for _, f := range []gss.Flags{gss.Deleg, gss.Anon, gss.Bound, gss.Trans} {
		if _, err := a.Initiate(bob, &gss.InitOptions{Require: f}); gss.MajorOf(err) != gss.Unavailable {
			t.Errorf("Initiate with %v required: %v", f, err)
		}
	}
	r := (&run{initiator: a, acceptor: b, target: bob, init: &gss.InitOptions{Require: gss.Mutual},
		accept: &gss.AcceptOptions{Require: gss.Sequence}}).do(t)
	r.bad(t, false, gss.Unavailable)
	if len(r.tokens) != 2 || len(r.tokens[1]) > 40 {
		t.Error("the acceptor showed itself before it knew the flags")
	}
}

func TestSuiteLists(t *testing.T) {
	w := halfway(t, nil)
	ctx := context.Background()
	accept := func(tok []byte, suites ...pkix.Suite) ([]byte, error) {
		h, err := mechanism(t, bobCert, func(c *pkix.Config) { c.Suites = suites }).Accept(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		out, _, err := h.Step(ctx, tok)
		return out, err
	}
	type S = pkix.Suite
	alter := func(f func(list []S, share []byte) ([]S, [][]byte, []S)) []byte {
		return pkix.ChangeM1(w.m1, func(list []S, shares map[S][]byte, c []byte) ([]S, [][]byte, []S, []byte) {
			l, v, ids := f(list, shares[pkix.X25519MLKEM768])
			return l, v, ids, c
		})
	}
	out, err := accept(alter(func(l []S, s []byte) ([]S, [][]byte, []S) {
		return append([]S{0x7777}, l...), [][]byte{[]byte("?"), s}, []S{0x7777, 1}
	}))
	if err != nil || len(out) < 500 {
		t.Error("an unknown suite and its share are ignored:", err)
	}
	for what, tok := range map[string][]byte{
		"a suite twice": alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return append(l, 1), [][]byte{s}, []S{1} }),
		"a share twice": alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return l, [][]byte{s, s}, []S{1, 1} }),
		"an unknown suite twice": alter(func(l []S, s []byte) ([]S, [][]byte, []S) {
			return append(l, 0x7777, 0x7777), [][]byte{s}, []S{1}
		}),
		"a share of a suite not listed": alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return []S{2}, [][]byte{s}, []S{1} }),
		"no suites":                     alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return nil, nil, nil }),
		"a short share":                 alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return l, [][]byte{s[1:]}, []S{1} }),
		"a long share":                  alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return l, [][]byte{append(s, 0)}, []S{1} }),
		"a share of low order": alter(func(l []S, s []byte) ([]S, [][]byte, []S) {
			s = bytes.Clone(s)
			clear(s[len(s)-32:])
			return l, [][]byte{s}, []S{1}
		}),
	} {
		if out, err := accept(tok); gss.MajorOf(err) != gss.DefectiveToken || !bytes.Equal(out, pkix.Frame([]byte{0x0f, 2})) {
			t.Errorf("%s: %x, %v", what, out, err)
		}
	}
	out, err = accept(alter(func(l []S, s []byte) ([]S, [][]byte, []S) { return []S{0x7777}, nil, nil }))
	if gss.MajorOf(err) != gss.Unavailable || !bytes.Equal(out, pkix.Frame([]byte{0x0f, 1})) {
		t.Errorf("nothing in common: %x, %v", out, err)
	}
	for _, s := range [][]pkix.Suite{{9}, {1, 1}} {
		if _, err := pkix.New(pkix.Config{Roots: testCA.Pool(), Suites: s}); err == nil {
			t.Errorf("New with suites %v", s)
		}
	}
	if _, err := pkix.New(pkix.Config{}); gss.MajorOf(err) != gss.Failure {
		t.Error("New without roots:", err)
	}
}

func TestRetry(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	address := "1"
	cfg := func(c *pkix.Config) {
		c.Suites = []pkix.Suite{pkix.P256}
		c.Time = func() time.Time { return now }
		c.PeerAddress = func(context.Context) string { return address }
	}
	a := mechanism(t, aliceCert, nil)
	b := mechanism(t, bobCert, cfg)
	r := (&run{initiator: a, acceptor: b}).do(t)
	r.good(t, aliceText, bobText)
	if len(r.tokens) != 5 {
		t.Fatal(len(r.tokens), "tokens")
	}
	m1, mr, again := r.tokens[0], r.tokens[1], r.tokens[2]

	step := func(what string, h gss.Handshake, tok []byte, ok bool) []byte {
		t.Helper()
		out, c, err := h.Step(ctx, tok)
		if c != nil || (err == nil) != ok || err != nil && gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("%s: %v", what, err)
		}
		return out
	}
	acceptor := func() gss.Handshake { h, _ := b.Accept(nil); return h }
	step("the cookie at another handshake", acceptor(), again, true)
	step("a cookie of another mechanism", func() gss.Handshake { h, _ := mechanism(t, bobCert, cfg).Accept(nil); return h }(), again, false)
	address = "2"
	step("from another address", acceptor(), again, false)
	address = "1"
	now = now.Add(30 * time.Second)
	step("after 30 s", acceptor(), again, true)
	now = now.Add(time.Second)
	step("after 31 s", acceptor(), again, false)
	now = now.Add(-32 * time.Second)
	step("before its time", acceptor(), again, false)
	now = now.Add(time.Second)

	change := func(tok []byte, f func(cookie []byte) []byte) []byte {
		return pkix.ChangeM1(tok, func(l []pkix.Suite, s map[pkix.Suite][]byte, c []byte) ([]pkix.Suite, [][]byte, []pkix.Suite, []byte) {
			return l, [][]byte{s[pkix.P256]}, []pkix.Suite{pkix.P256}, f(c)
		})
	}
	var cookie []byte
	change(again, func(c []byte) []byte { cookie = c; return c })
	for bit := range len(cookie) * 8 {
		step(fmt.Sprint("cookie bit ", bit), acceptor(), change(again, func(c []byte) []byte { return flip(c, bit) }), false)
	}
	step("a cookie cut short", acceptor(), change(again, func(c []byte) []byte { return c[1:] }), false)

	h := acceptor()
	step("first", h, m1, true)
	step("no cookie the second time", h, m1, false)
	h = acceptor()
	step("first", h, m1, true)
	step("another list the second time", h, pkix.ChangeM1(again, func(l []pkix.Suite, s map[pkix.Suite][]byte, c []byte) ([]pkix.Suite, [][]byte, []pkix.Suite, []byte) {
		l = slices.DeleteFunc(l, func(s pkix.Suite) bool { return s == pkix.X25519 })
		return l, [][]byte{s[pkix.P256]}, []pkix.Suite{pkix.P256}, c
	}), false)
	h = acceptor()
	step("first", h, m1, true)
	step("no share the second time", h, pkix.ChangeM1(again, func(l []pkix.Suite, s map[pkix.Suite][]byte, c []byte) ([]pkix.Suite, [][]byte, []pkix.Suite, []byte) {
		return l, nil, nil, c
	}), false)

	initiator := func() gss.Handshake {
		h, _ := a.Initiate(bob, nil)
		step("start", h, nil, true)
		return h
	}
	h = initiator()
	step("MR", h, mr, true)
	step("a second MR", h, mr, false)
	step("MR for a suite that nobody has", initiator(), pkix.Frame([]byte{3, 0x77, 0x77, 0, 1, 'c'}), false)
	step("MR without a cookie", initiator(), pkix.Frame([]byte{3, 0, 1, 0, 0}), false)
	step("MR and an octet", initiator(), pkix.Frame([]byte{3, 0, 1, 0, 1, 'c', 0}), false)

	// A retry that a listener made up does not survive the signature.
	h = initiator()
	m1b := step("made-up MR", h, pkix.Frame([]byte{3, 0, 2, 0, 1, 'c'}), true)
	m1b = pkix.ChangeM1(m1b, func(l []pkix.Suite, s map[pkix.Suite][]byte, _ []byte) ([]pkix.Suite, [][]byte, []pkix.Suite, []byte) {
		return l, [][]byte{s[pkix.X25519]}, []pkix.Suite{pkix.X25519}, nil
	})
	victim, _ := mechanism(t, bobCert, nil).Accept(nil)
	out := step("M1 without the cookie", victim, m1b, true)
	step("M2 of another transcript", h, out, false)
}

func TestHalfOpen(t *testing.T) {
	ctx := context.Background()
	a := mechanism(t, aliceCert, small)
	b := mechanism(t, bobCert, func(c *pkix.Config) { small(c); c.MaxHalfOpen = 4 })
	// start returns a handshake of b's that was answered, and what completes it.
	start := func() (ah gss.Handshake, m3 []byte, retried bool) {
		t.Helper()
		ih, _ := a.Initiate(bob, nil)
		ah, _ = b.Accept(nil)
		tok, _, _ := ih.Step(ctx, nil)
		for {
			out, _, err := ah.Step(ctx, tok)
			if err != nil {
				t.Fatal(err)
			}
			var ic gss.Context
			if tok, ic, err = ih.Step(ctx, out); err != nil {
				t.Fatal(err)
			} else if ic != nil {
				return ah, tok, retried
			}
			retried = true
		}
	}
	complete := func(h gss.Handshake, m3 []byte) error { _, _, err := h.Step(ctx, m3); return err }

	first, m3, _ := start()
	second, secondM3, _ := start()
	if err := complete(second, secondM3); err != nil {
		t.Fatal(err)
	}
	// They ask, and never return. Nobody closes anything.
	for n := range 3 {
		if _, _, retried := start(); retried != (n > 0) {
			t.Errorf("handshake %d: retry %v", n, retried)
		}
	}
	if b.HalfOpen() != 4 {
		t.Error("half-open:", b.HalfOpen())
	}
	fork := pkix.Fork(first) // has secrets of its own
	last, lastM3, _ := start()
	if b.HalfOpen() != 4 {
		t.Error("half-open, with one too many:", b.HalfOpen())
	}
	if err := complete(first, m3); gss.MajorOf(err) != gss.Unavailable {
		t.Error("the oldest:", err)
	}
	if err := complete(first, m3); gss.MajorOf(err) != gss.NoContext {
		t.Error("the oldest again:", err)
	}
	if err := complete(fork, m3); err != nil {
		t.Error("its M3 was bad anyway:", err)
	}
	if err := complete(last, lastM3); err != nil || b.HalfOpen() != 3 {
		t.Error("the newest:", err, b.HalfOpen())
	}
	for range 20 {
		(&run{initiator: a, acceptor: b}).do(t).good(t, aliceText, bobText)
	}
	if b.HalfOpen() != 3 {
		t.Error("half-open after some were completed:", b.HalfOpen())
	}
	for range 3 {
		h, _, _ := start()
		h.Step(ctx, []byte("garbage"))
		h.Close()
		h, _, _ = start()
		h.Close()
		h.Close()
	}
	if b.HalfOpen() > 3 {
		t.Error("half-open after others were closed:", b.HalfOpen())
	}
}

// Handshakes that put an end to each other while they are used and closed.
func TestHalfOpenConcurrently(t *testing.T) {
	ctx := context.Background()
	a := mechanism(t, aliceCert, small)
	b := mechanism(t, bobCert, func(c *pkix.Config) { small(c); c.MaxHalfOpen = 2 })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 10 {
				ih, _ := a.Initiate(bob, nil)
				ah, _ := b.Accept(nil)
				tok, _, _ := ih.Step(ctx, nil)
				for {
					out, ac, err := ah.Step(ctx, tok)
					if gss.MajorOf(err) == gss.Unavailable || ac != nil {
						break
					} else if err != nil {
						t.Error(err)
						break
					}
					if tok, _, err = ih.Step(ctx, out); err != nil {
						t.Error(err)
						break
					}
					if (g+n)%3 == 0 {
						ah.Close()
						break
					}
				}
				ah.Close()
			}
		})
	}
	wg.Wait()
	if b.HalfOpen() != 0 {
		t.Error("half-open:", b.HalfOpen())
	}
}

// Sides that have a good certificate and say they are somebody else.
func TestLiars(t *testing.T) {
	ctx := context.Background()
	mallory := testCA.Issue(pkixtest.Template{DNS: []string{"mallory.example"}})
	for _, name := range []string{"svc:host@bob.example", "dns:bob.example", "mail:alice@example.org", "svc:http@mallory.example"} {
		n, _ := pkix.ParseName(name)

		// As an acceptor asked for bob.
		ih, _ := mechanism(t, aliceCert, small).Initiate(bob, nil)
		ah, _ := mechanism(t, mallory, small).Accept(nil)
		m1, _, _ := ih.Step(ctx, nil)
		m2, err := pkix.AnswerAs(ah, m1, n)
		if err != nil {
			t.Fatal(err)
		}
		out, c, err := ih.Step(ctx, m2)
		if c != nil || gss.MajorOf(err) != gss.BadMIC || !bytes.Equal(out, pkix.Frame([]byte{0x0f, 2})) {
			t.Errorf("an acceptor that says it is %s: %x, %v", name, out, err)
		}

		// As an initiator.
		if name == "svc:http@mallory.example" {
			continue // which it is
		}
		ih, _ = mechanism(t, mallory, small).Initiate(bob, nil)
		pkix.Lie(ih, n)
		ah, _ = mechanism(t, bobCert, small).Accept(nil)
		m1, _, _ = ih.Step(ctx, nil)
		m2, _, _ = ah.Step(ctx, m1)
		m3, _, err := ih.Step(ctx, m2)
		if err != nil {
			t.Fatal(err)
		}
		if out, c, err := ah.Step(ctx, m3); c != nil || len(out) > 0 || gss.MajorOf(err) != gss.BadMIC {
			t.Errorf("an initiator that says it is %s: %x, %v", name, out, err)
		}
	}
}

// Sides that sign what they should not.
func TestWrongClaims(t *testing.T) {
	ctx := context.Background()
	ih, _ := mechanism(t, aliceCert, small).Initiate(bob, &gss.InitOptions{Require: gss.Mutual})
	ah, _ := mechanism(t, bobCert, small).Accept(nil)
	m1, _, _ := ih.Step(ctx, nil)
	m2, err := pkix.AnswerMore(ah, m1)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "more flags than asked", ih, m2)

	w := halfway(t, small)
	for what, change := range map[string]func(*gss.Flags, *byte, []byte){
		"fewer flags than granted":        func(f *gss.Flags, _ *byte, _ []byte) { *f &^= gss.Replay },
		"more flags than granted":         func(f *gss.Flags, _ *byte, _ []byte) { *f |= gss.Deleg },
		"no bindings, and a hash":         func(_ *gss.Flags, _ *byte, h []byte) { h[0] = 1 },
		"neither bindings nor their lack": func(_ *gss.Flags, p *byte, _ []byte) { *p = 2 },
	} {
		m3, err := pkix.Prove(pkix.Fork(w.ih), w.m2, change)
		if err != nil {
			t.Fatal(err)
		}
		_, c, err := pkix.Fork(w.ah).Step(ctx, m3)
		if c != nil || gss.MajorOf(err) != gss.DefectiveToken {
			t.Errorf("%s: %v", what, err)
		}
	}
	m3, err := pkix.Prove(pkix.Fork(w.ih), w.m2, func(*gss.Flags, *byte, []byte) {})
	if err != nil || !bytes.Equal(m3, w.m3) {
		t.Error("without a change it is not M3:", err)
	}
}

func TestCancelled(t *testing.T) {
	w := halfway(t, small)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, c, err := w.ih.Step(ctx, w.m2)
	if c != nil || !errors.Is(err, context.Canceled) || gss.MajorOf(err) != gss.Failure {
		t.Error(err)
	}
	if _, _, err := w.ih.Step(context.Background(), w.m2); gss.MajorOf(err) != gss.NoContext {
		t.Error(err)
	}
}

func FuzzMessages(f *testing.F) {
	w := halfway(f, small)
	for _, tok := range [][]byte{w.m1, w.m2, w.m3} {
		_, inner, _ := gss.ParseToken(tok)
		f.Add(inner)
	}
	pkix.Forge(w.ah, w.m3, func(p []byte, _ func([]byte) []byte) []byte { f.Add(p); return p })
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, ok := pkix.ReadM1(b); ok && !bytes.Equal(again, b) {
			t.Errorf("M1 %x\nreads as %x", b, again)
		}
		if again, ok := pkix.ReadM2(b); ok && !bytes.Equal(again, b) {
			t.Errorf("M2 %x\nreads as %x", b, again)
		}
		if again, ok := pkix.ReadProof(b, 32); ok && !bytes.Equal(again, b) {
			t.Errorf("proof %x\nreads as %x", b, again)
		}
	})
}

func FuzzSteps(f *testing.F) {
	w := halfway(f, small)
	for _, tok := range [][]byte{w.m1, w.m2, w.m3} {
		f.Add(tok)
	}
	b := mechanism(f, bobCert, small)
	f.Fuzz(func(t *testing.T, tok []byte) {
		fresh, _ := b.Accept(nil)
		defer fresh.Close()
		for _, h := range []gss.Handshake{pkix.Fork(w.ih), pkix.Fork(w.ah), fresh} {
			_, c, err := h.Step(context.Background(), tok)
			if c != nil && !bytes.Equal(tok, w.m2) && !bytes.Equal(tok, w.m3) {
				t.Errorf("a context from %x", tok)
			}
			if _, ok := errors.AsType[*gss.Error](err); err != nil && !ok {
				t.Error(err)
			}
		}
	})
}
