package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A bench is something to measure.
type bench struct {
	name, short string
	run         func(ctx context.Context, b *benchFlags, note func(string)) (*benchReport, error)
}

var benches = []bench{
	{"seal", "sealing and unsealing, beside what comes next to them", benchSeal},
	{"krb5", "Kerberos, beside the MIT krb5 library that is installed", benchKrb5},
	{"reauth", "coming back: resumption, beside what establishes contexts", benchReauth},
	{"rpc", "remote procedure calls, with protection and without, and with many contexts", benchRPC},
}

var benchCommand = command{
	name:  "bench",
	args:  "[NAME] [FLAGS]",
	short: "measure this program on this machine, beside its rivals",
	long: `
Measures NAME, and prints each number beside that of a rival, measured in turns
with it in the same run: the ratio says more than either. Without NAME it lists
what there is.

    gss bench seal
    gss bench krb5 --json

Rivals written in C take a C compiler and the headers of MIT krb5 (Debian:
libkrb5-dev); without them the report says what was left out. Each ratio has an
aim, which the machine and whatever else runs on it may miss: that is said, and
is no failure.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var b benchFlags
		asJSON := fs.Bool("json", false, "print JSON")
		fs.IntVar(&b.rounds, "rounds", 101, "`N`: how often the two take turns; medians count")
		fs.DurationVar(&b.round, "round", defaultRound, "`TIME`: what a turn takes, about")
		fs.IntVar(&b.contexts, "contexts", 1e6, "`N`: contexts of a recipient who has many")
		fs.StringVar(&b.dir, "dir", ".", "`FOLDER`: what is to be durable is written there, and removed")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) == 0 {
				tw := tabwriter.NewWriter(sh.stdout, 0, 0, 3, ' ', 0)
				for _, x := range benches {
					fmt.Fprintf(tw, "%s\t%s\n", x.name, x.short)
				}
				return tw.Flush()
			}
			if b.rounds < 1 || b.round <= 0 || b.contexts < 1 {
				return usagef("--rounds, --round and --contexts are at least 1")
			}
			for _, x := range benches {
				if len(args) != 1 || x.name != args[0] {
					continue
				}
				note, done := progressNotes(sh.stderr)
				r, err := x.run(ctx, &b, note)
				done()
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(sh.stdout, r)
				}
				return r.print(sh)
			}
			return usagef("there is no bench %q; \"gss bench\" lists them", strings.Join(args, " "))
		}
	},
}

// progressNotes shows on a terminal what is being measured.
func progressNotes(w io.Writer) (note func(string), done func()) {
	if !isTerminal(w) {
		return func(string) {}, func() {}
	}
	return func(s string) { fmt.Fprintf(w, "\r\x1b[K%s …", s) }, func() { fmt.Fprint(w, "\r\x1b[K") }
}
