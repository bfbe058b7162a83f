package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gsseal/gss/seal"
)

var sealCommand = command{
	name:  "seal",
	args:  "--state FILE [FLAGS] FILE | -",
	short: "seal a file to somebody you met, for others to carry",
	long: `
Seals FILE (or standard input, "-") to the peer of a context, and nobody else
can read it, or see who sealed it or for whom. The peer unseals it with gss
unseal, from whatever brought it: a stick, a mailbox, a third host.

    gss client --seal-state alice.state localhost host@localhost hello
    gss seal --state alice.state -o letter.sealed letter.txt

The state file has what sealing needs of each context: "gss client" and "gss
server" add theirs with --seal-state FILE, one at each end. Who reads it can be
you to your peers, and your peers to you: keep it as you keep a private key.

--relay NAME says who has to hand the message over, by the name under which the
recipient knows that person: a Kerberos principal, carol@EXAMPLE.ORG, or what a
certificate says, mail:carol@example.org, svc:post@host.example.org (gss server
prints such names). To let a relay prove it by a key instead: gss help grant.

What is longer than 1 MiB, or comes with --stream, is sealed in chunks, and
neither side has to hold it in memory; gss unseal finds out by itself.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var f sealFlags
		f.declare(fs)
		fs.StringVar(&f.to, "to", "", "`NAME`: the peer to seal to (default: the only one there is)")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 1 {
				return usagef("one FILE is due, or \"-\"")
			}
			return f.run(ctx, sh, args[0], f.seal)
		}
	},
}

// sealFlags are those of seal and grant.
type sealFlags struct {
	state, to, via, relay, out string
	oneTime, stream, asJSON    bool
	lifetime                   time.Duration
}

func (f *sealFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.state, "state", "", "`FILE`: the contexts, of gss client or server --seal-state")
	fs.StringVar(&f.relay, "relay", "", "`NAME`: who has to hand it over, as the recipient knows that person")
	fs.BoolVar(&f.oneTime, "one-time", false, "it opens once")
	fs.DurationVar(&f.lifetime, "lifetime", time.Hour, "`TIME`: how long it can be opened, up to 168h")
	fs.BoolVar(&f.stream, "stream", false, "seal in chunks, however short it is")
	fs.StringVar(&f.out, "o", "", "`OUT`: write to this file (default: standard output)")
	fs.BoolVar(&f.asJSON, "json", false, "print what was done as JSON")
}

// streamOver is the most octets of a body that is not sealed in chunks.
const streamOver = 1 << 20

// run opens everything, lets do seal from in to out, and says what was done.
func (f *sealFlags) run(ctx context.Context, sh *shell, file string, do func(context.Context, *sealJob) error) error {
	o := seal.Options{Lifetime: f.lifetime, OneTime: f.oneTime}
	if f.lifetime < time.Millisecond || f.lifetime > seal.MaxLifetime {
		return usagef("--lifetime is from 1ms to 168h")
	}
	if f.relay != "" {
		var err error
		if o.Relay, err = parseName(f.relay); err != nil {
			return err
		}
	}
	if f.out == "" && isTerminal(sh.stdout) {
		return usagef("a sealed message is not for the eye: give -o OUT, or redirect standard output")
	}
	st, err := openState(ctx, f.state)
	if err != nil {
		return err
	}
	defer st.Close()
	in, err := sh.open(ctx, file)
	if err != nil {
		return err
	}
	defer in.close()
	mode := os.FileMode(0o666)
	if f.via != "" {
		mode = 0o600 // for one person
	}
	out, err := sh.create(f.out, mode, false)
	if err != nil {
		return err
	}
	defer out.discard()

	j := &sealJob{state: st, options: o, out: out}
	j.report = sealReport{OneTime: f.oneTime, Relay: partyOf(o.Relay), File: f.out}
	j.count.Writer = out
	// What fits is read at once, so that a short body is never sealed in chunks.
	if j.body, err = io.ReadAll(io.LimitReader(in, streamOver+1)); err != nil {
		return err
	}
	j.report.Stream = f.stream || len(j.body) > streamOver
	read := &counter{Reader: io.MultiReader(bytes.NewReader(j.body), in)}
	j.in = read
	j.report.Until = time.Now().Add(f.lifetime)
	if err := do(ctx, j); err != nil {
		return err
	}
	if err := out.sync(); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	j.report.Octets, j.report.Sealed = int64(len(j.body)), j.count.n
	if j.report.Stream {
		j.report.Octets = read.n
	}
	return j.report.print(sh, f.asJSON)
}

// A sealJob is one file on its way.
type sealJob struct {
	state   *state
	options seal.Options
	body    []byte    // all of it, if it is not to be a stream
	in      io.Reader // all of it
	out     *output
	count   counter // what goes to out
	report  sealReport
}

// sender makes the Sender of the context with the peer that flag names.
func (j *sealJob) sender(ctx context.Context, flag, name string) (*seal.Sender, error) {
	c, err := j.state.pick(flag, name)
	if err != nil {
		return nil, err
	}
	s, err := j.state.State(ctx, c.ID)
	if err != nil {
		return nil, adviseState(j.state.path, err)
	}
	defer s.Close()
	return s.NewSender()
}

func (f *sealFlags) seal(ctx context.Context, j *sealJob) error {
	s, err := j.sender(ctx, "--to", f.to)
	if err != nil {
		return err
	}
	defer s.Close()
	j.report.From, j.report.To = partyOf(s.Originator()), partyOf(s.Recipient())
	j.state.Close() // others may want it while this goes on
	if !j.report.Stream {
		m, err := s.Seal(nil, j.body, &j.options)
		if err != nil {
			return err
		}
		_, err = j.count.Write(m)
		return err
	}
	w, err := s.SealStream(&j.count, &j.options)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, j.in); err != nil {
		return err
	}
	return w.Close()
}

// A counter counts what passes.
type counter struct {
	io.Reader
	io.Writer
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}

// A sealReport is what seal and grant did.
type sealReport struct {
	From    *sealedParty `json:"from"`
	To      *sealedParty `json:"to"`
	Via     *sealedParty `json:"via,omitempty"` // whose key the relay's is
	Relay   *sealedParty `json:"relay,omitempty"`
	OneTime bool         `json:"one_time"`
	Stream  bool         `json:"stream"`
	Until   time.Time    `json:"until"`
	Octets  int64        `json:"octets"` // of the body
	Sealed  int64        `json:"sealed"` // octets written
	File    string       `json:"file,omitempty"`
}

func (r *sealReport) print(sh *shell, asJSON bool) error {
	w := sh.beside(r.File)
	if asJSON {
		return printJSON(w, r)
	}
	title := "Sealed"
	if r.Via != nil {
		title = "Sealed and granted"
	}
	once := "as often as it comes"
	if r.OneTime {
		once = "once"
	}
	facts := []fact{
		{"from", r.From.String()},
		{"to", r.To.String()},
		{"relay", r.Relay.String()},
		{"relay's key", r.Via.String()},
		{"opens", once + ", until " + ago(r.Until, time.Now())},
		{"body", size(r.Octets)},
		{"sealed", size(r.Sealed)},
	}
	if r.File != "" {
		facts = append(facts, fact{"written to", filepath.Clean(r.File)})
	}
	return printFacts(sh, w, title, facts)
}
