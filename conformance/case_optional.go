package conformance

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
)

var optionalCases = []Case{
	{"optional/claim", "gss.Claimer", optionalClaim},
	{"optional/export", "RFC 2743 §2.2.8, §2.2.9", optionalExport},
	{"optional/delegated", "RFC 2743 §1.2.6", optionalDelegated},
	{"optional/aead", "gss.AEADContext", optionalAEAD},
	{"optional/canonicalize", "RFC 2743 §2.4.14", optionalCanonicalize},
	{"optional/attributes", "RFC 5587 §3.2", optionalAttributes},
}

func optionalClaim(r *recorder) {
	p := r.establish(nil)
	for side, sc := range []gss.Context{p.i, p.a} {
		c, ok := sc.(gss.Claimer)
		if !ok {
			r.notApplicable("no Claimer")
		}
		var won atomic.Int32
		r.goes(8, func(int) {
			if c.Claim("conformance 1") {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			r.errorf("side %d: of 8 who claim one label at once, %d are first", side, won.Load())
		}
		if c.Claim("conformance 1") || !c.Claim("conformance 2") || c.Claim("conformance 2") || !c.Claim("") {
			r.errorf("side %d: Claim is not true exactly once for each label", side)
		}
	}
}

// importer finds who imports contexts of mech, inside stacks too.
func importer(m gss.Mechanism, mech oid.OID, depth int) gss.Importer {
	if im, ok := m.(gss.Importer); ok && m.OID() == mech {
		return im
	}
	if st, ok := m.(gss.Stack); ok && depth < 8 {
		for _, in := range st.Inner() {
			if im := importer(in, mech, depth+1); im != nil {
				return im
			}
		}
	}
	return nil
}

func optionalExport(r *recorder) {
	for side := range 2 {
		p := r.establish(nil)
		sc, m := p.i, r.s.Initiator
		if side == 1 {
			sc, m = p.a, r.s.Acceptor
		}
		e, ok := sc.(gss.Exporter)
		im := importer(m, sc.Info().Mech, 0)
		if !ok || im == nil {
			r.notApplicable("no Exporter and Importer")
		}
		info := sc.Info()
		d := p.both()[1-side]
		l := levels(d.from)[0]
		first, second := r.wrap(d, "before", l), r.wrap(d, "across", l)
		r.delivers(d, first, "before", l)
		want, _ := sc.PRF(gss.PRFFull, []byte("export"), 32)
		state, err := e.Export()
		if err != nil {
			r.refused(err, "Export", gss.Unavailable)
			if info.Flags.Has(gss.Trans) {
				r.errorf("Trans, but Export fails: %v", err)
			}
			r.alive(p)
			r.notApplicable("Export is Unavailable")
		}
		_, err = sc.Wrap(nil, nil, gss.IntegrityOnly)
		r.refused(err, "Wrap after Export", gss.NoContext)
		back, err := im.Import(state)
		if err != nil {
			r.fatalf("Import: %v", err)
		}
		r.cleanup(func() { back.Close() })
		if back.Info() != info {
			r.errorf("Info changed on its way: %+v, %+v", info, back.Info())
		}
		if c, ok := back.(gss.Claimer); ok && c.Claim("conformance import") {
			r.errorf("Claim is true on an imported context")
		}
		if got, _ := back.PRF(gss.PRFFull, []byte("export"), 32); string(got) != string(want) {
			r.errorf("PRF changed on its way")
		}
		q := pair{back, p.a}
		if side == 1 {
			q = pair{p.i, back}
		}
		d.to = back
		r.delivers(d, second, "across", l)
		if info.Flags.Has(gss.Replay) {
			r.withholds(d, first, "a token from before the export", gss.DuplicateToken, gss.OldToken)
		}
		r.alive(q)
		if again, err := im.Import(state); err == nil {
			again.Close()
			r.errorf("one state was imported twice: both contexts use the same nonces")
		} else {
			r.refused(err, "Import of one state twice")
		}
		for n := range state {
			if sc, err := im.Import(state[:n:n]); err == nil {
				sc.Close()
				r.errorf("Import of %d of %d octets: no error", n, len(state))
			} else {
				r.refused(err, "Import of a part of a state")
			}
		}
		for what, bad := range garbage(info.Mech) {
			if sc, err := im.Import(bad); err == nil {
				sc.Close()
				r.errorf("Import of %s: no error", what)
			} else {
				r.refused(err, "Import of "+what)
			}
		}
	}
}

func optionalDelegated(r *recorder) {
	p := r.establish(nil)
	if p.a.Info().Flags.Has(gss.Deleg) {
		r.notApplicable("the Setup delegates")
	}
	d, ok := p.a.(gss.Delegator)
	if !ok {
		r.notApplicable("no Delegator")
	}
	c, err := d.Delegated()
	r.refused(err, "Delegated without delegation", gss.NoCred)
	if err == nil && c != nil {
		c.Close()
	}
}

func optionalAEAD(r *recorder) {
	p := r.establish(nil)
	if _, ok := p.i.(gss.AEADContext); !ok {
		r.notApplicable("no AEADContext")
	}
	for _, dir := range p.both() {
		from, ok := dir.from.(gss.AEADContext)
		to, ok2 := dir.to.(gss.AEADContext)
		if !ok || !ok2 {
			r.fatalf("one side only is an AEADContext")
		}
		for _, l := range levels(dir.from) {
			for _, ad := range [][]byte{nil, []byte("associated"), text(5000)} {
				tok, err := from.WrapAEAD([]byte("dst"), []byte("hello"), ad, l)
				if err != nil || !strings.HasPrefix(string(tok), "dst") {
					r.fatalf("%s: WrapAEAD: %v, or dst is lost", dir.name, err)
				}
				tok = tok[3:]
				for _, bad := range [][]byte{append(slices.Clone(ad), 0), slices.Concat([]byte{0}, ad), []byte("hello")} {
					out, _, err := to.UnwrapAEAD([]byte("dst"), tok, bad)
					r.refused(err, dir.name+": UnwrapAEAD with other data", gss.BadMIC)
					if string(out) != "dst" {
						r.errorf("%s: UnwrapAEAD with other data returned something", dir.name)
					}
				}
				if len(ad) > 0 {
					r.withholds(dir, tok, "a token with associated data", gss.BadMIC, gss.DefectiveToken)
				}
				out, gotLevel, err := to.UnwrapAEAD([]byte("dst"), tok, ad)
				if err != nil || string(out) != "dsthello" || gotLevel != l {
					r.errorf("%s: UnwrapAEAD: %v, or another message or level", dir.name, err)
				}
			}
		}
	}
	r.alive(p)
}

func optionalCanonicalize(r *recorder) {
	c, ok := r.s.Initiator.(gss.Canonicalizer)
	if !ok {
		r.notApplicable("no Canonicalizer")
	}
	names := map[string]gss.Name{
		"the target": r.s.Target, "nothing": {}, "a name type of nobody": {Type: oid.Arc + "\x7f", Text: "x"},
		"a NUL": gss.User("a\x00b"), "no UTF-8": gss.User("a\xff"), "an empty user": gss.User(""), "64 KiB": gss.User(strings.Repeat("a", 1<<16)),
		"separators": gss.User("a/b@c@d"), "escapes": gss.User(`a\/b\@c`), "a user": gss.User("alice"), "a service": gss.Service("host", "files.example.org"),
		"another's name": {Mech: oid.Arc + "\x7f", Text: "x"},
	}
	seen := map[gss.Name]gss.Name{}
	for what, n := range names {
		mn, err := c.Canonicalize(r.ctx, n)
		if err != nil {
			r.refused(err, "Canonicalize of "+what)
			if what == "the target" {
				r.errorf("the target has no canonical name: %v", err)
			}
			continue
		}
		if mn.Mech == "" || mn.Type != "" || mn.Text == "" {
			r.errorf("Canonicalize of %s is no mechanism name: %+v", what, mn)
			continue
		}
		if again, err := c.Canonicalize(r.ctx, mn); err != nil || again != mn {
			r.errorf("Canonicalize of %s twice gives another name: %v", what, err)
		}
		if other, dup := seen[mn]; dup && other != r.s.Target && n != r.s.Target {
			r.errorf("%v and %v have one canonical name", other, n)
		}
		seen[mn] = n
		if n.Mech == oid.Arc+"\x7f" {
			r.errorf("another mechanism's name was taken")
		}
	}
}

// optionalAttributes compares what a mechanism says of itself with what it does.
func optionalAttributes(r *recorder) {
	d, ok := r.s.Initiator.(gss.Described)
	if !ok {
		r.notApplicable("the mechanism is not Described")
	}
	attrs := d.Attributes()
	for n, a := range attrs {
		if info, known := oid.Describe(a); !known || !strings.HasPrefix(info.Name, "GSS_C_MA_") {
			r.errorf("%v is no attribute of RFC 5587", a)
		}
		if slices.Contains(attrs[:n], a) {
			r.errorf("%v is listed twice", a)
		}
	}
	attrs[0] = "\x00" // the caller's own copy
	if attrs = d.Attributes(); attrs[0] == "\x00" {
		r.fatalf("Attributes hands out its own slice")
	}
	kinds := 0
	for _, k := range []oid.OID{oid.MAMechConcrete, oid.MAMechPseudo, oid.MAMechComposite, oid.MAMechNego, oid.MAMechGlue, oid.MANotMech} {
		if slices.Contains(attrs, k) {
			kinds++
		}
	}
	if kinds == 0 {
		r.errorf("neither concrete nor anything else: no attribute says what kind of mechanism it is")
	}
	if !slices.Contains(attrs, oid.MAMechConcrete) {
		return // what a pseudo-mechanism can do is the inner mechanism's matter
	}
	p := r.establish(nil)
	for f, a := range map[gss.Flags]oid.OID{gss.Conf: oid.MAConfProt, gss.Integ: oid.MAIntegProt, gss.Mutual: oid.MAAuthTarg,
		gss.Replay: oid.MAReplayDet, gss.Sequence: oid.MAOOSDet, gss.Trans: oid.MACtxTrans} {
		if p.i.Info().Flags.Has(f) && !slices.Contains(attrs, a) {
			r.errorf("a context has %v, and %v is not among the attributes", f, a)
		}
	}
}
