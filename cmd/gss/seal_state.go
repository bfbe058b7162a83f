package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs/krb5"
	"github.com/gsseal/gss/mechs/pkix"
	"github.com/gsseal/gss/seal"
	"github.com/gsseal/gss/seal/boltstate"
	"github.com/gsseal/gss/strike/boltstore"
)

// A state is a file of contexts, which client and server make, and its list.
type state struct {
	*boltstate.File
	path     string
	contexts []boltstate.Context
}

// sealLock is how long to wait for another gss that uses the same file.
const sealLock = 20 * time.Second

// stateOptions: whoever runs the command pays for the search himself.
var stateOptions = boltstate.Options{
	Recipient: seal.RecipientOptions{ScanRate: math.MaxInt},
	Strikes:   boltstore.Options{LockTimeout: sealLock},
}

// openState opens a file that is there.
func openState(ctx context.Context, path string) (*state, error) {
	if path == "" {
		return nil, usagef("--state FILE is due")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: \"gss client --seal-state\" and \"gss server --seal-state\" make such a file", path)
	}
	f, err := boltstate.Open(path, &stateOptions)
	if err != nil {
		return nil, adviseState(path, err)
	}
	s := &state{File: f, path: path}
	if s.contexts, err = f.Contexts(ctx); err != nil {
		f.Close()
		return nil, adviseState(path, err)
	}
	return s, nil
}

// keepState adds a context to a file, which is made if it is not there.
func keepState(ctx context.Context, path string, sc gss.Context) error {
	f, err := boltstate.Open(path, &stateOptions)
	if err == nil {
		_, err = f.Add(ctx, sc)
		err = errors.Join(err, f.Close())
	}
	return adviseState(path, err)
}

// adviseState says what to do about an error of the file.
func adviseState(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, boltstore.ErrLocked):
		return fmt.Errorf("%s is in use by another process: try again when that has ended", path)
	case errors.Is(err, boltstore.ErrCorrupt):
		return fmt.Errorf("%s is no state file, or a damaged one: %w\nPut a copy back, or remove it and let client and server meet again", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// pick returns the context with the peer that text says: its name as the mechanism
// has it, or a number of the list that the error shows. "" is the only peer there
// is. Of several contexts between the same two names the last one counts, which has
// time left.
func (s *state) pick(flag, text string) (boltstate.Context, error) {
	now := time.Now()
	var live, last []boltstate.Context
	for _, c := range s.contexts { // the oldest come first
		if !c.End.After(now) {
			continue
		}
		if live = append(live, c); strconv.FormatUint(uint64(c.ID), 10) == text {
			return c, nil
		}
		last = append(slices.DeleteFunc(last, func(x boltstate.Context) bool { return x.Local == c.Local && x.Peer == c.Peer }), c)
	}
	if len(live) == 0 {
		return boltstate.Context{}, fmt.Errorf("%s has no context with time left: run gss client and gss server with --seal-state again", s.path)
	}
	if text != "" {
		name, _ := parseName(text)
		last = slices.DeleteFunc(last, func(c boltstate.Context) bool { return c.Peer != name && c.Peer.Text != text })
	}
	switch len(last) {
	case 1:
		return last[0], nil
	case 0:
		return boltstate.Context{}, fmt.Errorf("%s has no context with %s; there are, for %s NAME or %s N:\n%s", s.path, printable([]byte(text)), flag, flag, list(live))
	}
	return boltstate.Context{}, fmt.Errorf("%s has several contexts; say which, by %s NAME or %s N:\n%s", s.path, flag, flag, list(last))
}

// list is a line for each context.
func list(cs []boltstate.Context) string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tw, "  N\tNAME\tMECHANISM\tYOU ARE\tUNTIL\n")
	for _, c := range cs {
		fmt.Fprintf(tw, "  %d\t%s\t%s\t%s\t%s\n", c.ID, c.Peer, mechName(c.Mech), c.Local, c.End.Local().Format(time.DateTime))
	}
	tw.Flush()
	return strings.TrimRight(b.String(), "\n")
}

// pkixKinds begin the names of certificates.
var pkixKinds = []string{"svc", "dns", "uri", "mail", "upn", "dn"}

// parseName reads a name as the mechanisms write it: "mail:carol@example.org" is a
// certificate's, and "carol@EXAMPLE.ORG" a Kerberos principal, "krb5:" before which
// says so if there is need.
func parseName(text string) (gss.Name, error) {
	kind, rest, _ := strings.Cut(text, ":")
	var n gss.Name
	var err error
	switch {
	case kind == "krb5":
		n, err = krb5.ParseName(rest)
	case slices.Contains(pkixKinds, kind):
		n, err = pkix.ParseName(text)
	default:
		n, err = krb5.ParseName(text)
	}
	if err != nil {
		return gss.Name{}, usagef("%s is no name such as mail:carol@example.org (certificates) or carol@EXAMPLE.ORG (Kerberos)", printable([]byte(text)))
	}
	return n, nil
}

// A person of a sealed message, for JSON.
type sealedParty struct {
	Name string `json:"name"`
	Mech string `json:"mech"`
}

func partyOf(n gss.Name) *sealedParty {
	if n.IsZero() {
		return nil
	}
	return &sealedParty{n.String(), mechName(n.Mech)}
}

func (p *sealedParty) String() string {
	if p == nil {
		return ""
	}
	return p.Name + ", by " + p.Mech
}

// claimNames are what --require takes and the reports show.
var claimNames = []struct {
	claim seal.Claims
	name  string
}{{seal.OneTime, "one-time"}, {seal.RelayByName, "relay"}, {seal.RelayByKey, "relay-key"}, {seal.Stream, "stream"}}

func parseClaims(list string) (seal.Claims, error) {
	var all seal.Claims
next:
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		for _, c := range claimNames {
			if c.name == name {
				all |= c.claim
				continue next
			}
		}
		return 0, usagef("there is no claim %q; there are one-time, relay, relay-key and stream", name)
	}
	return all, nil
}

func namesOf(c seal.Claims) []string {
	names := []string{}
	for _, x := range claimNames {
		if c.Has(x.claim) {
			names = append(names, x.name)
		}
	}
	return names
}

// A fact is a line of a report.
type fact struct{ what, value string }

// beside is where a report goes: standard output, unless the result does.
func (sh *shell) beside(out string) io.Writer {
	if out == "" {
		return sh.stderr
	}
	return sh.stdout
}

// printFacts prints those with a value.
func printFacts(sh *shell, w io.Writer, title string, facts []fact) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", sh.colours(w).bold(title))
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, f := range facts {
		if f.value != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", f.what, f.value)
		}
	}
	tw.Flush()
	_, err := fmt.Fprint(w, b.String())
	return err
}

// ago writes t for the eye.
func ago(t, now time.Time) string {
	d := now.Sub(t).Round(time.Second)
	s := t.Local().Format(time.DateTime)
	switch {
	case d > 0:
		return fmt.Sprintf("%s (%s ago)", s, d)
	case d < 0:
		return fmt.Sprintf("%s (in %s)", s, -d)
	}
	return s + " (now)"
}
