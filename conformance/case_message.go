package conformance

import (
	"bytes"
	"fmt"

	"github.com/gsseal/gss"
)

var messageCases = []Case{
	{"wrap/roundtrip", "RFC 2743 §2.3.3, §2.3.4", wrapRoundtrip},
	{"wrap/confidential", "RFC 2743 §1.2.2, gss.Level", wrapConfidential},
	{"wrap/level", "gss.Context", wrapLevel},
	{"wrap/tampered", "RFC 2743 §2.3.4", wrapTampered},
	{"wrap/truncated", "RFC 2743 §2.3.4", wrapTruncated},
	{"wrap/extended", "RFC 2743 §2.3.4", wrapExtended},
	{"wrap/reflected", "RFC 2743 §1.2.3", wrapReflected},
	{"wrap/another-context", "RFC 2743 §2.3.4", wrapAnother},
	{"mic/roundtrip", "RFC 2743 §2.3.1, §2.3.2", micRoundtrip},
	{"mic/tampered", "RFC 2743 §2.3.2", micTampered},
	{"mic/truncated", "RFC 2743 §2.3.2", micTruncated},
	{"mic/reflected", "RFC 2743 §1.2.3", micReflected},
	{"mic/another-context", "RFC 2743 §2.3.2", micAnother},
	{"message/type-confusion", "RFC 2743 §2.3", typeConfusion},
	{"message/garbage", "RFC 2743 §2.3", messageGarbage},
	{"message/concurrent", "gss.Context", messageConcurrent},
}

// sizes are around every block and buffer boundary there is.
var sizes = []int{0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 127, 128, 255, 256, 257, 1000, 4096, 16383, 16384, 65535, 65536, 1 << 20}

// text is n octets of which no two near places look alike.
func text(n int) []byte {
	b := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func wrapRoundtrip(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, l := range levels(d.from) {
			for _, n := range sizes {
				msg := text(n)
				tok, err := d.from.Wrap(nil, msg, l)
				if err != nil {
					r.fatalf("%s: Wrap of %d octets: %v", d.name, n, err)
				}
				if over := len(tok) - n; over > d.from.Info().Overhead || over < 0 {
					r.errorf("%s: Wrap of %d octets, %v, adds %d; Overhead is %d", d.name, n, l, over, d.from.Info().Overhead)
				}
				keep := bytes.Clone(tok)
				r.delivers(d, tok, string(msg), l)
				if !bytes.Equal(tok, keep) {
					r.errorf("%s: Unwrap changed its token", d.name)
				}
				if !bytes.Equal(msg, text(n)) {
					r.errorf("%s: Wrap changed its message", d.name)
				}
			}
		}
	}
}

// wrapConfidential looks for the message in its token.
func wrapConfidential(r *recorder) {
	p := r.establish(nil)
	if !p.i.Info().Flags.Has(gss.Conf) {
		r.notApplicable("no Conf")
	}
	for _, d := range p.both() {
		msg := text(4096)
		a, b := r.wrap(d, string(msg), gss.Confidential), r.wrap(d, string(msg), gss.Confidential)
		for at := 0; at+16 <= len(msg); at += 16 {
			if bytes.Contains(a, msg[at:at+16]) {
				r.fatalf("%s: octets of the message are readable in its token", d.name)
			}
		}
		if common(a, b) > len(msg)/2 {
			r.errorf("%s: one message wrapped twice gives nearly the same octets: a key stream is used twice", d.name)
		}
	}
	x, y := r.wrap(p.both()[0], string(text(4096)), gss.Confidential), r.wrap(p.both()[1], string(text(4096)), gss.Confidential)
	if common(x, y) > 2048 {
		r.errorf("both directions use one key stream")
	}
}

// common counts the places at which a and b are equal.
func common(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// wrapLevel: what cannot be had is refused, never weakened.
func wrapLevel(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		out, err := d.from.Wrap([]byte("dst"), []byte("hello"), gss.Level(7))
		r.refused(err, "Wrap at an unknown level", gss.BadQOP)
		if string(out) != "dst" {
			r.errorf("Wrap at an unknown level changed dst")
		}
	}
	r.alive(p)
	q := r.withFlags(gss.Integ, gss.Conf)
	if q.i.Info().Flags.Has(gss.Conf) {
		return // more than asked for is allowed
	}
	for _, d := range q.both() {
		out, err := d.from.Wrap([]byte("dst"), []byte("hello"), gss.Confidential)
		r.refused(err, "Wrap Confidential without Conf", gss.Unavailable)
		if string(out) != "dst" {
			r.errorf("Wrap Confidential without Conf changed dst")
		}
	}
	r.alive(q)
}

// Until a token's check has held, its numbers say nothing: it is not a
// duplicate, old or out of sequence, and the window does not move.
var unauthentic = []gss.Major{gss.BadMIC, gss.DefectiveToken}

// eachToken calls f with a token of every direction and level, and with how to
// check that the genuine one is still good.
func (r *recorder) eachToken(msg string, f func(d direction, tok []byte, what string)) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, l := range levels(d.from) {
			tok := r.wrap(d, msg, l)
			f(d, tok, fmt.Sprintf("a token (%v)", l))
			r.delivers(d, tok, msg, l)
		}
	}
}

func wrapTampered(r *recorder) {
	for _, msg := range []string{"", "hello"} {
		r.eachToken(msg, func(d direction, tok []byte, what string) {
			for bit := range 8 * len(tok) {
				bad := bytes.Clone(tok)
				bad[bit/8] ^= 1 << (bit % 8)
				r.withholds(d, bad, fmt.Sprintf("%s with bit %d of %d flipped", what, bit, 8*len(tok)), unauthentic...)
			}
		})
	}
}

func wrapTruncated(r *recorder) {
	for _, msg := range []string{"", "hello", string(text(100))} {
		r.eachToken(msg, func(d direction, tok []byte, what string) {
			for n := range len(tok) {
				r.withholds(d, tok[:n:n], fmt.Sprintf("%d of %d octets of %s", n, len(tok), what), unauthentic...)
			}
		})
	}
}

func wrapExtended(r *recorder) {
	r.eachToken("hello", func(d direction, tok []byte, what string) {
		for _, tail := range [][]byte{{0}, {0xff}, make([]byte, 16), tok, make([]byte, 1<<16)} {
			r.withholds(d, append(bytes.Clone(tok), tail...), fmt.Sprintf("%s and %d octets", what, len(tail)), unauthentic...)
			r.withholds(d, append(bytes.Clone(tail), tok...), fmt.Sprintf("%d octets and %s", len(tail), what), unauthentic...)
		}
	})
}

func wrapReflected(r *recorder) {
	r.eachToken("hello", func(d direction, tok []byte, what string) {
		r.withholds(direction{"reflected", d.from, d.from}, tok, what, unauthentic...)
	})
}

func wrapAnother(r *recorder) {
	other := r.establish(nil)
	r.eachToken("hello", func(d direction, tok []byte, what string) {
		for _, o := range other.both() {
			r.withholds(direction{"another context", d.from, o.to}, tok, what, unauthentic...)
		}
	})
	r.alive(other)
}

func micRoundtrip(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, n := range sizes {
			msg := text(n)
			mic, err := d.from.MIC(nil, msg)
			if err != nil {
				r.fatalf("%s: MIC of %d octets: %v", d.name, n, err)
			}
			if !bytes.Equal(msg, text(n)) {
				r.errorf("%s: MIC changed its message", d.name)
				copy(msg, text(n))
			}
			keep := bytes.Clone(mic)
			if err := d.to.VerifyMIC(msg, mic); err != nil {
				r.errorf("%s: VerifyMIC of %d octets: %v", d.name, n, err)
			}
			if !bytes.Equal(msg, text(n)) || !bytes.Equal(mic, keep) {
				r.errorf("%s: VerifyMIC changed an argument", d.name)
			}
		}
		// Tokens of both kinds share one sequence.
		l := levels(d.from)[0]
		a, b, c := r.wrap(d, "one", l), r.mic(d, "two"), r.wrap(d, "three", l)
		r.delivers(d, a, "one", l)
		if err := d.to.VerifyMIC([]byte("two"), b); err != nil {
			r.errorf("%s: VerifyMIC between Unwraps: %v", d.name, err)
		}
		r.delivers(d, c, "three", l)
	}
}

// eachMIC is eachToken for MICs.
func (r *recorder) eachMIC(f func(d direction, msg, mic []byte)) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, msg := range []string{"", "hello"} {
			mic := r.mic(d, msg)
			f(d, []byte(msg), mic)
			if err := d.to.VerifyMIC([]byte(msg), mic); err != nil {
				r.errorf("%s: VerifyMIC after forgeries: %v", d.name, err)
			}
		}
	}
}

func micTampered(r *recorder) {
	r.eachMIC(func(d direction, msg, mic []byte) {
		for bit := range 8 * len(mic) {
			bad := bytes.Clone(mic)
			bad[bit/8] ^= 1 << (bit % 8)
			r.refused(d.to.VerifyMIC(msg, bad), fmt.Sprintf("%s: a MIC with bit %d of %d flipped", d.name, bit, 8*len(mic)), unauthentic...)
		}
		for bit := range 8 * len(msg) {
			bad := bytes.Clone(msg)
			bad[bit/8] ^= 1 << (bit % 8)
			r.refused(d.to.VerifyMIC(bad, mic), fmt.Sprintf("%s: a message with bit %d flipped", d.name, bit), gss.BadMIC)
		}
		for n := range len(msg) {
			r.refused(d.to.VerifyMIC(msg[:n], mic), fmt.Sprintf("%s: %d octets of the message", d.name, n), gss.BadMIC)
		}
		r.refused(d.to.VerifyMIC(append(bytes.Clone(msg), 0), mic), d.name+": the message and an octet", gss.BadMIC)
	})
}

func micTruncated(r *recorder) {
	r.eachMIC(func(d direction, msg, mic []byte) {
		for n := range len(mic) {
			r.refused(d.to.VerifyMIC(msg, mic[:n:n]), fmt.Sprintf("%s: %d of %d octets of a MIC", d.name, n, len(mic)), unauthentic...)
		}
		for _, tail := range [][]byte{{0}, mic, make([]byte, 1<<16)} {
			r.refused(d.to.VerifyMIC(msg, append(bytes.Clone(mic), tail...)), fmt.Sprintf("%s: a MIC and %d octets", d.name, len(tail)), unauthentic...)
		}
	})
}

func micReflected(r *recorder) {
	r.eachMIC(func(d direction, msg, mic []byte) {
		r.refused(d.from.VerifyMIC(msg, mic), d.name+": a MIC, reflected", unauthentic...)
	})
}

func micAnother(r *recorder) {
	other := r.establish(nil)
	r.eachMIC(func(d direction, msg, mic []byte) {
		for _, o := range other.both() {
			r.refused(o.to.VerifyMIC(msg, mic), d.name+": a MIC of another context", unauthentic...)
		}
	})
}

// typeConfusion: no token of one kind passes as another.
func typeConfusion(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		mic := r.mic(d, "")
		r.withholds(d, mic, "a MIC of nothing", unauthentic...)
		r.withholds(d, append(bytes.Clone(mic), "hello"...), "a MIC and a message", unauthentic...)
		for _, l := range levels(d.from) {
			tok := r.wrap(d, "hello", l)
			for _, msg := range []string{"", "hello", string(tok)} {
				r.refused(d.to.VerifyMIC([]byte(msg), tok), fmt.Sprintf("%s: VerifyMIC of a token of Wrap (%v)", d.name, l), unauthentic...)
			}
			if err := d.to.VerifyMIC(nil, mic); err != nil && l == levels(d.from)[0] {
				r.errorf("%s: VerifyMIC after an attempt to unwrap it: %v", d.name, err)
			}
			r.delivers(d, tok, "hello", l)
		}
	}
}

func messageGarbage(r *recorder) {
	toks := r.tokens()
	p := r.establish(nil)
	for _, d := range p.both() {
		for what, bad := range garbage(d.to.Info().Mech) {
			r.withholds(d, bad, what, unauthentic...)
			r.refused(d.to.VerifyMIC([]byte("hello"), bad), d.name+": VerifyMIC of "+what, unauthentic...)
		}
		for _, tok := range toks {
			r.withholds(d, tok, "a token of a handshake", unauthentic...)
			r.refused(d.to.VerifyMIC(nil, tok), d.name+": VerifyMIC of a token of a handshake", unauthentic...)
		}
	}
	r.alive(p)
}

// messageConcurrent uses every method of one context at once. A token that many
// others overtook may be too old; one out of order is an error under Sequence.
func messageConcurrent(r *recorder) {
	p := r.withFlags(0, gss.Sequence)
	overtaken := []gss.Major{gss.OldToken}
	if p.i.Info().Flags.Has(gss.Sequence) {
		overtaken = append(overtaken, gss.UnseqToken, gss.GapToken)
	}
	want, err := p.i.PRF(gss.PRFFull, []byte("concurrent"), 24)
	if err != nil {
		r.fatalf("PRF: %v", err)
	}
	r.goes(8, func(g int) {
		d := p.both()[g%2]
		l := levels(d.from)[0]
		buf := make([]byte, 0, 256)
		for n := range 50 {
			msg := fmt.Sprintf("message %d of %d", n, g)
			tok, err := d.from.Wrap(buf[:0], []byte(msg), l)
			if err != nil {
				r.errorf("Wrap: %v", err)
				return
			}
			got, _, err := d.to.Unwrap(nil, tok)
			switch {
			case err != nil:
				r.refused(err, "Unwrap of one of many", overtaken...)
			case string(got) != msg:
				r.errorf("Unwrap returned another message")
			}
			mic, err := d.from.MIC(nil, []byte(msg))
			if err != nil {
				r.errorf("MIC: %v", err)
				return
			}
			if err := d.to.VerifyMIC([]byte(msg), mic); err != nil {
				r.refused(err, "VerifyMIC of one of many", overtaken...)
			}
			if k, err := d.to.PRF(gss.PRFFull, []byte("concurrent"), 24); err != nil || !bytes.Equal(k, want) {
				r.errorf("PRF: %v, or another value", err)
			}
			d.from.Info()
		}
	})
}
