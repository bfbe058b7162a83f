package krb5

import (
	"iter"
	"slices"
	"strconv"

	"github.com/gsseal/gss"
	ikrb5 "github.com/gsseal/gss/internal/krb5"
)

// An acceptedContext is an acceptor's, who knows more of its peer than the name: a
// delegated credential, or what the KDC says of the user.
type acceptedContext struct {
	*secContext
	cred *Credential           // nil: none came
	pac  *ikrb5.PAC            // verified; nil: none
	data []ikrb5.AuthDataEntry // of the ticket, but for PACs
}

var (
	_ gss.Delegator  = (*acceptedContext)(nil)
	_ gss.Attributed = (*acceptedContext)(nil)
)

// Close implements gss.Context. Handles that Delegated returned stay good.
func (c *acceptedContext) Close() error {
	if c.cred != nil {
		c.cred.Close()
	}
	return c.secContext.Close()
}

// Export implements gss.Exporter.
func (c *acceptedContext) Export() ([]byte, error) {
	b, err := c.secContext.Export()
	if err == nil {
		c.Close() // what was delegated does not travel
	}
	return b, err
}

// Delegated implements gss.Delegator. The credential initiates, with the TGT that the
// initiator has forwarded.
func (c *acceptedContext) Delegated() (gss.Credential, error) {
	const op = "Delegated"
	if err := c.usable(op); err != nil {
		return nil, err
	}
	if c.cred != nil {
		if h := c.cred.Handle(); h != nil {
			return h, nil
		}
	}
	return nil, c.fail(op, gss.NoCred)
}

// Names of attributes, MIT krb5's where it has one. Values of the first ones are a PAC's
// buffers as they came (MS-PAC §2.4).
const (
	attrUser    = "urn:mspac:user-sid"  // Display: "S-1-5-…"
	attrGroup   = "urn:mspac:group-sid" // one each
	attrAccount = "urn:mspac:account"   // Display: "DOMAIN\\user"
	attrUPN     = "urn:mspac:upn"       // Display: "user@domain"
	attrData    = "krb5:authdata:"      // and the type's number: one of RFC 4120's authorization data
)

var pacBuffers = []struct {
	typ  uint32
	name string
}{
	{ikrb5.PACLogonInfo, "urn:mspac:logon-info"},
	{ikrb5.PACClientInfoType, "urn:mspac:client-info"},
	{ikrb5.PACDelegationInfo, "urn:mspac:delegation-info"},
	{ikrb5.PACUPNInfoType, "urn:mspac:upn-dns-info"},
	{ikrb5.PACServerChecksum, "urn:mspac:server-checksum"},
	{ikrb5.PACKDCChecksum, "urn:mspac:privsvr-checksum"},
}

// PeerAttributes implements gss.Attributed: what the ticket's PAC says of the user, if its
// signature under the service's key is good. The KDC's own signature is not
// checked, which takes the KDC's key. And the ticket's other authorization data, as it came:
// a KDC puts there what a client asks it to, so that it is only asserted. There are none of
// a context that was closed.
func (c *acceptedContext) PeerAttributes() iter.Seq2[string, gss.Attribute] {
	return func(yield func(string, gss.Attribute) bool) {
		if c.closed.Load() {
			return
		}
		for _, e := range c.data {
			if !yield(attrData+strconv.Itoa(int(e.Type)), gss.Attribute{Value: slices.Clone(e.Data)}) {
				return
			}
		}
		if c.pac == nil {
			return
		}
		for _, b := range pacBuffers {
			if v, ok := c.pac.Buffer(b.typ); ok && !yield(b.name, gss.Attribute{Value: append([]byte(nil), v...), Authenticated: true}) {
				return
			}
		}
		text := func(name, s string) bool {
			return s == "" || yield(name, gss.Attribute{Value: []byte(s), Display: s, Authenticated: true})
		}
		if l, err := c.pac.Logon(); err == nil && l != nil {
			if !text(attrUser, l.User().String()) || !text(attrAccount, l.DomainName+"\\"+l.Name) {
				return
			}
			for _, sid := range groups(l) {
				if !text(attrGroup, sid.String()) {
					return
				}
			}
		}
		if u, err := c.pac.UPN(); err == nil && u != nil {
			text(attrUPN, u.UPN)
		}
	}
}

// Attributes of a membership, MS-PAC §2.2.1.
const (
	groupEnabled  = 1 << 2
	groupDenyOnly = 1 << 4
)

// groups are those in which the user is, to grant something for.
func groups(l *ikrb5.LogonInfo) (out []ikrb5.SID) {
	add := func(s ikrb5.SID, attributes uint32) {
		if attributes&(groupEnabled|groupDenyOnly) == groupEnabled {
			out = append(out, s)
		}
	}
	for _, g := range l.Groups {
		add(l.Domain.With(g.ID), g.Attributes)
	}
	for _, s := range l.ExtraSIDs {
		add(s.SID, s.Attributes)
	}
	for _, g := range l.ResourceGroups {
		add(l.ResourceDomain.With(g.ID), g.Attributes)
	}
	return out
}
