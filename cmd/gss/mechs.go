package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gsseal/gss"
	"github.com/gsseal/gss/mechs"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
)

var mechsCommand = command{
	name:  "mechs",
	args:  "[FLAGS]",
	short: "list the mechanisms, their OIDs and what each can do",
	long: `
Lists the mechanisms of this program and their attributes (RFC 5587): what each
authenticates and protects.

--tickets lists each once more, with the tickets by which clients come back in
one round trip: gss help client, gss help server.`,
	setup: func(fs *flag.FlagSet) func(context.Context, *shell, []string) error {
		asJSON := fs.Bool("json", false, "print JSON")
		tickets := fs.Bool("tickets", false, "list them with tickets, too")
		return func(_ context.Context, sh *shell, args []string) error {
			if len(args) != 0 {
				return usagef("no arguments are due")
			}
			ms, err := new(credentialFlags).mechanisms(sh)
			if err != nil {
				return err
			}
			if *tickets {
				ms = mechs.WithTickets(ms, reauth.Options{})
			}
			list := describeMechanisms(ms)
			if *asJSON {
				return printJSON(sh.stdout, list)
			}
			return printMechanisms(sh, list)
		}
	},
}

type mechanismInfo struct {
	Name       string   `json:"name"`
	OID        string   `json:"oid"`
	What       string   `json:"what"`
	Source     string   `json:"source"`
	Attributes []string `json:"attributes"` // RFC 5587's names
}

func describeMechanisms(ms []gss.Mechanism) []mechanismInfo {
	list := make([]mechanismInfo, 0, len(ms))
	for _, m := range ms {
		d, _ := describe(m.OID())
		info := mechanismInfo{Name: mechName(m.OID()), OID: m.OID().String(), What: d.Long, Source: d.Source, Attributes: []string{}}
		if a, ok := m.(gss.Described); ok {
			for _, o := range a.Attributes() {
				info.Attributes = append(info.Attributes, mechName(o))
			}
		}
		list = append(list, info)
	}
	return list
}

// mechName is o's well-known name, else its digits.
func mechName(o oid.OID) string {
	if d, ok := describe(o); ok {
		return d.Name
	}
	return o.String()
}

// describe is oid.Describe, but tells the OIDs of mechanisms with tickets apart, which are
// made of their inner mechanisms'.
func describe(o oid.OID) (oid.Description, bool) {
	d, ok := oid.Describe(o)
	arcs, composite := strings.CutPrefix(o.String(), oid.Reauth.String()+".")
	if !composite {
		return d, ok
	}
	mech, err := oid.Parse(arcs)
	if err != nil {
		return d, false
	}
	inner, ok := describe(mech)
	return oid.Description{Name: d.Name + "+" + inner.Name, Long: inner.Long + ", with tickets", Source: d.Source}, ok
}

// allAttributes are those of RFC 5587 in its order.
var allAttributes = []oid.OID{
	oid.MAMechConcrete, oid.MAMechPseudo, oid.MAMechComposite, oid.MAMechNego, oid.MAMechGlue, oid.MANotMech, oid.MADeprecated,
	oid.MANotDfltMech, oid.MAITokFramed, oid.MAAuthInit, oid.MAAuthTarg, oid.MAAuthInitInit, oid.MAAuthTargInit, oid.MAAuthInitAnon,
	oid.MAAuthTargAnon, oid.MADelegCred, oid.MAIntegProt, oid.MAConfProt, oid.MAMIC, oid.MAWrap, oid.MAProtReady, oid.MAReplayDet,
	oid.MAOOSDet, oid.MACBindings, oid.MAPFS, oid.MACompress, oid.MACtxTrans,
}

// printMechanisms prints the mechanisms, a line each, and then their attributes, a
// column each.
func printMechanisms(sh *shell, list []mechanismInfo) error {
	p := sh.colours(sh.stdout)
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "NAME\tWHAT IT IS\tOID\n")
	for _, m := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", m.Name, m.What, m.OID)
	}
	tw.Flush()
	fmt.Fprintf(tw, "\nATTRIBUTE (RFC 5587)")
	for _, m := range list {
		fmt.Fprintf(tw, "\t%s", m.Name)
	}
	fmt.Fprintln(tw)
	for _, o := range allAttributes {
		d, _ := oid.Describe(o)
		line, any := d.Long, false
		for _, m := range list {
			mark := "\t"
			if slices.Contains(m.Attributes, d.Name) {
				mark, any = "\tyes", true
			}
			line += mark
		}
		if any {
			fmt.Fprintln(tw, line)
		}
	}
	tw.Flush()
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, " \n")
		if strings.HasPrefix(line, "NAME") || strings.HasPrefix(line, "ATTRIBUTE") {
			line = p.bold(line)
		}
		if _, err := fmt.Fprintln(sh.stdout, line); err != nil {
			return err
		}
	}
	return nil
}
