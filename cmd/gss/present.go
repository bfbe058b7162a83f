package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/gsseal/gss/seal"
)

var presentCommand = command{
	name:  "present",
	args:  "--state FILE --bind TEXT | --unbound [FLAGS] GRANT | -",
	short: "as a relay, make of a grant what its recipient unseals",
	long: `
Takes what gss grant made for you and writes what you hand over: the message,
which you cannot read, and a proof that you have its relay's key. The proof is
good for five minutes, and once: present when you are about to hand it over.

    gss present --state carol.state --bind "stick 4711" -o letter grant

Where you and the recipient share a live context, a program binds the proof to
that context, so that nobody else can use it. Files have none: say what it is
bound to instead.

  --bind TEXT   Whoever unseals it has to give the same TEXT. Take what both of
                you know of this one hand-over and what differs in every other,
                such as the number of the stick, or a word agreed on by phone.
                Somebody who copies the file and hands it over elsewhere is
                refused, as long as TEXT is another there. Channel bindings (RFC
                5056) of a connection, with their prefix, serve as well.
  --unbound     It is bound to nothing: whoever gets hold of the file can be the
                first to hand it over. The recipient has to accept that.

A message that demands its relay by name (gss help seal) is handed over as it
is, if it was not granted: the recipient vouches for the name.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var p presentFlags
		fs.StringVar(&p.state, "state", "", "`FILE`: the contexts, of gss client or server --seal-state")
		fs.StringVar(&p.bind, "bind", "", "`TEXT`: what the proof is bound to")
		fs.BoolVar(&p.unbound, "unbound", false, "the proof is bound to nothing")
		fs.StringVar(&p.payload, "payload", "", "`FILE`: words of your own to the recipient, encrypted")
		fs.StringVar(&p.out, "o", "", "`OUT`: write to this file (default: standard output)")
		fs.BoolVar(&p.asJSON, "json", false, "print what was done as JSON")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 1 || (p.bind == "") != p.unbound {
				return usagef("one GRANT is due, and either --bind TEXT or --unbound")
			}
			if p.out == "" && isTerminal(sh.stdout) {
				return usagef("a sealed message is not for the eye: give -o OUT, or redirect standard output")
			}
			return p.run(ctx, sh, args[0])
		}
	},
}

type presentFlags struct {
	state, bind, payload, out string
	unbound, asJSON           bool
}

var grantOptions = seal.UnsealOptions{Data: []byte(grantData)}

// maxPayload bounds what a relay can say with a message that is no stream.
const maxPayload = 1 << 20

func (p *presentFlags) run(ctx context.Context, sh *shell, file string) error {
	var payload []byte
	var err error
	if p.payload != "" {
		if payload, err = readFile(p.payload, maxPayload); err != nil {
			return err
		}
	}
	st, err := openState(ctx, p.state)
	if err != nil {
		return err
	}
	defer st.Close()
	in, err := sh.open(ctx, file)
	if err != nil {
		return err
	}
	defer in.close()
	trial, err := st.trial(ctx, st.contexts...)
	if err != nil {
		return err
	}
	defer trial.Close()
	grant, err := openSealed(ctx, trial, in, &grantOptions)
	if err != nil {
		return adviseGrant(p.state, err)
	}
	granted, err := readGrant(grant.data)
	if err != nil {
		return adviseGrant(p.state, err)
	}
	relay, err := st.relayOf(ctx, grant)
	if err != nil {
		return err
	}
	defer relay.Close()
	st.Close()
	held, err := relay.Accept(granted)
	if err != nil {
		return err
	}
	defer held.Close()

	out, err := sh.create(p.out, 0o666, false)
	if err != nil {
		return err
	}
	defer out.discard()
	r := presentReport{From: partyOf(held.Originator()), To: partyOf(held.Recipient()), File: p.out, Bound: p.bind, Payload: len(payload)}
	r.Until, r.ProofUntil = held.NotAfter(), time.Now().Add(seal.Skew)
	presented, err := held.Present(nil, payload, seal.Channel{Bindings: []byte(p.bind), Unbound: p.unbound})
	if err != nil {
		return err
	}
	// What follows in the grant are the chunks of a stream.
	first := make([]byte, 1)
	n, err := io.ReadFull(grant.data, first)
	switch {
	case err == nil && len(payload) > seal.MaxStreamPayload:
		return fmt.Errorf("%s: more than %d octets, which is all that goes with a message in chunks", p.payload, seal.MaxStreamPayload)
	case err != nil && !errors.Is(err, io.EOF):
		return adviseGrant(p.state, err)
	}
	r.Stream = n > 0
	w := counter{Writer: out}
	if _, err := w.Write(append(presented, first[:n]...)); err != nil {
		return err
	}
	if _, err := io.Copy(&w, grant.data); err != nil {
		return adviseGrant(p.state, err)
	}
	if err := out.sync(); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	r.Octets = w.n
	return r.print(sh, p.asJSON)
}

// readGrant reads what is in a grant's file before the chunks.
func readGrant(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	g, err := io.ReadAll(io.LimitReader(r, min(n, maxGrant)))
	if err == nil && int64(len(g)) < n {
		err = io.ErrUnexpectedEOF
	}
	return g, err
}

// adviseGrant is adviseSealed for whoever has a grant.
func adviseGrant(path string, err error) error {
	if errors.Is(err, seal.ErrTruncated) || errors.Is(err, seal.ErrExpired) || errors.Is(err, seal.ErrErased) || errors.Is(err, seal.ErrNotYet) {
		return adviseSealed(path, err)
	}
	const how = `It was changed on its way, or is no grant for you: gss grant --via makes one, under a
context that is also in the state file.`
	return fmt.Errorf("%w\n%s", err, how)
}

// relayOf makes the Relay of the very context under which a grant was sealed; there
// may be several with the same peer.
func (s *state) relayOf(ctx context.Context, grant *sealedFile) (*seal.Relay, error) {
	for _, c := range slices.Backward(s.contexts) {
		if c.Peer != grant.Originator || c.Local != grant.Recipient {
			continue
		}
		r, err := s.trial(ctx, c)
		if err != nil {
			return nil, err
		}
		err = grant.again(ctx, r, &grantOptions)
		r.Close()
		if err != nil {
			continue
		}
		k, err := s.State(ctx, c.ID)
		if err != nil {
			return nil, adviseState(s.path, err)
		}
		defer k.Close()
		return k.NewRelay()
	}
	return nil, fmt.Errorf("the grant's context is not in %s any more", s.path)
}

// A presentReport is what present did.
type presentReport struct {
	From       *sealedParty `json:"from"`
	To         *sealedParty `json:"to"`
	Until      time.Time    `json:"until"`
	ProofUntil time.Time    `json:"proof_until"`
	Bound      string       `json:"bound,omitempty"` // to what; "": unbound
	Stream     bool         `json:"stream"`
	Payload    int          `json:"payload"` // octets
	Octets     int64        `json:"octets"`  // written
	File       string       `json:"file,omitempty"`
}

func (r *presentReport) print(sh *shell, asJSON bool) error {
	w := sh.beside(r.File)
	if asJSON {
		return printJSON(w, r)
	}
	bound := "to nothing: whoever has it can hand it over"
	if r.Bound != "" {
		bound = "to " + printable([]byte(r.Bound))
	}
	now := time.Now()
	facts := []fact{
		{"from", r.From.String()},
		{"to", r.To.String()},
		{"proof", "by you, " + bound},
		{"hand it over", "by " + ago(r.ProofUntil, now)},
		{"opens", "until " + ago(r.Until, now)},
	}
	if r.Payload > 0 {
		facts = append(facts, fact{"your words", octets(r.Payload)})
	}
	facts = append(facts, fact{"size", size(r.Octets)})
	if r.File != "" {
		facts = append(facts, fact{"written to", filepath.Clean(r.File)})
	}
	return printFacts(sh, w, "Presented", facts)
}
