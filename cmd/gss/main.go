// Command gss tries out, explains and serves the mechanisms of this module: a
// demonstration of sealed messages, sealing and unsealing of files, both sides of
// MIT's gss-sample protocol, throwaway certificates, a throwaway KDC, a token
// inspector, and measurements. Run it without arguments for its help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one of gss's. setup declares its flags on fs and returns what runs
// once they are parsed, with what remains on the command line.
type command struct {
	name  string
	args  string // synopsis, behind the name
	short string // one line
	long  string // paragraphs; flags are listed below them
	setup func(fs *flag.FlagSet) func(ctx context.Context, sh *shell, args []string) error
}

var commands = []command{
	demoCommand, sealCommand, grantCommand, presentCommand, unsealCommand,
	clientCommand, serverCommand, certCommand, kdcCommand, mechsCommand, inspectCommand, benchCommand,
}

// A shell is where a command runs: tests have their own.
type shell struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// A usageError is one of the command line: exit code 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// errShown ends a command whose output has said already what failed.
var errShown = errors.New("failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &shell{os.Stdin, os.Stdout, os.Stderr, os.Getenv}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, sh *shell, args []string) int {
	if len(args) == 0 {
		overview(sh.stderr)
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) == 0 {
			overview(sh.stdout)
			return exitOK
		}
		name, args = args[0], []string{"--help"}
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(sh.stderr, "gss: there is no command %q; \"gss help\" lists them\n", name)
		return exitUsage
	}
	return commands[i].execute(ctx, sh, args)
}

func (c *command) execute(ctx context.Context, sh *shell, args []string) int {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	do := c.setup(fs)
	rest, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(sh.stdout, fs)
		return exitOK
	}
	if err != nil {
		err = usageError(err.Error())
	} else {
		err = do(ctx, sh, rest)
	}
	if err == nil {
		return exitOK
	}
	if u, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(sh.stderr, "gss %s: %v\nUsage: gss %s %s\n\"gss help %s\" says more.\n", c.name, u, c.name, c.args, c.name)
		return exitUsage
	}
	if !errors.Is(err, errShown) {
		fmt.Fprintf(sh.stderr, "gss %s: %v\n", c.name, err)
	}
	return exitFailed
}

// parse lets flags stand behind arguments too, up to a "--".
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		flags := len(args) - fs.NArg()
		if fs.NArg() == 0 || flags > 0 && args[flags-1] == "--" {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

func overview(w io.Writer) {
	fmt.Fprint(w, `gss tries out the GSS-API for Go: authentication by Kerberos or certificates
behind one interface, and messages that stay proven while others carry them.

Usage: gss COMMAND [FLAGS] [ARGUMENTS]

Commands:
`)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, c.short)
	}
	fmt.Fprintf(tw, "  help\tsay more about a command: gss help demo\n")
	tw.Flush()
	fmt.Fprint(w, `
New here? "gss demo" needs nothing, changes nothing, and takes a second.
Exit codes: 0 success, 1 failure, 2 a mistake on the command line.
`)
}

func (c *command) help(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "Usage: gss %s %s\n\n%s\n", c.name, c.args, strings.TrimSpace(c.long))
	first := true
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(tw, "\nFlags:\n")
			first = false
		}
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			usage, value = strings.TrimPrefix(usage, value+": "), " "+value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "  %s%s%s\t%s\n", dashes, f.Name, value, usage)
	})
	tw.Flush()
}
