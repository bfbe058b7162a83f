package mechs

import (
	"github.com/gsseal/gss/mechglue"
	"github.com/gsseal/gss/mechs/reauth"
	"github.com/gsseal/gss/oid"
)

// WithTickets returns ms and, behind them, each of them once more with tickets, by
// which initiators come back in one round trip (package reauth). What ms did it does
// as before: only who asks for oid.Join(oid.Reauth, mech) gets tickets, and whatever
// implementation is at the other end, it has to know them. System has none for that
// reason.
//
// All share o: a server keeps o.Ring in a file, so that tickets outlive its process;
// a program that runs often keeps o.Cache in one.
//
//	ms, err := mechs.System()
//	ring, err := reauth.OpenRing("/var/lib/files/ring")
//	h := mechs.WithTickets(ms, reauth.Options{Ring: ring}).Accept(nil)
func WithTickets(ms mechglue.Mechanisms, o reauth.Options) mechglue.Mechanisms {
	out := append(mechglue.Mechanisms(nil), ms...)
	for _, m := range ms {
		if !m.OID().HasPrefix(oid.Reauth) {
			out = append(out, reauth.New(m, o))
		}
	}
	return out
}
