package kdctest

import (
	"time"

	"github.com/gsseal/gss/internal/krb5"
)

// A Logon is what a Windows KDC says of a user in a PAC. SIDs are text, such as
// "S-1-5-21-1-2-3".
type Logon struct {
	FullName     string
	Domain       string // NetBIOS name; default: the realm's first label
	DomainSID    string // default "S-1-5-21-1-2-3"
	ID           uint32 // of the user in the domain; default 1000
	PrimaryGroup uint32 // default 513, Domain Users
	Groups       []uint32
	ExtraSIDs    []string
	UPN          string // default user@realm, in lower case
}

// SetLogon makes the PACs of a user's tickets say that; see Options.PAC. Users without
// have PACs as MIT's KDC makes them, which say who the client is and no more.
func (r *Realm) SetLogon(user string, l Logon) error {
	return r.change(user, func(p *principal) error {
		name := krb5.PrincipalName{Components: p.name.Components}.String()
		if l.Domain == "" {
			l.Domain = firstLabel(r.o.Realm)
		}
		if l.DomainSID == "" {
			l.DomainSID = "S-1-5-21-1-2-3"
		}
		if l.ID == 0 {
			l.ID = 1000
		}
		if l.PrimaryGroup == 0 {
			l.PrimaryGroup = 513
		}
		if l.UPN == "" {
			l.UPN = lower(name + "@" + r.o.Realm)
		}
		domain, err := krb5.ParseSID(l.DomainSID)
		if err != nil {
			return err
		}
		const attributes = 7 // mandatory, enabled by default, enabled; MS-PAC §2.2.1
		info := &krb5.LogonInfo{
			Name: name, FullName: l.FullName, UserID: l.ID, PrimaryGroup: l.PrimaryGroup, Server: "KDC", DomainName: l.Domain, Domain: domain,
			AccountControl: 0x10, // a normal account
			Groups:         []krb5.GroupMembership{{ID: l.PrimaryGroup, Attributes: attributes}},
		}
		for _, g := range l.Groups {
			info.Groups = append(info.Groups, krb5.GroupMembership{ID: g, Attributes: attributes})
		}
		for _, s := range l.ExtraSIDs {
			sid, err := krb5.ParseSID(s)
			if err != nil {
				return err
			}
			info.ExtraSIDs = append(info.ExtraSIDs, krb5.SIDAttributes{SID: sid, Attributes: attributes})
			info.UserFlags |= 0x20 // there are extra SIDs, MS-PAC §2.5
		}
		p.logon, p.upn = info, l.UPN
		return nil
	})
}

// newPAC is that of a client of this realm, for a TGT or a ticket.
func (r *Realm) newPAC(name krb5.PrincipalName, authTime time.Time) *krb5.PACBuilder {
	b := new(krb5.PACBuilder)
	client, _ := r.lookup(name)
	if l := client.logon; l != nil {
		info := *l
		info.LogonTime = authTime
		b.Add(krb5.PACLogonInfo, info.Append(nil))
	}
	b.Add(krb5.PACClientInfoType, (&krb5.PACClientInfo{AuthTime: authTime, Name: plainName(name)}).Append(nil))
	if l := client.logon; l != nil {
		upn := krb5.UPNInfo{UPN: client.upn, DNSDomain: r.o.Realm, Account: l.Name, SID: l.User()}
		b.Add(krb5.PACUPNInfoType, upn.Append(nil))
		b.Add(krb5.PACRequestor, l.User().Append(nil))
		b.Add(krb5.PACAttributes, []byte{2, 0, 0, 0, 1, 0, 0, 0}) // 2 bits: the PAC was asked for, MS-PAC §2.14
	}
	return b
}

// plainName is a name as PACs have it.
func plainName(n krb5.PrincipalName) string {
	s := ""
	for i, c := range n.Components {
		if i > 0 {
			s += "/"
		}
		s += c
	}
	return s
}

// addPAC puts a PAC into t, a ticket for server: of, or if that is nil a new one.
func (r *Realm) addPAC(server principal, t *krb5.EncTicketPart, of *krb5.PACBuilder) error {
	if !r.o.PAC {
		return nil
	}
	tgs, ok := r.lookup(tgsName(r.o.Realm))
	if !ok {
		return refuse(krb5.KRB_ERR_GENERIC, "no TGS")
	}
	kdc, err := tgs.keys[0].get()
	if err != nil {
		return err
	}
	key, err := server.keys[0].get()
	if err != nil {
		return err
	}
	service := !isTGS(server.name)
	if of == nil {
		if t.CRealm != r.o.Realm {
			return nil // a foreign KDC that makes none
		}
		of = r.newPAC(t.CName, t.AuthTime)
	}
	if service {
		of = of.Without(krb5.PACRequestor, krb5.PACAttributes)
	}
	t.AuthData, err = of.Sign(t, key, kdc, service)
	return err
}

// takePAC verifies the PAC of a ticket that was encrypted under key, and takes it out.
// Whose ticket was issued here has every signature.
func (r *Realm) takePAC(t *krb5.EncTicketPart, key *krb5.Key, issuer string, service bool) (*krb5.PAC, error) {
	if !r.o.PAC {
		return nil, nil
	}
	var kdc *krb5.Key
	if issuer == r.o.Realm {
		tgs, _ := r.lookup(tgsName(r.o.Realm))
		var err error
		if kdc, err = tgs.keys[0].get(); err != nil {
			return nil, err
		}
	}
	pac, err := krb5.VerifyPAC(t, key, kdc)
	if err == nil && pac != nil && service {
		err = pac.VerifyTicket(t, kdc)
	}
	if err == nil && pac == nil && kdc != nil {
		err = krb5.ErrPACChecksum
	}
	if err != nil {
		return nil, refuse(krb5.KRB_AP_ERR_MODIFIED, err.Error())
	}
	t.AuthData = krb5.WithoutPAC(t.AuthData)
	return pac, nil
}
