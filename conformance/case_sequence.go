package conformance

import (
	"fmt"

	"github.com/gsseal/gss"
)

var sequenceCases = []Case{
	{"sequence/replayed", "RFC 2743 §1.2.3", sequenceReplayed},
	{"sequence/gap", "RFC 2743 §1.2.3", sequenceGap},
	{"sequence/reordered", "RFC 2743 §1.2.3", sequenceReordered},
	{"sequence/replay-only", "RFC 2743 §1.2.3", sequenceReplayOnly},
	{"sequence/old", "RFC 2743 §1.2.3", sequenceOld},
}

// three returns three tokens in each direction, the second one a MIC.
func (r *recorder) three(d direction) (a, b, c []byte, l gss.Level) {
	l = levels(d.from)[0]
	return r.wrap(d, "zero", l), r.mic(d, "one"), r.wrap(d, "two", l), l
}

func sequenceReplayed(r *recorder) {
	p := r.establish(nil)
	if !p.i.Info().Flags.Has(gss.Replay) {
		r.notApplicable("no Replay")
	}
	for _, d := range p.both() {
		a, b, c, l := r.three(d)
		r.delivers(d, a, "zero", l)
		r.withholds(d, a, "a token again", gss.DuplicateToken)
		if err := d.to.VerifyMIC([]byte("one"), b); err != nil {
			r.errorf("%s: VerifyMIC: %v", d.name, err)
		}
		r.refused(d.to.VerifyMIC([]byte("one"), b), "VerifyMIC again", gss.DuplicateToken)
		r.delivers(d, c, "two", l)
		for range 2 {
			r.withholds(d, a, "the first token again", gss.DuplicateToken, gss.OldToken)
			r.withholds(d, c, "the last token again", gss.DuplicateToken)
		}
	}
	r.alive(p)
}

// sequenceGap leaves one out: that is reported once, and what follows is good.
func sequenceGap(r *recorder) {
	p := r.establish(nil)
	if !p.i.Info().Flags.Has(gss.Sequence) {
		r.notApplicable("no Sequence")
	}
	for _, d := range p.both() {
		l := levels(d.from)[0]
		a, _, c, after := r.wrap(d, "zero", l), r.wrap(d, "one", l), r.wrap(d, "two", l), r.wrap(d, "three", l)
		r.delivers(d, a, "zero", l)
		r.withholds(d, c, "a token after a gap", gss.GapToken)
		r.delivers(d, after, "three", l)
	}
	r.alive(p)
}

func sequenceReordered(r *recorder) {
	p := r.establish(nil)
	if !p.i.Info().Flags.Has(gss.Sequence) {
		r.notApplicable("no Sequence")
	}
	for _, d := range p.both() {
		a, b, c, l := r.three(d)
		r.delivers(d, a, "zero", l)
		r.withholds(d, c, "a token too early", gss.GapToken)
		r.refused(d.to.VerifyMIC([]byte("one"), b), "VerifyMIC too late", gss.UnseqToken, gss.OldToken)
	}
	r.alive(p)
}

// sequenceReplayOnly: without Sequence any order is good, once.
func sequenceReplayOnly(r *recorder) {
	p := r.withFlags(gss.Replay, gss.Sequence)
	if p.i.Info().Flags.Has(gss.Sequence) {
		r.notApplicable("Sequence comes unasked")
	}
	for _, d := range p.both() {
		l := levels(d.from)[0]
		var toks [][]byte
		for n := range 20 {
			toks = append(toks, r.wrap(d, fmt.Sprint(n), l))
		}
		for k := range toks {
			n := (k*7 + 3) % len(toks)
			r.delivers(d, toks[n], fmt.Sprint(n), l)
			r.withholds(d, toks[n], "a token again", gss.DuplicateToken)
		}
		for _, tok := range toks {
			r.withholds(d, tok, "a token again", gss.DuplicateToken, gss.OldToken)
		}
	}
	r.alive(p)
}

// sequenceOld keeps a token back until any window has left it behind. It may
// still be judged, but not accepted twice.
func sequenceOld(r *recorder) {
	p := r.withFlags(gss.Replay, gss.Sequence)
	for _, d := range p.both() {
		l := levels(d.from)[0]
		ordered := d.to.Info().Flags.Has(gss.Sequence)
		late := r.wrap(d, "late", l)
		var last []byte
		for n := range 5000 {
			last = r.wrap(d, "newer", l)
			if n%3 != 0 || ordered {
				continue
			}
			r.delivers(d, last, "newer", l)
		}
		if ordered {
			r.withholds(d, last, "a token after a gap", gss.GapToken)
			r.withholds(d, late, "an old token", gss.UnseqToken, gss.OldToken)
			continue
		}
		got, _, err := d.to.Unwrap(nil, late)
		if err != nil {
			r.refused(err, d.name+": an old token", gss.OldToken)
		}
		if err != nil && len(got) > 0 {
			r.errorf("%s: an old token was refused with its message", d.name)
		}
		r.withholds(d, late, "an old token again", gss.OldToken, gss.DuplicateToken)
	}
	r.alive(p)
}
