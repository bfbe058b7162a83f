package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/oid"
	"github.com/gsseal/gss/seal"
)

var demoCommand = command{
	name:  "demo",
	args:  "[--json] [FILE | reauth]",
	short: "watch Alice seal a file to Bob, with Carol to carry it; start here",
	long: `
Starts a Kerberos KDC and a certificate authority inside this process, gives
Alice, Bob and Carol credentials of both, and lets them talk over TCP on the
loopback interface. Alice seals FILE (or a letter that comes with the program)
to Bob; Carol, who cannot read it, carries it; Bob unseals it and verifies

    that Alice sealed it,
    that he is the intended recipient,
    that Carol was the relay,
    that it was sealed recently,
    that it is not a replay.

Copies that were tampered with, replayed, or brought by somebody else are then
refused. In the first round Alice and Bob know each other by Kerberos, and both
know Carol by certificates; in the second it is the other way round. That takes
a second or two.
` + demoReauthHelp + `
Nothing is installed, and nothing is left behind. The exit code is 0 if
everything was as it should be.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		asJSON := fs.Bool("json", false, "print JSON, at the end")
		return func(ctx context.Context, sh *shell, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("one FILE at most")
			case len(args) == 1 && args[0] == "reauth":
				return demoReauth(ctx, sh, *asJSON)
			}
			d := &demo{file: "the letter", body: demoLetter}
			if len(args) == 1 {
				var err error
				if d.body, err = readFile(args[0], maxDemoFile); err != nil {
					return err
				}
				d.file = filepath.Base(args[0])
			}
			d.demoReport.start(sh, *asJSON)
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			d.run(ctx)
			return d.demoReport.end(sh, d.demoReport)
		}
	},
}

const maxDemoFile = 64 << 20

//go:embed demo_letter.txt
var demoLetter []byte

type demo struct {
	demoReport
	file string // what to call it
	body []byte
}

// A round is who knows whom by what.
type round struct {
	title     string
	column    string
	alicebob  oid.OID // between Alice and Bob
	withCarol oid.OID // between Carol and either
}

var rounds = []round{
	{"Alice and Bob know each other by Kerberos, and Carol by certificates", "ROUND 1", oid.Krb5, oid.PKIX},
	{"Alice and Bob know each other by certificates, and Carol by Kerberos", "ROUND 2", oid.PKIX, oid.Krb5},
}

func (d *demo) run(ctx context.Context) {
	var w *world
	d.say("%s\n", d.colour.bold("Preparation"))
	err := d.step("a Kerberos KDC and a certificate authority", func() (string, error) {
		var err error
		if w, err = newWorld(); err != nil {
			return "", err
		}
		return fmt.Sprintf("realm %s on %s; credentials for %s", w.realm.Realm(), w.realm.Addr(), strings.Join(people, ", ")), nil
	})
	if err != nil {
		return
	}
	defer w.close()
	var columns []string
	for i, r := range rounds {
		d.round = i + 1
		d.say("\n%s\n", d.colour.bold(fmt.Sprintf("Round %d: %s", i+1, r.title)))
		d.playRound(ctx, w, r)
		columns = append(columns, r.column)
	}
	d.say("\n")
	d.table(columns)
	if d.OK {
		d.say("\nAll of it %s.\n", d.colour.green("held"))
	} else {
		d.say("\nNot all of it held: see %s above.\n", d.colour.red("FAILED"))
	}
}

// playRound ends early if what follows would have nothing to stand on.
func (d *demo) playRound(ctx context.Context, w *world, r round) {
	bob := newRecipient(w.person("bob"))
	alice := newOriginator(w.person("alice"), d.body)
	carol := &relay{person: w.person("carol")}
	mallory := &relay{person: w.person("mallory")}
	defer func() { bob.close(); alice.close(); carol.close(); mallory.close() }()

	if err := errors.Join(bob.listen(ctx), alice.listen(ctx)); err != nil {
		d.step("listening on the loopback interface", func() (string, error) { return "", err })
		return
	}
	if d.step("Alice and Bob prove themselves to each other", func() (string, error) {
		return alice.meet(ctx, r.alicebob, bob)
	}) != nil {
		return
	}
	if d.step("Carol and Alice prove themselves to each other", func() (string, error) {
		return carol.visit(ctx, r.withCarol, alice)
	}) != nil {
		return
	}
	if d.step("Alice seals "+d.what()+" to Bob and gives it to Carol", func() (string, error) {
		return fmt.Sprintf("%s, sealed %s that look random to all but Bob", octets(len(d.body)), octets(seal.Size(len(d.body)))), carol.fetch(ctx)
	}) != nil {
		return
	}
	if d.step("Carol and Bob prove themselves to each other", func() (string, error) {
		return carol.meet(ctx, r.withCarol, bob)
	}) != nil {
		return
	}
	var got *seal.Message
	if d.step("Carol hands it to Bob, who unseals it", func() (string, error) {
		v, err := carol.bring(ctx, nil)
		if err == nil {
			got, err = v.message, v.err
		}
		if err == nil && !bytes.Equal(got.Body, d.body) {
			err = errors.New("it is not what Alice sealed")
		}
		return octets(len(d.body)) + ", the same that Alice sealed", err
	}) != nil {
		return
	}
	d.claims(got, alice, bob, carol)

	d.refused("a copy with one bit changed is refused", gss.BadMIC, nil, func() (verdict, error) {
		return carol.bring(ctx, func(b []byte) []byte { b[len(b)/3] ^= 0x10; return b })
	})
	d.refused("a copy that comes a second time is refused", gss.DuplicateToken, nil, func() (verdict, error) {
		return carol.again(ctx)
	})
	d.refused("so it is with a new proof by Carol", gss.DuplicateToken, nil, func() (verdict, error) {
		return carol.bring(ctx, nil)
	})
	d.refused("a copy that Mallory brings is refused", gss.BadName, seal.ErrRelay, func() (verdict, error) {
		if _, err := mallory.meet(ctx, r.withCarol, bob); err != nil {
			return verdict{}, err
		}
		mallory.sent = slices.Clone(carol.sent)
		return mallory.again(ctx)
	})
}

func (d *demo) what() string {
	if len(d.file) > 20 {
		return "a file"
	}
	return d.file
}

// claims checks, one by one, what Bob may now believe.
func (d *demo) claims(m *seal.Message, alice *originator, bob *recipient, carol *relay) {
	is := func(what string, got, want gss.Name) func() (string, error) {
		return func() (string, error) {
			if got != want || want.IsZero() {
				return "", fmt.Errorf("%s is %q, not %q", what, got, want)
			}
			return got.String(), nil
		}
	}
	d.step("claim 1: Alice sealed it", is("the originator", m.Originator, alice.known))
	d.step("claim 2: Bob is the intended recipient", is("the recipient", m.Recipient, bob.known))
	d.step("claim 3: Carol was the relay", func() (string, error) {
		if !m.Claims.Has(seal.RelayByName | seal.RelayByKey) {
			return "", errors.New("the message does not say who its relay is")
		}
		return is("the relay", m.Relay, carol.known)()
	})
	d.step("claim 4: it was sealed recently", func() (string, error) {
		age := time.Since(m.SealedAt)
		if age < -time.Second || age > demoMaxAge {
			return "", fmt.Errorf("it was sealed %v ago", age)
		}
		return fmt.Sprintf("%d ms ago; Bob allows %v", max(age.Milliseconds(), 0), demoMaxAge), nil
	})
	d.step("claim 5: it is not a replay", func() (string, error) {
		if !m.Claims.Has(seal.OneTime) {
			return "", errors.New("it may be opened more than once")
		}
		return "Bob struck it: it opens this once", nil
	})
}

// refused is a step that is well if Bob refuses with the right error.
func (d *demo) refused(what string, want gss.Major, cause error, f func() (verdict, error)) {
	d.step(what, func() (string, error) {
		v, err := f()
		switch {
		case err != nil:
			return "", err
		case v.err == nil:
			return "", errors.New("it was accepted")
		case gss.MajorOf(v.err) != want || cause != nil && !errors.Is(v.err, cause):
			return "", fmt.Errorf("it was refused, but not with %s: %w", want.Symbol(), v.err)
		}
		return v.err.Error(), nil
	})
}
