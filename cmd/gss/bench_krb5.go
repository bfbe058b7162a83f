package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/gsseal/gss"
)

// benchKrb5 measures Kerberos beside MIT krb5: the same realm, ticket and flags,
// one thread each.
func benchKrb5(ctx context.Context, f *benchFlags, note func(string)) (*benchReport, error) {
	r := newBenchReport()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir, err := os.MkdirTemp("", "gss-bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	exe, err := compileMIT(ctx, dir)
	if err != nil {
		exe = ""
		r.LeftOut = append(r.LeftOut, err.Error())
	}
	for _, etype := range []int32{17, 18, 19, 20} {
		if err := benchKrb5Type(ctx, f, r, note, dir, exe, etype); err != nil {
			return nil, fmt.Errorf("%s: %w", etypeNames[etype], err)
		}
	}
	return r, nil
}

// benchKrb5Type measures one encryption type; without a rival (exe is ""), only what
// needs none.
func benchKrb5Type(ctx context.Context, f *benchFlags, r *benchReport, note func(string), dir, exe string, etype int32) error {
	b, err := newKrb5Bench(dir, etype)
	if err != nil {
		return err
	}
	defer b.close()
	i, a, err := b.establish(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	defer a.Close()
	name := etypeNames[etype]

	if exe != "" {
		mit, err := startMIT(ctx, exe, b)
		if err != nil {
			return err
		}
		defer mit.close()
		for _, x := range b.events(ctx, i, a) {
			note(fmt.Sprintf("%s, %s", name, x.what))
			d, err := fight(ctx, f.rounds, f.round, x.ours, mit.contender(x.command))
			if err != nil {
				return err
			}
			r.faster(name+", "+x.what, d, x.rival, x.aim)
		}
	}
	note(name + ", allocations")
	const size = 1 << 10
	n, err := allocations(1000, there(i, a, size))
	if err != nil {
		return err
	}
	r.atMost(name+", wrap and unwrap, 1 KiB", n, "allocations", 0)
	if n, err = allocations(1000, mic(i, a, 64)); err != nil {
		return err
	}
	r.atMost(name+", MIC and verify, 64 B", n, "allocations", 0)
	note(name + ", memory")
	octets, err := b.memory(ctx)
	if err != nil {
		return err
	}
	r.atMost(name+", a live context that has sent and received", octets, "octets", 2<<10)
	return nil
}

// An event is what both do in turns.
type krb5Event struct {
	what, command, rival string
	aim                  float64
	ours                 contender
}

func (b *krb5Bench) events(ctx context.Context, i, a gss.Context) []krb5Event {
	sha2 := b.etype >= 19
	either := func(sha1Aim, sha2Aim float64) float64 {
		if sha2 {
			return sha2Aim
		}
		return sha1Aim
	}
	const mit = "MIT krb5"
	var all []krb5Event
	for _, s := range []struct {
		name string
		n    int
		aim  float64
	}{{"64 B", 64, 3}, {"1 KiB", 1 << 10, 3}, {"64 KiB", 64 << 10, 3}, {"1 MiB", 1 << 20, either(3, 2.5)}} {
		all = append(all, krb5Event{"wrap and unwrap, " + s.name, fmt.Sprint("wrap ", s.n), mit, s.aim, timed(there(i, a, s.n))})
	}
	return append(all,
		krb5Event{"MIC and verify, 64 B", "mic 64", mit, either(2, 3), timed(mic(i, a, 64))},
		krb5Event{"PRF, 32 B", "prf 32", mit, either(2, 3), timed(prf(i, 32))},
		krb5Event{"establishment, both sides", "establish file", mit + ", ccache and replay cache in files", either(5, 3.5), b.handshakes(ctx)},
		krb5Event{"establishment, both sides, all in memory", "establish memory", mit + ", all in memory, no replay cache", 2.5, b.handshakes(ctx)},
	)
}

// there wraps n octets and unwraps them.
func there(i, a gss.Context, n int) func() error {
	msg := make([]byte, n)
	tok, got := make([]byte, 0, n+i.Info().Overhead), make([]byte, 0, n+i.Info().Overhead)
	return func() error {
		tok, err := i.Wrap(tok, msg, gss.Confidential)
		if err == nil {
			_, _, err = a.Unwrap(got, tok)
		}
		return err
	}
}

func mic(i, a gss.Context, n int) func() error {
	msg, tok := make([]byte, n), make([]byte, 0, i.Info().Overhead)
	return func() error {
		tok, err := i.MIC(tok, msg)
		if err == nil {
			err = a.VerifyMIC(msg, tok)
		}
		return err
	}
}

func prf(i gss.Context, n int) func() error {
	in := make([]byte, n)
	return func() error {
		_, err := i.PRF(gss.PRFFull, in, 32)
		return err
	}
}

// handshakes makes both ends of a context and closes them.
func (b *krb5Bench) handshakes(ctx context.Context) contender {
	return timed(func() error {
		i, a, err := b.establish(ctx)
		if err != nil {
			return err
		}
		i.Close()
		return a.Close()
	})
}

// memory returns the octets that one end keeps alive which has sent and received a
// sealed message, without what two ends share.
func (b *krb5Bench) memory(ctx context.Context) (float64, error) {
	const n = 2000
	ends := make([]gss.Context, 0, 2*n)
	defer func() {
		for _, c := range ends {
			c.Close()
		}
	}()
	before := heap()
	for range n {
		i, a, err := b.establish(ctx)
		if err != nil {
			return 0, err
		}
		ends = append(ends, i, a)
		for _, pair := range [][2]gss.Context{{i, a}, {a, i}} {
			if err := there(pair[0], pair[1], 64)(); err != nil {
				return 0, err
			}
		}
	}
	return (heap() - before) / (2 * n), nil
}
