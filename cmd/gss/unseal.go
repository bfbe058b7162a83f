package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/gsseal/gss/seal"
)

var unsealCommand = command{
	name:  "unseal",
	args:  "--state FILE [FLAGS] FILE | -",
	short: "unseal a file: who sealed it, when, who carried it, and what it says",
	long: `
Opens what the peer of a context in the state file sealed, with gss seal or a
program; verifies what the message claims and what you require; prints what was
verified and writes the body. Nothing appears before everything is verified: OUT
is there whole or not at all, and a message that opens once is not used up by a
damaged copy.

    gss unseal --state bob.state -o letter.txt letter.sealed
    gss unseal --state bob.state --require one-time,relay --max-age 24h \
               --relay mail:carol@example.org letter.sealed >letter.txt

Without -o the body goes to standard output, and the table to standard error.

Who handed it over? A file does not say, but you may know:

  --relay NAME  You vouch that NAME brought it; this program cannot check that.
                Where the message says who has to, it opens only if it is NAME.
  --bind TEXT   Its relay proved to have the key that gss grant gave him, for a
                hand-over that both of you call TEXT: see gss help present.
  --unbound     Accept such a proof that is bound to nothing, which could have
                been copied on its way by whoever brings it now.

Claims to require: one-time, relay (it names its relay, and you do, too),
relay-key (its relay proved to have its key), stream. Exit code 1: refused.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		var u unsealFlags
		fs.StringVar(&u.state, "state", "", "`FILE`: the contexts, of gss client or server --seal-state")
		fs.StringVar(&u.from, "from", "", "`NAME`: only from this originator")
		fs.StringVar(&u.relay, "relay", "", "`NAME`: who handed it over; you vouch for that")
		fs.StringVar(&u.bind, "bind", "", "`TEXT`: what its relay's proof is bound to")
		fs.BoolVar(&u.unbound, "unbound", false, "accept a proof that is bound to nothing")
		fs.StringVar(&u.require, "require", "", "`CLAIMS`: refuse what does not claim these, separated by commas")
		fs.DurationVar(&u.maxAge, "max-age", 0, "`TIME`: refuse what was sealed longer ago")
		fs.BoolVar(&u.strike, "once", false, "unseal it once, even if it could be opened again")
		fs.StringVar(&u.out, "o", "", "`OUT`: write the body to this file (default: standard output)")
		fs.StringVar(&u.payload, "payload", "", "`OUT`: write what its relay added to this file")
		fs.BoolVar(&u.asJSON, "json", false, "print what was verified as JSON")
		return func(ctx context.Context, sh *shell, args []string) error {
			if len(args) != 1 {
				return usagef("one FILE is due, or \"-\"")
			}
			if u.maxAge < 0 {
				return usagef("--max-age is not negative")
			}
			return u.run(ctx, sh, args[0])
		}
	},
}

type unsealFlags struct {
	state, from, relay, bind, require, out, payload string
	unbound, strike, asJSON                         bool
	maxAge                                          time.Duration
}

// options turns the flags into those of package seal.
func (u *unsealFlags) options() (o seal.UnsealOptions, err error) {
	o = seal.UnsealOptions{MaxAge: u.maxAge, Strike: u.strike, Bindings: []byte(u.bind), Unbound: u.unbound}
	if o.Require, err = parseClaims(u.require); err != nil {
		return o, err
	}
	if u.relay != "" {
		n, err := parseName(u.relay)
		if err != nil {
			return o, err
		}
		o.RelayNames = append(o.RelayNames, n)
	}
	if u.from != "" {
		o.From, err = parseName(u.from)
	}
	return o, err
}

func (u *unsealFlags) run(ctx context.Context, sh *shell, file string) error {
	o, err := u.options()
	if err != nil {
		return err
	}
	st, err := openState(ctx, u.state)
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
	m, err := openSealed(ctx, trial, in, &o)
	if err != nil {
		return adviseSealed(u.state, err)
	}

	// Both files are whole before the message is struck, and appear after it.
	body, err := sh.create(u.out, 0o600, true)
	if err != nil {
		return err
	}
	defer body.discard()
	n, err := io.Copy(body, m.data)
	if err != nil {
		return adviseSealed(u.state, err)
	}
	outputs := []*output{body}
	if u.payload != "" && m.Claims.Has(seal.RelayByKey) {
		payload, err := sh.create(u.payload, 0o600, true)
		if err != nil {
			return err
		}
		defer payload.discard()
		if _, err := payload.Write(m.Payload); err != nil {
			return err
		}
		outputs = append(outputs, payload)
	}
	for _, out := range outputs {
		if err := out.sync(); err != nil {
			return err
		}
	}
	if err := m.again(ctx, st.Recipient(), &o); err != nil {
		return adviseSealed(u.state, err)
	}
	for _, out := range outputs {
		if err := out.commit(); err != nil {
			return err
		}
	}
	return u.report(sh, m, n)
}

// An unsealReport is what was verified.
type unsealReport struct {
	Originator *sealedParty `json:"originator"`
	Recipient  *sealedParty `json:"recipient"`
	Relay      *sealedParty `json:"relay,omitempty"` // vouched for by the user
	Claims     []string     `json:"claims"`
	Bound      string       `json:"bound,omitempty"` // what the relay's proof is bound to
	SealedAt   time.Time    `json:"sealed_at"`
	Until      time.Time    `json:"until"`
	Payload    []byte       `json:"payload,omitempty"` // base64
	Octets     int64        `json:"octets"`            // of the body
	File       string       `json:"file,omitempty"`
}

func (u *unsealFlags) report(sh *shell, m *sealedFile, n int64) error {
	r := unsealReport{
		Originator: partyOf(m.Originator), Recipient: partyOf(m.Recipient), Relay: partyOf(m.Relay),
		Claims: namesOf(m.Claims), SealedAt: m.SealedAt, Until: m.Until, Payload: m.Payload, Octets: n, File: u.out,
	}
	byKey := m.Claims.Has(seal.RelayByKey)
	if byKey {
		r.Bound = u.bind
	}
	w := sh.beside(u.out)
	if u.asJSON {
		return printJSON(w, r)
	}
	now := time.Now()
	facts := []fact{
		{"sealed by", r.Originator.String()},
		{"for you", r.Recipient.String()},
	}
	if r.Relay != nil {
		facts = append(facts, fact{"handed over by", r.Relay.String() + ", as you say and it demands"})
	} else if u.relay != "" {
		facts = append(facts, fact{"handed over by", printable([]byte(u.relay)) + ", as you say; it does not demand that"})
	}
	switch {
	case byKey && u.bind != "" && u.unbound:
		facts = append(facts, fact{"relay's key", "proven"})
	case byKey && u.bind != "":
		facts = append(facts, fact{"relay's key", "proven for " + printable([]byte(u.bind))})
	case byKey:
		facts = append(facts, fact{"relay's key", "proven, bound to nothing"})
	}
	claims := strings.Join(r.Claims, ", ")
	if claims == "" {
		claims = "none besides"
	}
	facts = append(facts, fact{"sealed at", ago(r.SealedAt, now)}, fact{"opens until", ago(r.Until, now)}, fact{"claims", claims})
	if byKey && len(r.Payload) > 0 {
		facts = append(facts, fact{"relay's words", fmt.Sprintf("%s: %s", octets(len(r.Payload)), printable(r.Payload))})
	}
	facts = append(facts, fact{"body", size(n)})
	if u.out != "" {
		facts = append(facts, fact{"written to", filepath.Clean(u.out)})
	}
	return printFacts(sh, w, "Verified", facts)
}
