package conformance

import (
	"bytes"
	"fmt"
	"runtime"

	"github.com/gsseal/gss"
)

var dstCases = []Case{
	{"dst/append", "gss.Context", dstAppend},
	{"dst/on-error", "gss.Context", dstOnError},
	{"dst/not-kept", "gss.Context", dstNotKept},
	{"dst/allocations", "gss.Context", dstAllocations},
}

// calls are the calls that append to dst, as functions of dst alone.
func (r *recorder) calls(d direction, msg []byte) map[string]func(dst []byte) ([]byte, error) {
	m := map[string]func(dst []byte) ([]byte, error){
		"MIC": func(dst []byte) ([]byte, error) { return d.from.MIC(dst, msg) },
	}
	for _, l := range levels(d.from) {
		m[fmt.Sprintf("Wrap (%v)", l)] = func(dst []byte) ([]byte, error) { return d.from.Wrap(dst, msg, l) }
		m[fmt.Sprintf("Unwrap (%v)", l)] = func(dst []byte) ([]byte, error) {
			tok := r.wrap(d, string(msg), l)
			out, _, err := d.to.Unwrap(dst, tok)
			scribble(tok) // what was returned must not alias it
			return out, err
		}
	}
	return m
}

// dstAppend: the prefix stays, and spare capacity is used. Every call has a
// context of its own, as tokens that nobody reads are a gap to the next.
func dstAppend(r *recorder) {
	msg := text(100)
	for n, d := range r.establish(nil).both() {
		for what := range r.calls(d, msg) {
			d := r.establish(nil).both()[n]
			r.appends(d, what, msg, r.calls(d, msg)[what])
		}
	}
}

func (r *recorder) appends(d direction, what string, msg []byte, call func([]byte) ([]byte, error)) {
	for _, spare := range []int{0, 1, 50, len(msg) - 1, len(msg), len(msg) + d.from.Info().Overhead, 4096} {
		dst := append(make([]byte, 0, 6+spare), "prefix"...)
		out, err := call(dst)
		switch {
		case err != nil:
			r.errorf("%s: %s: %v", d.name, what, err)
			return
		case !bytes.HasPrefix(out, []byte("prefix")):
			r.errorf("%s: %s lost the prefix of dst", d.name, what)
		case what[:2] == "Un" && !bytes.Equal(out[6:], msg):
			r.errorf("%s: %s with %d octets to spare returned another message, or one that aliases its token", d.name, what, spare)
		case len(out) <= cap(dst) && &out[0] != &dst[0] && spare >= len(msg)+d.from.Info().Overhead:
			r.errorf("%s: %s did not use the %d octets that dst had to spare", d.name, what, spare)
		}
		if string(dst) != "prefix" {
			r.errorf("%s: %s changed the prefix of dst", d.name, what)
		}
	}
}

// dstOnError: on an error dst comes back as it was, and no message lies behind it.
func dstOnError(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, l := range levels(d.from) {
			msg := text(200)
			tok := r.wrap(d, string(msg), l)
			broken := bytes.Clone(tok)
			broken[len(broken)-1] ^= 1
			r.nothingBehind(d, broken, msg, l, "a forged token")
			r.delivers(d, tok, string(msg), l)
			if d.to.Info().Flags.Has(gss.Replay) {
				r.nothingBehind(d, tok, msg, l, "a token again")
			}
			if d.to.Info().Flags.Has(gss.Sequence) {
				r.wrap(d, "lost", l)
				r.nothingBehind(d, r.wrap(d, string(msg), l), msg, l, "a token after a gap")
			}
		}
	}
}

func (r *recorder) nothingBehind(d direction, tok, msg []byte, l gss.Level, what string) {
	const spare = 4096
	room := bytes.Repeat([]byte{0x5a}, 6+spare)
	dst := append(room[:0], "prefix"...)
	out, _, err := d.to.Unwrap(dst, tok)
	if err == nil {
		r.errorf("%s: Unwrap of %s: no error", d.name, what)
		return
	}
	if string(out) != "prefix" || &out[0] != &room[0] || cap(out) != cap(dst) {
		r.errorf("%s: Unwrap of %s did not return dst as it was", d.name, what)
	}
	for at := 0; at+8 <= len(msg); at += 8 {
		if bytes.Contains(room, msg[at:at+8]) {
			r.errorf("%s: Unwrap of %s (%v) left the message behind dst", d.name, what, l)
			return
		}
	}
}

// dstNotKept overwrites everything that a call was given, and returned, after it.
func dstNotKept(r *recorder) {
	p := r.establish(nil)
	for _, d := range p.both() {
		for _, l := range levels(d.from) {
			msg := []byte("first message")
			tok := r.wrap(d, string(msg), l)
			sent := bytes.Clone(tok)
			out, err := d.from.Wrap(make([]byte, 0, 512), msg, l)
			if err != nil {
				r.fatalf("%s: Wrap: %v", d.name, err)
			}
			next := bytes.Clone(out)
			scribble(tok)
			scribble(msg)
			scribble(out[:cap(out)])
			r.delivers(d, sent, "first message", l)
			got, _, err := d.to.Unwrap(make([]byte, 0, 512), next)
			if err != nil {
				r.errorf("%s: Unwrap: %v", d.name, err)
			}
			scribble(got[:cap(got)])
			scribble(next)
			k, _ := d.to.PRF(gss.PRFFull, []byte("kept"), 32)
			want := bytes.Clone(k)
			scribble(k[:cap(k)])
			if k, _ = d.to.PRF(gss.PRFFull, []byte("kept"), 32); !bytes.Equal(k, want) {
				r.errorf("%s: PRF changed when its result was overwritten", d.name)
			}
		}
	}
	r.alive(p)
}

// dstAllocations: into a big enough dst nothing is allocated. Other goroutines
// allocate too: it is the least of some tries that counts.
func dstAllocations(r *recorder) {
	if raceDetector {
		r.notApplicable("allocations are not counted under the race detector")
	}
	p := r.establish(nil)
	msg := text(1000)
	for _, d := range p.both() {
		tok, out := make([]byte, 0, 2048), make([]byte, 0, 2048)
		for what, call := range map[string]func() error{
			"Wrap and Unwrap": func() (err error) {
				for _, l := range []gss.Level{gss.Confidential, gss.IntegrityOnly} {
					if l == gss.Confidential && !d.from.Info().Flags.Has(gss.Conf) {
						continue
					}
					if tok, err = d.from.Wrap(tok[:0], msg, l); err == nil {
						_, _, err = d.to.Unwrap(out[:0], tok)
					}
					if err != nil {
						return err
					}
				}
				return nil
			},
			"MIC and VerifyMIC": func() (err error) {
				if tok, err = d.from.MIC(tok[:0], msg); err == nil {
					err = d.to.VerifyMIC(msg, tok)
				}
				return err
			},
		} {
			if n := allocations(r, call); n > 0 {
				r.errorf("%s: %s allocate %d times", d.name, what, n)
			}
		}
	}
}

func allocations(r *recorder, call func() error) uint64 {
	const calls = 50
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			if err := call(); err != nil {
				r.fatalf("%v", err)
			}
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.Mallocs-before.Mallocs)/calls)
	}
	return least
}
