package conformance

import (
	"bytes"
	"fmt"
	"math"

	"github.com/gsseal/gss"
)

var prfCases = []Case{
	{"prf/agreement", "RFC 4401 §2", prfAgreement},
	{"prf/limits", "RFC 4401 §2", prfLimits},
	{"prf/distinct", "RFC 4401 §2", prfDistinct},
	{"prf/after-handshake-close", "gss.Handshake", prfAfterHandshakeClose},
}

// prfKeys are those that both ends have; one that is missing must be Unavailable
// on both.
func (r *recorder) prfKeys(p pair) []gss.PRFKey {
	keys := []gss.PRFKey{gss.PRFFull}
	_, errI := p.i.PRF(gss.PRFPartial, []byte("x"), 16)
	_, errA := p.a.PRF(gss.PRFPartial, []byte("x"), 16)
	switch {
	case errI == nil && errA == nil:
		return append(keys, gss.PRFPartial)
	case errI == nil || errA == nil:
		r.errorf("one side only has the partial key: %v, %v", errI, errA)
	default:
		r.refused(errI, "PRF with the partial key", gss.Unavailable)
		r.refused(errA, "PRF with the partial key", gss.Unavailable)
	}
	return keys
}

func prfAgreement(r *recorder) {
	p := r.establish(nil)
	for _, key := range r.prfKeys(p) {
		for _, in := range [][]byte{nil, []byte("x"), text(1000), text(gss.MaxPRF)} {
			long, err := p.i.PRF(key, in, gss.MaxPRF)
			if err != nil || len(long) != gss.MaxPRF {
				r.fatalf("PRF of %d octets: %d octets, %v", len(in), len(long), err)
			}
			for _, n := range []int{0, 1, 15, 16, 17, 20, 32, 33, 64, 1000, gss.MaxPRF} {
				x, errI := p.i.PRF(key, in, n)
				y, errA := p.a.PRF(key, in, n)
				if errI != nil || errA != nil || len(x) != n || !bytes.Equal(x, y) {
					r.errorf("key %d, in of %d octets, n = %d: the sides differ (%v, %v)", key, len(in), n, errI, errA)
				} else if !bytes.Equal(x, long[:n]) {
					r.errorf("key %d, in of %d octets: n = %d is no prefix of a longer one", key, len(in), n)
				}
			}
			r.random(long, fmt.Sprintf("key %d, in of %d octets", key, len(in)))
		}
	}
}

// random fails what is plainly no output of a PRF.
func (r *recorder) random(b []byte, what string) {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	for c, n := range count {
		if n > 8+len(b)/64 {
			r.errorf("PRF with %s: octet %#x comes %d times among %d", what, c, n, len(b))
			return
		}
	}
	for at := 16; at+16 <= len(b); at += 16 {
		if bytes.Equal(b[at:at+16], b[:16]) {
			r.errorf("PRF with %s repeats itself", what)
			return
		}
	}
}

func prfLimits(r *recorder) {
	p := r.establish(nil)
	for _, sc := range []gss.Context{p.i, p.a} {
		for what, c := range map[string]struct{ in, n int }{
			"an input over the limit": {gss.MaxPRF + 1, 16}, "a length over the limit": {1, gss.MaxPRF + 1},
			"a huge length": {1, math.MaxInt}, "a negative length": {1, -1}, "both over": {1 << 20, 1 << 20},
		} {
			out, err := sc.PRF(gss.PRFFull, make([]byte, c.in), c.n)
			r.refused(err, "PRF with "+what, gss.Failure)
			if len(out) > 0 {
				r.errorf("PRF with %s returned octets", what)
			}
		}
		_, err := sc.PRF(gss.PRFKey(9), []byte("x"), 16)
		r.refused(err, "PRF with an unknown key", gss.Unavailable)
	}
	r.alive(p)
}

// prfDistinct: another input, key or context gives other octets.
func prfDistinct(r *recorder) {
	seen := map[string]string{}
	for n, p := range []pair{r.establish(nil), r.establish(nil)} {
		for _, key := range r.prfKeys(p) {
			for _, in := range []string{"", "\x00", "\x00\x00", "x", "y", "xy", string(text(gss.MaxPRF)), string(text(gss.MaxPRF)[1:])} {
				out, err := p.i.PRF(key, []byte(in), 32)
				if err != nil {
					r.fatalf("PRF: %v", err)
				}
				what := fmt.Sprintf("context %d, key %d, in of %d octets", n, key, len(in))
				if other, dup := seen[string(out)]; dup {
					r.errorf("PRF is the same for %s and %s", what, other)
				}
				seen[string(out)] = what
			}
		}
	}
}

// prfAfterHandshakeClose: a handshake that erases what its context uses leaves
// both sides with equal keys that everybody knows.
func prfAfterHandshakeClose(r *recorder) {
	i, a, err := r.s.start()
	if err != nil {
		r.fatalf("%v", err)
	}
	t := pump(r.ctx, i, a, nil)
	r.cleanup(t.Close)
	if t.Err() != nil {
		r.fatalf("no context: %v", t.Err())
	}
	scs := []gss.Context{t.Initiator, t.Acceptor}
	var before [2][]byte
	for n, sc := range scs {
		if before[n], err = sc.PRF(gss.PRFFull, []byte("close"), 64); err != nil {
			r.fatalf("PRF: %v", err)
		}
		r.random(before[n], "a fresh context")
	}
	d := pair{t.Initiator, t.Acceptor}.both()[0]
	l := levels(d.from)[0]
	tok := r.wrap(d, "before", l)
	i.Close()
	a.Close()
	for n, sc := range scs {
		after, err := sc.PRF(gss.PRFFull, []byte("close"), 64)
		if err != nil || !bytes.Equal(after, before[n]) {
			r.errorf("PRF changed when the handshake was closed (%v)", err)
		}
	}
	r.delivers(d, tok, "before", l)
	r.alive(pair{t.Initiator, t.Acceptor})
}
