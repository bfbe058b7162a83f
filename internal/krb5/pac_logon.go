package krb5

import "time"

// maxGroups bounds each list of a LogonInfo: Windows stops at 1,015 in all.
const maxGroups = 4096

// A LogonInfo is what a Windows KDC says of a user, KERB_VALIDATION_INFO of MS-PAC §2.5.
// Zero times are never. Of the fields that Kerberos leaves unused nothing is kept.
type LogonInfo struct {
	LogonTime, LogoffTime, KickOffTime                            time.Time
	PasswordLastSet, PasswordCanChange, PasswordMustChange        time.Time
	Name, FullName, Script, ProfilePath, HomeDirectory, HomeDrive string
	LogonCount, BadPasswords                                      uint16
	UserID, PrimaryGroup                                          uint32
	Groups                                                        []GroupMembership // of Domain
	UserFlags                                                     uint32
	Server, DomainName                                            string
	Domain                                                        SID
	AccountControl                                                uint32
	ExtraSIDs                                                     []SIDAttributes
	ResourceDomain                                                SID // zero: none
	ResourceGroups                                                []GroupMembership
}

// A GroupMembership is a group of a domain and the attributes of the membership.
type GroupMembership struct{ ID, Attributes uint32 }

// SIDAttributes are a SID and the attributes of the membership.
type SIDAttributes struct {
	SID        SID
	Attributes uint32
}

// User is the user's SID.
func (l *LogonInfo) User() SID { return l.Domain.With(l.UserID) }

// ParseLogonInfo reads a PAC's buffer of type PACLogonInfo. Error: ErrMalformed.
func ParseLogonInfo(b []byte) (*LogonInfo, error) {
	r := ndrReader{b: b}
	l := new(LogonInfo)
	r.header()
	for _, t := range []*time.Time{&l.LogonTime, &l.LogoffTime, &l.KickOffTime, &l.PasswordLastSet, &l.PasswordCanChange, &l.PasswordMustChange} {
		*t = r.filetime()
	}
	names := []*string{&l.Name, &l.FullName, &l.Script, &l.ProfilePath, &l.HomeDirectory, &l.HomeDrive}
	var heads [6]ndrString
	for i := range heads {
		heads[i] = r.stringHead()
	}
	l.LogonCount, l.BadPasswords = r.u16(), r.u16()
	l.UserID, l.PrimaryGroup = r.u32(), r.u32()
	groups, hasGroups := r.u32(), r.u32() != 0
	l.UserFlags = r.u32()
	r.take(16) // session key, zero in Kerberos
	server, domainName, hasDomain := r.stringHead(), r.stringHead(), r.u32() != 0
	r.take(8) // reserved
	l.AccountControl = r.u32()
	r.take(4 + 8 + 8 + 4 + 4) // status, last logons, number of failed ones, reserved
	sids, hasSIDs := r.u32(), r.u32() != 0
	hasResource := r.u32() != 0
	resources, hasResources := r.u32(), r.u32() != 0
	r.must(hasGroups || groups == 0)
	r.must(hasSIDs || sids == 0)
	r.must(hasResources || resources == 0)
	r.must(hasDomain && (hasResource || resources == 0))

	for i, s := range heads {
		*names[i] = r.stringBody(s)
	}
	if hasGroups {
		l.Groups = r.groups(groups)
	}
	l.Server, l.DomainName = r.stringBody(server), r.stringBody(domainName)
	l.Domain = r.sid()
	if hasSIDs {
		l.ExtraSIDs = r.sids(sids)
	}
	if hasResource {
		l.ResourceDomain = r.sid()
	}
	if hasResources {
		l.ResourceGroups = r.groups(resources)
	}
	r.align(8)
	if r.bad || r.at != len(r.b) || !zero(b[r.at:]) {
		return nil, malformed("KERB_VALIDATION_INFO")
	}
	return l, nil
}

// groups reads a conformant array of GROUP_MEMBERSHIP, MS-PAC §2.2.2.
func (r *ndrReader) groups(announced uint32) []GroupMembership {
	n := r.count(8, announced)
	r.must(n <= maxGroups)
	if r.bad || n == 0 {
		return nil
	}
	list := make([]GroupMembership, n)
	for i := range list {
		list[i] = GroupMembership{r.u32(), r.u32()}
	}
	return list
}

// sids reads a conformant array of KERB_SID_AND_ATTRIBUTES, MS-PAC §2.2.1: pointers
// first, the SIDs behind them.
func (r *ndrReader) sids(announced uint32) []SIDAttributes {
	n := r.count(8, announced)
	r.must(n <= maxGroups)
	if r.bad || n == 0 {
		return nil
	}
	list := make([]SIDAttributes, n)
	for i := range list {
		r.must(r.u32() != 0)
		list[i].Attributes = r.u32()
	}
	for i := range list {
		list[i].SID = r.sid()
	}
	return list
}

// Append appends the octets of l to dst, as in a buffer of type PACLogonInfo.
func (l *LogonInfo) Append(dst []byte) []byte {
	w := ndrWriter{}
	w.pointer(true)
	for _, t := range []time.Time{l.LogonTime, l.LogoffTime, l.KickOffTime, l.PasswordLastSet, l.PasswordCanChange, l.PasswordMustChange} {
		w.filetime(t)
	}
	names := []string{l.Name, l.FullName, l.Script, l.ProfilePath, l.HomeDirectory, l.HomeDrive}
	for _, s := range names {
		w.stringHead(s)
	}
	w.u16(l.LogonCount)
	w.u16(l.BadPasswords)
	w.u32(l.UserID)
	w.u32(l.PrimaryGroup)
	w.u32(uint32(len(l.Groups)))
	w.pointer(len(l.Groups) > 0)
	w.u32(l.UserFlags)
	w.b = append(w.b, make([]byte, 16)...)
	w.stringHead(l.Server)
	w.stringHead(l.DomainName)
	w.pointer(true)
	w.b = append(w.b, make([]byte, 8)...)
	w.u32(l.AccountControl)
	w.b = append(w.b, make([]byte, 4+8+8+4+4)...)
	w.u32(uint32(len(l.ExtraSIDs)))
	w.pointer(len(l.ExtraSIDs) > 0)
	w.pointer(!l.ResourceDomain.IsZero())
	w.u32(uint32(len(l.ResourceGroups)))
	w.pointer(len(l.ResourceGroups) > 0)

	for _, s := range names {
		w.stringBody(s)
		w.align(4)
	}
	w.groups(l.Groups)
	w.stringBody(l.Server)
	w.align(4)
	w.stringBody(l.DomainName)
	w.align(4)
	w.sid(l.Domain)
	if len(l.ExtraSIDs) > 0 {
		w.u32(uint32(len(l.ExtraSIDs)))
		for _, s := range l.ExtraSIDs {
			w.pointer(true)
			w.u32(s.Attributes)
		}
		for _, s := range l.ExtraSIDs {
			w.sid(s.SID)
		}
	}
	if !l.ResourceDomain.IsZero() {
		w.sid(l.ResourceDomain)
	}
	w.groups(l.ResourceGroups)
	return append(dst, w.headed()...)
}

func (w *ndrWriter) groups(list []GroupMembership) {
	if len(list) == 0 {
		return
	}
	w.u32(uint32(len(list)))
	for _, g := range list {
		w.u32(g.ID)
		w.u32(g.Attributes)
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
