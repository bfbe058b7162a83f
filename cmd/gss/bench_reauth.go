package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/mechs/pkix/pkixtest"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/strike"
)

// benchReauth measures resumptions: both sides, one thread, each of one round trip that a
// strike store vouches for, and with the next ticket. Where the system tells it, time is
// the processor's, so that it matters less what else the machine does.
func benchReauth(ctx context.Context, f *benchFlags, note func(string)) (*benchReport, error) {
	r := newBenchReport()
	for _, part := range []func(context.Context, *benchFlags, *benchReport, func(string)) error{
		benchReauthKrb5, benchReauthPKIX, benchReauthMemory,
	} {
		if err := part(ctx, f, r, note); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// A returning is a client that comes back to a server.
type returning struct {
	client, server *reauth.Mech
	target         gss.Name
	init           *gss.InitOptions
	accept         *gss.AcceptOptions
	confirm        bool // there is no store: a third token
}

// newReturning establishes the first context in full.
func newReturning(ctx context.Context, client, server gss.Mechanism, r returning, group reauth.Group) (*returning, error) {
	var o reauth.Options
	if !r.confirm {
		o.Store = strike.NewMemory(strike.MemoryOptions{Entries: 1 << 24})
		time.Sleep(2 * time.Millisecond) // times on the wire are milliseconds: it vouches from the next on
	}
	r.client, r.server = reauth.New(client, reauth.Options{Group: group}), reauth.New(server, o)
	i, a, err := establish(ctx, r.client, r.server, r)
	if err != nil {
		return nil, err
	}
	return &r, errors.Join(i.Close(), a.Close())
}

// establish makes both ends of a context, which the caller closes.
func establish(ctx context.Context, client, server gss.Mechanism, r returning) (i, a gss.Context, err error) {
	ih, err := client.Initiate(r.target, r.init)
	if err != nil {
		return nil, nil, err
	}
	defer ih.Close()
	ah, err := server.Accept(r.accept)
	if err != nil {
		return nil, nil, err
	}
	defer ah.Close()
	var tok []byte
	for err == nil && (i == nil || a == nil) {
		if i == nil {
			tok, i, err = ih.Step(ctx, tok)
		}
		if err == nil && a == nil {
			tok, a, err = ah.Step(ctx, tok)
		}
	}
	if err != nil {
		for _, sc := range []gss.Context{i, a} {
			if sc != nil {
				sc.Close()
			}
		}
		return nil, nil, err
	}
	return i, a, nil
}

var errNotResumed = errors.New("not resumed as it should be")

// again resumes. The caller closes both.
func (r *returning) again(ctx context.Context) (i, a gss.Context, err error) {
	ih, err := r.client.Initiate(r.target, r.init)
	if err != nil {
		return nil, nil, err
	}
	defer ih.Close()
	ah, err := r.server.Accept(r.accept)
	if err != nil {
		return nil, nil, err
	}
	defer ah.Close()
	there, _, err := ih.Step(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	back, a, err := ah.Step(ctx, there)
	if err != nil {
		return nil, nil, err
	}
	there, i, err = ih.Step(ctx, back)
	if err == nil && r.confirm && a == nil {
		_, a, err = ah.Step(ctx, there)
	}
	if err != nil {
		return nil, nil, err
	}
	if _, ok := a.(*reauth.Context); !ok || i == nil || (len(there) > 0) != r.confirm {
		return nil, nil, errNotResumed
	}
	return i, a, nil
}

// onCPU is timed, but the time is what this process took of the processors.
func onCPU(once func() error) contender {
	wall := timed(once)
	return func(n int) (time.Duration, error) {
		before, _ := ownCPU()
		t, err := wall(n)
		if after, ok := ownCPU(); ok {
			t = after - before
		}
		return t, err
	}
}

// onCPU is a contender of the rival's, which has one thread, by what it took of the processors.
func (r *mitRival) onCPU(what string) contender {
	wall := r.contender(what)
	return func(n int) (time.Duration, error) {
		before, _ := threadCPU(r.cmd.Process.Pid)
		t, err := wall(n)
		if after, ok := threadCPU(r.cmd.Process.Pid); ok {
			t = after - before
		}
		return t, err
	}
}

func (r *returning) contender(ctx context.Context) contender {
	return onCPU(func() error {
		i, a, err := r.again(ctx)
		if err != nil {
			return err
		}
		return errors.Join(i.Close(), a.Close())
	})
}

// beside adds a row about time that has no aim.
func (r *benchReport) beside(what string, d duel, rival string) {
	ratio, theirs := 1/d.ratio, d.rival*1e6
	r.Rows = append(r.Rows, benchRow{What: what, Ours: d.ours * 1e6, Rival: &theirs, RivalIs: rival, Unit: "µs", Ratio: &ratio, Aim: "none", OK: true})
}

const resumeWhat = "resume, both sides"

// benchReauthKrb5 resumes what Kerberos established, beside Kerberos with a cached ticket.
func benchReauthKrb5(ctx context.Context, f *benchFlags, r *benchReport, note func(string)) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir, err := os.MkdirTemp("", "gss-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const etype = 18 // what MIT krb5 and Active Directory use unless they are told otherwise
	b, err := newKrb5Bench(dir, etype)
	if err != nil {
		return err
	}
	defer b.close()
	back, err := newReturning(ctx, b.mech, b.mech, returning{target: b.target, init: b.initOptions, accept: b.acceptOptions}, reauth.NoShare)
	if err != nil {
		return err
	}
	exe, err := compileMIT(ctx, dir)
	if err != nil {
		r.LeftOut = append(r.LeftOut, "MIT krb5 beside it: "+err.Error())
	} else {
		mit, err := startMIT(ctx, exe, b)
		if err != nil {
			return err
		}
		defer mit.close()
		for _, x := range []struct {
			command, rival string
			aim            float64
		}{
			{"establish file", "MIT krb5, cached ticket; ccache and replay cache in files", 5},
			{"establish memory", "MIT krb5, cached ticket; all in memory, no replay cache", 3},
		} {
			note(x.rival)
			d, err := fight(ctx, f.rounds, f.round, back.contender(ctx), mit.onCPU(x.command))
			if err != nil {
				return err
			}
			r.faster(resumeWhat, d, x.rival+"; "+etypeNames[etype], x.aim)
		}
	}
	note("our krb5")
	d, err := fight(ctx, f.rounds, f.round, back.contender(ctx), onCPU(func() error {
		i, a, err := b.establish(ctx)
		if err != nil {
			return err
		}
		return errors.Join(i.Close(), a.Close())
	}))
	if err != nil {
		return err
	}
	r.beside(resumeWhat, d, "our krb5, cached ticket; "+etypeNames[etype])
	return nil
}

// A certified is two parties with certificates of one authority.
type certified struct {
	ca             *pkixtest.CA
	client, server tls.Certificate // for TLS
	iPKIX, aPKIX   *pkix.Mechanism
}

func newCertified() (*certified, error) {
	c := &certified{ca: pkixtest.NewCA("bench root")}
	user, host := pkixtest.Template{Emails: []string{"user@example.org"}}, pkixtest.Template{DNS: []string{"localhost"}}
	for _, x := range []struct {
		who pkixtest.Template
		out **pkix.Mechanism
	}{{user, &c.iPKIX}, {host, &c.aPKIX}} {
		cred, err := pkix.FromTLS(c.ca.Issue(x.who))
		if err != nil {
			return nil, err
		}
		if *x.out, err = pkix.New(pkix.Config{Roots: c.ca.Pool(), Credential: cred}); err != nil {
			return nil, err
		}
	}
	// crypto/tls does not parse our extended key usages.
	user.EKUs, host.EKUs = []oid.OID{oid.MustParse("1.3.6.1.5.5.7.3.2")}, []oid.OID{oid.MustParse("1.3.6.1.5.5.7.3.1")}
	c.client, c.server = c.ca.Issue(user), c.ca.Issue(host)
	return c, nil
}

// benchReauthPKIX resumes what certificates established, beside a handshake with them, and
// a resumption of TLS.
func benchReauthPKIX(ctx context.Context, f *benchFlags, r *benchReport, note func(string)) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c, err := newCertified()
	if err != nil {
		return err
	}
	target := returning{target: gss.Service("host", "localhost")}
	plain, err := newReturning(ctx, c.iPKIX, c.aPKIX, target, reauth.NoShare)
	if err != nil {
		return err
	}
	shared, err := newReturning(ctx, c.iPKIX, c.aPKIX, target, reauth.X25519)
	if err != nil {
		return err
	}
	note("our pkix")
	d, err := fight(ctx, f.rounds, f.round, plain.contender(ctx), onCPU(func() error {
		i, a, err := establish(ctx, c.iPKIX, c.aPKIX, target)
		if err != nil {
			return err
		}
		return errors.Join(i.Close(), a.Close())
	}))
	if err != nil {
		return err
	}
	r.faster(resumeWhat, d, "our pkix; X25519MLKEM768, Ed25519 certificates", 30)
	t := c.newTLSReturning(tls.X25519)
	if err := t.again(); err != nil {
		return err
	}
	note("TLS")
	if d, err = fight(ctx, f.rounds, f.round, plain.contender(ctx), onCPU(t.again)); err != nil {
		return err
	}
	const rival = "crypto/tls 1.3, PSK; X25519, as TLS always has a share"
	r.faster(resumeWhat, d, rival, 5)
	note("TLS, and a share")
	if d, err = fight(ctx, f.rounds, f.round, shared.contender(ctx), onCPU(t.again)); err != nil {
		return err
	}
	r.beside(resumeWhat+", with an X25519 share", d, rival)
	return nil
}

// benchReauthMemory looks at what many resumed contexts of an acceptor take, each of which
// has sent and received.
func benchReauthMemory(ctx context.Context, f *benchFlags, r *benchReport, note func(string)) error {
	c, err := newCertified()
	if err != nil {
		return err
	}
	back, err := newReturning(ctx, c.iPKIX, c.aPKIX, returning{target: gss.Service("host", "localhost"), confirm: true}, reauth.NoShare)
	if err != nil {
		return err
	}
	n := min(f.contexts, 100_000)
	live := make([]gss.Context, 0, n)
	defer func() {
		for _, a := range live {
			a.Close()
		}
	}()
	before := heap()
	for len(live) < n {
		if len(live)%1000 == 0 {
			note(fmt.Sprintf("%d contexts: %s", n, bar(float64(len(live))/float64(n), 24)))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		i, a, err := back.again(ctx)
		if err != nil {
			return err
		}
		live = append(live, a)
		for _, do := range []func() error{there(i, a, 64), there(a, i, 64), mic(i, a, 64), mic(a, i, 64)} {
			if err := do(); err != nil {
				return err
			}
		}
		i.Close()
	}
	r.atMost(fmt.Sprintf("memory for each of %d resumed contexts that have sent and received", n), (heap()-before)/float64(n), "octets", 1536)
	return nil
}
