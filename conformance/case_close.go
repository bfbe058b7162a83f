package conformance

import (
	"bytes"
	"fmt"

	"github.com/gsseal/gss"
)

var closeCases = []Case{
	{"close/every-method", "RFC 2743 §2.2.3", closeEveryMethod},
	{"close/independent", "gss.Context", closeIndependent},
	{"close/concurrent", "gss.Context", closeConcurrent},
}

func closeEveryMethod(r *recorder) {
	for side := range 2 {
		p := r.establish(nil)
		d := p.both()[1-side] // towards the side that is closed
		l := levels(d.from)[0]
		tok, mic := r.wrap(d, "hello", l), r.mic(d, "hello")
		sc, info := d.to, d.to.Info()
		for range 2 {
			if err := sc.Close(); err != nil {
				r.errorf("Close: %v", err)
			}
		}
		if sc.Info() != info {
			r.errorf("Info changed when the context was closed")
		}
		for what, call := range map[string]func(dst []byte) ([]byte, error){
			"Wrap":             func(dst []byte) ([]byte, error) { return sc.Wrap(dst, []byte("hello"), gss.Confidential) },
			"Wrap (integrity)": func(dst []byte) ([]byte, error) { return sc.Wrap(dst, []byte("hello"), gss.IntegrityOnly) },
			"Unwrap":           func(dst []byte) ([]byte, error) { out, _, err := sc.Unwrap(dst, tok); return out, err },
			"Unwrap (garbage)": func(dst []byte) ([]byte, error) { out, _, err := sc.Unwrap(dst, nil); return out, err },
			"MIC":              func(dst []byte) ([]byte, error) { return sc.MIC(dst, []byte("hello")) },
			"VerifyMIC":        func(dst []byte) ([]byte, error) { return dst, sc.VerifyMIC([]byte("hello"), mic) },
			"PRF": func(dst []byte) ([]byte, error) {
				k, err := sc.PRF(gss.PRFFull, []byte("x"), 16)
				return append(dst, k...), err
			},
			"Export": func(dst []byte) ([]byte, error) {
				if e, ok := sc.(gss.Exporter); ok {
					state, err := e.Export()
					return append(dst, state...), err
				}
				return dst, &gss.Error{Op: "Export_sec_context", Major: gss.NoContext}
			},
		} {
			room := make([]byte, 6, 512)
			copy(room, "prefix")
			out, err := call(room)
			r.refused(err, what+" after Close", gss.NoContext)
			if string(out) != "prefix" {
				r.errorf("%s after Close did not return dst as it was", what)
			}
			if bytes.Contains(room[:512], []byte("hello")) {
				r.errorf("%s after Close left something behind dst", what)
			}
		}
		if c, ok := sc.(gss.Claimer); ok && c.Claim("after close") {
			r.errorf("Claim is true after Close")
		}
	}
}

// closeIndependent: a context shares nothing with its peer, nor with another one
// of the same mechanism.
func closeIndependent(r *recorder) {
	p, q := r.establish(nil), r.establish(nil)
	d := p.both()[0]
	l := levels(d.from)[0]
	tok := r.wrap(d, "sent before Close", l)
	want, err := p.a.PRF(gss.PRFFull, []byte("independent"), 32)
	if err != nil {
		r.fatalf("PRF: %v", err)
	}
	p.i.Close()
	r.delivers(d, tok, "sent before Close", l)
	if got, err := p.a.PRF(gss.PRFFull, []byte("independent"), 32); err != nil || !bytes.Equal(got, want) {
		r.errorf("PRF changed when the peer closed (%v)", err)
	}
	r.wrap(direction{"the acceptor, alone", p.a, nil}, "x", l)
	r.alive(q)
	p.a.Close()
	r.alive(q)
	r.alive(r.establish(nil))
}

// closeConcurrent closes a context that is in use: every call is either whole or
// refused.
func closeConcurrent(r *recorder) {
	for range 8 {
		p := r.withFlags(0, gss.Sequence)
		l := levels(p.i)[0]
		want, err := p.i.PRF(gss.PRFFull, []byte("closing"), 32)
		if err != nil {
			r.fatalf("PRF: %v", err)
		}
		r.goes(5, func(g int) {
			if g == 0 {
				p.i.Close()
				return
			}
			for n := range 50 {
				msg := fmt.Sprintf("message %d of %d", n, g)
				tok, err := p.i.Wrap(nil, []byte(msg), l)
				if err != nil {
					r.refused(err, "Wrap while closing", gss.NoContext)
				} else if got, _, err := p.a.Unwrap(nil, tok); err != nil {
					r.refused(err, "a token wrapped while closing", gss.OldToken, gss.UnseqToken, gss.GapToken)
				} else if string(got) != msg {
					r.errorf("a token wrapped while closing brought another message")
				}
				k, err := p.i.PRF(gss.PRFFull, []byte("closing"), 32)
				if err != nil {
					r.refused(err, "PRF while closing", gss.NoContext)
				} else if !bytes.Equal(k, want) {
					r.errorf("PRF returned another value while closing")
				}
			}
		})
	}
}
