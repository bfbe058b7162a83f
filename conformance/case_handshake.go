package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

var handshakeCases = []Case{
	{"handshake/script", "RFC 2743 §2.2.1, gss.Handshake", handshakeScript},
	{"handshake/names", "RFC 2743 §2.2.6, gss.Info", handshakeNames},
	{"handshake/info", "RFC 2743 §2.2.6, gss.Info", handshakeInfo},
	{"handshake/after-end", "gss.Handshake", handshakeAfterEnd},
	{"handshake/after-error", "gss.Handshake", handshakeAfterError},
	{"handshake/close", "gss.Handshake", handshakeClose},
	{"handshake/canceled", "gss.Handshake", handshakeCanceled},
	{"handshake/concurrent", "gss.Mechanism", handshakeConcurrent},
	{"handshake/goroutines", "gss.Handshake", handshakeGoroutines},
}

func handshakeScript(r *recorder) {
	t := r.attempt(nil)
	if err := t.Err(); err != nil {
		r.fatalf("no context: %v", err)
	}
	if len(t.Tokens) == 0 {
		r.errorf("no token was sent")
	}
	if _, bare := r.s.Initiator.(gss.Sniffer); !bare {
		mech, _, err := gss.ParseToken(t.Tokens[0])
		if err != nil || mech != r.s.Initiator.OID() {
			r.errorf("the first token is not framed with the mechanism's OID: %v, %v", mech, err)
		}
	}
	r.agree(pair{t.Initiator, t.Acceptor}, "handshake")
	r.alive(pair{t.Initiator, t.Acceptor})
}

func handshakeNames(r *recorder) {
	p := r.establish(nil)
	i, a := p.i.Info(), p.a.Info()
	for _, n := range []struct {
		side string
		name gss.Name
	}{{"initiator's Local", i.Local}, {"initiator's Peer", i.Peer}, {"acceptor's Local", a.Local}, {"acceptor's Peer", a.Peer}} {
		if n.name.IsZero() {
			continue
		}
		if n.name.Type != "" || n.name.Mech == "" || n.name.Text == "" {
			r.errorf("%s is no mechanism name: %+v", n.side, n.name)
			continue
		}
		exp, err := n.name.Export()
		if back, errBack := gss.ParseName(exp); err != nil || errBack != nil || back != n.name {
			r.errorf("%s does not survive Export: %v, %v", n.side, err, errBack)
		}
	}
	same := func(what string, x, y gss.Name) {
		ex, _ := x.Export()
		ey, _ := y.Export()
		if x != y || !bytes.Equal(ex, ey) {
			r.errorf("%s differ: %q and %q", what, ex, ey)
		}
	}
	same("initiator's Local and acceptor's Peer", i.Local, a.Peer)
	if i.Flags.Has(gss.Mutual) || !i.Peer.IsZero() {
		same("initiator's Peer and acceptor's Local", i.Peer, a.Local)
	}
	if i.Flags.Has(gss.Mutual) && i.Peer.IsZero() {
		r.errorf("Mutual, but the initiator does not know its peer")
	}
	if a.Flags.Has(gss.Anon) && !a.Peer.IsZero() {
		r.errorf("Anon, but the acceptor knows its peer: %v", a.Peer)
	}
}

func handshakeInfo(r *recorder) {
	p := r.establish(nil)
	i, a := p.i.Info(), p.a.Info()
	if !i.Initiator || a.Initiator {
		r.errorf("Initiator is %v on the initiator and %v on the acceptor", i.Initiator, a.Initiator)
	}
	if i.Mech != a.Mech || i.Mech == "" || i.Mech == oid.SPNEGO {
		r.errorf("Mech is %v on the initiator and %v on the acceptor", i.Mech, a.Mech)
	}
	if d := (i.Flags ^ a.Flags) & agreed; d != 0 {
		r.errorf("the sides do not agree on the flags %v", d)
	}
	if want := r.s.InitOptions.Resolved().Require; !i.Flags.Has(want) {
		r.errorf("flags %v were required and are missing", want&^i.Flags)
	}
	if want := r.s.AcceptOptions.Resolved().Require; !a.Flags.Has(want) {
		r.errorf("flags %v were required by the acceptor and are missing", want&^a.Flags)
	}
	if len(r.s.InitOptions.Bindings) == 0 && (i.Flags | a.Flags).Has(gss.Bound) {
		r.errorf("Bound without bindings")
	}
	for _, x := range []gss.Info{i, a} {
		if !x.Expiry.IsZero() && !x.Expiry.After(time.Now()) {
			r.errorf("expired when new: %v", x.Expiry)
		}
		if x.Overhead <= 0 {
			r.errorf("Overhead is %d", x.Overhead)
		}
	}
	r.alive(p)
	if p.i.Info() != i || p.a.Info() != a {
		r.errorf("Info changed")
	}
	for _, sc := range []gss.Context{p.i, p.a} {
		if _, ok := sc.(gss.Exporter); sc.Info().Flags.Has(gss.Trans) && !ok {
			r.errorf("Trans, but the context is no Exporter")
		}
	}
}

func handshakeAfterEnd(r *recorder) {
	i, a, err := r.s.start()
	if err != nil {
		r.fatalf("%v", err)
	}
	defer i.Close()
	defer a.Close()
	t := pump(r.ctx, i, a, nil)
	r.cleanup(t.Close)
	if t.Err() != nil {
		r.fatalf("no context: %v", t.Err())
	}
	for _, h := range []gss.Handshake{i, a} {
		for _, tok := range [][]byte{nil, t.Tokens[0], t.Tokens[len(t.Tokens)-1]} {
			r.ended(h, tok, "after a context")
		}
	}
	r.alive(pair{t.Initiator, t.Acceptor})
}

// ended checks that a Step fails as it must when the handshake is over.
func (r *recorder) ended(h gss.Handshake, tok []byte, when string) {
	out, sc, err := h.Step(r.ctx, bytes.Clone(tok))
	r.refused(err, "Step "+when, gss.NoContext)
	if len(out) > 0 || sc != nil {
		r.errorf("Step %s returned something", when)
	}
	if sc != nil {
		sc.Close()
	}
}

func handshakeAfterError(r *recorder) {
	a, err := r.s.Acceptor.Accept(&r.s.AcceptOptions)
	if err != nil {
		r.fatalf("Accept: %v", err)
	}
	defer a.Close()
	good := r.attempt(nil)
	if _, sc, err := a.Step(r.ctx, []byte("no token of anybody")); err == nil || sc != nil {
		r.fatalf("garbage was accepted")
	}
	r.ended(a, []byte("no token of anybody"), "after an error")
	r.ended(a, good.Tokens[0], "after an error")
}

// handshakeClose closes after every leg, twice, on both sides.
func handshakeClose(r *recorder) {
	whole := r.attempt(nil)
	if err := whole.Err(); err != nil {
		r.fatalf("no context: %v", err)
	}
	for legs := range len(whole.Tokens) + 1 {
		i, a, err := r.s.start()
		if err != nil {
			r.fatalf("%v", err)
		}
		hs := [2]gss.Handshake{i, a}
		var tok []byte
		var scs []gss.Context
		for leg := range legs {
			out, sc, err := hs[leg%2].Step(r.ctx, tok)
			if err != nil {
				r.fatalf("leg %d: %v", leg, err)
			}
			if sc != nil {
				scs = append(scs, sc)
			}
			tok = out
		}
		for n, h := range hs {
			for range 2 {
				if err := h.Close(); err != nil {
					r.errorf("Close after %d legs: %v", legs, err)
				}
			}
			out, sc, err := h.Step(r.ctx, bytes.Clone(tok))
			r.refused(err, fmt.Sprintf("Step of side %d, closed after %d legs", n, legs))
			if len(out) > 0 || sc != nil {
				r.errorf("Step of side %d, closed after %d legs, returned something", n, legs)
			}
		}
		for _, sc := range scs {
			if _, err := sc.PRF(gss.PRFFull, nil, 16); err != nil {
				r.errorf("closing the handshakes after %d legs broke a context: %v", legs, err)
			}
			sc.Close()
		}
	}
}

// handshakeCanceled: a Step either needs no I/O or fails with the cause.
func handshakeCanceled(r *recorder) {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	i, a, err := r.s.start()
	if err != nil {
		r.fatalf("%v", err)
	}
	t := Pump(ctx, i, a)
	defer t.Close()
	if t.Broken != nil {
		r.errorf("%v", t.Broken)
	}
	for _, err := range []error{t.InitErr, t.AcceptErr} {
		if err == nil {
			continue
		}
		r.refused(err, "Step with a canceled context")
		// A side that reports what the other one says has another cause.
		if e, ok := errors.AsType[*gss.Error](err); ok && !e.Remote && !errors.Is(err, context.Canceled) {
			r.errorf("Step with a canceled context: %v does not wrap context.Canceled", err)
		}
	}
	r.alive(r.establish(nil))
}

func handshakeConcurrent(r *recorder) {
	r.goes(8, func(int) {
		for range 4 {
			p := r.establish(nil)
			r.agree(p, "one of many handshakes")
			r.alive(p)
		}
	})
}

// handshakeGoroutines looks for goroutines that a handshake or a context leaves
// behind: they inherit the pprof label of the one that started them.
func handshakeGoroutines(r *recorder) {
	label := fmt.Sprintf("handshake-%p", r)
	pprof.Do(r.ctx, pprof.Labels("conformance", label), func(ctx context.Context) {
		for range 4 {
			p := r.establish(nil)
			r.alive(p)
			p.i.Close()
			p.a.Close()
			i, a, err := r.s.start()
			if err != nil {
				r.fatalf("%v", err)
			}
			i.Step(ctx, nil)
			i.Close()
			a.Step(ctx, []byte("garbage"))
			a.Close()
		}
	})
	var left string
	for range 100 {
		var b strings.Builder
		pprof.Lookup("goroutine").WriteTo(&b, 1)
		if left = b.String(); !strings.Contains(left, label) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for g := range strings.SplitSeq(left, "\n\n") {
		if strings.Contains(g, label) {
			r.errorf("left behind: %s", g)
		}
	}
}
