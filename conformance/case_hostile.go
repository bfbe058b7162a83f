package conformance

import (
	"bytes"
	"fmt"
	"runtime"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

var hostileCases = []Case{
	{"hostile/garbage", "RFC 2743 §2.2.2", hostileGarbage},
	{"hostile/memory", "CVE-2020-28196 and its kind", hostileMemory},
	{"hostile/framing", "RFC 2743 §3.1", hostileFraming},
	{"hostile/truncated", "RFC 2743 §2.2.2", hostileTruncated},
	{"hostile/extended", "RFC 2743 §2.2.2", hostileExtended},
	{"hostile/bit-flips", "RFC 2743 §2.2.2, §1.2.7", hostileBitFlips},
	{"hostile/spliced", "RFC 2743 §1.2.7", hostileSpliced},
	{"hostile/reflected", "RFC 2743 §1.2.7", hostileReflected},
	{"hostile/replayed", "RFC 2743 §1.2.3", hostileReplayed},
}

// garbage is nobody's token.
func garbage(mech oid.OID) map[string][]byte {
	return map[string][]byte{
		"nil":                  nil,
		"empty":                {},
		"one zero octet":       {0},
		"a tag alone":          {0x60},
		"an indefinite length": {0x60, 0x80, 0, 0},
		"a length of 4 GiB":    {0x60, 0x84, 0xff, 0xff, 0xff, 0xff, 6, 1, 42},
		"a length of 2^64":     {0x60, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"text":                 []byte("GET / HTTP/1.1\r\n\r\n"),
		"64 KiB of zeros":      make([]byte, 1<<16),
		"64 KiB of 0xff":       bytes.Repeat([]byte{0xff}, 1<<16),
		"64 KiB of nesting":    bytes.Repeat([]byte{0x30, 0x80}, 1<<15),
		"an unknown mechanism": gss.AppendToken(nil, oid.Arc+"\x7f", []byte("token")),
		"an empty inner token": gss.AppendToken(nil, mech, nil),
		"one inner octet":      gss.AppendToken(nil, mech, []byte{1}),
		"64 KiB inside":        gss.AppendToken(nil, mech, bytes.Repeat([]byte{0x30}, 1<<16)),
		"4 GiB inside":         gss.AppendToken(nil, mech, []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1}),
	}
}

// hostileGarbage puts garbage in place of every token.
func hostileGarbage(r *recorder) {
	legs := r.legs()
	for what, bad := range garbage(r.s.Initiator.OID()) {
		for leg := range legs {
			r.tampered(leg, fmt.Sprintf("%s as token %d", what, leg), true, func([]byte) []byte { return bad })
		}
	}
}

// hostileMemory: a token is worth a small multiple of its octets. Other goroutines
// take memory too: it is the least of some tries that counts.
func hostileMemory(r *recorder) {
	const most = 16 << 20 // of garbage no longer than 128 KiB
	for what, bad := range garbage(r.s.Initiator.OID()) {
		least := ^uint64(0)
		for try := 0; try < 3 && least > most; try++ {
			a, err := r.s.Acceptor.Accept(&r.s.AcceptOptions)
			if err != nil {
				r.fatalf("Accept: %v", err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a.Step(r.ctx, bytes.Clone(bad))
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
			a.Close()
		}
		if least > most {
			r.errorf("%s: %d octets of memory for %d", what, least, len(bad))
		}
	}
}

// hostileFraming breaks the DER around a framed first token.
func hostileFraming(r *recorder) {
	if _, _, err := gss.ParseToken(r.tokens()[0]); err != nil {
		r.notApplicable("the first token is not framed")
	}
	// wrong makes of a good token one with another length than body's: in four
	// octets, which is minimal only from 2^24.
	wrong := func(off int) func(tok, body []byte) []byte {
		return func(_, body []byte) []byte {
			n := len(body) + off
			return append([]byte{0x60, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
		}
	}
	for what, change := range map[string]func(tok, body []byte) []byte{
		"a length one short":   wrong(-1),
		"a length one over":    wrong(1),
		"a length not minimal": wrong(0),
		"an octet behind":      func(tok, _ []byte) []byte { return append(tok, 0) },
		"another tag":          func(tok, _ []byte) []byte { return append([]byte{0x61}, tok[1:]...) },
		"no mechanism":         func(tok, _ []byte) []byte { return tok[:2] },
	} {
		r.tampered(0, what, true, func(tok []byte) []byte {
			mech, inner, _ := gss.ParseToken(tok)
			return change(tok, append(mech.AppendDER(nil), inner...))
		})
	}
	for what, change := range map[string]func(tok []byte, mech oid.OID, inner []byte) []byte{
		"another's mechanism":   func(_ []byte, _ oid.OID, inner []byte) []byte { return gss.AppendToken(nil, oid.Arc+"\x7f", inner) },
		"the mechanism, longer": func(_ []byte, mech oid.OID, inner []byte) []byte { return gss.AppendToken(nil, mech+"\x01", inner) },
		"framed twice":          func(tok []byte, mech oid.OID, _ []byte) []byte { return gss.AppendToken(nil, mech, tok) },
	} {
		r.tampered(0, what, true, func(tok []byte) []byte {
			mech, inner, _ := gss.ParseToken(tok)
			return change(tok, mech, inner)
		})
	}
}

func hostileTruncated(r *recorder) {
	for leg, tok := range r.tokens() {
		for _, n := range r.sample(len(tok), 64) {
			r.tampered(leg, fmt.Sprintf("token %d cut to %d of %d octets", leg, n, len(tok)), false, func(tok []byte) []byte { return tok[:min(n, len(tok)-1)] })
		}
	}
}

func hostileExtended(r *recorder) {
	for leg, tok := range r.tokens() {
		for what, tail := range map[string][]byte{"an octet": {0}, "itself": tok, "64 KiB": make([]byte, 1<<16)} {
			r.tampered(leg, fmt.Sprintf("token %d and %s", leg, what), true, func(tok []byte) []byte { return append(tok, tail...) })
		}
	}
}

func hostileBitFlips(r *recorder) {
	for leg, tok := range r.tokens() {
		for _, bit := range r.sample(8*len(tok), 160) {
			r.tampered(leg, fmt.Sprintf("token %d with bit %d flipped", leg, bit), false, func(tok []byte) []byte {
				if bit/8 < len(tok) { // a fresh token may be shorter
					tok[bit/8] ^= 1 << (bit % 8)
				} else {
					tok[len(tok)-1] ^= 1
				}
				return tok
			})
		}
	}
}

// hostileSpliced puts in each token the same one of another handshake. One that
// does not depend on the handshake (a choice, say) may pass, if both sides agree.
func hostileSpliced(r *recorder) {
	for leg, other := range r.tokens() {
		if leg == 0 {
			continue // a first token is nobody's yet: see replayed
		}
		r.tampered(leg, fmt.Sprintf("token %d of another handshake", leg), false, func([]byte) []byte { return other })
	}
}

// hostileReflected gives each side its own token back.
func hostileReflected(r *recorder) {
	for leg := range r.legs() {
		i, a, err := r.s.start()
		if err != nil {
			r.fatalf("%v", err)
		}
		hs := [2]gss.Handshake{i, a}
		var tok []byte
		var done gss.Context
		for l := range leg + 1 {
			if tok, done, err = hs[l%2].Step(r.ctx, tok); err != nil {
				r.fatalf("leg %d: %v", l, err)
			}
			if done != nil {
				r.cleanup(func() { done.Close() })
			}
		}
		if done == nil { // whoever is done takes no token
			out, sc, err := hs[leg%2].Step(r.ctx, bytes.Clone(tok))
			if sc != nil {
				sc.Close()
				r.errorf("a side accepted its own token %d", leg)
			} else if err != nil {
				r.refused(err, fmt.Sprintf("token %d given back to its sender", leg))
			} else if len(out) == 0 {
				r.errorf("token %d given back to its sender: no token, no context and no error", leg)
			}
		}
		i.Close()
		a.Close()
	}
}

// hostileReplayed plays an initiator's tokens to a second acceptor. It may get an
// answer, but never a second context with the keys of the first.
func hostileReplayed(r *recorder) {
	first := r.attempt(nil)
	if err := first.Err(); err != nil {
		r.fatalf("no context: %v", err)
	}
	want, err := first.Acceptor.PRF(gss.PRFFull, []byte("replayed"), 32)
	if err != nil {
		r.fatalf("PRF: %v", err)
	}
	a, err := r.s.Acceptor.Accept(&r.s.AcceptOptions)
	if err != nil {
		r.fatalf("Accept: %v", err)
	}
	defer a.Close()
	for leg := 0; leg < len(first.Tokens); leg += 2 {
		_, sc, err := a.Step(r.ctx, bytes.Clone(first.Tokens[leg]))
		if err != nil {
			r.refused(err, fmt.Sprintf("token %d replayed", leg))
			return
		}
		if sc == nil {
			continue
		}
		defer sc.Close()
		if got, err := sc.PRF(gss.PRFFull, []byte("replayed"), 32); err != nil || bytes.Equal(got, want) {
			r.errorf("replayed tokens made a second context with the same keys (%v)", err)
		}
		if leg > 0 {
			r.errorf("replayed tokens completed a handshake in which the acceptor had spoken")
		}
		return
	}
}

// tokens are those of an undisturbed handshake.
func (r *recorder) tokens() [][]byte {
	t := r.attempt(nil)
	if err := t.Err(); err != nil {
		r.fatalf("no context: %v", err)
	}
	return t.Tokens
}

func (r *recorder) legs() int { return len(r.tokens()) }

// tampered runs a handshake in which change replaces the token of one leg. The
// side that reads it may refuse it, or answer (it may ask for another); if it
// completes, which no garbage may lead to, then the other side has to, and they
// have to agree: what is not authenticated must not matter.
func (r *recorder) tampered(leg int, what string, garbage bool, change func([]byte) []byte) {
	i, a, err := r.s.start()
	if err != nil {
		r.fatalf("%v", err)
	}
	defer i.Close()
	defer a.Close()
	t := pump(r.ctx, i, a, func(l int, tok []byte) []byte {
		if l == leg {
			return change(tok)
		}
		return tok
	})
	defer t.Close()
	for _, err := range []error{t.InitErr, t.AcceptErr} {
		if err != nil {
			r.refused(err, what)
		}
	}
	reader, other := t.Acceptor, t.Initiator
	if leg%2 == 1 {
		reader, other = other, reader
	}
	switch {
	case reader == nil && t.InitErr == nil && t.AcceptErr == nil:
		r.errorf("%s: no context and no error: %v", what, t.Broken)
	case reader == nil:
	case garbage:
		r.errorf("%s: accepted", what)
	case other == nil:
		r.errorf("%s: its reader has a context and its sender has none", what)
	default:
		r.agree(pair{t.Initiator, t.Acceptor}, what)
	}
}

// sample returns all numbers below n, or if there are many and the Setup is not
// Full, about most of them: both ends, and a stride between that visits every
// remainder of 8, so that of bits each of an octet has its turn.
func (r *recorder) sample(n, most int) []int {
	var out []int
	stride := n/most | 1
	if r.s.Full || n <= most {
		stride = 1
	}
	edge := most / 8
	for k := 0; k < n; k++ {
		if k < edge || k >= n-edge || k%stride == 0 {
			out = append(out, k)
		}
	}
	return out
}
